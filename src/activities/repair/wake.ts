import { CancelledFailure } from '@temporalio/common';
import { keepBeating, sleep } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { messageOf } from '../guard/probe';
import { offNetworks } from '../put-back';
import { answeringAgent, fencedAgent } from '../rejoin/parts';
import { tokenOf } from '../token';
import { stillAsked, unlessLeft } from '../give-way';
import { Overtaken, stillMine } from '../still-mine';
import type { RepairRequest } from './parts';
import { recoveryOf } from '../../systems/postgres';
import { steadyMs } from '../clock';

/** How long a node may take to be what it is, in milliseconds: crash recovery is a part of it. */
const UP_LIMIT_MS = 60_000;

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
 * its server starts: a fence stays, and nobody starts beside a primary. One that a run took off its networks is put on them again, fenced.
 * Idempotent. A container that can't be started is no failure
 * of the repair: it goes on without that node.
 * @throws Overtaken when another attempt goes on
 */
export async function wakeNode(deps: ActivityDeps, request: WakeRequest): Promise<Woken> {
  const access = accessCluster(deps, request.cluster);
  const { node } = request;
  const stopBeating = keepBeating(() => `starting ${node}`);
  try {
    const { status } = await deps.docker.inspect(node);
    if ((await offNetworks(deps.docker, node))?.by === 'run') return await wakeFenced(deps, access, request);
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
 * A node that could not be ended was never fenced either: started as it is, it would be the primary that it was, although another one may
 * have been promoted since, and merely not run now. So it wakes up fenced, and what its agent tells of it then decides, as for any
 * primary that a run had fenced.
 */
async function wakeFenced(deps: ActivityDeps, access: ClusterAccess, request: WakeRequest): Promise<Woken> {
  const { node, run, turn = 0 } = request;
  const other = access.topology.postgres.nodes.find(({ name }) => name !== node);
  if (run === undefined || other === undefined)
    throw new Error('a run took it off its Docker networks, and it can be put on them only as a standby');
  const { agent, says } = await fencedAgent(
    deps,
    access,
    tokenOf(run, 'prepare', turn),
    node,
    access.internal(other.name),
  );
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
