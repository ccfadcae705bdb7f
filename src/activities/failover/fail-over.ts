import { attempt, heartbeat, keepBeating, lastHeartbeat } from '../context';
import { accessCluster, type ActivityDeps } from '../deps';
import { tokenOf } from '../token';
import { carryOut } from './critical-section';
import { emptyJournal, type FailoverJournal } from './journal';
import type { FailoverMove, FailoverResult } from './move';

/**
 * The critical section of a failover, as a step of its run. Where the watch that saw the failure carried it out already, this finds
 * that done, and tells what was measured then.
 * @throws ApplicationFailure `Refused` with nothing promoted and clients let go, or an Error that is retried
 */
export async function failOver(deps: ActivityDeps, request: FailoverMove): Promise<FailoverResult> {
  const journal = lastHeartbeat<FailoverJournal>() ?? request.journal ?? emptyJournal();
  const stopBeating = keepBeating(() => journal);
  try {
    return await carryOut(deps, accessCluster(deps, request.cluster), request, {
      token: request.afterUndo === true ? tokenOf(request.run, 'undo fail over', 1) : tokenOf(request.run, 'fail over'),
      journal,
      beat: heartbeat,
      // An attempt before this one may have asked for a promotion and not have come to say so.
      first: attempt() === 1,
      readsWal: true,
      tells: true,
    });
  } finally {
    stopBeating();
  }
}
