import { keepBeating } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { messageOf } from '../guard/probe';
import { tokenOf } from '../token';
import { unlessLeft } from '../give-way';
import { everyAgent, take, takeableNodeNames, type RepairRequest } from './parts';

/**
 * Takes every node whose agent answers, and the pooler: a worker of the run that is over may still be alive, and from here on none
 * of its commands is carried out. A primary that is fenced for good stays with the run that fenced it: it takes no writes, and only in
 * that run's name its fence can be taken back.
 */
export async function takeNodes(deps: ActivityDeps, request: RepairRequest): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const token = tokenOf(request.run, 'prepare', request.turn);
  const stopBeating = keepBeating(() => 'taking the nodes');
  try {
    const nodes = await takeableNodeNames(deps, access);
    const left = new Set(await fencedPrimaries(access, nodes));
    const taken: string[] = [];
    const silent: string[] = [];
    const opening = everyAgent(
      access,
      nodes.filter((node) => !left.has(node)),
    );
    const opened = await unlessLeft(Promise.allSettled(opening)).catch((error: unknown) => {
      for (const each of opening) each.then((agent) => agent.close()).catch(() => undefined);
      throw error;
    });
    const agents = opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    for (const each of opened) if (each.status === 'rejected') silent.push(messageOf(each.reason));
    try {
      await Promise.all(
        agents.map(async (agent) => {
          try {
            await take(agent, token);
            taken.push(agent.node);
          } catch (error) {
            if ((error as { type?: string }).type !== 'Unreachable') throw error;
            silent.push(messageOf(error));
          }
        }),
      );
    } finally {
      for (const agent of agents) agent.close();
    }
    return [
      `took ${taken.sort().join(', ')}`,
      ...(left.size === 0 ? [] : [`${[...left].join(', ')} is fenced for good and was left so`]),
      ...silent,
    ].join('; ');
  } finally {
    stopBeating();
  }
}

async function fencedPrimaries(access: ClusterAccess, nodes: readonly string[]): Promise<string[]> {
  const fenced = await Promise.all(
    nodes.map(async (node) => {
      const seen = await withSession(access.agent(node), (agent) => agent.call('observe', {}, 2000)).catch(
        () => undefined,
      );
      return seen?.fencedBy?.wasPrimary === true;
    }),
  );
  return nodes.filter((_node, index) => fenced[index]);
}

/**
 * Ends every claim: that of a run that is over, and our own. An agent that claims for us forgets whoever had claimed it before, for
 * good. What gives no answer is left out: its next run takes it over.
 */
export async function endClaims(deps: ActivityDeps, request: Pick<RepairRequest, 'cluster' | 'run'>): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const token = tokenOf(request.run, 'release');
  const stopBeating = keepBeating(() => 'giving the nodes back');
  try {
    const nodes = await takeableNodeNames(deps, access);
    const given: string[] = [];
    await Promise.allSettled(
      everyAgent(access, nodes).map((opening) =>
        withSession(opening, async (agent) => {
          await take(agent, token);
          await agent.call('forget', { token });
          given.push(agent.node);
        }),
      ),
    );
    return given.length === 0 ? 'nobody answered' : `nobody owns ${given.sort().join(', ')}`;
  } finally {
    stopBeating();
  }
}
