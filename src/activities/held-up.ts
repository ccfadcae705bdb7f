import { clusterStatus, psql } from '../cluster/commands';
import { formatMs } from '../cluster/duration';
import { lsnBytes, type Lsn } from '../cluster/lsn';
import { recoveryOf, type PostgresSession } from '../systems/postgres';
import { steadyMs } from './clock';
import { sleep, until } from './context';
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

/** Writes a record on the primary, and returns where it begins. It is flushed with the next commit there. */
export async function writeMarker(primary: PostgresSession): Promise<Lsn> {
  const [row] = await primary.query<{ lsn: Lsn }>(
    `SELECT pg_logical_emit_message(false, 'veloz-ha', 'caught up')::text AS lsn`,
  );
  return row?.lsn ?? '0/0';
}

/** WAL that is not flushed is not sent: a second record, of a transaction, pushes the marker out. */
export async function pushMarker(primary: PostgresSession): Promise<void> {
  await primary.query(`SELECT pg_logical_emit_message(true, 'veloz-ha', 'push')`);
}

/** What holds the replay on a standby up now; undefined where nothing does, and where the node gives no answer. */
export async function heldUp(access: ClusterAccess, node: string): Promise<HeldUp | undefined> {
  return withSession(access.sql(node), (session) => heldUpBy(access.name, node, session)).catch(() => undefined);
}

async function heldUpBy(cluster: string, node: string, session: PostgresSession): Promise<HeldUp | undefined> {
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

/**
 * Waits until `node` has on its disk a position that the primary wrote after we began to wait, and looks for {@link LOOK_MS} whether it
 * has replayed it, too (K1): for a standby whose confirmation counts, and whose replay nobody waits for.
 * @param primary a session with the primary
 * @param limitMs until the position is on its disk, in milliseconds
 * @returns a warning where it has not replayed the position
 * @throws Error where the position is not on its disk within the limit
 */
export async function received(
  access: ClusterAccess,
  primary: PostgresSession,
  node: string,
  limitMs: number,
): Promise<string | undefined> {
  const marker = await writeMarker(primary);
  const reached = (lsn: Lsn | null) => lsn !== null && lsnBytes(lsn) >= lsnBytes(marker);
  let seen = 'no answer';
  let since: number | undefined;
  const found = await until<{ late?: string }>(
    `${node} receiving ${marker}`,
    limitMs,
    20,
    async () => {
      try {
        return await withSession(access.sql(node), async (session) => {
          for (let tries = 0; tries < 150; tries++) {
            const now = await recoveryOf(session);
            seen = `received ${now.received ?? 'nothing'}, replayed ${now.replayed ?? 'nothing'}${now.inRecovery ? '' : ', and it is writable'}`;
            if (now.inRecovery && reached(now.replayed)) return {};
            if (now.inRecovery && reached(now.received)) {
              since ??= steadyMs();
              if (steadyMs() - since >= LOOK_MS) return { late: await lateText(access.name, node, marker, session) };
            }
            if (tries % 10 === 5) await pushMarker(primary);
            await sleep(10);
          }
          return undefined;
        });
      } catch (error) {
        seen = (error as Error).message;
        return undefined;
      }
    },
    () => seen,
  );
  return found.late;
}

async function lateText(cluster: string, node: string, marker: Lsn, session: PostgresSession): Promise<string> {
  const held = await heldUpBy(cluster, node, session).catch(() => undefined);
  return `K1: ${node} has ${marker} on its disk and has not replayed it: ${held?.why ?? 'its replay is behind'} (limit: replayed within ${formatMs(LOOK_MS)}; nobody waits for it). Next: ${held?.next ?? clusterStatus(cluster)}`;
}
