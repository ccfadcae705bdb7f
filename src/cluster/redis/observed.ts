import type { OffNetworks } from '../off-networks';
import type { Endpoint, RedisTopology } from '../topology';
import { internalRedisEndpoint } from '../topology';

/** What a Redis node says about itself. */
export interface RedisState {
  role: 'master' | 'replica';
  /** Names one history of writes. Offsets compare only between nodes that share it. */
  replicationId: string;
  /** Bytes of the history that this node has carried out. */
  offset: number;
  /** On a replica: whom it follows, and how that goes. */
  upstream: {
    host: string;
    port: number;
    up: boolean;
    syncing: boolean;
    /** Since it last heard from it, while it is up. Redis counts whole seconds. */
    silentMs: number;
    /** For how long the connection has been down; 0 while it is up; null where there was none since the node's start. */
    downMs: number | null;
  } | null;
  /**
   * On a master: the replicas that are connected; `state` is Redis's word: `online`, or one of {@link waitsForCopy}.
   */
  replicas: { host: string; port: number; state: string; offset: number; silentMs: number }[];
  /** It still reads its files. */
  loading: boolean;
  /** The last attempt to write the append-only file ended well; true where it keeps none. */
  writesFile: boolean;
  /** Why a master does not take a write that changes nothing; absent where it does, or was not asked. */
  refusesWrites?: string;
  /** Commands of a move that it refuses whoever asks (ACL); absent where it does not say. */
  denied?: string[];
  /** Absent where it does not say. */
  settings?: RedisSettings;
  /** It keeps an append-only file. Absent where it does not say: it does. */
  keepsFile?: boolean;
  /**
   * A child process of it is at work: a snapshot, a copy for a replica, or the append-only file that is written anew (`INFO persistence`).
   * Absent where it does not say, and in a picture of an older version.
   */
  childAtWork?: boolean;
  /** Keys that it holds, in all databases. */
  keys: number;
  /** Since its server was started, in milliseconds. Absent where it does not say. */
  upMs?: number;
  /** Names this one run of the server. Absent where it does not say, and in a picture of an older version. */
  runId?: string;
  version: string;
}

/** What a node is set to, as far as its writes or its replication hang on it. No secrets. */
export interface RedisSettings {
  /** As a master it takes no write with fewer replicas. */
  minReplicas: number;
  /** It would log in to a master with the right password. */
  knowsPassword: boolean;
  /** It would log in to a master as a user of its own, which no node has. Absent from a picture of an older version: it would not. */
  followsAsOther?: boolean;
  /** It would speak TLS to a master, which has none. Absent from a picture of an older version: it would not. */
  followsByTls?: boolean;
  /** As a replica it refuses the writes of clients. Absent from a picture of an older version: it does. */
  readOnly?: boolean;
  /** Snapshots are asked for, the last one failed, and a master takes no write then. */
  snapshotsStopWrites: boolean;
  /** Bytes; 0: no limit. A replica keeps to none. */
  maxMemory: number;
  usedMemory: number;
  /** What a master does that has more: Redis's word. */
  eviction: string;
  /** How many clients it lets in, and how many are connected, replicas not counted. Absent where it does not say. */
  clients?: { most: number; connected: number };
}

/** What a Sentinel says about a node that it is connected to. */
export interface SeenBySentinel {
  flags: string[];
  /** Of the server at the other end, as it last said. Absent where it never did, and in a picture of an older version. */
  runId?: string;
}

/** What it says about the master beside that. */
export interface SeenMaster {
  /** Since that answered it last, in milliseconds. */
  lastAnswerMs: number;
  /** The role that it says it has. */
  reports: string;
  /**
   * It has not said anything since the Sentinel was told whom to watch: `lastAnswerMs` counts from there. Absent where it has, and in a
   * picture of an older version.
   */
  neverHeard?: true;
}

/** What a Sentinel says about its group. */
export interface SentinelState {
  /** The Sentinel's own id, which stays the same across restarts. */
  id: string;
  /** The master that it names; null where it watches no such group. */
  master: (Endpoint & SeenBySentinel & SeenMaster) | null;
  /** The version of what it says: of two Sentinels the one with the higher epoch is believed. */
  configEpoch: number;
  quorum: number;
  /** How long it gets no answer until it takes the master for down, in milliseconds. Absent from a picture of an older version. */
  downAfterMs?: number;
  /** How long a failover may take, and after how many of these it is tried again, in milliseconds. Absent as above. */
  failoverTimeoutMs?: number;
  /** Other Sentinels that it knows. */
  others: number;
  /** Replicas that it knows. */
  replicas: (Endpoint & SeenBySentinel)[];
  /** Whether a failover could be agreed on now, and what it says about that. */
  quorate: { ok: boolean; says: string };
}

/** A container as Docker shows it. */
export interface RedisContainer {
  exists: boolean;
  running: boolean;
  /** Docker's word: running, paused, exited, …; `unknown` where Docker gave no answer. */
  status: string;
  /** With which code it ended, where it has ended. 0: it was told to end, and did. */
  exitCode?: number;
  /** Somebody told it to stop, by the engine's word, although it ended with a code as after a kill. */
  toldToStop?: boolean;
  /** It is on no Docker network. Asked only of a node that does not answer. */
  offNetworks?: OffNetworks;
}

/** One Redis node, asked by all ways in. */
export interface ObservedRedisNode {
  name: string;
  internal: Endpoint;
  container: RedisContainer;
  /** Null when it gave no answer; then `error` says why. */
  state: RedisState | null;
  error?: string;
}

/** One Sentinel, asked by all ways in. */
export interface ObservedSentinel {
  name: string;
  container: RedisContainer;
  state: SentinelState | null;
  error?: string;
}

/** What the list of replicas of a master said when the guard read it last. */
export interface SeenReplicas {
  /** The master whose list it was. */
  master: string;
  /** When it was read last, in milliseconds since the epoch. */
  at: number;
  /** Replicas of it that the topology does not have, by address: each may hold writes that no node has. */
  strangers: string[];
  /**
   * None of them is in the list any more: once every node has the history up to there, they hold nothing that the nodes lack. Absent while
   * one is in it.
   */
  owed?: { history: string; offset: number };
}

/** Everything that is known about Redis at one moment. */
export interface ObservedRedis {
  cluster: string;
  /** Milliseconds since the epoch. */
  at: number;
  nodes: ObservedRedisNode[];
  sentinels: ObservedSentinel[];
  /** What the guard saw last in the master's own list of replicas. Asked for only where no master answers; absent where nobody knows. */
  seen?: SeenReplicas;
}

/** A node that answers. */
export type AnsweringRedis = ObservedRedisNode & { state: RedisState };
/** A Sentinel that answers. */
export type AnsweringSentinel = ObservedSentinel & { state: SentinelState };

export const answeringNodes = (observed: ObservedRedis): AnsweringRedis[] =>
  observed.nodes.filter((node): node is AnsweringRedis => node.state !== null);
export const answeringSentinels = (observed: ObservedRedis): AnsweringSentinel[] =>
  observed.sentinels.filter((sentinel): sentinel is AnsweringSentinel => sentinel.state !== null);

/** The container does not run, and nothing but a start makes it: a frozen one is not stopped, and may wake up. */
export const isStopped = ({ exists, status }: RedisContainer): boolean =>
  exists && ['created', 'exited', 'dead'].includes(status);

/** The nodes that are a master now. */
export const mastersOf = (observed: ObservedRedis): AnsweringRedis[] =>
  answeringNodes(observed).filter((node) => node.state.role === 'master');

/** The node behind an address that Redis or a Sentinel told; undefined when the topology has none there. */
export function nodeAt(observed: ObservedRedis, address: Endpoint | null | undefined): ObservedRedisNode | undefined {
  if (address == null) return undefined;
  return observed.nodes.find(({ internal }) => internal.host === address.host && internal.port === address.port);
}

/** How many Sentinels are more than half of all, those that do not answer included. */
export const majorityOf = (observed: { sentinels: readonly unknown[] }): number =>
  Math.floor(observed.sentinels.length / 2) + 1;

/**
 * The node whose server is at the other end of a connection; undefined where nobody knows. An address that became free is given to the next
 * container, and a Sentinel may take that one for the one that had it.
 */
export function behind(observed: ObservedRedis, seen: SeenBySentinel | null): AnsweringRedis | undefined {
  const runId = seen?.runId;
  return runId === undefined ? undefined : answeringNodes(observed).find(({ state }) => state.runId === runId);
}

/**
 * The node that a Sentinel's word is about: the one that it names; where that is none, or is no master, the master that it is connected to
 * in its place.
 */
function meantBy(observed: ObservedRedis, { master }: SentinelState): ObservedRedisNode | undefined {
  const named = nodeAt(observed, master);
  const other = behind(observed, master);
  return other?.state.role === 'master' && named?.state?.role !== 'master' ? other : named;
}

/** The node that a majority of all Sentinels names; undefined when none has one. */
export function namedMaster(observed: ObservedRedis): string | undefined {
  const counts = new Map<string, number>();
  for (const { state } of answeringSentinels(observed)) {
    const named = meantBy(observed, state)?.name;
    if (named !== undefined) counts.set(named, (counts.get(named) ?? 0) + 1);
  }
  return [...counts].find(([, count]) => count >= majorityOf(observed))?.[0];
}

/** Where a replica's data comes from, by name. */
export function upstreamOf(observed: ObservedRedis, node: AnsweringRedis): string | undefined {
  return nodeAt(observed, node.state.upstream)?.name;
}

/** Whoever heard from a node within this time counts as connected to it, in milliseconds. Sentinels ask every second. */
export const HEARD_MS = 2000;

/** Replicas and Sentinels that heard from a master lately, by name. */
export function whoHears(observed: ObservedRedis, master: string): string[] {
  const replicas = answeringNodes(observed).filter((node) => {
    const { upstream } = node.state;
    return upstreamOf(observed, node) === master && upstream?.up === true && upstream.silentMs < HEARD_MS;
  });
  const sentinels = answeringSentinels(observed).filter(
    ({ state }) => asksNode(observed, state, master) && (state.master?.lastAnswerMs ?? 0) < HEARD_MS,
  );
  return [...replicas, ...sentinels].map(({ name }) => name);
}

/** Whether a Sentinel names that master, and is not connected to another node in its place. */
const asksNode = (observed: ObservedRedis, { master }: SentinelState, name: string): boolean =>
  nodeAt(observed, master)?.name === name && (behind(observed, master)?.name ?? name) === name;

/**
 * How long ago each Sentinel heard from the master that it names, in milliseconds. Of those that were told whom to watch when it had failed
 * already, and of those that hear another node in its place, nothing: they know nothing of when it failed.
 */
export const heardAgo = (observed: ObservedRedis, master: string): number[] =>
  answeringSentinels(observed)
    .filter(({ state }) => asksNode(observed, state, master) && state.master?.neverHeard !== true)
    .map(({ state }) => state.master?.lastAnswerMs ?? 0);

/** Words of a master for a replica that waits for its copy, or gets one (Redis: `SLAVE_STATE_*`). */
const COPIES = /^(wait_|send_bulk)/;

/**
 * Why a replica that has no connection to that master is to be left alone, in half a sentence: a copy waits as long as the master has a
 * child at work, and the replica itself says then that it is not being copied. Pure. Undefined where it does not wait, and where an older
 * version looked.
 */
export function waitsForCopy(replica: Endpoint, master: RedisState | null | undefined): string | undefined {
  if (master?.childAtWork === undefined) return undefined;
  const listed = master.replicas.find(({ host, port }) => host === replica.host && port === replica.port);
  if (listed !== undefined && COPIES.test(listed.state)) return `waits for its copy (state=${listed.state})`;
  return master.childAtWork
    ? 'may wait for its copy: the master has a child process at work (INFO persistence)'
    : undefined;
}

/** A node's address inside the network. @throws Error when the topology has no such node */
export function addressOfNode(topology: RedisTopology, name: string): Endpoint {
  const node = topology.nodes.find((one) => one.name === name);
  if (node === undefined) throw new Error(`the topology has no Redis node ${name}`);
  return internalRedisEndpoint(node);
}
