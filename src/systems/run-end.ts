import { WorkflowFailedError, WorkflowNotFoundError, type WorkflowClient } from '@temporalio/client';
import type { RunEnd } from '../cluster/guard/run-end';
import { innermost } from './temporal';

/** How long the server may take with the result of a run that has ended, in milliseconds. */
const RESULT_LIMIT_MS = 5000;

/**
 * How a run has ended, asked of the server.
 * @param runId which of the runs that had this id; default: the latest
 * @returns undefined while it goes on
 * @throws Error when the server gives no answer
 */
export async function runEnd(
  client: WorkflowClient,
  workflowId: string,
  runId: string | undefined,
): Promise<RunEnd | undefined> {
  const handle = client.getHandle(workflowId, runId);
  try {
    if ((await handle.describe()).status.name === 'RUNNING') return undefined;
    const report: unknown = await client.withDeadline(Date.now() + RESULT_LIMIT_MS, () => handle.result());
    return { well: true, says: (report as { says?: string } | null | undefined)?.says ?? 'completed' };
  } catch (error) {
    // Its time of retention is over, or it was deleted.
    if (error instanceof WorkflowNotFoundError)
      return { well: false, says: 'Temporal does not know it any more: nobody can tell how it ended', type: 'Unknown' };
    if (error instanceof WorkflowFailedError) return badEnd(error);
    throw error;
  }
}

function badEnd(error: Error): RunEnd {
  let root: unknown = error;
  while (root instanceof Error && root.cause instanceof Error) root = root.cause;
  const { type, details } = root as { type?: string | null; details?: { gaveWay?: unknown }[] | null };
  return {
    well: false,
    says: innermost(error),
    ...(type == null ? {} : { type }),
    ...(details?.[0]?.gaveWay === true ? { gaveWay: true } : {}),
  };
}
