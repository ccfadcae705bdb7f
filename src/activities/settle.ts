import { clusterStatus, logs, poolerConsole } from '../cluster/commands';
import { formatMs } from '../cluster/duration';
import { isExpectedNames } from '../cluster/synchronous-names';
import { slotName } from '../cluster/topology';
import { recoveryOf, type PostgresSession } from '../systems/postgres';
import { CATCH_UP_LIMIT_MS, caughtUp, received } from './caught-up';
import { keepBeating, sleep, until } from './context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from './deps';
import { requireClients, verifyWay, withWay, type ClientWay } from './clients-at-target';
import { poolerNotAsked } from './failover/left-out';
import { messageOf } from './guard/probe';
import { LOOK_MS } from './held-up';
import { tellLeftBehind } from './left-behind';
import type { MoveRequest } from './move-parts';
import { requireWait } from './names-in-force';
import { dropIdleSlot, ensureSynchronousNames, follow, namesAfter } from './prepare';
import { tokenOf } from './token';
import { steadyMs } from './clock';

/** What became of the nodes after the move. */
export interface SettleResult {
  /** Milliseconds since the epoch at which a synchronous standby had confirmed and every setting was back. */
  protectedAt: number;
  timeline: number;
  detail: string;
  /** What the promotion emptied or left behind. Absent from a worker that is older. */
  warnings?: string[];
}

/** What the proof at the end found. */
export interface VerifyResult {
  detail: string;
  warnings: string[];
  soakedMs: number;
}

/** How long a checkpoint may keep PostgreSQL from having commits wait, in milliseconds. */
const IN_FORCE_LIMIT_MS = 10_000;
/** How long the protection waits for a standby that was held up before the move, in milliseconds: it follows by itself as well. */
const LATER_LIMIT_MS = 3000;

/**
 * After the promotion: the old primary and the other standbys follow, the old primary is caught up to a position sampled now, the others
 * have it on their disks, the cluster is synchronous again, and slots that nobody will use are dropped. What another standby replays
 * later is told, and not waited for. Only forward, idempotent.
 */
export async function settleMove(deps: ActivityDeps, request: MoveRequest): Promise<SettleResult> {
  const access = accessCluster(deps, request.cluster);
  const token = tokenOf(request.run, 'settle');
  const targetAt = access.internal(request.target);
  const stopBeating = keepBeating(() => 'standbys catching up');
  try {
    await withSession(access.agent(request.source), async (agent) => {
      await agent.call('claim', { token });
      await agent.call('start', { token, as: 'standby', upstream: targetAt });
    });
    const { streaming, led, warnings } = await leadOthers(access, request);
    return await withSession(access.sql(request.target, CATCH_UP_LIMIT_MS), async (session) => {
      await caughtUp(access, session, request.source);
      // What one that was held up before the move replays was told then.
      for (const node of streaming.filter((each) => request.others.includes(each))) {
        const late = await received(access, session, node);
        if (late !== undefined) warnings.push(late);
      }
      const names = namesAfter(access, request);
      await ensureSynchronousNames(session, names);
      // `ANY 1 (name)` makes each of them a quorum standby; what the topology says by itself may mean fewer.
      const asConfigured = names === access.topology.postgres.synchronousStandbyNames;
      await until(`${request.source} being synchronous`, CATCH_UP_LIMIT_MS, 5, async () => {
        const synchronous = await synchronousNodes(session);
        const enough = asConfigured ? synchronous.length > 0 : synchronous.includes(slotName(request.source));
        return enough ? true : undefined;
      });
      if (!asConfigured) warnings.push(...(await unconfirmed(access, session, streaming)));
      // With the names tightened, a commit that was seen waiting, and returned, is the proof.
      await withSession(access.sql(request.target), (watcher) =>
        requireWait(request.target, session, watcher, IN_FORCE_LIMIT_MS),
      );
      const protectedAt = Date.now();
      // A rewind reads the source's timeline from its control file, which only a checkpoint writes (H8).
      await session.query('CHECKPOINT');
      await dropIdleSlot(session, request.target);
      for (const node of [request.source, ...request.others]) {
        await withSession(access.sql(node), async (standby) => {
          for (const other of [request.source, request.target, ...led]) await dropIdleSlot(standby, other);
        });
      }
      const [row] = await session.query<{ timeline: number }>(
        `SELECT timeline_id AS timeline FROM pg_control_checkpoint()`,
      );
      return {
        protectedAt,
        timeline: row?.timeline ?? 0,
        warnings: [
          ...warnings,
          ...(await tellLeftBehind(deps, access, { target: request.target, source: request.source })),
        ],
        detail: `synchronous: ${(await synchronousNodes(session)).join(', ')}; timeline ${row?.timeline}`,
      };
    });
  } finally {
    stopBeating();
  }
}

/** What became of the standbys beside the old primary. */
interface OthersLed {
  /** Those that stream from the target. */
  streaming: string[];
  /** All that took the target as their upstream: nobody needs their slots elsewhere any more. */
  led: string[];
  /** Who follows later, each a sentence. */
  warnings: string[];
}

/**
 * Leads the other standbys to the target. One whose replay is held up takes its new upstream once it replays: it is told, and neither
 * waited for nor any failure of the move.
 * @throws Error where one of `others` does not stream from the target, and nothing holds its replay up
 */
async function leadOthers(access: ClusterAccess, request: MoveRequest): Promise<OthersLed> {
  const { run, target, others } = request;
  const found: OthersLed = { streaming: [], led: [], warnings: [] };
  const later = (node: string, why: string, next: string) =>
    found.warnings.push(
      `K5: ${node} does not stream from ${target} yet: ${why} (limit: streaming within ${formatMs(LOOK_MS)}). It follows by itself once it replays; its slot on ${target} keeps what it needs. Next: ${next}`,
    );
  for (const node of others) {
    const held = await follow(access, run, 'settle', node, target, { patienceMs: LOOK_MS });
    found.led.push(node);
    if (held === undefined) found.streaming.push(node);
    else later(node, held.why, held.next);
  }
  for (const node of request.heldUp ?? []) {
    try {
      const held = await follow(access, run, 'settle', node, target, {
        limitMs: LATER_LIMIT_MS,
        patienceMs: LOOK_MS,
        onLed: () => found.led.push(node),
      });
      if (held === undefined) found.streaming.push(node);
      else later(node, held.why, held.next);
    } catch (error) {
      later(node, messageOf(error).replace(/\.$/, ''), logs(node));
    }
  }
  return found;
}

/** K2: those of the standbys that stream and do not confirm commits within {@link LOOK_MS}, each a sentence. */
async function unconfirmed(
  access: ClusterAccess,
  session: PostgresSession,
  standbys: readonly string[],
): Promise<string[]> {
  const began = steadyMs();
  for (;;) {
    const synchronous = await synchronousNodes(session);
    const missing = standbys.filter((node) => !synchronous.includes(slotName(node)));
    if (missing.length === 0) return [];
    if (steadyMs() - began >= LOOK_MS)
      return missing.map(
        (node) =>
          `K2: ${node} streams and does not confirm commits (limit: within ${formatMs(LOOK_MS)}); others do. Next: ${clusterStatus(access.name)}`,
      );
    await sleep(20);
  }
}

/** Slots of the standbys that are synchronous now. */
export async function synchronousNodes(session: PostgresSession): Promise<string[]> {
  const rows = await session.query<{ slot_name: string | null }>(
    `SELECT s.slot_name FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming'`,
  );
  return rows.map((row) => row.slot_name ?? 'a standby without slot');
}

/**
 * Proves the new state, first once and then for as long as the soak lasts: one writable node, and it is the target (A3); the
 * timeline advanced and its history file is there (H5); the pool reaches the target (F5); a standby is synchronous (K2). After a
 * failover a pooler that gives no answer is told, and not asked. Where clients are let in nowhere, PgBouncer's own word on its route counts.
 * @throws Error that says what is not so
 */
export async function verifyMove(deps: ActivityDeps, request: MoveRequest, soakMs: number): Promise<VerifyResult> {
  const access = accessCluster(deps, request.cluster);
  const started = steadyMs();
  let rounds = 0;
  let timeline = 0;
  let through = 'the pool reaches it';
  const warnings: string[] = [];
  const stopBeating = keepBeating(() => `soak: ${rounds} rounds, ${steadyMs() - started} of ${soakMs} ms`);
  try {
    await withSession(access.sql(request.target), async (target) => {
      const { shutOut, warning } = await requireClients(access, request);
      if (warning !== undefined) warnings.push(warning);
      await withWay(access, request, shutOut, async (way) => {
        if (way.kind === 'door' && way.door.kept && !shutOut)
          warnings.push(
            `M8: clients wait at ${access.poolerName} for a server, or are refused: the proof took the place that is kept for it (limit: a server for each client that asks). Next: ${poolerConsole(access.poolerName, 'SHOW POOLS')}`,
          );
        do {
          if (rounds > 0) await sleep(Math.min(250, soakMs));
          timeline = await verifyOnce(access, request, target, way);
          rounds += 1;
        } while (steadyMs() - started < soakMs);
        if (way.kind === 'word') {
          warnings.push(way.warning);
          through = 'PgBouncer leads to it by its own word, and lets no client in';
        }
        if (way.kind === 'not asked') {
          warnings.push(await poolerNotAsked(deps.docker, access.poolerName, request.target));
          through = `whether the pool reaches it is not known: ${access.poolerName} gave no answer`;
        }
      });
    });
    for (const node of [request.source, request.target, ...request.others]) {
      const { restartPolicy } = await deps.docker.inspect(node);
      if (restartPolicy === 'no' || restartPolicy === '')
        warnings.push(`${node} has no restart policy: it stays down after a crash or a reboot`);
    }
    return {
      detail: `one primary, ${request.target}, on timeline ${timeline}; ${through}; ${rounds} rounds in ${steadyMs() - started} ms`,
      warnings,
      soakedMs: steadyMs() - started,
    };
  } finally {
    stopBeating();
  }
}

async function verifyOnce(
  access: ClusterAccess,
  request: MoveRequest,
  target: PostgresSession,
  way: ClientWay,
): Promise<number> {
  for (const node of [request.source, ...request.others]) {
    const { inRecovery } = await withSession(access.sql(node), recoveryOf);
    if (!inRecovery) throw new Error(`${node} is writable beside ${request.target}`);
  }
  const [row] = await target.query<{
    in_recovery: boolean;
    timeline: number;
    history: boolean;
    address: string | null;
  }>(
    `SELECT pg_is_in_recovery() AS in_recovery, ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS timeline,
       EXISTS (SELECT FROM pg_ls_waldir() WHERE name = substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '.history') AS history,
       inet_server_addr()::text AS address`,
  );
  if (row === undefined || row.in_recovery) throw new Error(`${request.target} is in recovery`);
  if (row.timeline <= request.timeline || !row.history) {
    throw new Error(
      `${request.target} is on timeline ${row.timeline} (before: ${request.timeline}), history file ${row.history ? 'there' : 'missing'}: it was not promoted by this run`,
    );
  }
  await verifyWay(access, way, request.target, row.address);
  const [names] = await target.query<{ names: string }>(`SELECT current_setting('synchronous_standby_names') AS names`);
  if (!isExpectedNames(access.topology, names?.names ?? '', 1 + request.others.length))
    throw new Error(`synchronous_standby_names is '${names?.names}', expected '${namesAfter(access, request)}'`);
  if ((await synchronousNodes(target)).length === 0) throw new Error(`no standby of ${request.target} is synchronous`);
  return row.timeline;
}

/** Gives the nodes back at the end of a run. Never fails a run for it: a claim that stays is replaced by the next run's. */
export async function releaseNodes(
  deps: ActivityDeps,
  request: Pick<MoveRequest, 'cluster' | 'run' | 'source' | 'target' | 'others' | 'heldUp'>,
): Promise<void> {
  const access = accessCluster(deps, request.cluster);
  const token = tokenOf(request.run, 'release');
  const openings = [
    ...[request.source, request.target, ...request.others, ...(request.heldUp ?? [])].map((node) => access.agent(node)),
    access.pooler() as unknown as ReturnType<typeof access.agent>,
  ];
  await Promise.allSettled(
    openings.map((opening) =>
      withSession(opening, async (agent) => {
        await agent.call('claim', { token });
        await agent.call('forget', { token });
      }),
    ),
  );
}
