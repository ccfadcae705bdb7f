import { logs, psql } from '../commands';
import { formatMs } from '../duration';
import { lsnDistance } from '../lsn';
import { formatSize } from '../size';
import { standbysNeeded, synchronousNamesFor } from '../synchronous-names';
import type { ClusterTopology } from '../topology';
import type { Standing } from './candidates';

/** What keeps a standby from taking another upstream now; undefined where nothing is seen that does. */
export function heldUpBy(
  topology: ClusterTopology,
  { state, position }: Standing,
): { why: string; measured: string; limit: string; next: string } | undefined {
  const { name, replayPaused = false, applyDelayMs = 0, replayReader, replayedLsn } = state;
  const lag = replayedLsn == null ? 0 : Math.max(0, lsnDistance(position.lsn, replayedLsn));
  const measured = `${formatSize(lag)} to replay`;
  const limit = topology.limits.replayLagBytes;
  // A pause is waited for also where nothing is left to replay (PostgreSQL 15 to 17, WaitForWALToBecomeAvailable).
  if (replayPaused)
    return {
      why: 'replay is paused',
      measured,
      limit: 'not paused',
      next: psql(name, 'SELECT pg_wal_replay_resume()'),
    };
  if (applyDelayMs > 0 && lag > 0)
    return {
      why: `replay is delayed by ${formatMs(applyDelayMs)}`,
      measured,
      limit: 'no delay, or nothing to replay',
      next: psql(name, 'SHOW recovery_min_apply_delay'),
    };
  if (replayReader != null)
    return {
      why: `a session there is in the way of replay (${replayReader})`,
      measured,
      limit: 'no session in its way',
      next: psql(name, `SELECT pid, state, xact_start FROM pg_stat_activity WHERE backend_xmin IS NOT NULL`),
    };
  return lag <= limit
    ? undefined
    : {
        why: 'it has much to replay',
        measured,
        limit: `at most ${formatSize(limit)}, limits.replayLagBytes`,
        next: logs(name),
      };
}

/**
 * The names for the new primary: empty where fewer confirm at once than they ask for, since each commit would wait then. The guard has
 * commits wait again as soon as enough confirm. Of followers that come later none is waited for: any one confirms.
 */
export function namesFor(topology: ClusterTopology, followers: number, confirming: number): string {
  const names = followers === 0 ? '' : synchronousNamesFor(topology, followers);
  return standbysNeeded(names) > confirming ? '' : names;
}
