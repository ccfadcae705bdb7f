import { keepBeating, sleep } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { endContainer, hasEnded } from '../end-container';
import { messageOf } from '../guard/probe';
import { offNetworks, putBack } from '../put-back';
import { answeringAgent } from '../rejoin/parts';
import { recoveryOf } from '../../systems/postgres';
import { steadyMs } from '../clock';

/** How long a node may take to be what it is, in milliseconds: crash recovery is a part of it. */
const UP_LIMIT_MS = 60_000;

/** What came of it. */
export interface Woken {
  says: string;
  /** It has an agent that answers. */
  up: boolean;
}

/**
 * Starts a container that does not run, or ends its freeze, and waits until it is clear what it is. Its own agent decides whether
 * its server starts: a fence stays, and nobody starts beside a primary. One that a run took off its networks is put on them again before
 * it is started. Idempotent. A container that can't be started is no failure
 * of the repair: it goes on without that node.
 */
export async function wakeNode(deps: ActivityDeps, request: { cluster: string; node: string }): Promise<Woken> {
  const access = accessCluster(deps, request.cluster);
  const { node } = request;
  const stopBeating = keepBeating(() => `starting ${node}`);
  try {
    const { status } = await deps.docker.inspect(node);
    if (await isCutOff(deps, node)) {
      // It may be the primary, and nobody is yet: off its networks its agent could ask nobody, and nobody would reach it.
      if (!hasEnded(status)) await endContainer(deps.docker, node);
      await putBack(deps.docker, node);
    } else if (status === 'paused') await deps.docker.unpause(node);
    await deps.docker.start(node);
    (await answeringAgent(access, node)).close();
    return { says: `${node} ${await becomes(access, node)}`, up: true };
  } catch (error) {
    return { says: `${node} can't be started: ${messageOf(error)}`, up: false };
  } finally {
    stopBeating();
  }
}

const isCutOff = async (deps: ActivityDeps, node: string): Promise<boolean> =>
  (await offNetworks(deps.docker, node))?.by === 'run';

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
