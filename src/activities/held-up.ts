import { clusterStatus, psql } from '../cluster/commands';
import { formatMs } from '../cluster/duration';
import type { PostgresSession } from '../systems/postgres';
import { withSession, type ClusterAccess } from './deps';

/*
 * A standby that replays with a delay, is paused, or has a reader in its way receives and confirms commits like any other: what it has on
 * its disk is safe there. It can't take another upstream before it has replayed what it has, since the process that replays is who starts
 * the receiver anew (PostgreSQL 15 to 17, WaitForWALToBecomeAvailable). So a run that does not need its replay does not wait for it.
 */

/** How long a standby that nobody needs to have replayed is looked at, in milliseconds. */
export const LOOK_MS = 1000;

/** The wait event of the replay where a session is in its way, else no row; the control role sees it also with `track_activities` off. */
export const REPLAY_READER = `SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'
  AND (wait_event LIKE 'RecoveryConflict%' OR wait_event_type IN ('BufferPin', 'Lock'))`;

/** Why a standby replays nothing now, and what takes that away. */
export interface HeldUp {
  why: string;
  next: string;
}

/** What holds the replay on a standby up now; undefined where nothing does, and where the node gives no answer. */
export async function heldUp(access: ClusterAccess, node: string): Promise<HeldUp | undefined> {
  return withSession(access.sql(node), (session) => heldUpBy(access.name, node, session)).catch(() => undefined);
}

/** The same, asked over a session with the node. @throws Error where it gives no answer */
export async function heldUpBy(cluster: string, node: string, session: PostgresSession): Promise<HeldUp | undefined> {
  const [row] = await session.query<{ paused: boolean; delayMs: number; reader: string | null }>(
    `SELECT CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS paused,
       (SELECT setting::int FROM pg_settings WHERE name = 'recovery_min_apply_delay') AS "delayMs",
       (${REPLAY_READER}) AS reader`,
  );
  if (row?.paused === true) return { why: 'replay is paused', next: psql(node, 'SELECT pg_wal_replay_resume()') };
  if (row !== undefined && row.delayMs > 0)
    return {
      why: `recovery_min_apply_delay is ${formatMs(row.delayMs)}`,
      next: psql(node, 'SHOW recovery_min_apply_delay'),
    };
  return row?.reader == null
    ? undefined
    : { why: `a session there is in the way of replay (${row.reader})`, next: clusterStatus(cluster) };
}
