import { synchronousNamesFor } from '../cluster/synchronous-names';
import { slotName } from '../cluster/topology';
import type { PostgresSession } from '../systems/postgres';
import { keepBeating, until } from './context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from './deps';
import type { MoveRequest } from './move-parts';
import { stillMine } from './still-mine';
import { tokenOf, type Stage } from './token';

/** Creates the physical slot of `node` on the server behind `session` unless it is there. Works on a standby too. */
export async function ensureSlot(session: PostgresSession, node: string): Promise<void> {
  await session.query(
    `SELECT pg_create_physical_replication_slot($1) WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`,
    [slotName(node)],
  );
}

/** Drops the slot of `node` unless it is in use or not there. Returns whether it dropped one. */
export async function dropIdleSlot(session: PostgresSession, node: string): Promise<boolean> {
  const dropped = await session.query(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active`,
    [slotName(node)],
  );
  return dropped.length > 0;
}

/**
 * Makes `synchronous_standby_names` what it should be, and waits until the session sees it. Commits may go on returning at once for a
 * while: that they wait is proven by `requireWait`, once somebody confirms.
 * `undefined` means "as the configuration file says".
 */
export async function ensureSynchronousNames(session: PostgresSession, wanted: string | undefined): Promise<void> {
  const shown = async () =>
    (await session.query<{ names: string }>(`SELECT current_setting('synchronous_standby_names') AS names`))[0]?.names;
  if (wanted !== undefined && (await shown()) === wanted) return;
  await stillMine(`set synchronous_standby_names to '${wanted ?? 'what the file says'}'`);
  // ALTER SYSTEM takes no parameters; the value comes from the topology, and quotes are doubled.
  await session.query(
    wanted === undefined
      ? 'ALTER SYSTEM RESET synchronous_standby_names'
      : `ALTER SYSTEM SET synchronous_standby_names = '${wanted.replace(/'/g, "''")}'`,
  );
  await session.query('SELECT pg_reload_conf()');
  if (wanted === undefined) return;
  await until(
    'the reload of synchronous_standby_names',
    5000,
    10,
    async () => ((await shown()) === wanted ? true : undefined),
    () => `wanted '${wanted}'`,
  );
}

/** Makes `node` stream from `upstream`, and waits until the upstream shows it. */
export async function follow(
  access: ClusterAccess,
  run: string,
  stage: Stage,
  node: string,
  upstream: string,
): Promise<void> {
  const token = tokenOf(run, stage);
  const upstreamAt = access.internal(upstream);
  await withSession(access.agent(node), async (agent) => {
    await agent.call('claim', { token });
    await agent.call('follow', { token, upstream: upstreamAt });
  });
  await withSession(access.sql(upstream), (session) =>
    until(`${node} streaming from ${upstream}`, 15_000, 20, async () => {
      const rows = await session.query(
        `SELECT 1 FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE slot_name = $1 AND state = 'streaming'`,
        [slotName(node)],
      );
      return rows.length > 0 ? true : undefined;
    }),
  );
}

/**
 * Before clients notice anything: takes the nodes, makes slots on the target for those who will follow it, points the other
 * standbys at it, and settles what will be synchronous after the promotion (H4). Idempotent.
 */
export async function prepareMove(deps: ActivityDeps, request: MoveRequest): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const stopBeating = keepBeating(() => 'preparing');
  try {
    const token = tokenOf(request.run, 'prepare');
    const claims = [access.agent(request.source), access.agent(request.target), access.pooler()].map(async (opening) =>
      withSession(opening as ReturnType<typeof access.agent>, (agent) => agent.call('claim', { token })),
    );
    await Promise.all(claims);
    const names = relaxes(request) ? '' : namesAfter(access, request);
    await withSession(access.sql(request.target), async (session) => {
      for (const node of [request.source, ...request.others]) await ensureSlot(session, node);
      await ensureSynchronousNames(session, names);
    });
    for (const node of request.others) await follow(access, request.run, 'prepare', node, request.target);
    return [
      `slots on ${request.target}: ${[request.source, ...request.others].map(slotName).join(', ')}`,
      ...(request.others.length === 0
        ? []
        : [`${request.others.join(', ')} follow${request.others.length === 1 ? 's' : ''} ${request.target}`]),
      relaxes(request)
        ? 'no synchronous standby until the old primary is back'
        : `synchronous_standby_names '${names}'`,
    ].join('; ');
  } finally {
    stopBeating();
  }
}

/** The names that the target will wait for: the old primary and every other standby will stream from it. */
export function namesAfter(access: ClusterAccess, request: Pick<MoveRequest, 'others'>): string {
  return synchronousNamesFor(access.topology, 1 + request.others.length);
}

/** `fast` without a third node: clients go on before any standby can confirm. */
function relaxes(request: MoveRequest): boolean {
  return request.protection === 'fast' && request.others.length === 0;
}

/** Undoes {@link prepareMove}: the other standbys follow the source again, the target's settings and slots are as before. */
export async function unprepareMove(deps: ActivityDeps, request: MoveRequest): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const stopBeating = keepBeating(() => 'undoing the preparation');
  try {
    // Nothing is asked of the source where nobody else follows it: it may be what has failed, and a failover waits for the end of this.
    if (request.others.length > 0)
      await withSession(access.sql(request.source), async (session) => {
        for (const node of request.others) await ensureSlot(session, node);
      });
    for (const node of request.others) await follow(access, request.run, 'unprepare', node, request.source);
    await withSession(access.sql(request.target), async (session) => {
      await ensureSynchronousNames(session, namesAfter(access, request));
      for (const node of [request.source, ...request.others]) await dropIdleSlot(session, node);
    });
    return `settings and slots of ${request.target} are as before`;
  } finally {
    stopBeating();
  }
}

/** CHECKPOINT on target and source, then timed on the source once more: what is left to write bounds the time of the stop (D4). */
export async function checkpointNodes(
  deps: ActivityDeps,
  request: MoveRequest,
): Promise<{ ms: number; limitMs: number }> {
  const access = accessCluster(deps, request.cluster);
  const limitMs = access.topology.limits.checkpoint;
  const stopBeating = keepBeating(() => 'CHECKPOINT');
  try {
    return await withSession(access.sql(request.source, limitMs * 4), async (source) => {
      await withSession(access.sql(request.target, limitMs * 4), (target) =>
        Promise.all([source.query('CHECKPOINT'), target.query('CHECKPOINT')]),
      );
      const started = performance.now();
      await source.query('CHECKPOINT');
      return { ms: Math.round(performance.now() - started), limitMs };
    });
  } finally {
    stopBeating();
  }
}
