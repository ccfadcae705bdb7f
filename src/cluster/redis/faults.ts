import { redisCli } from './commands';
import {
  answeringNodes,
  answeringSentinels,
  mastersOf,
  namedMaster,
  nodeAt,
  upstreamOf,
  waitsForCopy,
  whoHears,
  type AnsweringRedis,
  type ObservedRedis,
  type RedisContainer,
} from './observed';

/** Something that is not as it should be, and that a run can mend. */
export type RedisFault =
  /** A container does not run, or is frozen; `status` is Docker's word. */
  | { kind: 'stopped'; node: string; status: string }
  /**
   * A run that could not end a node took it off its networks, and it has not ended since: it hangs, or was started by hand. `status` is
   * Docker's word.
   */
  | { kind: 'cut off'; node: string; status: string }
  /** Every node is a replica: nobody takes writes. The named one has everything that any of them has. */
  | { kind: 'no master'; node: string }
  /** A node is a master beside the one that the Sentinels name. */
  | { kind: 'second master'; node: string; master: string }
  /** A replica follows nobody, or somebody who is not the master. */
  | { kind: 'astray'; node: string; master: string; follows: string }
  /**
   * A replica follows the master and has not been connected to it for {@link APART_MS}, is not being copied, and does not wait for that
   * ({@link waitsForCopy}). Others hear from the master: where nobody does, it is the master that is cut off, and the replica is to take
   * over.
   */
  | { kind: 'apart'; node: string; master: string }
  /** A Sentinel tells clients somebody else, or nothing. */
  | { kind: 'wrong word'; node: string; master: string; says: string }
  /**
   * A Sentinel names the master and gets no answer from it, which others do: its password or the address that it holds is wrong. Its
   * vote is a false one, and two of them fail over from a master that is well.
   */
  | { kind: 'blind'; node: string; master: string };

/**
 * A Sentinel that a master has not answered for this long, in milliseconds, does not see it. It asks each second, and connects again as
 * often.
 */
export const BLIND_MS = 10_000;

/** A replica whose connection is down for this long does not come back by itself, in milliseconds: it tries again each second. */
export const APART_MS = 10_000;

/**
 * Names a fault, by kind and node, so that a later look tells it from a new one. A Sentinel that was told in vain may be left with another
 * word, and one of several nodes with the same data may be named as the next master: neither is another fault.
 */
export function faultKey({ kind, node }: RedisFault): string {
  if (kind === 'no master') return kind;
  return `${kind === 'blind' ? 'wrong word' : kind} ${node}`;
}

/** A fault in half a sentence. */
export function faultSays(fault: RedisFault): string {
  switch (fault.kind) {
    case 'stopped':
      return `the container ${fault.node} ${fault.status === 'paused' ? 'is frozen' : 'does not run'}`;
    case 'cut off':
      return `a run that could not end ${fault.node} took it off its Docker networks`;
    case 'no master':
      return `no node is a master; ${fault.node} has everything that any of them has`;
    case 'second master':
      return `${fault.node} is a master beside ${fault.master}, which the Sentinels name`;
    case 'astray':
      return `${fault.node} follows ${fault.follows} in place of ${fault.master}`;
    case 'apart':
      return `${fault.node} is not connected to ${fault.master}`;
    case 'wrong word':
      return `${fault.node} tells clients ${fault.says} in place of ${fault.master}`;
    case 'blind':
      return `${fault.node} gets no answer from ${fault.master}, which others hear`;
  }
}

/** What mends it, in the imperative. */
export function remedySays(fault: RedisFault): string {
  switch (fault.kind) {
    case 'stopped':
      return fault.status === 'paused' ? `Have ${fault.node} run again` : `Start ${fault.node}`;
    case 'cut off':
      return `End ${fault.node}, put it on its networks again, and start it`;
    case 'no master':
      return `Make ${fault.node} the master`;
    case 'second master':
      return `Make ${fault.node} a replica of ${fault.master}; what only it had is gone then`;
    case 'astray':
      return `Have ${fault.node} follow ${fault.master}`;
    case 'apart':
      return `Have ${fault.node} follow ${fault.master} anew; where that is in vain restart it`;
    case 'wrong word':
      return `Tell ${fault.node} that ${fault.master} is the master`;
    case 'blind':
      return `Have ${fault.node} watch ${fault.master} anew, with the password`;
  }
}

/** The faults, those first that have to be mended first; or why nobody but a person can say what is right, and what to run. */
export type Diagnosis = { faults: RedisFault[] } | { undecided: string; next?: string };

/**
 * Finds what is not as it should be. Pure.
 *
 * The master is the node that is one. Where two are, the Sentinels' majority says which; where none is, it is the one with the
 * most of the same history. Where that leaves a doubt nothing is mended: the wrong choice loses writes.
 * @param asBefore an empty master that the Sentinels name is right whatever another one has, as it was before that was looked at
 */
export function diagnose(observed: ObservedRedis, asBefore = false): Diagnosis {
  const stopped = [...observed.nodes, ...observed.sentinels]
    .filter(({ state, container }) => state === null && container.exists && (!container.running || isCutOff(container)))
    .map(({ name, container }): RedisFault => ({
      kind: container.running ? 'cut off' : 'stopped',
      node: name,
      status: container.status,
    }));
  const masters = mastersOf(observed);
  const named = namedMaster(observed);
  const [first, second] = masters;

  if (first === undefined) return withoutMaster(observed, stopped, named);
  if (second !== undefined && !masters.some(({ name }) => name === named)) {
    const names = masters.map(({ name }) => name).join(' and ');
    return { undecided: `${names} are masters, and no majority of the Sentinels names one of them` };
  }
  const empty = asBefore ? undefined : emptyBeside(masters, named);
  if (empty !== undefined) return empty;
  const master = second === undefined ? first.name : (named ?? first.name);
  const doubt = named === master ? undefined : doubtAbout(observed, first);
  if (doubt !== undefined) return { undecided: doubt };
  return { faults: [...faultsBeside(observed, master), ...stopped] };
}

/** A run took it off its networks. */
const isCutOff = ({ offNetworks }: RedisContainer): boolean => offNetworks?.by === 'run';

/**
 * Why a master that no majority of the Sentinels names may be the wrong one: an old master that came back has no more right
 * than the one that replaced it and that is silent now. Undefined where nobody can have more than it has.
 */
function doubtAbout(observed: ObservedRedis, master: AnsweringRedis): string | undefined {
  const alone = `${master.name} is a master that no majority of the Sentinels names`;
  const silent = observed.nodes.find(({ state }) => state === null);
  if (silent !== undefined) return `${alone}, and ${silent.name}, which may have more, does not answer`;
  const stranger = answeringNodes(observed).find(
    (node) =>
      node.name !== master.name &&
      upstreamOf(observed, node) !== master.name &&
      node.state.replicationId !== master.state.replicationId,
  );
  return stranger === undefined ? undefined : `${alone}, and ${stranger.name} has another history`;
}

/**
 * Whoever follows a master copies what it has, and be it nothing: a second master that holds data does not follow one that holds none.
 * That one may have been made the master before it ever had the data; or somebody deleted them, which only a person knows.
 */
function emptyBeside(
  masters: readonly AnsweringRedis[],
  named: string | undefined,
): { undecided: string; next: string } | undefined {
  const right = masters.find(({ name }) => name === named);
  if (right === undefined || right.state.keys > 0 || right.state.loading) return undefined;
  // What one holds that still reads its files is not known yet.
  const holder = masters.find(({ state }) => state.keys > 0 || state.loading);
  if (holder === undefined) return undefined;
  const { host, port } = holder.internal;
  const has = holder.state.loading ? 'reads its files' : `has ${holder.state.keys}`;
  return {
    undecided: `${right.name}, which the Sentinels name, has no keys, and ${holder.name} is a master too and ${has}: what it has would be gone if it followed`,
    next: redisCli(right.name, `replicaof ${host} ${port}`),
  };
}

/**
 * For how long a replica has not been connected to whom it follows, in milliseconds; 0 where it is, is being copied or reads its files, and
 * where nobody knows. One that never was since its server's start has not been for as long.
 */
function apartMs({ state: { upstream, loading, upMs } }: AnsweringRedis): number {
  return upstream === null || upstream.up || upstream.syncing || loading ? 0 : (upstream.downMs ?? upMs ?? 0);
}

/** Everything that is not in line with that master. */
function faultsBeside(observed: ObservedRedis, master: string): RedisFault[] {
  const faults: RedisFault[] = [];
  const heard = whoHears(observed, master).length > 0;
  const its = observed.nodes.find(({ name }) => name === master)?.state;
  for (const node of answeringNodes(observed)) {
    if (node.name === master) continue;
    if (node.state.role === 'master') faults.push({ kind: 'second master', node: node.name, master });
    else if (upstreamOf(observed, node) !== master) {
      const { host = 'nobody', port = 0 } = node.state.upstream ?? {};
      faults.push({ kind: 'astray', node: node.name, master, follows: `${host}:${port}` });
    } else if (heard && apartMs(node) >= APART_MS && waitsForCopy(node.internal, its) === undefined)
      faults.push({ kind: 'apart', node: node.name, master });
  }
  for (const { name, state } of answeringSentinels(observed)) {
    const said = nodeAt(observed, state.master)?.name;
    if (said === master) {
      if (heard && (state.master?.lastAnswerMs ?? 0) > BLIND_MS) faults.push({ kind: 'blind', node: name, master });
      continue;
    }
    const says = said ?? (state.master === null ? 'nothing' : `${state.master.host}:${state.master.port}`);
    faults.push({ kind: 'wrong word', node: name, master, says });
  }
  return faults;
}

function withoutMaster(observed: ObservedRedis, stopped: RedisFault[], named: string | undefined): Diagnosis {
  const there = answeringNodes(observed);
  const missing = observed.nodes.filter(({ state }) => state === null);
  // Somebody who is silent may be the master, or have more: that is a failover and no repair.
  if (missing.length > 0 || there.length === 0) return { faults: stopped };
  const best = mostAdvanced(withData(there), named);
  if (best === undefined)
    return { undecided: 'no node is a master, and the nodes have different histories: nobody can say which has more' };
  return { faults: [{ kind: 'no master', node: best.name }, ...stopped] };
}

/** A node whose volume was lost has a history of its own, and nothing that anybody could lose: where others hold data it has no say. */
export function withData(nodes: readonly AnsweringRedis[]): AnsweringRedis[] {
  // What one holds that still reads its files is not known yet.
  const holders = nodes.filter(({ state }) => state.keys > 0 || state.loading);
  return holders.length === 0 ? [...nodes] : holders;
}

/**
 * The node that has everything that the others have; of equals the one that is preferred. Undefined where the nodes have
 * different histories, so that their offsets do not compare.
 */
export function mostAdvanced(nodes: readonly AnsweringRedis[], preferred?: string): AnsweringRedis | undefined {
  const [first] = nodes;
  if (first === undefined || nodes.some(({ state }) => state.replicationId !== first.state.replicationId))
    return undefined;
  return [...nodes].sort(
    (a, b) => b.state.offset - a.state.offset || Number(b.name === preferred) - Number(a.name === preferred),
  )[0];
}
