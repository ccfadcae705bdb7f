import { formatMs } from '../duration';
import { containerWords, isKilled, wasStoppedByHand } from '../guard/mending';
import { formatSize } from '../size';
import type { Checklist } from '../switchover/checklist';
import { ailmentsOf, dropsKeys } from './ailments';
import { knock } from './barred';
import {
  redisFailover,
  redisStatus,
  restartContainer,
  START_STACK,
  startContainer,
  unfreezeContainer,
} from './commands';
import { SILENT_MS, type Decided, type RedisRequest } from './decision';
import { mostAdvanced, type RedisFault } from './faults';
import {
  answeringNodes,
  heardAgo,
  HEARD_MS,
  isStopped,
  upstreamOf,
  whoHears,
  type AnsweringRedis,
  type ObservedRedis,
  type ObservedRedisNode,
} from './observed';
import { strangersSay, whyUnseen } from './strangers';

/** The master does not answer: a replica takes over, or where none can, a master that was killed is started again. */
export function forced(
  list: Checklist,
  observed: ObservedRedis,
  request: RedisRequest,
  source: string | undefined,
  faults: RedisFault[],
): Decided {
  const known = list.require('L3', source !== undefined, {
    says: 'it is known which node was the master',
    refusal: 'nobody knows which node was the master',
    measured: 'no majority of the Sentinels names one, and no replica follows one',
    limit: 'one',
    next: redisStatus(observed.cluster),
  });
  if (!known || source === undefined) return { kind: 'none', faults };
  const node = observed.nodes.find(({ name }) => name === source);
  const replicas = answeringNodes(observed).filter(
    ({ name, state }) => name !== source && state.role === 'replica' && !state.loading,
  );
  const target =
    request.target === undefined ? mostAdvanced(replicas) : replicas.find(({ name }) => name === request.target);
  if (node !== undefined && request.target === undefined && request.asBefore !== true) {
    const inVain = whyNoneTakesOver(observed, request, source, target);
    if (inVain !== undefined && isKilled(node.container) && node.container.offNetworks?.by !== 'somebody')
      return revival(list, observed, node, faults, inVain);
  }
  if (request.only === 'repair' && request.target === undefined)
    list.advise('L3', false, {
      says: 'a master answers',
      refusal: 'no master answers: a replica takes over',
      measured: `${source}: ${node?.error ?? 'no answer'}`,
      limit: 'one',
      next: redisFailover(observed.cluster),
    });
  // A master that a person stopped, or that hangs, has its data.
  const hasData = node !== undefined && node.state === null && node.container.exists;
  list.require('L1', target !== undefined, {
    says: 'a replica can take over',
    refusal: `no replica can take over from ${source}`,
    measured:
      replicas.length > 1 && request.target === undefined
        ? 'the replicas have different histories: nobody can say which has more'
        : observed.nodes
            .filter(({ name }) => name !== source && (request.target ?? name) === name)
            .map(({ name, error }) => `${name}: ${error ?? 'it reads its files, or is no replica'}`)
            .join('; ') || 'there is none',
    limit: 'one that answers and has what the others have',
    next: hasData
      ? wakeMaster(node, source)
      : startContainer(observed.nodes.find(({ name }) => name !== source)?.name ?? source),
  });
  checkSilence(list, observed, source);
  const stays = request.leaveStopped === true && node !== undefined && wasStoppedByHand(node.container);
  if (stays)
    list.advise('L1', false, {
      says: `${source} was not told to stop`,
      refusal: `${source} was told to stop, and stays so: nobody could take over`,
      measured: containerWords(node.container),
      limit: 'none',
      next: startContainer(source),
    });
  if (target === undefined) return { kind: 'forced', faults, source };
  // Clients have no master meanwhile: what can be mended afterwards refuses nothing.
  for (const ailment of ailmentsOf(target))
    if (ailment.kind === 'denied' && target.state.denied?.includes('REPLICAOF') === true)
      list.require('L1', false, { says: '', ...ailment });
    else list.advise('L1', false, { says: '', ...ailment });
  const fresh = checkFreshness(list, observed, request, source, target);
  const missed = checkOthers(list, observed, source, target);
  const strange = checkStrangers(list, observed, source, target);
  const late = fresh ? undefined : `${target.name} was not connected to ${source} when it failed`;
  const drops =
    dropsKeys(target, undefined) === undefined
      ? undefined
      : `${target.name} has more than its maxmemory, and drops keys`;
  const doubt = missed ?? strange ?? late ?? drops;
  const unseen = doubt === undefined ? whyUnseen(observed, source) : undefined;
  return {
    kind: 'forced',
    faults,
    source,
    target: target.name,
    ...(doubt === undefined ? {} : { doubt }),
    ...(unseen === undefined ? {} : { unseen }),
    ...(stays ? { without: source } : {}),
  };
}

/** Why no replica takes over without a person's word, in half a sentence; undefined where one does. */
function whyNoneTakesOver(
  observed: ObservedRedis,
  request: RedisRequest,
  source: string,
  target: AnsweringRedis | undefined,
): string | undefined {
  if (target !== undefined) {
    const { fresh, cutShort } = freshnessOf(observed, request, source, target);
    if (fresh) return undefined;
    return cutShort
      ? `${target.name} has no keys, and its copy of ${source} was cut short`
      : `${target.name} was not connected to ${source} when it failed`;
  }
  const others = observed.nodes.filter(({ name }) => name !== source).map(({ name }) => name);
  return others.length === 0 ? 'there is no replica' : `${others.join(', ')} can't take over`;
}

/**
 * A master that was killed has its data: where no replica can take over it is started again, and with it what else was killed. It comes
 * first, so that a node that has less is not chosen in its place meanwhile. What a person stopped stays stopped.
 */
function revival(
  list: Checklist,
  observed: ObservedRedis,
  master: ObservedRedisNode,
  faults: readonly RedisFault[],
  inVain: string,
): Decided {
  const { name, container } = master;
  const killed = [...observed.nodes, ...observed.sentinels].filter((one) => isKilled(one.container));
  const without = observed.nodes.find((one) => one.state === null && !killed.includes(one))?.name;
  list.advise('L3', false, {
    says: 'a master answers, or a replica can take over',
    refusal: `no master answers, and ${inVain}: ${name}, which was killed, is started`,
    measured: `${name}: ${containerWords(container)}`,
    limit: 'one',
    next: startContainer(name),
  });
  const stopped = faults.filter(({ kind, node }) => kind === 'stopped' && killed.some((one) => one.name === node));
  return {
    kind: 'repair',
    faults: [...stopped.filter(({ node }) => node === name), ...stopped.filter(({ node }) => node !== name)],
    source: name,
    target: name,
    ...(without === undefined ? {} : { without }),
  };
}

/** What has a master answer again that runs and does not, is frozen, or has ended. */
function wakeMaster(node: ObservedRedisNode | undefined, name: string): string {
  if (node?.container.status === 'paused') return unfreezeContainer(name);
  return node?.container.running === true ? restartContainer(name) : startContainer(name);
}

/**
 * `WAIT 1` is the word of any replica: one that is silent now, or has more, may hold writes that the target never got. That does
 * not refuse, because a replica that is gone too would keep all writes waiting; the report says what it means.
 * @returns the doubt in half a sentence; undefined where no replica can have more
 */
function checkOthers(
  list: Checklist,
  observed: ObservedRedis,
  source: string,
  target: AnsweringRedis,
): string | undefined {
  const others = observed.nodes.filter(({ name }) => name !== source && name !== target.name);
  if (others.length === 0) return undefined;
  const ahead = others.flatMap(({ name, state }) => {
    if (state === null) return [{ name, why: `${name} does not answer` }];
    if (state.replicationId !== target.state.replicationId) return [{ name, why: `${name} has another history` }];
    const more = state.offset - target.state.offset;
    return more > 0 ? [{ name, why: `${name} has ${formatSize(more)} more than ${target.name}` }] : [];
  });
  const doubt = ahead.map(({ why }) => why).join(', and ');
  list.advise('L2', ahead.length === 0, {
    says: `${target.name} has everything that any replica has`,
    refusal: `writes that were acknowledged with WAIT 1 may be lost: another replica may have some that ${target.name} has not`,
    measured: ahead.length === 0 ? `${others.length + 1} replicas compared` : doubt,
    limit: 'every other replica answers and has no more',
    next: startContainer(ahead[0]?.name ?? ''),
  });
  return ahead.length === 0 ? undefined : doubt;
}

/**
 * A replica that the topology does not have confirms a `WAIT` as any other, and is not among those that are compared.
 * @returns the doubt in half a sentence; undefined where none is known of
 */
function checkStrangers(
  list: Checklist,
  observed: ObservedRedis,
  source: string,
  target: AnsweringRedis,
): string | undefined {
  const { seen } = observed;
  const strange = seen?.master === source ? strangersSay(seen) : undefined;
  if (seen === undefined || strange === undefined) return undefined;
  list.advise('L2', false, {
    says: `${source} had no replica that the topology does not have`,
    refusal: `writes that were acknowledged with WAIT 1 may be lost: a replica that the topology does not have may have some that ${target.name} has not`,
    measured: strange,
    limit: 'replicas of the topology alone',
    next: redisStatus(observed.cluster),
  });
  return strange;
}

/**
 * A replica that lost the master long before the master failed lacks everything since. Who names it as the target takes that, unless it
 * never had anything.
 * @returns whether it was connected until then
 */
function checkFreshness(
  list: Checklist,
  observed: ObservedRedis,
  request: RedisRequest,
  source: string,
  target: AnsweringRedis,
): boolean {
  const { name } = target;
  const { fresh, downMs, silentMs, unheard, cutShort } = freshnessOf(observed, request, source, target);
  const sentinelsSay = unheard
    ? 'no Sentinel that answers has ever heard from it'
    : `the Sentinels have heard nothing for ${formatMs(silentMs)}`;
  const words = {
    says: `${name} was connected to ${source} until it failed`,
    refusal: `${name} was not connected to ${source} when it failed, and lacks what was written since`,
    measured:
      downMs === null
        ? `${name} has had no connection to it since its own start`
        : `${name} has had none for ${formatMs(downMs)}; ${sentinelsSay}`,
    limit: `at most ${formatMs(SILENT_MS)} more`,
    next: wakeMaster(
      observed.nodes.find((one) => one.name === source),
      source,
    ),
  };
  const copied = (downMs !== null && !cutShort) || target.state.keys > 0 || request.asBefore === true;
  if (!copied)
    list.require('L2', false, {
      ...words,
      refusal: `${name} ${cutShort ? 'does not have' : 'has never had'} the data: as the master it would have ${source} copy nothing`,
      measured: cutShort
        ? `${name} has no keys, and its copy of ${source} was cut short`
        : `${name} has no keys, and has had no connection to ${source} since its own start`,
      limit: 'a node that was connected once, or holds keys',
      next: observed.nodes.some((one) => one.name === source && one.container.exists)
        ? startContainer(source)
        : START_STACK,
    });
  else if (request.target === name) list.advise('L2', fresh, words);
  else list.require('L2', fresh, words);
  return fresh;
}

/** Whether a replica was connected until the master failed, and what that is judged by. */
function freshnessOf(
  observed: ObservedRedis,
  { byDeafest }: RedisRequest,
  source: string,
  target: AnsweringRedis,
): { fresh: boolean; downMs: number | null; silentMs: number; unheard: boolean; cutShort: boolean } {
  const { keys, offset, upstream } = target.state;
  const downMs = upstream?.downMs ?? null;
  const heard = heardAgo(observed, source);
  // The latest word of its life: a Sentinel that was cut off together with the replica has heard nothing for as long as that.
  const silentMs = byDeafest ? Math.max(0, ...heard) : Math.min(...(heard.length === 0 ? [0] : heard));
  // A replica whose copy has begun and not ended says 1 for its offset; one that empties itself first has nothing then.
  const cutShort = byDeafest !== true && downMs !== null && upstream?.up !== true && keys === 0 && offset <= 1;
  const follows = upstreamOf(observed, target) === source;
  const fresh = follows && downMs !== null && !cutShort && downMs <= silentMs + SILENT_MS;
  return { fresh, downMs, silentMs, unheard: heard.length === 0, cutShort };
}

/** A master that only this worker can't reach is no failed master. */
function checkSilence(list: Checklist, observed: ObservedRedis, source: string): void {
  const node = observed.nodes.find(({ name }) => name === source);
  const dead = node !== undefined && isStopped(node.container);
  const hear = whoHears(observed, source);
  list.require('I2', dead || hear.length === 0, {
    says: `nobody reaches ${source}`,
    refusal: `${source} does not answer here, but others hear from it`,
    measured: `${hear.join(', ')} heard from it within ${formatMs(HEARD_MS)}`,
    limit: 'none',
    next: knock({ name: source, error: node?.error }),
  });
}
