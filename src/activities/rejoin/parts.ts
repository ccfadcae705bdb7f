import type { RejoinDecision } from '../../cluster/rejoin/decide';
import { slotName, type Endpoint } from '../../cluster/topology';
import type { PostgresAgent, PostgresObservation, Token } from '../../systems/agent';
import { recoveryOf, type PostgresSession } from '../../systems/postgres';
import { claimPatiently } from '../claim';
import { finalFailure, until } from '../context';
import { withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { fenceNode, type Fence } from '../fence';
import { stillAsked, unlessLeft } from '../give-way';
import { offNetworks, putBack, putBackWords } from '../put-back';
import { stillMine } from '../still-mine';
import { tokenOf } from '../token';

/** One node that is made a standby of the primary. Names and numbers only. */
export interface RejoinRequest {
  cluster: string;
  /** The run's id: with stage, turn and attempt it is the token that agents check. */
  run: string;
  node: string;
  /** The primary that it will follow. */
  primary: string;
  /** `copy`: a full copy, whatever its history says. */
  method: 'auto' | 'copy';
  /** Which activity of the rejoin this is, from 0: each takes the node anew, and none may come after a later one. */
  turn: number;
  /** Nobody asked for this very node: one whose container was told to stop is left, behind its fence. */
  leavesStopped?: boolean;
}

/** What has to be done, once it is decided. */
export type RejoinPlan = Exclude<RejoinDecision, { method: 'refuse' }>;

/** An agent may take this long to come up in a container that was started, in milliseconds. */
const AGENT_UP_LIMIT_MS = 30_000;
/** A node may be held by a run that ended; its dead-man switch lets go within seconds, as a rule. */
const BUSY_LIMIT_MS = 8000;

export function rejoinToken({ run, turn }: Pick<RejoinRequest, 'run' | 'turn'>): Token {
  return tokenOf(run, 'rejoin', turn);
}

/** The same place in the network? */
export const samePlace = (a: Endpoint | null, b: Endpoint): boolean => a?.host === b.host && a.port === b.port;

/** Takes the node, waiting for a while where an ended run's dead-man switch still holds it. */
export const claim = (agent: PostgresAgent, token: Token): Promise<void> => claimPatiently(agent, token, BUSY_LIMIT_MS);

/** Is the node making its data directory by itself, as at its first start? Then nobody else may. */
export function prepares({ postgres }: PostgresObservation): boolean {
  return postgres.state === 'starting' && postgres.pid === null;
}

/**
 * The node's agent, answering, with the node fenced: it takes no write now, and can start only as a standby of the primary. A
 * container that does not run is started only when the fence lies in its volume; one that is frozen is killed first, because what
 * wakes up in it would go on where it was.
 *
 * One that a run took off its networks is put back as soon as it is fenced, and before it is started: its agent asks others, and they
 * are found by name. One that still hangs stays cut off.
 * @param takeOver whether a node that prepares its data directory by itself is fenced too; left alone it has nothing to write anyway
 * A run that gives way leaves it at one of the safe points: before the fence, once it is fenced, and before its agent is taken.
 * @throws ApplicationFailure `Refused` when nothing can be proven, or the node still hangs
 */
export async function fencedAgent(
  deps: ActivityDeps,
  access: ClusterAccess,
  token: Token,
  node: string,
  upstream: Endpoint,
  takeOver = false,
): Promise<{ agent: PostgresAgent; seen: PostgresObservation; says: string }> {
  const state = await deps.docker.inspect(node);
  if (!state.exists)
    throw finalFailure('Refused', `E4: ${node} has no container (limit: a container). Next: veloz-ha stack up`);
  const before = state.running ? await observeIfAnswering(access, node) : undefined;
  const preparing = before !== undefined && prepares(before);
  // Off its networks it finds nobody to copy.
  const takes = takeOver || (preparing && (await offNetworks(deps.docker, node))?.by === 'run');
  if (preparing && !takes) {
    const agent = await access.agent(node);
    return { agent, seen: before, says: `${node} has no data yet and copies the primary by itself` };
  }
  let says = `${node} was fenced already`;
  if (before === undefined || before.desired !== 'fenced' || before.postgres.state !== 'stopped') {
    // A container that was never started holds no server, and its agent's start-up guard looks for a primary before anything else.
    if (state.status !== 'created') {
      stillAsked();
      if (before !== undefined)
        await withSession(access.agent(node), (agent) => claim(agent, token)).catch(() => undefined);
      const fence = await fenceNode(deps, access, token, node, upstream);
      if (fence.hangs !== undefined) throw stillHangs(node, fence.hangs);
      says = fence.says;
    }
    // Ended, and the fence lies in its volume: whoever comes later starts it.
    stillAsked();
    says += putBackWords(await putBack(deps.docker, node));
    const { running, status } = await deps.docker.inspect(node);
    if (!running) {
      await stillMine(`start ${node}`);
      if (status === 'paused') await deps.docker.unpause(node);
      await deps.docker.start(node);
      says += '; its container was started';
    }
  } else says += putBackWords(await putBack(deps.docker, node));
  const agent = await answeringAgent(access, node);
  try {
    stillAsked();
    await unlessLeft(claim(agent, token));
    const seen = await agent.call('observe', {});
    if (prepares(seen) && !takes)
      return { agent, seen, says: `${node} has no data yet and copies the primary by itself` };
    // Writes and reads back standby.signal and the upstream, whoever fenced the node and for whom (J9).
    await agent.call('fenceNow', { token, upstream }, 5000);
    return { agent, seen: await agent.call('observe', {}), says };
  } catch (error) {
    agent.close();
    throw error;
  }
}

/** Nobody can tell whether it has ended, so it stays where nobody reaches it. */
function stillHangs(node: string, { why, next }: NonNullable<Fence['hangs']>): Error {
  return finalFailure(
    'Refused',
    `H2: ${node} still hangs: ${why} (limit: a server that has ended). It stays off its networks, and nobody reaches it. Next: ${next}`,
  );
}

/** What its agent says; undefined where it gives no answer. */
export async function observeIfAnswering(
  access: ClusterAccess,
  node: string,
): Promise<PostgresObservation | undefined> {
  try {
    return await withSession(access.agent(node), (agent) => agent.call('observe', {}, 2000));
  } catch {
    return undefined;
  }
}

/** Waits for the agent of a container that was started this moment. */
export function answeringAgent(access: ClusterAccess, node: string): Promise<PostgresAgent> {
  let seen = 'nothing';
  return until(
    `the agent of ${node} answering`,
    AGENT_UP_LIMIT_MS,
    100,
    async () => {
      try {
        const agent = await access.agent(node);
        try {
          await agent.call('observe', {}, 2000);
          return agent;
        } catch (error) {
          agent.close();
          throw error;
        }
      } catch (error) {
        seen = (error as Error).message;
        return undefined;
      }
    },
    () => seen,
  );
}

/** A3 and J4: the node to follow takes writes, and its control file names the timeline it is on, which is what a rewind reads. */
export async function checkpointed(session: PostgresSession, primary: string): Promise<void> {
  if ((await recoveryOf(session)).inRecovery) throw new Error(`${primary} is no primary: it is in recovery`);
  const [row] = await session.query<{ behind: boolean }>(
    `SELECT timeline_id <> ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS behind FROM pg_control_checkpoint()`,
  );
  if (row?.behind !== false) await session.query('CHECKPOINT');
}

/** J7: a slot that keeps the WAL from now on. One whose WAL is gone already is of no use to anybody, and is made anew. */
export async function ensureReservedSlot(session: PostgresSession, node: string): Promise<void> {
  const slot = slotName(node);
  await session.query(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active AND wal_status = 'lost'`,
    [slot],
  );
  await session.query(
    `SELECT pg_create_physical_replication_slot($1, true) WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`,
    [slot],
  );
}

/** Does the primary stream to the node's slot? */
export async function streamsTo(session: PostgresSession, node: string): Promise<boolean> {
  const rows = await session.query(
    `SELECT 1 FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid WHERE slot_name = $1 AND state = 'streaming'`,
    [slotName(node)],
  );
  return rows.length > 0;
}
