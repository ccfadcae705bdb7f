import { wasStoppedByHand } from '../guard/mending';
import { Checklist } from '../switchover/checklist';
import type { RedisTopology } from '../topology';
import { redisCli, redisFailover, redisStatus, sentinelCli, startContainer } from './commands';
import type { Decided, RedisDecision, RedisRequest } from './decision';
import { diagnose, faultSays } from './faults';
import { forced } from './forced';
import {
  answeringNodes,
  answeringSentinels,
  majorityOf,
  mastersOf,
  namedMaster,
  upstreamOf,
  type ObservedRedis,
} from './observed';
import { planned } from './planned';
import { waitingSentinel } from './waiting';

/** Decides what a run does. Pure: the same picture gives the same answer. */
export function decideRedis(topology: RedisTopology, observed: ObservedRedis, request: RedisRequest): RedisDecision {
  const list = new Checklist();
  checkTarget(list, topology, observed, request);
  checkSentinels(list, topology, observed);
  const decided = choose(list, topology, observed, request);
  const leaves = leftAlone(observed, request);
  const refused = list.checks.some(({ result }) => result === 'refuse');
  return {
    ...decided,
    ...(leaves.length === 0 ? {} : { leaves }),
    ...(refused ? { kind: 'none' as const } : {}),
    checks: list.checks,
  };
}

function choose(list: Checklist, topology: RedisTopology, observed: ObservedRedis, request: RedisRequest): Decided {
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
  const left = leftAlone(observed, request);
  const faults = found.faults.filter(
    ({ kind, node }) =>
      !(kind === 'stopped' && left.includes(node)) && !(kind === 'apart' && request.leaveApart === true),
  );
  const [master] = mastersOf(observed);
  const failed = master === undefined && !faults.some(({ kind }) => kind === 'no master');
  const source = master?.name ?? lastMaster(observed);
  checkExpected(list, observed, request, source);
  if (failed) return forced(list, observed, request, source, faults);

  if (faults.length > 0) {
    const right = faults.find(({ kind }) => kind === 'no master')?.node ?? rightMaster(observed);
    // Who names a target wants a move, and would take a repair for it.
    const wantsMove = request.target !== undefined && request.target !== right;
    const agreed = {
      says: 'one master, and everybody agrees on it',
      measured: faults.map(faultSays).join('; '),
      limit: 'none',
      next: redisFailover(observed.cluster, '--repair'),
    };
    if (wantsMove)
      list.require('L3', false, { ...agreed, refusal: 'something is not as it should be, and is mended first' });
    else
      list.advise('L3', false, {
        ...agreed,
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

/** What a person stopped; of Sentinels also what a person froze. A frozen node may have been the master, and is not left so. */
function leftAlone({ nodes, sentinels }: ObservedRedis, { leaveStopped }: RedisRequest): string[] {
  if (leaveStopped !== true) return [];
  const stopped = [...nodes, ...sentinels].filter(
    ({ state, container }) => state === null && wasStoppedByHand(container),
  );
  const frozen = sentinels.filter(({ state, container }) => state === null && container.status === 'paused');
  return [...stopped, ...frozen].map(({ name }) => name);
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
  const waiting = waitingSentinel(observed);
  list.require('L1', there.length >= majorityOf(observed), {
    says: 'a majority of the Sentinels answers',
    refusal: 'no majority of the Sentinels answers',
    measured:
      waiting === undefined
        ? `${there.length} of ${observed.sentinels.length} answer`
        : `${waiting.name} lost what it knew, and waits: ${waiting.says}`,
    limit: `at least ${majorityOf(observed)}`,
    next: waiting?.next ?? startContainer(silent[0]?.name ?? ''),
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
