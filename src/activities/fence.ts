import { repairCommand } from '../cluster/commands';
import { rejoinCommand } from '../cluster/failover/commands';
import { connectCommand } from '../cluster/off-networks';
import type { Endpoint } from '../cluster/topology';
import { AgentError, type Token } from '../systems/agent';
import { finalFailure } from './context';
import type { ActivityDeps, ClusterAccess } from './deps';
import { cutOff, DoesNotEnd, endContainer, hasEnded, type CutOff } from './end-container';
import { endRenamed } from './end-renamed';
import { messageOf, withinLimit } from './guard/probe';
import { putBack } from './put-back';
import { Overtaken, stillMine } from './still-mine';
import { fenceVolume, type FenceFile } from './volume-fence';

/** Why nobody can write to a node any more. */
export interface Fence {
  /**
   * `agent`: its server was ended and can start only as a standby. `container`: the same, for a container that does not run.
   * `network`: it can't be ended, and nobody reaches it any more.
   */
  how: 'agent' | 'container' | 'network';
  says: string;
  ms: number;
  /** Of `network`: why it can't be ended, in half a sentence; and the command that brings it back once it can. */
  hangs?: { why: string; next: string };
}

/** How long a node's own agent may take to fence it, in milliseconds, before its container is killed. */
const AGENT_LIMIT_MS = 1500;
/** After an attempt that took this long, in milliseconds, the container can't be ended. */
const KILL_LIMIT_MS = 5000;
/** How long a small file may take to get into a volume, in milliseconds: clients wait. */
const PUT_LIMIT_MS = 2000;
/** The owner of PostgreSQL's volume inside the container (docker/postgres/Dockerfile). */
const postgresOwner = { uid: 999, gid: 999 };
/** Read by the agent before anything starts (docs/agent-protocol.md). */
export const FENCE_FILE = '/var/lib/postgresql/veloz/fence.json';

/**
 * Makes sure that a node takes no write, now and whoever starts it again, and returns only with the proof (H2).
 *
 * First through its agent, which works while the network is cut and leaves the container running; else the container is killed
 * (which ends a frozen one too), and the fence is laid into its volume, where the agent of the next start finds it. Docker's restart
 * policy is not touched: there is nothing to put back, and a restart finds the fence. A container that can't be ended, such as one
 * whose server hangs in the kernel on a dead disk, is taken off its networks: what it still commits reaches nobody. Whoever
 * makes it a standby puts it back, once it has ended or its agent has fenced it ({@link putBack}).
 * @throws ApplicationFailure `Refused` when nothing can be proven
 */
export async function fenceNode(
  deps: ActivityDeps,
  access: ClusterAccess,
  token: Token,
  node: string,
  upstream: Endpoint,
): Promise<Fence> {
  const began = performance.now();
  const done = (how: Fence['how'], says: string): Fence => ({
    how,
    says,
    ms: Math.round((performance.now() - began) * 10) / 10,
  });
  let problem = '';
  let slow = false;
  for (let tries = 0; tries < 4 && performance.now() - began < KILL_LIMIT_MS; tries++) {
    let status: string;
    try {
      status = (await deps.docker.inspect(node)).status;
    } catch (error) {
      throw notProven(node, `Docker does not answer: ${messageOf(error)}`);
    }
    if (status === 'absent') {
      const others = await endRenamed(deps.docker, node, 'postgres').catch((error: unknown) => {
        if (error instanceof Overtaken) throw error;
        throw notProven(
          node,
          `it has no container of its name, and another one may have its volume: ${messageOf(error)}`,
        );
      });
      const volume = await fenceVolume(deps, access, node, fenceFile(token, upstream));
      // Whoever made it one in between may have read its volume before the fence lay there.
      if ((await deps.docker.inspect(node).catch(() => ({ exists: true }))).exists) {
        problem = 'it was made a container again';
        continue;
      }
      return done('container', `${node} has no container${others}: nobody can write to it; ${volume}`);
    }
    if (status === 'running') {
      try {
        const { ms } = await withinLimit(fenceByAgent(access, token, node, upstream), AGENT_LIMIT_MS);
        return done(
          'agent',
          `${node} was fenced by its agent: its server is gone after ${Math.round(ms)} ms and can start only as a standby`,
        );
      } catch (error) {
        if (error instanceof AgentError && error.type === 'Superseded') throw error;
        problem = messageOf(error);
      }
    }
    try {
      if (!hasEnded(status)) await endContainer(deps.docker, node);
      const after = await layFence(deps, token, node, upstream);
      if (hasEnded(after)) return done('container', inItsVolume(node, after));
      problem = `its container is ${after} again`;
    } catch (error) {
      if (error instanceof Overtaken) throw error;
      problem = messageOf(error);
      slow = error instanceof DoesNotEnd;
      // What hangs on a dead disk hangs at the next try too, and clients wait.
      if (slow || error instanceof VolumeHangs) break;
    }
  }
  const cut = await isolate(deps, node, problem);
  const ended = slow ? await endedAfterAll(deps, token, node, upstream, cut) : undefined;
  if (ended !== undefined) return done('container', inItsVolume(node, ended));
  const why = problem.replace(/\.$/, '');
  const { says, next } = afterCut(access.name, node, cut);
  return { ...done('network', `${node} could not be ended (${why}), and was cut off${says}`), hangs: { why, next } };
}

/** What becomes of a node that was cut off. */
function afterCut(cluster: string, node: string, { networks, home, marked }: CutOff): { says: string; next: string } {
  const rejoin = rejoinCommand(cluster, node);
  if (marked)
    return {
      says: ` from ${networks.join(' and ')}: nobody reaches it. Once it has ended it is put back and made a standby, by the guard in auto, by ${repairCommand(cluster)}, or by ${rejoin}`,
      next: rejoin,
    };
  const commands = connectCommand(node, { home }, networks);
  return {
    says: `: nobody reaches it. When it is mended: ${commands}, then ${rejoin}`,
    next: `${commands} && ${rejoin}`,
  };
}

/** The volume of a container that has ended takes no file: its disk hangs. */
class VolumeHangs extends Error {
  override readonly name = 'VolumeHangs';
}

const inItsVolume = (node: string, status: string) =>
  `${node}: its container is ${status}, and the fence lies in its volume: whoever starts it, it can start only as a standby`;

const fenceFile = ({ run, attempt }: Token, upstream: Endpoint): FenceFile => ({
  path: FENCE_FILE,
  content: JSON.stringify({ version: 1, run, attempt, upstream, at: Date.now() }),
  owner: postgresOwner,
});

/** Lays the fence into the volume of a container that has ended. Returns Docker's word on the container afterwards. */
async function layFence(deps: ActivityDeps, token: Token, node: string, upstream: Endpoint): Promise<string> {
  const { path, content, owner } = fenceFile(token, upstream);
  await stillMine(`lay a fence into the volume of ${node}`);
  const put = deps.docker.putFile(node, path, content, owner).then(
    () => undefined,
    (error: unknown) => error,
  );
  // One that arrives later does no harm: it is this run's fence.
  const failure = await withinLimit(put, PUT_LIMIT_MS).catch(
    () => new VolumeHangs(`its volume took no file within ${PUT_LIMIT_MS} ms`),
  );
  if (failure instanceof Error) throw failure;
  // Whoever started it in between may have read its volume before the fence lay there: then it is fenced by its agent.
  return (await deps.docker.inspect(node)).status;
}

/**
 * A kill that was only slow, on a machine that has much to do, has ended the container by now: the fence goes into its volume, and it
 * gets its networks back. Returns Docker's word on it; undefined where it stays cut off.
 */
async function endedAfterAll(
  deps: ActivityDeps,
  token: Token,
  node: string,
  upstream: Endpoint,
  cut: CutOff,
): Promise<string | undefined> {
  try {
    if (!hasEnded((await deps.docker.inspect(node)).status)) return undefined;
    const after = await layFence(deps, token, node, upstream);
    if (!hasEnded(after)) return undefined;
    await putBack(deps.docker, node, cut.taken);
    return after;
  } catch (error) {
    if (error instanceof Overtaken) throw error;
    return undefined;
  }
}

/** Nobody reaches it then. */
async function isolate(deps: ActivityDeps, node: string, problem: string): Promise<CutOff> {
  try {
    return await cutOff(deps.docker, node);
  } catch (error) {
    if (error instanceof Overtaken) throw error;
    throw notProven(node, `${problem.replace(/\.$/, '')}; ${messageOf(error)}`);
  }
}

async function fenceByAgent(access: ClusterAccess, token: Token, node: string, upstream: Endpoint) {
  const agent = await access.agent(node);
  try {
    await agent.call('claim', { token }, 500);
    return await agent.call('fenceNow', { token, upstream }, AGENT_LIMIT_MS);
  } finally {
    agent.close();
  }
}

function notProven(node: string, why: string): Error {
  return finalFailure(
    'Refused',
    `H2: ${node} can't be fenced: ${why.replace(/\.$/, '')} (limit: proof that it takes no write). Nothing was promoted. Next: docker kill ${node}`,
  );
}
