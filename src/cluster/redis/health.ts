import type { Check } from '../check';
import { logs } from '../commands';
import { formatMs } from '../duration';
import { offNetworksSays } from '../off-networks';
import { Checklist } from '../switchover/checklist';
import type { RedisTopology } from '../topology';
import { ailmentsOf } from './ailments';
import { isLooping, lookAt, LOOPS } from './away';
import { heardByOthers, knock } from './barred';
import { redisCli, redisFailover, redisStatus, START_STACK } from './commands';
import { BLIND_MS, diagnose, faultSays, withData, type RedisFault } from './faults';
import {
  answeringNodes,
  answeringSentinels,
  majorityOf,
  mastersOf,
  waitsForCopy,
  type ObservedRedis,
} from './observed';
import { mistakesOf } from './mistaken';
import { impatienceOf } from './patience';
import { moveThatMends } from './refusal';
import { strangersOf } from './strangers';
import { waitingSentinel } from './waiting';

/** A replica is told as silent after this long, in milliseconds. Masters ping their replicas every second. */
const SILENT_MS = 5000;

/** What is not as it should be, worst first, each with the command that mends it. Pure. Empty: all is well. */
export function redisFindings(topology: RedisTopology, observed: ObservedRedis): Check[] {
  const list = new Checklist();
  checkMaster(list, observed);
  checkNodes(list, topology, observed);
  checkStrangers(list, observed);
  checkSentinels(list, topology, observed);
  const worth = ({ result }: Check) => (result === 'refuse' ? 0 : 1);
  return list.checks.filter(({ result }) => result !== 'ok').sort((a, b) => worth(a) - worth(b));
}

function checkMaster(list: Checklist, observed: ObservedRedis): void {
  const found = diagnose(observed);
  if ('undecided' in found) {
    list.require('L3', false, {
      says: 'one node is the master',
      refusal: 'nobody but a person can say which node is right',
      measured: found.undecided,
      limit: 'one master, which a majority of the Sentinels names',
      next: found.next ?? redisCli(mastersOf(observed)[0]?.name ?? observed.nodes[0]?.name ?? '', 'info replication'),
    });
    return;
  }
  const master = mastersOf(observed).length > 0 || found.faults.some(({ kind }) => kind === 'no master');
  const silent = observed.nodes.find(({ state }) => state === null);
  const heard = master ? undefined : heardByOthers(observed);
  if (heard !== undefined)
    list.require('L3', false, {
      says: '',
      refusal: heard.refusal,
      measured: heard.measured,
      limit: 'a new connection gets an answer',
      next: knock(heard.node),
    });
  else
    list.require('L3', master, {
      says: 'a master answers',
      refusal: 'no master answers: the Sentinels promote a replica, where a majority of them can',
      measured: silent === undefined ? 'every node is a replica' : `${silent.name}: ${silent.error ?? 'no answer'}`,
      limit: 'one',
      next: observed.nodes.every(({ container }) => container.status === 'absent')
        ? START_STACK
        : redisFailover(observed.cluster),
    });
  if (mastersOf(observed).length === 0) tellEmpty(list, observed);
  const masters =
    mastersOf(observed)
      .map(({ name }) => name)
      .join(', ') || 'none';
  // A replica that is not connected is told with the nodes.
  for (const fault of found.faults.filter(({ kind }) => kind !== 'apart'))
    list.require(['stopped', 'cut off'].includes(fault.kind) ? 'L1' : 'L3', false, {
      says: '',
      refusal: faultSays(fault),
      ...measuredOf(fault, observed, masters),
      next: redisFailover(observed.cluster, '--repair'),
    });
}

/** An empty node that waits, so that nobody copies nothing from it. */
function tellEmpty(list: Checklist, observed: ObservedRedis): void {
  const there = answeringNodes(observed);
  const holders = withData(there);
  for (const { name } of there.filter((node) => !holders.includes(node)))
    list.require('L3', false, {
      says: `${name} holds data`,
      refusal: `${name} came back empty, and takes no role while another node holds data: it would be copied`,
      measured: `0 keys; ${holders.map((node) => `${node.name} has ${node.state.keys}`).join(', ')}`,
      limit: 'a master that holds the data',
      next: redisFailover(observed.cluster, '--repair'),
    });
}

function measuredOf(fault: RedisFault, observed: ObservedRedis, masters: string): { measured: string; limit: string } {
  if (fault.kind === 'stopped' || fault.kind === 'cut off')
    return { measured: `Docker says ${fault.status}`, limit: 'none' };
  if (fault.kind !== 'blind') return { measured: `masters now: ${masters}`, limit: 'none' };
  const seen = answeringSentinels(observed).find(({ name }) => name === fault.node)?.state.master;
  return {
    measured: `its last answer came ${formatMs(seen?.lastAnswerMs ?? 0)} ago (${seen?.flags.join(', ') ?? 'no flags'})`,
    limit: formatMs(BLIND_MS),
  };
}

function checkNodes(list: Checklist, topology: RedisTopology, observed: ObservedRedis): void {
  // Those that do not run, or that a run took off its networks, are told as faults already.
  for (const { name, state, container, error } of observed.nodes)
    if (state === null && (container.running || !container.exists) && container.offNetworks?.by !== 'run')
      list.require('L1', false, {
        says: '',
        refusal: isLooping(container)
          ? `${name} ${LOOPS}`
          : `${name} does not answer${container.offNetworks === undefined ? '' : `: ${offNetworksSays(container.offNetworks)}`}`,
        measured: `${error ?? 'no answer'}; Docker says ${container.status}`,
        limit: 'every node answers',
        next: lookAt(name, container),
      });
  const [master] = mastersOf(observed);
  const found = diagnose(observed);
  const apart = 'faults' in found ? found.faults.filter(({ kind }) => kind === 'apart').map(({ node }) => node) : [];
  for (const node of answeringNodes(observed)) {
    const { name, state } = node;
    const { upstream } = state;
    for (const { kind, next, ...ailment } of ailmentsOf(node, master)) {
      const moves = kind === 'refuses' ? moveThatMends(topology, observed)?.next : undefined;
      list.require('L1', false, { says: '', ...ailment, next: moves ?? next });
    }
    list.require('L1', state.writesFile, {
      says: `${name} writes its append-only file`,
      refusal: `${name} can't write its append-only file`,
      measured: 'aof_last_write_status is err',
      limit: 'ok',
      next: redisCli(name, 'info persistence'),
    });
    if (upstream === null) continue;
    const waits = upstream.up || upstream.syncing ? undefined : waitsForCopy(node.internal, master?.state);
    list.require('L1', upstream.up && upstream.silentMs <= SILENT_MS, {
      says: `${name} is connected to its master`,
      refusal: upstream.syncing ? `${name} is being copied` : `${name} is not connected to its master`,
      measured: upstream.up
        ? `silent for ${formatMs(upstream.silentMs)}`
        : `master_link_status is down${waits === undefined ? '' : `; it ${waits}`}`,
      limit: `up, heard from within ${formatMs(SILENT_MS)}`,
      next: apart.includes(name)
        ? redisFailover(observed.cluster, '--repair')
        : waits === undefined || master === undefined
          ? logs(name)
          : redisCli(master.name, 'info persistence'),
    });
  }
}

/** It is promised that what was acknowledged with `WAIT 1` survives the master; a stranger's word breaks that. */
function checkStrangers(list: Checklist, observed: ObservedRedis): void {
  for (const { name } of mastersOf(observed)) {
    const strangers = strangersOf(observed, name);
    list.advise('L2', strangers.length === 0, {
      says: `${name} has no replica that the topology does not have`,
      refusal: `${name} has a replica that the topology does not have: WAIT counts it, a failover does not ask it, and the Sentinels may promote it`,
      measured: strangers.join(', '),
      limit: 'none: end it, or add it to the topology (redis.nodes)',
      next: redisCli(name, 'info replication'),
    });
  }
}

function checkSentinels(list: Checklist, topology: RedisTopology, observed: ObservedRedis): void {
  const there = answeringSentinels(observed);
  const silent = observed.sentinels.filter(({ state }) => state === null);
  const waiting = waitingSentinel(observed);
  if (waiting !== undefined && there.length < majorityOf(observed)) {
    list.require('L3', false, {
      says: 'the Sentinels know who was the master last',
      refusal: 'the Sentinels lost what they knew, and wait: the wrong master would have the newer data copied over',
      measured: `${waiting.name}: ${waiting.says}`,
      limit: 'every node answers, and one of them is known to be the newest',
      next: waiting.next,
    });
    return;
  }
  list.require('L1', there.length >= majorityOf(observed), {
    says: 'a majority of the Sentinels answers',
    refusal: 'no majority of the Sentinels answers: nobody fails over',
    measured: `${there.length} of ${observed.sentinels.length} answer`,
    limit: `at least ${majorityOf(observed)}`,
    next: silent[0] === undefined ? redisStatus(observed.cluster) : lookAt(silent[0].name, silent[0].container),
  });
  for (const { name, container, error } of silent)
    if (container.running || !container.exists)
      list.advise('L1', false, {
        says: '',
        refusal: isLooping(container) ? `${name} ${LOOPS}` : `${name} does not answer`,
        measured: `${error ?? 'no answer'}; Docker says ${container.status}`,
        limit: 'every Sentinel answers',
        next: lookAt(name, container),
      });
  for (const { sentinel, means, is, runId } of mistakesOf(observed))
    list.require('L3', false, {
      says: '',
      refusal: `${sentinel} takes ${is} for ${means}: what it tells the one, such as whom to follow, it tells the other`,
      measured: `where it means ${means} it is connected to the server of ${is} (run ${runId.slice(0, 8)})`,
      limit: 'each node is taken for itself',
      // Started anew it looks all names up.
      next: `docker restart ${sentinel}`,
    });
  for (const { name, state } of there) {
    list.advise('L1', state.master === null || state.quorum === topology.quorum, {
      says: `${name} has the quorum of the topology`,
      refusal: `${name} has another quorum than the topology`,
      measured: `${state.quorum}`,
      limit: `redis.quorum ${topology.quorum}`,
      next: `docker restart ${name}`,
    });
    const others = there.filter((other) => other.name !== name);
    const impatience = state.master === null ? undefined : impatienceOf({ name, state }, others);
    if (impatience !== undefined) list.advise('L1', false, { says: '', ...impatience });
    list.advise('L1', state.master === null || state.quorate.ok, {
      says: `${name} sees a quorum`,
      refusal: `${name} sees no quorum for a failover`,
      measured: state.quorate.says,
      limit: `${topology.quorum} usable Sentinels, and a majority`,
      next: logs(name),
    });
  }
}
