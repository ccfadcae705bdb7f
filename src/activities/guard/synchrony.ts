import { clusterStatus, watchRun } from '../../cluster/commands';
import type { LostStandbys } from '../../cluster/guard/standby-loss';
import type { Lsn } from '../../cluster/lsn';
import { standbysNeeded, synchronousNamesFor } from '../../cluster/synchronous-names';
import { slotName } from '../../cluster/topology';
import type { PostgresSession } from '../../systems/postgres';
import { attempt, finalFailure, keepBeating, until } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { requireWait } from '../names-in-force';
import { ensureSynchronousNames } from '../prepare';
import { streamingNodes } from '../rejoin/settle';
import { Overtaken } from '../still-mine';
import { requireNoPrimary } from './no-primary';

/** The guard does not watch meanwhile; a standby that needs longer is asked again after a back-off. In milliseconds. */
const CATCH_UP_MS = 3000;
/** How long PostgreSQL may take to have commits wait once the names are set, in milliseconds: in a checkpoint it may take longer. */
const IN_FORCE_MS = 1500;
/** A standby that is further behind would have every commit wait until it has caught up. */
const NEAR_BYTES = 4 * 1024 * 1024;
/** How long the primary may take to answer a question about it, in milliseconds. */
const ANSWER_MS = 2000;
/** How long those who stream may take to be counted by names that were just set, in milliseconds. */
const COUNTED_MS = 1000;

/**
 * Lets commits go on without a standby. Only on a node that is proven to be the only primary: an old primary that wakes up and is
 * relaxed would acknowledge what nobody else has.
 * @param lost what no standby had confirmed when this was decided: one that has confirmed it since is back, one that is merely still
 *   listed is not
 * @throws ApplicationFailure `Refused` when that is not proven, a run holds the lock of PostgreSQL, or a standby confirms again, and
 *   nothing was relaxed
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
      await requireLost(session, cluster, primary, lost.mark);
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
 * Has commits wait for the standbys that stream, once one of them is caught up. Where none is seen to wait, or fewer answer to the names
 * than they ask for, the names are emptied again.
 * @throws ApplicationFailure `Failed` when that was so, with the names empty
 * @throws ApplicationFailure `Refused` when a run holds the lock of PostgreSQL, or when fewer stream than the topology's names ask for
 */
export async function restoreSynchrony(deps: ActivityDeps, cluster: string, primary: string): Promise<string> {
  const access = accessCluster(deps, cluster);
  const stopBeating = keepBeating(() => 'restoring');
  try {
    await requireNoRun(deps, cluster);
    return await withSession(access.sql(primary, ANSWER_MS), async (session) => {
      // One that is far behind would make every commit wait until it has caught up, and one that is frozen or cut off for longer:
      // it has to confirm something that is written now. Nobody waits for this commit itself, since the names are empty.
      await session.query(`SELECT pg_logical_emit_message(true, 'veloz-ha', 'is a standby there')`);
      const [at] = await session.query<{ lsn: Lsn }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
      await until('a standby confirming', CATCH_UP_MS, 50, async () =>
        (await near(access, session, at?.lsn)) ? true : undefined,
      );
      const streaming = (await streamingNodes(access, session)).length;
      const names = synchronousNamesFor(access.topology, streaming);
      const needed = standbysNeeded(names);
      // With such names every commit would hang, this one's first.
      if (needed > streaming)
        throw finalFailure(
          'Refused',
          `B2: synchronous_standby_names '${names}' asks for more standbys than stream from ${primary} (measured: ${streaming}; limit: ${needed}). Nothing was restored. Next: ${clusterStatus(cluster)}`,
        );
      try {
        await ensureSynchronousNames(session, names);
        await until(
          `those who stream being counted by synchronous_standby_names '${names}'`,
          COUNTED_MS,
          20,
          async () => ((await counted(session)) >= needed ? true : undefined),
          () => `wanted ${needed}`,
        );
        await withSession(access.sql(primary, ANSWER_MS), (watcher) =>
          requireWait(primary, session, watcher, IN_FORCE_MS),
        );
      } catch (error) {
        if (error instanceof Overtaken) throw error;
        // Names that are set and that nobody has seen in force would be believed, and not be tried again.
        await withSession(access.sql(primary, ANSWER_MS), (other) => ensureSynchronousNames(other, ''));
        // Not at once again: clients' commits may have waited meanwhile.
        throw finalFailure('Failed', (error as Error).message);
      }
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
      `E2: run ${holder} holds the lock of PostgreSQL of cluster ${cluster}. Next: ${watchRun(holder)}`,
    );
}

/**
 * Fewer than commits wait for have confirmed this position. Others may stream that nobody waits for: a reporting replica, a
 * subscription, a standby whose name the names leave out.
 * @throws ApplicationFailure `Refused` when enough have: commits go on by themselves
 */
async function requireLost(
  session: PostgresSession,
  cluster: string,
  primary: string,
  position: Lsn | undefined,
): Promise<void> {
  const rows = await session.query(
    `SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')
      AND flush_lsn >= coalesce($1::pg_lsn, '0/0')`,
    [position ?? null],
  );
  const [set] = await session.query<{ names: string }>(`SELECT current_setting('synchronous_standby_names') AS names`);
  const needed = Math.max(standbysNeeded(set?.names ?? ''), 1);
  if (rows.length < needed) return;
  throw finalFailure(
    'Refused',
    `a standby of ${primary} confirms again (measured: ${rows.length} that commits wait for; limit: ${needed}). Nothing was relaxed. Next: ${clusterStatus(cluster)}`,
    { confirmsAgain: true },
  );
}

/** How many standbys commits wait for by the names as they are. */
async function counted(session: PostgresSession): Promise<number> {
  return (
    await session.query(
      `SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum')`,
    )
  ).length;
}

/** Does a node stream that has confirmed this position, and is close behind? Others who stream are no standby of this cluster. */
async function near(access: ClusterAccess, session: PostgresSession, position: Lsn | undefined): Promise<boolean> {
  const rows = await session.query(
    `SELECT 1 FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
      WHERE state = 'streaming' AND flush_lsn >= coalesce($1::pg_lsn, '0/0')
        AND pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn) < $2::bigint AND slot_name = ANY ($3)`,
    [position ?? null, NEAR_BYTES, access.topology.postgres.nodes.map(({ name }) => slotName(name))],
  );
  return rows.length > 0;
}
