import type { LostStandbys } from '../../cluster/guard/standby-loss';
import type { Lsn } from '../../cluster/lsn';
import { synchronousNamesFor } from '../../cluster/synchronous-names';
import type { PostgresSession } from '../../systems/postgres';
import { attempt, finalFailure, keepBeating, until } from '../context';
import { accessCluster, withSession, type ActivityDeps } from '../deps';
import { ensureSynchronousNames } from '../prepare';
import { requireNoPrimary } from './no-primary';

/** The guard does not watch meanwhile; a standby that needs longer is asked again after a back-off. In milliseconds. */
const CATCH_UP_MS = 3000;
/** A standby that is further behind would have every commit wait until it has caught up. */
const NEAR_BYTES = 4 * 1024 * 1024;
/** How long the primary may take to answer a question about it, in milliseconds. */
const ANSWER_MS = 2000;

/**
 * Lets commits go on without a standby. Only on a node that is proven to be the only primary: an old primary that wakes up and is
 * relaxed would acknowledge what nobody else has.
 * @param lost what no standby had confirmed when this was decided: one that has confirmed it since is back, one that is merely still
 *   listed is not
 * @throws ApplicationFailure `Refused` when that is not proven, or a run holds the lock of PostgreSQL, and nothing was relaxed
 */
export async function relaxSynchrony(
  deps: ActivityDeps,
  cluster: string,
  primary: string,
  lost: Pick<LostStandbys, 'mark'> = {},
): Promise<string> {
  const access = accessCluster(deps, cluster);
  const stopBeating = keepBeating(() => 'relaxing');
  try {
    const others = access.topology.postgres.nodes.filter(({ name }) => name !== primary);
    // Clients wait: everybody is asked at the same time.
    await Promise.all([requireNoRun(deps, cluster), ...others.map(({ name }) => requireNoPrimary(deps, access, name))]);
    return await withSession(access.sql(primary, ANSWER_MS), async (session) => {
      if (await confirmed(session, lost.mark)) return `a standby of ${primary} is back: nothing was relaxed`;
      await ensureSynchronousNames(session, '');
      return `commits on ${primary} wait for no standby: synchronous_standby_names is ''`;
    });
  } catch (error) {
    // An attempt before this one may have relaxed it: then "refused" would say too much.
    if (attempt() > 1 && (error as { type?: string }).type === 'Refused')
      throw finalFailure('Failed', (error as Error).message);
    throw error;
  } finally {
    stopBeating();
  }
}

/**
 * Has commits wait for the standbys that stream, once one of them is caught up.
 * @throws ApplicationFailure `Refused` when a run holds the lock of PostgreSQL
 */
export async function restoreSynchrony(deps: ActivityDeps, cluster: string, primary: string): Promise<string> {
  const access = accessCluster(deps, cluster);
  const stopBeating = keepBeating(() => 'restoring');
  try {
    await requireNoRun(deps, cluster);
    return await withSession(access.sql(primary, 2 * CATCH_UP_MS), async (session) => {
      // One that is far behind would make every commit wait until it has caught up, and one that is frozen or cut off for longer:
      // it has to confirm something that is written now. Nobody waits for this commit itself, since the names are empty.
      await session.query(`SELECT pg_logical_emit_message(true, 'veloz-ha', 'is a standby there')`);
      const [at] = await session.query<{ lsn: Lsn }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
      await until('a standby confirming', CATCH_UP_MS, 50, async () =>
        (await confirmed(session, at?.lsn, NEAR_BYTES)) ? true : undefined,
      );
      const names = synchronousNamesFor(access.topology, await streaming(session));
      await ensureSynchronousNames(session, names);
      await session.query(`SELECT pg_logical_emit_message(true, 'veloz-ha', 'synchronous again')`);
      return `commits on ${primary} wait for a standby again: synchronous_standby_names is '${names}', and one confirmed`;
    });
  } finally {
    stopBeating();
  }
}

async function requireNoRun(deps: ActivityDeps, cluster: string): Promise<void> {
  const holder = await deps.lockHolder(cluster);
  if (holder !== undefined)
    throw finalFailure(
      'Refused',
      `E2: run ${holder} holds the lock of PostgreSQL of cluster ${cluster}. Next: veloz-ha watch ${holder}`,
    );
}

async function streaming(session: PostgresSession): Promise<number> {
  const [row] = await session.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM pg_stat_replication WHERE state = 'streaming'`,
  );
  return row?.count ?? 0;
}

/**
 * Does a standby stream that has confirmed this position?
 * @param withinBytes how far it may be behind now; undefined: as far as it likes
 */
async function confirmed(session: PostgresSession, position: Lsn | undefined, withinBytes?: number): Promise<boolean> {
  const rows = await session.query(
    `SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND flush_lsn >= coalesce($1::pg_lsn, '0/0')
      AND ($2::bigint IS NULL OR pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn) < $2::bigint)`,
    [position ?? null, withinBytes ?? null],
  );
  return rows.length > 0;
}
