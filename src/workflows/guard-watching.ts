import {
  ActivityCancellationType,
  CancellationScope,
  isCancellation,
  workflowInfo,
  type ActivityOptions,
} from '@temporalio/workflow';
import { watchQueueOf } from './messages';
import { changing } from './runbook/activity-options';

/** One stretch of watching; then a new one, so that a guard which nobody disturbs writes some thirty events an hour. */
export const STRETCH_MS = 10 * 60_000;
/** The longest wait after an attempt that did not end well. */
export const MAX_BACKOFF_MS = 10 * 60_000;

/** How a stretch of watching runs. News from people end it at once; what it came to until then is lost. */
export const watching = (summary: string): ActivityOptions => ({
  taskQueue: watchQueueOf(workflowInfo().taskQueue),
  startToCloseTimeout: STRETCH_MS + 120_000,
  // The watch of a worker that died, or is frozen, goes on at another one within this time.
  heartbeatTimeout: '1s',
  retry: { initialInterval: '50ms', backoffCoefficient: 1.5, maximumInterval: '2s' },
  summary,
});

/** How a stretch runs that may act: news from people end it too, and it is waited for, since what it did must be told and finished. */
export const watchingAndActing = (summary: string): ActivityOptions => ({
  ...watching(summary),
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
});

/** How the names of synchronous standbys are set: nobody watches meanwhile, so it is soon over, well or not. */
export const settingNames = {
  ...changing,
  startToCloseTimeout: '8s',
  scheduleToCloseTimeout: '10s',
  retry: { ...changing.retry, maximumAttempts: 3 },
} as const satisfies ActivityOptions;

/** How long a stretch may last that is to end at the first of these times, in milliseconds. */
export function stretchMs(now: number, wakes: readonly (number | null | undefined)[]): number {
  return Math.max(200, Math.min(STRETCH_MS, ...wakes.filter((at) => at != null).map((at) => at - now)));
}

/** One wait at a time, a stretch of watching or a pause, that news from people end. */
export class Wait {
  private scope: CancellationScope | undefined;

  /** @returns what `body` came to; undefined when the wait was ended by {@link cancel} */
  async run<T>(body: () => Promise<T>): Promise<T | undefined> {
    this.scope = new CancellationScope();
    try {
      return await this.scope.run(body);
    } catch (error) {
      // The guard itself was cancelled, and not only its waiting.
      if (!isCancellation(error) || CancellationScope.current().consideredCancelled) throw error;
      return undefined;
    } finally {
      this.scope = undefined;
    }
  }

  /** Ends the wait that is under way, if one is. */
  cancel(): void {
    this.scope?.cancel();
  }
}
