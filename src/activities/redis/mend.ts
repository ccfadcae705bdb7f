import { diagnose, type RedisFault } from '../../cluster/redis/faults';
import { waitsForCopy } from '../../cluster/redis/observed';
import { logs } from '../../cluster/commands';
import { formatMs } from '../../cluster/duration';
import { connectCommand } from '../../cluster/off-networks';
import { redisFailover } from '../../cluster/redis/commands';
import { finalFailure, keepBeating, until } from '../context';
import type { ActivityDeps } from '../deps';
import { endAndStart, staysStopped } from '../end-and-start';
import { DoesNotEnd, endContainer, hasEnded } from '../end-container';
import { messageOf } from '../guard/probe';
import { offNetworks, putBack, putBackWords } from '../put-back';
import { Permit, stillMine } from '../still-mine';
import { accessRedis, withConnection, type RedisAccess } from './access';
import { announce, gatherSentinels, watchAnew } from './announce';
import { observeRedis } from './observe';
import { stateOf, untilRole } from './parts';
import { steadyMs } from '../clock';

/** One fault that is mended. */
export interface RedisRemedy {
  cluster: string;
  run: string;
  fault: RedisFault;
  /** The node that is the master, or will be. */
  master: string;
}

/** A Sentinel that was told whom to watch has the master's answer within this time, in milliseconds: it connects each second. */
const SEE_LIMIT_MS = 5000;
/** A master that gives no answer in so many looks in a row has failed: what only waits for it lets others act. */
const GONE_LOOKS = 2;
/** A replica that follows anew connects at once, and is copied from then on: it has this long, in milliseconds. */
const CONNECT_LIMIT_MS = 5000;
/** One that has not been connected since its start, within this time, in milliseconds, is not restarted again: that was in vain. */
const RESTART_AGAIN_MS = 3_600_000;
/** A container may take this long, in milliseconds, until what runs in it answers. */
const START_LIMIT_MS = 20_000;

/**
 * Mends one fault. Looks first whether it is still there: another run, a person or the Sentinels themselves may have been faster. An
 * attempt whose worker stood still changes nothing any more: the master may have moved since it looked.
 * @returns what was done, in words
 * @throws Overtaken when another attempt goes on; Error when it could not be mended
 */
export async function mendRedis(deps: ActivityDeps, { cluster, fault, master }: RedisRemedy): Promise<string> {
  const access = accessRedis(deps, cluster);
  const stopBeating = keepBeating(() => `mending ${fault.node}`);
  try {
    const found = diagnose(await observeRedis(deps, access.cluster, access.topology));
    if ('undecided' in found)
      throw new Error(
        `nothing was changed: ${found.undecided}${found.next === undefined ? '' : `. Next: ${found.next}`}`,
      );
    const still = found.faults.some(
      ({ kind, node }) => troubleOf(kind) === troubleOf(fault.kind) && node === fault.node,
    );
    return still ? await remedy(deps, access, fault, master) : 'it is so no longer';
  } finally {
    stopBeating();
  }
}

/** An attempt that died in the middle of telling a Sentinel leaves it with another fault, which the same remedy mends. */
const troubleOf = (kind: RedisFault['kind']): RedisFault['kind'] => (kind === 'blind' ? 'wrong word' : kind);

async function remedy(deps: ActivityDeps, access: RedisAccess, fault: RedisFault, master: string): Promise<string> {
  const { node } = fault;
  switch (fault.kind) {
    case 'stopped':
    case 'cut off':
      return startRedisNode(deps, access, node);
    case 'no master':
      return withConnection(access.node(node), async (client) => {
        const permit = new Permit();
        await permit.may(`promote ${node}`);
        await client.promote();
        await untilRole(client, node, 'master', access.topology.limits.promote);
        const circle = await gatherSentinels(access);
        try {
          return `promoted; ${await announce(access, circle, client, node, permit)}`;
        } finally {
          circle.close();
        }
      });
    case 'second master':
    case 'astray':
      return withConnection(access.node(node), async (client) => {
        await stillMine(`have ${node} follow ${fault.master}`);
        await client.followNow(access.internal(fault.master));
        const dropped = fault.kind === 'second master' ? await client.dropClients() : 0;
        return `follows ${fault.master}${dropped === 0 ? '' : `; ${dropped} connections sent to the Sentinels`}`;
      });
    case 'apart':
      return connectAnew(deps, access, node, fault.master);
    case 'wrong word':
    case 'blind':
      return watchAndSee(access, node, master);
  }
}

/**
 * Has a replica follow its master anew. Where it does not connect, it is ended and started, with the settings of its start; one that was
 * started lately, and has not been connected since, is not, nor one whose copy only waits for the master.
 * @throws Error when it is not connected then
 */
async function connectAnew(deps: ActivityDeps, access: RedisAccess, node: string, master: string): Promise<string> {
  const connected = (limitMs: number) =>
    untilOrMasterGone(access, master, {
      what: `${node} being connected to ${master}`,
      limitMs,
      look: async () => {
        const state = await stateOf(access, node);
        return state?.upstream?.up === true || state?.upstream?.syncing === true;
      },
      seen: 'not connected',
    });
  const began = steadyMs();
  const before = await stateOf(access, node);
  await withConnection(access.node(node), async (client) => {
    await stillMine(`have ${node} follow ${master}`);
    await client.followNow(access.internal(master));
  });
  let inVain: string;
  try {
    await connected(CONNECT_LIMIT_MS);
    return `follows ${master} anew, and connected after ${steadyMs() - began} ms`;
  } catch (error) {
    inVain = messageOf(error);
  }
  const [state, its] = await Promise.all([stateOf(access, node), stateOf(access, master)]);
  // Not tried again by this run: it has the lock, and the master may fail.
  const failed = (why: string) => finalFailure('Failed', `L1: ${why}. Next: ${logs(node)}`);
  // The master may have failed meanwhile: the replica is needed as it is.
  if (state?.role !== 'replica' || its?.role !== 'master') throw failed(inVain);
  const waits = waitsForCopy(access.internal(node), its);
  if (waits !== undefined) return `follows ${master} anew, and ${waits}: left running`;
  if (before?.upstream?.downMs == null && (state.upMs ?? 0) < RESTART_AGAIN_MS)
    throw failed(
      `${inVain}, as since its start ${formatMs(state.upMs ?? 0)} ago (limit: no second restart in vain within ${formatMs(RESTART_AGAIN_MS)})`,
    );
  if (!(await endAndStart(deps.docker, node))) throw finalFailure('Failed', `L1: ${inVain}; ${staysStopped(node)}`);
  const startedAt = steadyMs();
  try {
    await connected(START_LIMIT_MS);
  } catch (error) {
    throw failed(`${messageOf(error)}, after its restart too`);
  }
  return `following ${master} anew was in vain: ended and started, and connected after ${steadyMs() - startedAt} ms`;
}

/**
 * Tells a Sentinel anew, and returns once the master answers it.
 * @throws ApplicationFailure `Failed` (not retried) when it does not: the run has the lock, and the master may fail
 */
async function watchAndSee(access: RedisAccess, sentinel: string, master: string): Promise<string> {
  const began = steadyMs();
  await stillMine(`have ${sentinel} watch ${master}`);
  await watchAnew(access, sentinel, master);
  try {
    await untilOrMasterGone(access, master, {
      what: `${sentinel} hearing from ${master}`,
      limitMs: SEE_LIMIT_MS,
      look: () =>
        withConnection(access.sentinel(sentinel), (client) => client.seesMaster(access.topology.master)).catch(
          () => false,
        ),
      seen: 'no answer',
    });
  } catch (error) {
    throw finalFailure('Failed', `L3: ${messageOf(error)}. Next: ${logs(sentinel)}`);
  }
  return `names ${master}, and heard from it after ${steadyMs() - began} ms`;
}

/**
 * Waits for something that is so only while the master is well. A run that waits for it has the lock, and the failover of a master that
 * fails meanwhile waits for that.
 * @throws Error when the time is over, or the master gives no answer in {@link GONE_LOOKS} looks
 */
async function untilOrMasterGone(
  access: RedisAccess,
  master: string,
  { what, limitMs, look, seen }: { what: string; limitMs: number; look: () => Promise<boolean>; seen: string },
): Promise<void> {
  let silent = 0;
  const gone = new Error(`${master} gave no answer meanwhile, while ${what} was waited for`);
  await until(
    what,
    limitMs,
    50,
    async () => {
      if (await look()) return true;
      silent = (await stateOf(access, master)) === undefined ? silent + 1 : 0;
      if (silent >= GONE_LOOKS) throw gone;
      return undefined;
    },
    () => seen,
  );
}

/** Starts a container, or lets a frozen Sentinel go on, and waits until what runs in it answers. */
async function startRedisNode(deps: ActivityDeps, access: RedisAccess, name: string): Promise<string> {
  const { exists, status } = await deps.docker.inspect(name);
  if (!exists) throw new Error(`${name} has no container. Next: veloz-ha stack up`);
  const began = steadyMs();
  const isNode = access.topology.nodes.some((node) => node.name === name);
  const wakes = status === 'paused' && !isNode;
  const back = isNode ? await broughtBack(deps, access.cluster, name, status) : '';
  // A frozen node may have been the master: it would wake up as one, and acknowledge what clients had sent it.
  if (!wakes && status === 'paused') await endContainer(deps.docker, name);
  // A person may have stopped it while the worker stood still.
  await stillMine(`start ${name}`);
  if (wakes) await deps.docker.unpause(name);
  else await deps.docker.start(name);
  await until(`${name} answering`, START_LIMIT_MS, 50, async () => {
    if (isNode) return stateOf(access, name);
    return withConnection(access.sentinel(name), (client) => client.id()).catch(() => undefined);
  });
  return `${wakes ? 'goes on' : status === 'paused' ? 'ended and started' : 'started'}; answers after ${steadyMs() - began} ms${back}`;
}

/**
 * Puts a node on the networks that a run took it off. It is ended first, whatever it does: it may have been the master, and would be a
 * second one to whoever reaches it again. Started, it takes no writes before the Sentinels have spoken.
 * @throws ApplicationFailure `Refused` while it still hangs, or where a person took it off
 */
async function broughtBack(deps: ActivityDeps, cluster: string, node: string, status: string): Promise<string> {
  const off = await offNetworks(deps.docker, node);
  if (off?.by === 'somebody')
    throw finalFailure(
      'Refused',
      `L1: ${node} is on no Docker network, and no run took it off (limit: a network). Next: ${connectCommand(node, off)}`,
    );
  if (off !== undefined && !hasEnded(status)) {
    try {
      await endContainer(deps.docker, node);
    } catch (error) {
      if (!(error instanceof DoesNotEnd)) throw error;
      throw finalFailure(
        'Refused',
        `L1: ${node} still hangs: ${error.message} (limit: a container that has ended). It stays off its networks, and nobody reaches it. Next: ${redisFailover(cluster, '--repair')}`,
      );
    }
  }
  return putBackWords(await putBack(deps.docker, node));
}

/** Has a node that failed come back. */
export async function returnRedisNode(
  deps: ActivityDeps,
  { cluster, node }: { cluster: string; node: string },
): Promise<string> {
  const access = accessRedis(deps, cluster);
  const stopBeating = keepBeating(() => `starting ${node}`);
  try {
    const started = await startRedisNode(deps, access, node);
    await until(`${node} being a replica that is connected`, START_LIMIT_MS, 50, async () => {
      const state = await stateOf(access, node);
      return state?.role === 'replica' && state.upstream?.up === true ? true : undefined;
    });
    return `${started}, and follows the new master`;
  } finally {
    stopBeating();
  }
}
