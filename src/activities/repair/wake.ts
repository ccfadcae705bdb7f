import { CancelledFailure } from '@temporalio/common';
import { newerPrimary } from '../../cluster/guard/named-nodes';
import { STANDBY_FILES, timelineIn } from '../../cluster/guard/standby-files';
import { keepBeating, sleep } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { fenceNode } from '../fence';
import { messageOf, withinLimit } from '../guard/probe';
import { offNetworks } from '../put-back';
import { answeringAgent, fencedAgent } from '../rejoin/parts';
import { tokenOf } from '../token';
import { stillAsked, unlessLeft } from '../give-way';
import { Overtaken, stillMine } from '../still-mine';
import { ledgerOf, type RepairRequest } from './parts';
import { recoveryOf } from '../../systems/postgres';
import { steadyMs } from '../clock';

/** How long a node may take to be what it is, in milliseconds: crash recovery is a part of it. */
const UP_LIMIT_MS = 60_000;
/** How long Docker may take to read two small files of a node, in milliseconds. */
const READ_LIMIT_MS = 2000;

/** A node to wake. Runs that began before they told their own name have none. */
export type WakeRequest = Pick<RepairRequest, 'cluster'> & Partial<RepairRequest> & { node: string };

/** What came of it. */
export interface Woken {
  says: string;
  /** It has an agent that answers. */
  up: boolean;
}

/**
 * Starts a container that does not run, or ends its freeze, and waits until it is clear what it is. Its own agent decides whether
 * its server starts: a fence stays, and nobody starts beside a primary. One that a run took off its networks is put on them again, fenced;
 * and fenced is what was a primary on an older timeline than that of the guard's ledger: beside nobody who takes writes it would start as
 * one. Idempotent. A container that can't be started is no failure of the repair: it goes on without that node.
 * @throws Overtaken when another attempt goes on
 */
export async function wakeNode(deps: ActivityDeps, request: WakeRequest): Promise<Woken> {
  const access = accessCluster(deps, request.cluster);
  const { node } = request;
  const stopBeating = keepBeating(() => `starting ${node}`);
  try {
    const { status } = await deps.docker.inspect(node);
    if ((await offNetworks(deps.docker, node))?.by === 'run')
      return await wakeFenced(deps, access, request, 'a run took it off its Docker networks');
    const older = await whyOlder(deps, access, node, status);
    if (older !== undefined) {
      const { says, up } = await wakeFenced(deps, access, request, older);
      return { says: `${says}: ${older}`, up };
    }
    await stillMine(`start ${node}`);
    stillAsked();
    if (status === 'paused') await deps.docker.unpause(node);
    await deps.docker.start(node);
    return { says: `${node} ${await unlessLeft(answersAs(access, node))}`, up: true };
  } catch (error) {
    if (error instanceof CancelledFailure || error instanceof Overtaken) throw error;
    return { says: `${node} can't be started: ${messageOf(error)}`, up: false };
  } finally {
    stopBeating();
  }
}

/**
 * Why a node would start as a primary of an older timeline than that of the ledger: another one was promoted in its place, and merely does
 * not run now. Undefined where it can start only as a standby, where the ledger names this very node, and where its files tell nothing.
 */
async function whyOlder(
  deps: ActivityDeps,
  access: ClusterAccess,
  node: string,
  status: string,
): Promise<string | undefined> {
  if (status === 'running') return undefined;
  const ledger = await ledgerOf(deps, access);
  if (ledger?.primary == null || ledger.primary === node) return undefined;
  const read = Promise.all([
    deps.docker.readFile(node, STANDBY_FILES.signal),
    deps.docker.readBytes(node, STANDBY_FILES.control),
  ]);
  const [signal, control] = await withinLimit(read, READ_LIMIT_MS).catch(() => [undefined, undefined] as const);
  const timeline = timelineIn(control);
  const newer = signal !== undefined || timeline === null ? undefined : newerPrimary(ledger, timeline);
  if (newer === undefined) return undefined;
  return `it was a primary on timeline ${timeline}, and ${newer.primary} is the primary of the ledger, on timeline ${newer.timeline}`;
}

/**
 * A node that could not be ended was never fenced either: started as it is, it would be the primary that it was, although another one may
 * have been promoted since, and merely not run now. So it wakes up fenced, and what its agent tells of it then decides, as for any
 * primary that a run had fenced.
 */
async function wakeFenced(
  deps: ActivityDeps,
  access: ClusterAccess,
  request: WakeRequest,
  why: string,
): Promise<Woken> {
  const { node, run, turn = 0 } = request;
  const other = access.topology.postgres.nodes.find(({ name }) => name !== node);
  if (run === undefined || other === undefined) throw new Error(`${why}, and it can be started only as a standby`);
  const [token, upstream] = [tokenOf(run, 'prepare', turn), access.internal(other.name)];
  // One that was made anew and never started is left to its agent's start-up guard elsewhere, which looks for a primary: here is none.
  if ((await deps.docker.inspect(node)).status === 'created') {
    stillAsked();
    const { hangs } = await fenceNode(deps, access, token, node, upstream);
    if (hangs !== undefined) throw new Error(`it takes no fence: ${hangs.why}`);
  }
  const { agent, says } = await fencedAgent(deps, access, token, node, upstream);
  agent.close();
  return { says, up: true };
}

async function answersAs(access: ClusterAccess, node: string): Promise<string> {
  (await answeringAgent(access, node)).close();
  return becomes(access, node);
}

async function becomes(access: ClusterAccess, node: string): Promise<string> {
  const until = steadyMs() + UP_LIMIT_MS;
  for (;;) {
    const sql = await withSession(access.sql(node, 2000), recoveryOf).catch(() => undefined);
    if (sql !== undefined) return sql.inRecovery ? 'is a standby' : 'is a primary';
    const seen = await withSession(access.agent(node), (agent) => agent.call('observe', {})).catch(() => undefined);
    if (seen?.startGuard != null) return `keeps itself down: ${seen.startGuard}`;
    if (seen !== undefined && seen.desired !== 'up' && seen.deadman === null) return `is ${seen.desired}`;
    if (steadyMs() > until) return `does not get up: its PostgreSQL is ${seen?.postgres.state ?? 'unknown'}`;
    await sleep(200);
  }
}
