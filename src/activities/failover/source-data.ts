import type { WalEnd } from '../../systems/agent';
import { until } from '../context';
import { withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { hasEnded } from '../end-container';
import { withinLimit } from '../guard/probe';
import { Overtaken, stillMine } from '../still-mine';

/*
 * The failed primary's own data: nothing is acknowledged that its WAL does not hold, so they tell what a ledger can not.
 */

/** How long the failed primary's agent may take to read its WAL to the end, in milliseconds. */
const SOURCE_END_LIMIT_MS = 3000;

/** Where the WAL of the failed primary ends; undefined where its agent does not answer or its server runs. */
export async function sourceEnd(access: ClusterAccess, node: string): Promise<WalEnd | undefined> {
  const asked = withSession(access.agent(node), (agent) => agent.call('walEnd', {}, SOURCE_END_LIMIT_MS));
  return withinLimit(asked, SOURCE_END_LIMIT_MS).catch(() => undefined);
}

/** How long a fenced node's container may take until its agent answers, in milliseconds. */
const WAKE_LIMIT_MS = 8000;

/** Has the agent of a fenced node answer. Its server stays down: the fence lies in its volume. A node that does not wake up is left. */
export async function wakeSource(deps: ActivityDeps, access: ClusterAccess, node: string): Promise<void> {
  try {
    const { status } = await deps.docker.inspect(node);
    if (hasEnded(status)) {
      await stillMine(`start the container of ${node} behind its fence`);
      await deps.docker.start(node);
    }
    await until(`the agent of ${node}`, WAKE_LIMIT_MS, 50, () =>
      withSession(access.agent(node), (agent) => agent.call('observe', {}, 1000)).catch(() => undefined),
    );
  } catch (error) {
    if (error instanceof Overtaken) throw error;
    // What it could not say is not known, and the checks say so.
  }
}
