import {
  ChildWorkflowCancellationType,
  isCancellation,
  ParentClosePolicy,
  patched,
  proxyActivities,
  startChild,
  uuid4,
  type ActivityOptions,
  type ChildWorkflowHandle,
  type Workflow,
} from '@temporalio/workflow';
import type { Activities } from '../activities';
import type { RunEnd } from '../cluster/guard/run-end';
import { STRETCH_MS } from './guard-watching';
import { WORKFLOW_TASK_TIMEOUT } from './messages';
import { rootDetails, rootMessage, rootType } from './runbook/runner';

/** A run that the guard started and that has not ended, as its state shows it. */
export interface StartedRun {
  workflowId: string;
  /** Which of the runs that have this id; absent where a guard of an older version started it. */
  runId?: string;
  /** Milliseconds since the epoch. */
  since: number;
  what: string;
}

/** A run that is to be started. */
export interface RunToStart {
  /** The name of the workflow. */
  type: string;
  workflowId: string;
  input: object;
  summary: string;
}

/** How the end of a run is waited for that this history did not start. */
const awaiting: ActivityOptions = {
  startToCloseTimeout: STRETCH_MS + 120_000,
  heartbeatTimeout: '2s',
  retry: { initialInterval: '200ms', backoffCoefficient: 1.5, maximumInterval: '5s' },
  summary: 'Wait for the end of a run that an earlier history started',
};

/** A workflow id for a run that the guard starts. */
export function newRunId(what: string, cluster: string): string {
  const stamp = new Date(Date.now()).toISOString().replace(/\D/g, '').slice(2, 14);
  return `${what}-${cluster}-${stamp}-${uuid4().slice(0, 4)}`;
}

/**
 * The runs that a guard starts: each lives on by itself, and its end is heard. One that an earlier history started, which was begun anew,
 * taken over from an older version or reset, sends its end to nobody here; so the server is asked for it.
 */
export class GuardRuns {
  private readonly heard = new Set<string>();

  /** Starts a runbook, whose end is to be heard by {@link hear}. Rejects where it could not be started. */
  // Not async: a promise more would let others go first that did not when a history was recorded.
  start({ type, workflowId, input, summary }: RunToStart): Promise<ChildWorkflowHandle<Workflow>> {
    this.heard.add(workflowId);
    return startChild(type, {
      workflowId,
      args: [input],
      workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
      // The end of the guard must not end what it started.
      parentClosePolicy: ParentClosePolicy.ABANDON,
      cancellationType: ChildWorkflowCancellationType.ABANDON,
      staticSummary: summary,
    });
  }

  /** @param ended called once, when it has ended in any way */
  hear(run: ChildWorkflowHandle<Workflow>, ended: (end: RunEnd) => void): void {
    void run.result().then(
      (report: unknown) => ended(wellEnded(report)),
      (error: unknown) => ended(badlyEnded(error)),
    );
  }

  /**
   * Hears the end of a run that the state shows and nobody here listens to. Called again and again: the history that finds one may be
   * older than this.
   * @returns whether that has just begun
   */
  hearAgain(run: StartedRun | undefined, ended: (end: RunEnd) => void): boolean {
    // A guard that was started by a version which heard nothing of it goes on as it began, until it comes to something new.
    if (run === undefined || this.heard.has(run.workflowId) || !patched('guard-hears-again')) return false;
    this.heard.add(run.workflowId);
    void endOf(run).then(ended, (error: unknown) => {
      // The guard itself ends.
      if (isCancellation(error)) return;
      ended({ well: false, says: `its end could not be asked for: ${rootMessage(error)}` });
    });
    return true;
  }
}

async function endOf({ workflowId, runId }: StartedRun): Promise<RunEnd> {
  for (;;) {
    const end = await proxyActivities<Activities>(awaiting).awaitRunEnd({
      workflowId,
      ...(runId === undefined ? {} : { runId }),
      forMs: STRETCH_MS,
    });
    // An activity that came to nothing answers null.
    if (end != null) return end;
  }
}

const wellEnded = (report: unknown): RunEnd => ({
  well: true,
  says: (report as { says?: string } | null | undefined)?.says ?? 'completed',
});

function badlyEnded(error: unknown): RunEnd {
  const type = rootType(error);
  return {
    well: false,
    says: rootMessage(error),
    ...(type === undefined ? {} : { type }),
    ...(rootDetails(error).gaveWay === true ? { gaveWay: true } : {}),
  };
}
