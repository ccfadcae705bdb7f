import { setTimeout as sleep } from 'node:timers/promises';
import type { RunEnd } from '../../cluster/guard/run-end';
import { keepBeating } from '../context';
import type { ActivityDeps } from '../deps';
import { endOfStretch } from './stretch';

/** How often the server is asked, in milliseconds. */
const ASK_EVERY_MS = 1000;

/** A run whose end the guard waits for. */
export interface AwaitedRun {
  workflowId: string;
  /** Which of the runs that had this id; absent where the guard of an older version started it. */
  runId?: string;
  /** Return after this time, in milliseconds, where it still goes on. */
  forMs: number;
}

/** Waits for the end of a run that an earlier history of the guard started. @returns undefined where it goes on */
export async function awaitRunEnd(
  deps: Pick<ActivityDeps, 'ending' | 'runEnd'>,
  { workflowId, runId, forMs }: AwaitedRun,
): Promise<RunEnd | undefined> {
  const ends = endOfStretch(deps, forMs);
  const stopBeating = keepBeating(() => workflowId);
  try {
    while (!ends.over()) {
      // A server that gives no answer for a moment is asked again.
      const end = await deps.runEnd?.(workflowId, runId).catch(() => undefined);
      if (end !== undefined) return end;
      await sleep(ASK_EVERY_MS, undefined, { signal: ends.signal }).catch(() => undefined);
    }
    return undefined;
  } finally {
    stopBeating();
    ends.close();
  }
}
