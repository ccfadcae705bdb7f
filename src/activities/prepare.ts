import { formatMs } from '../cluster/duration';
import { synchronousNamesFor } from '../cluster/synchronous-names';
import { slotName } from '../cluster/topology';
import type { PostgresSession } from '../systems/postgres';
import { steadyMs } from './clock';
import { finalFailure, keepBeating, until } from './context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from './deps';
import { heldUp, type HeldUp } from './held-up';
import type { MoveRequest } from './move-parts';
import { ensureReservedSlot } from './rejoin/parts';
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

/** A standby takes another upstream within this time, in milliseconds. */
const FOLLOW_LIMIT_MS = 15_000;
/** After this time a standby is asked whether its replay is held up, in milliseconds. */
const PATIENCE_MS = 10_000;
/** A standby whose replay is held up is asked so often whether it still is, in milliseconds. */
const HELD_ASKED_EVERY_MS = 1000;

/**
 * Makes `node` stream from `upstream`, and waits until the upstream shows it.
 * @param how `limitMs`: until it streams, default 15 s; `patienceMs`: after this time it is asked whether its replay is held up, default
 * 10 s; `onLed`: its agent took the upstream
 * @returns what holds its replay up, where that is why it does not stream: it follows once it replays
 * @throws Error where it does not stream within the limit, and nothing holds its replay up
 */
export async function follow(
  access: ClusterAccess,
  run: string,
  stage: Stage,
  node: string,
  upstream: string,
  how: { limitMs?: number; patienceMs?: number; onLed?: () => void } = {},
): Promise<HeldUp | undefined> {
  const token = tokenOf(run, stage);
  const upstreamAt = access.internal(upstream);
  await withSession(access.agent(node), async (agent) => {
    await agent.call('claim', { token });
    await agent.call('follow', { token, upstream: upstreamAt });
  });
  how.onLed?.();
  let askAt = steadyMs() + (how.patienceMs ?? PATIENCE_MS);
  const { held } = await withSession(access.sql(upstream), (session) =>
    until<{ held?: HeldUp }>(`${node} streaming from ${upstream}`, how.limitMs ?? FOLLOW_LIMIT_MS, 20, async () => {
      const rows = await session.query(
        `SELECT 1 FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE slot_name = $1 AND state = 'streaming'`,
        [slotName(node)],
      );
      if (rows.length > 0) return {};
      if (steadyMs() < askAt) return undefined;
      askAt = steadyMs() + HELD_ASKED_EVERY_MS;
      const found = await heldUp(access, node);
      return found === undefined ? undefined : { held: found };
    }),
  );
  return held;
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
      // What they will need is kept from here on: nobody knows when they stream.
      for (const node of request.heldUp ?? []) await ensureReservedSlot(session, node);
      await ensureSynchronousNames(session, names);
    });
    for (const node of request.others) {
      const held = await follow(access, request.run, 'prepare', node, request.target);
      // Its confirmation is what clients would wait for.
      if (held !== undefined)
        throw finalFailure(
          'Refused',
          `K5: ${node} can't follow ${request.target} before it replays: ${held.why} (limit: streaming within ${formatMs(PATIENCE_MS)}). Next: ${held.next}`,
        );
    }
    return [
      `slots on ${request.target}: ${[request.source, ...request.others, ...(request.heldUp ?? [])].map(slotName).join(', ')}`,
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

/**
 * The names that the target will wait for: the old primary and every other standby will stream from it, sooner or later. Of those that
 * stream any one confirms, so that one that comes later is waited for by nobody, and counts once it is there.
 */
export function namesAfter(access: ClusterAccess, request: Pick<MoveRequest, 'others' | 'heldUp'>): string {
  return synchronousNamesFor(access.topology, 1 + request.others.length + (request.heldUp?.length ?? 0));
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
      for (const node of [request.source, ...request.others, ...(request.heldUp ?? [])])
        await dropIdleSlot(session, node);
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
