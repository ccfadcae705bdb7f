import type { Check } from '../check';
import { logs } from '../commands';
import { formatMs } from '../duration';
import { containerWords, isKilled } from '../guard/mending';
import { formatSize } from '../size';
import { Checklist } from '../switchover/checklist';
import type { RedisTopology } from '../topology';
import { redisCli, redisFailover, redisStatus, sentinelCli, START_STACK, startContainer } from './commands';
import { diagnose, faultSays, mostAdvanced, type RedisFault } from './faults';
import {
  answeringNodes,
  answeringSentinels,
  HEARD_MS,
  isStopped,
  majorityOf,
  mastersOf,
  namedMaster,
  nodeAt,
  upstreamOf,
  whoHears,
  type AnsweringRedis,
  type ObservedRedis,
  type ObservedRedisNode,
} from './observed';
import { strangersSay, whyUnseen } from './strangers';

/** What is asked for. */
export interface RedisRequest {
  /** The node that is to be the master. Default: the best replica. */
  target?: string;
  /** Refuse unless this node is the master, or was before it failed. */
  expectedMaster?: string;
  /** `repair`: mend what is not as it should be, and move nothing. */
  only?: 'repair';
  /** Decide as it was done before killed and empty nodes were looked at: for a run that began then, and is replayed. */
  asBefore?: true;
}

/** What a run will do, or why not. */
export interface RedisDecision {
  /**
   * `planned`: the master is moved. `forced`: the master does not answer; a replica takes over. `repair`: something is not as
   * it should be; that is mended, and nothing is moved. `none`: refused, or nothing to do.
   */
  kind: 'planned' | 'forced' | 'repair' | 'none';
  checks: Check[];
  /** The master now; of a forced failover the one that failed. */
  source?: string;
  /** The master afterwards. */
  target?: string;
  faults: RedisFault[];
  /** Of a forced failover: why writes that were acknowledged with `WAIT 1` may be lost too. Absent where nothing says so. */
  doubt?: string;
  /** Of a forced failover: why nobody knows whether they are. Absent where it is known. */
  unseen?: string;
  /** Why there is nothing to do, in a sentence without full stop. */
  alreadyDone?: string;
  /** Of a repair that starts a master that was killed: a node that does not answer, and that is not for this run to bring back. */
  without?: string;
}

/** A replica that heard nothing from its master for this long is not fit for a planned move, in milliseconds. */
const SILENT_MS = 5000;

/** Decides what a run does. Pure: the same picture gives the same answer. */
export function decideRedis(topology: RedisTopology, observed: ObservedRedis, request: RedisRequest): RedisDecision {
  const list = new Checklist();
  checkTarget(list, topology, observed, request);
  checkSentinels(list, topology, observed);
  const decided = choose(list, topology, observed, request);
  const refused = list.checks.some(({ result }) => result === 'refuse');
  return { ...decided, ...(refused ? { kind: 'none' as const } : {}), checks: list.checks };
}

function choose(
  list: Checklist,
  topology: RedisTopology,
  observed: ObservedRedis,
  request: RedisRequest,
): Omit<RedisDecision, 'checks'> {
  const found = diagnose(observed, request.asBefore);
  if ('undecided' in found) {
    list.require('L3', false, {
      says: 'one node is the master',
      refusal: 'nobody but a person can say which node is right',
      measured: found.undecided,
      limit: 'one master, which a majority of the Sentinels names',
      next: found.next ?? redisCli(mastersOf(observed)[0]?.name ?? observed.nodes[0]?.name ?? '', 'info replication'),
    });
    return { kind: 'none', faults: [] };
  }
  const { faults } = found;
  const [master] = mastersOf(observed);
  const failed = master === undefined && !faults.some(({ kind }) => kind === 'no master');
  const source = master?.name ?? lastMaster(observed);
  checkExpected(list, observed, request, source);
  if (failed) return forced(list, observed, request, source, faults);

  if (faults.length > 0) {
    const right = faults.find(({ kind }) => kind === 'no master')?.node ?? rightMaster(observed);
    // Who names a target wants a move, and would take a repair for it.
    const wantsMove = request.target !== undefined && request.target !== right;
    const left = {
      says: 'one master, and everybody agrees on it',
      measured: faults.map(faultSays).join('; '),
      limit: 'none',
      next: redisFailover(observed.cluster, '--repair'),
    };
    if (wantsMove)
      list.require('L3', false, { ...left, refusal: 'something is not as it should be, and is mended first' });
    else
      list.advise('L3', false, {
        ...left,
        refusal: 'something is not as it should be; it is mended first, and the master stays',
      });
    return { kind: 'repair', faults, source: right, target: right };
  }
  list.require('L3', true, {
    says: 'one master, and all Sentinels that answer name it',
    refusal: '',
    measured: `${source}`,
    limit: 'one',
    next: '',
  });
  if (request.only === 'repair')
    return { kind: 'none', faults, source, target: source, alreadyDone: 'everything is as it should be' };
  if (request.target !== undefined && request.target === source)
    return { kind: 'none', faults, source, target: source, alreadyDone: `${source} is the master already` };
  return planned(list, topology, observed, request, master);
}

function planned(
  list: Checklist,
  topology: RedisTopology,
  observed: ObservedRedis,
  request: RedisRequest,
  master: AnsweringRedis | undefined,
): Omit<RedisDecision, 'checks'> {
  if (master === undefined) return { kind: 'none', faults: [] };
  const replicas = answeringNodes(observed).filter((node) => node.state.role === 'replica');
  const target =
    request.target === undefined
      ? [...replicas].sort((a, b) => Number(isFit(b)) - Number(isFit(a)) || b.state.offset - a.state.offset)[0]
      : replicas.find(({ name }) => name === request.target);
  const missing = request.target ?? observed.nodes.find(({ name }) => name !== master.name)?.name ?? '';
  const fit = list.require('L1', target !== undefined && isFit(target), {
    says: 'a replica is fit to take over',
    refusal: target === undefined ? 'no replica answers' : `${target.name} is not fit to take over`,
    measured: target === undefined ? (nodeError(observed, missing) ?? 'there is none') : fitness(target),
    limit: `connected to the master, heard from within ${formatMs(SILENT_MS)}, nothing to load, its file is written`,
    next: target === undefined ? startContainer(missing) : logs(target.name),
  });
  if (!fit || target === undefined) return { kind: 'none', faults: [], source: master.name };
  const sameHistory = target.state.replicationId === master.state.replicationId;
  const lag = Math.max(0, master.state.offset - target.state.offset);
  list.require('L2', sameHistory && lag <= topology.limits.lagBytes, {
    says: `${target.name} has what ${master.name} has, but for what is on its way`,
    refusal: sameHistory ? `${target.name} is behind` : `${target.name} has another history than ${master.name}`,
    measured: sameHistory ? `${formatSize(lag)} behind` : 'their replication ids differ',
    limit: `limits.lagBytes ${formatSize(topology.limits.lagBytes)}`,
    next: redisCli(master.name, 'info replication'),
  });
  return { kind: 'planned', faults: [], source: master.name, target: target.name };
}

function forced(
  list: Checklist,
  observed: ObservedRedis,
  request: RedisRequest,
  source: string | undefined,
  faults: RedisFault[],
): Omit<RedisDecision, 'checks'> {
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
    const inVain = whyNoneTakesOver(observed, source, target);
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
  // A master that a person stopped has its data.
  const ended = node !== undefined && isStopped(node.container);
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
    next: startContainer(ended ? source : (observed.nodes.find(({ name }) => name !== source)?.name ?? source)),
  });
  checkSilence(list, observed, source);
  if (target === undefined) return { kind: 'forced', faults, source };
  const fresh = checkFreshness(list, observed, request, source, target);
  const missed = checkOthers(list, observed, source, target);
  const strange = checkStrangers(list, observed, source, target);
  const late = fresh ? undefined : `${target.name} was not connected to ${source} when it failed`;
  const doubt = missed ?? strange ?? late;
  const unseen = doubt === undefined ? whyUnseen(observed, source) : undefined;
  return {
    kind: 'forced',
    faults,
    source,
    target: target.name,
    ...(doubt === undefined ? {} : { doubt }),
    ...(unseen === undefined ? {} : { unseen }),
  };
}

/** Why no replica takes over without a person's word, in half a sentence; undefined where one does. */
function whyNoneTakesOver(
  observed: ObservedRedis,
  source: string,
  target: AnsweringRedis | undefined,
): string | undefined {
  if (target !== undefined)
    return freshnessOf(observed, source, target).fresh
      ? undefined
      : `${target.name} was not connected to ${source} when it failed`;
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
): Omit<RedisDecision, 'checks'> {
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
  const { fresh, downMs, silentMs } = freshnessOf(observed, source, target);
  const words = {
    says: `${name} was connected to ${source} until it failed`,
    refusal: `${name} was not connected to ${source} when it failed, and lacks what was written since`,
    measured:
      downMs === null
        ? `${name} has had no connection to it since its own start`
        : `${name} has had none for ${formatMs(downMs)}; the Sentinels have heard nothing for ${formatMs(silentMs)}`,
    limit: `at most ${formatMs(SILENT_MS)} more`,
    next: startContainer(source),
  };
  const copied = downMs !== null || target.state.keys > 0 || request.asBefore === true;
  if (!copied)
    list.require('L2', false, {
      ...words,
      refusal: `${name} has never had the data: as the master it would have ${source} copy nothing`,
      measured: `${name} has no keys, and has had no connection to ${source} since its own start`,
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
  source: string,
  target: AnsweringRedis,
): { fresh: boolean; downMs: number | null; silentMs: number } {
  const downMs = target.state.upstream?.downMs ?? null;
  const silentMs = Math.max(
    0,
    ...answeringSentinels(observed)
      .filter((sentinel) => nodeAt(observed, sentinel.state.master)?.name === source)
      .map((sentinel) => sentinel.state.master?.lastAnswerMs ?? 0),
  );
  const fresh = upstreamOf(observed, target) === source && downMs !== null && downMs <= silentMs + SILENT_MS;
  return { fresh, downMs, silentMs };
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
    next: redisCli(source, 'ping'),
  });
}

function checkTarget(
  list: Checklist,
  topology: RedisTopology,
  observed: ObservedRedis,
  { target }: RedisRequest,
): void {
  if (target === undefined) return;
  const names = topology.nodes.map(({ name }) => name);
  list.require('A1', names.includes(target), {
    says: `${target} is a Redis node of the cluster`,
    refusal: `${target} is no Redis node of the cluster`,
    measured: target,
    limit: `one of ${names.join(', ')}`,
    next: redisStatus(observed.cluster),
  });
}

function checkExpected(
  list: Checklist,
  observed: ObservedRedis,
  { expectedMaster }: RedisRequest,
  source: string | undefined,
): void {
  if (expectedMaster === undefined) return;
  list.require('A1', expectedMaster === source, {
    says: `${expectedMaster} is the master`,
    refusal: `${expectedMaster} is not the master`,
    measured: source === undefined ? 'nobody knows who is' : `${source} is, or was before it failed`,
    limit: expectedMaster,
    next: redisStatus(observed.cluster),
  });
}

function checkSentinels(list: Checklist, topology: RedisTopology, observed: ObservedRedis): void {
  const there = answeringSentinels(observed);
  const silent = observed.sentinels.filter(({ state }) => state === null);
  list.require('L1', there.length >= majorityOf(observed), {
    says: 'a majority of the Sentinels answers',
    refusal: 'no majority of the Sentinels answers',
    measured: `${there.length} of ${observed.sentinels.length} answer`,
    limit: `at least ${majorityOf(observed)}`,
    next: startContainer(silent[0]?.name ?? ''),
  });
  if (silent.length > 0 && there.length >= majorityOf(observed))
    list.advise('L1', false, {
      says: 'every Sentinel answers',
      refusal: `${silent.map(({ name }) => name).join(', ')} can't be asked; it learns of a new master from the others`,
      measured: silent[0]?.error ?? 'no answer',
      limit: 'all of them',
      next: startContainer(silent[0]?.name ?? ''),
    });
  const others = observed.sentinels.length - 1;
  const strange = there.find(({ state }) => state.master !== null && state.others !== others);
  if (strange !== undefined)
    list.advise('L1', false, {
      says: 'every Sentinel knows all others',
      refusal: `${strange.name} knows another number of Sentinels than there are`,
      measured: `${strange.state.others}`,
      limit: `${others}`,
      next: sentinelCli(strange.name, `sentinels ${topology.master}`),
    });
  const busy = there.find(({ state }) => state.master?.flags.includes('failover_in_progress') === true);
  if (busy !== undefined)
    list.require('L1', false, {
      says: 'no Sentinel is failing over',
      refusal: 'a Sentinel is failing over, and a second failover beside it could end with two masters',
      measured: `${busy.name} says failover_in_progress`,
      limit: 'none',
      next: redisStatus(observed.cluster),
    });
}

/** The master that faults are measured against: the one that the Sentinels name, of several. */
function rightMaster(observed: ObservedRedis): string | undefined {
  const masters = mastersOf(observed);
  return masters.length === 1 ? masters[0]?.name : namedMaster(observed);
}

/** Who was the master: the Sentinels say so, or whoever the replicas still want to follow. */
function lastMaster(observed: ObservedRedis): string | undefined {
  const named = namedMaster(observed);
  if (named !== undefined) return named;
  const followed = new Set(
    answeringNodes(observed).flatMap((node) => {
      const upstream = upstreamOf(observed, node);
      return upstream === undefined ? [] : [upstream];
    }),
  );
  return followed.size === 1 ? [...followed][0] : undefined;
}

const nodeError = (observed: ObservedRedis, name: string): string | undefined =>
  observed.nodes.find((node) => node.name === name)?.error;

function isFit({ state }: AnsweringRedis): boolean {
  return state.upstream?.up === true && state.upstream.silentMs <= SILENT_MS && !state.loading && state.writesFile;
}

function fitness({ name, state }: AnsweringRedis): string {
  const { upstream } = state;
  if (upstream === null) return `${name} follows nobody`;
  if (!upstream.up) return `${name} is ${upstream.syncing ? 'being copied' : 'not connected'}`;
  if (state.loading) return `${name} reads its files`;
  if (!state.writesFile) return `${name} can't write its append-only file`;
  return `${name} heard from its master ${formatMs(upstream.silentMs)} ago`;
}
