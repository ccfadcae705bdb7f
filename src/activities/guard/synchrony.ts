import { synchronousNamesFor } from '../../cluster/synchronous-names';
import type { PostgresSession } from '../../systems/postgres';
import { attempt, finalFailure, keepBeating, until } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { ensureSynchronousNames } from '../prepare';
import { messageOf } from './probe';

/** The guard does not watch meanwhile; a standby that needs longer is asked again after a back-off. In milliseconds. */
const CATCH_UP_MS = 5000;

/**
 * Lets commits go on without a standby. Only on a node that is proven to be the only primary: an old primary that wakes up and is
 * relaxed would acknowledge what nobody else has.
 * @throws ApplicationFailure `Refused` when that is not proven, or a runbook holds the lock, and nothing was relaxed
 */
export async function relaxSynchrony(deps: ActivityDeps, cluster: string, primary: string): Promise<string> {
  const access = accessCluster(deps, cluster);
  const stopBeating = keepBeating(() => 'relaxing');
  try {
    await requireNoRun(deps, cluster);
    for (const { name } of access.topology.postgres.nodes)
      if (name !== primary) await requireNoPrimary(deps, access, name);
    return await withSession(access.sql(primary), async (session) => {
      if ((await streaming(session)) > 0) return `a standby of ${primary} is back: nothing was relaxed`;
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
 * @throws ApplicationFailure `Refused` when a runbook holds the lock
 */
export async function restoreSynchrony(deps: ActivityDeps, cluster: string, primary: string): Promise<string> {
  const access = accessCluster(deps, cluster);
  const stopBeating = keepBeating(() => 'restoring');
  try {
    await requireNoRun(deps, cluster);
    return await withSession(access.sql(primary, 2 * CATCH_UP_MS), async (session) => {
      // One that is far behind would make every commit wait until it has caught up.
      await until('a standby catching up', CATCH_UP_MS, 200, async () =>
        (await caughtUp(session)) ? true : undefined,
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
      `E2: run ${holder} holds the lock of cluster ${cluster}. Next: veloz-ha watch ${holder}`,
    );
}

/** Proof that a node is no primary: it says so, its server does not run, or its container does not. */
async function requireNoPrimary(deps: ActivityDeps, access: ClusterAccess, node: string): Promise<void> {
  const { exists, running, status } = await deps.docker.inspect(node);
  if (!exists || (!running && status !== 'paused')) return;
  let problem: string;
  try {
    const said = await withSession(access.agent(node), (agent) => agent.call('observe', {}));
    if (said.postgres.state === 'stopped' || (said.signals.standby && said.promotion === null)) return;
    problem = `its PostgreSQL is ${said.postgres.state} and no standby`;
  } catch (error) {
    // A frozen node answers nobody; whether it was promoted before is in nobody's hands but ours: no run was.
    if (status === 'paused') return;
    problem = messageOf(error);
  }
  throw finalFailure(
    'Refused',
    `A3: ${node} may be a primary: ${problem} (limit: proof that it is none). Nothing was relaxed. Next: veloz-ha postgres status`,
  );
}

async function streaming(session: PostgresSession): Promise<number> {
  const [row] = await session.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM pg_stat_replication WHERE state = 'streaming'`,
  );
  return row?.count ?? 0;
}

/** A standby streams and is less than a segment behind. */
async function caughtUp(session: PostgresSession): Promise<boolean> {
  const rows = await session.query(
    `SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn) < 4 * 1024 * 1024`,
  );
  return rows.length > 0;
}
