import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError, WorkflowIdConflictPolicy, type Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { GuardMode } from '../cluster/guard/policy';
import { guardQuery, guardWorkflowId, type GuardInput, type GuardState } from '../workflows/guard-messages';
import { WORKFLOW_TASK_TIMEOUT } from '../workflows/messages';
import type { Report } from '../workflows/run-state';
import type { RejoinInput } from '../workflows/standby-input';

const LOOK_EVERY_MS = 150;

/** A cluster under its guard, as a bench sees it: the guard's own words, and the reports of what it started. */
export class Guarded {
  private constructor(
    private readonly client: Client,
    private readonly taskQueue: string,
    readonly cluster: string,
  ) {}

  /** Starts the guard, or takes the one that runs. */
  static async start(client: Client, taskQueue: string, cluster: string, mode: GuardMode = 'auto'): Promise<Guarded> {
    const input: GuardInput = { cluster, mode, startedBy: 'bench' };
    await client.workflow.start('guard', {
      taskQueue,
      workflowId: guardWorkflowId(cluster),
      workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
      workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
      args: [input],
    });
    return new Guarded(client, taskQueue, cluster);
  }

  /** What the guard says now. @throws Error when no worker answers for it */
  state(): Promise<GuardState> {
    return this.client.workflow.getHandle(guardWorkflowId(this.cluster)).query(guardQuery);
  }

  /** Events in the guard's history so far. */
  async historyLength(): Promise<number> {
    const { historyLength } = await this.client.workflow.getHandle(guardWorkflowId(this.cluster)).describe();
    return historyLength;
  }

  /** Identity of the worker that watches now; undefined while none does. */
  async watcher(): Promise<string | undefined> {
    const { raw } = await this.client.workflow.getHandle(guardWorkflowId(this.cluster)).describe();
    const watches = raw.pendingActivities?.find(({ activityType }) => activityType?.name === 'watchCluster');
    return watches?.lastWorkerIdentity ?? undefined;
  }

  /**
   * Waits until the guard's state is as wanted; a query without an answer is asked again. Returns that state.
   * @throws Error that says what the guard said last
   */
  async until(what: string, wanted: (state: GuardState) => boolean, limitMs: number): Promise<GuardState> {
    const deadline = Date.now() + limitMs;
    let last = 'it gave no answer';
    for (;;) {
      try {
        const state = await this.state();
        if (wanted(state)) return state;
        const { ledger } = state;
        last = `ledger ${ledger.state} (${ledger.why}); sees: ${state.sees} waits for: ${state.waitsFor}`;
      } catch (error) {
        last = (error as Error).message;
      }
      if (Date.now() > deadline) throw new Error(`${what}: not within ${limitMs / 1000} s. The guard: ${last}`);
      await sleep(LOOK_EVERY_MS);
    }
  }

  /** Waits until the ledger says protected and nothing is under way. Returns the primary. */
  async calm(limitMs = 120_000): Promise<string> {
    const { ledger } = await this.until('the cluster being protected', isCalm, limitMs);
    return ledger.primary ?? '';
  }

  /** The report of a run that has ended, or ends soon, whatever its outcome; undefined where it left none. */
  async report(workflowId: string, runId?: string): Promise<Report | undefined> {
    try {
      return (await this.client.workflow.getHandle(workflowId, runId).result()) as Report;
    } catch (error) {
      const cause = error instanceof WorkflowFailedError ? error.cause : error;
      return cause instanceof ApplicationFailure ? (cause.details?.[0] as Report | undefined) : undefined;
    }
  }

  /** Runs `rejoin` by hand. */
  async rejoin(input: RejoinInput): Promise<Report | undefined> {
    const workflowId = `rejoin-${this.cluster}-bench-${Date.now()}`;
    const args: [RejoinInput] = [{ cluster: this.cluster, approval: 'given', startedBy: 'bench', ...input }];
    await this.client.workflow.start('rejoin', { taskQueue: this.taskQueue, workflowId, args });
    return this.report(workflowId);
  }
}

/** Protected, and nothing is under way or waited for. */
export function isCalm(state: GuardState): boolean {
  return (
    state.ledger.state === 'protected' &&
    state.ledger.primary !== null &&
    state.acting === undefined &&
    (state.backoffUntil === undefined || state.backoffUntil < Date.now())
  );
}

/** The failovers that the guard has started since a moment (milliseconds since the epoch), by workflow id. */
export function failoversSince(state: GuardState, since: number): string[] {
  return state.events.flatMap(({ at, kind, says, run }) =>
    at >= since && kind === 'failover' && run !== undefined && says.startsWith('failover started') ? [run] : [],
  );
}
