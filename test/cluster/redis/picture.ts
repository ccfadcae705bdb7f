import type {
  ObservedRedis,
  ObservedRedisNode,
  ObservedSentinel,
  RedisSettings,
  RedisState,
  SeenReplicas,
  SentinelState,
} from '../../../src/cluster/redis/observed';
import { parseTopology, type RedisTopology } from '../../../src/cluster/topology';
import { topologyDocument } from '../support/picture';

export const MASTER = 'veloz-redis-master';
export const REPLICA = 'veloz-redis-replica';
export const THIRD = 'veloz-redis-third';
export const SENTINELS = ['veloz-redis-sentinel-1', 'veloz-redis-sentinel-2', 'veloz-redis-sentinel-3'] as const;

const HISTORY = '63d4dd04e453ff0b81698f0768b2932dd566c686';
const running = { exists: true, running: true, status: 'running' };

/** The Redis section of the shipped topology, of the named nodes. */
export function redisTopology(names: readonly string[] = [MASTER, REPLICA]): RedisTopology {
  const document = topologyDocument();
  Object.assign(document.clusters.veloz as object, {
    redis: {
      passwordFrom: 'VELOZ_REDIS_PASSWORD',
      nodes: names.map((name, index) => ({ name, address: { host: '127.0.0.1', port: 16379 + index } })),
      sentinels: SENTINELS.map((name, index) => ({ name, address: { host: '127.0.0.1', port: 26379 + index } })),
    },
  });
  const result = parseTopology(document);
  const redis = 'topology' in result ? result.topology.clusters.veloz?.redis : undefined;
  if (redis === undefined) throw new Error(JSON.stringify(result));
  return redis;
}

/** A master whose history is 1000 bytes long. */
export function master(name: string, over: Partial<RedisState> = {}): ObservedRedisNode {
  const state: RedisState = {
    role: 'master',
    replicationId: HISTORY,
    offset: 1000,
    upstream: null,
    replicas: [],
    loading: false,
    writesFile: true,
    keys: 10,
    version: '8.0.2',
    ...over,
  };
  return { name, internal: { host: name, port: 6379 }, container: { ...running }, state };
}

/** What a node is set to, as it should be but for what is named. */
export const settings = (over: Partial<RedisSettings> = {}): { settings: RedisSettings } => ({
  settings: {
    minReplicas: 0,
    knowsPassword: true,
    snapshotsStopWrites: false,
    maxMemory: 0,
    usedMemory: 2 * 1024 * 1024,
    eviction: 'noeviction',
    ...over,
  },
});

/** A replica that has everything. */
export function replica(
  name: string,
  follows: string,
  over: Partial<RedisState> = {},
  link: Partial<NonNullable<RedisState['upstream']>> = {},
): ObservedRedisNode {
  const upstream = { host: follows, port: 6379, up: true, syncing: false, silentMs: 0, downMs: 0, ...link };
  return master(name, { role: 'replica', upstream, ...over });
}

/** A node that gives no answer; `status` is Docker's word. One that has ended was told to, unless the code says otherwise. */
export function silent(name: string, status = 'exited', exitCode = 0): ObservedRedisNode {
  return {
    name,
    internal: { host: name, port: 6379 },
    container: { exists: true, running: status === 'running', status, ...(status === 'exited' ? { exitCode } : {}) },
    state: null,
    error: 'connect ECONNREFUSED 127.0.0.1:16379',
  };
}

/** A node that was killed, and that nobody has started again. */
export const killed = (name: string): ObservedRedisNode => silent(name, 'exited', 137);

/** A Sentinel that names that master. */
export function sentinel(
  name: string,
  names: string | null,
  over: Partial<SentinelState> = {},
  seen: Partial<NonNullable<SentinelState['master']>> = {},
): ObservedSentinel {
  const state: SentinelState = {
    id: name,
    master:
      names === null
        ? null
        : { host: names, port: 6379, flags: ['master'], lastAnswerMs: 100, reports: 'master', ...seen },
    configEpoch: 0,
    quorum: 2,
    others: 2,
    replicas: [],
    quorate: { ok: true, says: 'OK 3 usable Sentinels' },
    ...over,
  };
  return { name, container: { ...running }, state };
}

/** A Sentinel that gives no answer. */
export const silentSentinel = (name: string): ObservedSentinel => ({
  name,
  container: { exists: true, running: false, status: 'exited' },
  state: null,
  error: 'connect ECONNREFUSED 127.0.0.1:26379',
});

/** All three Sentinels, which name that master and last heard from it so long ago. */
export const sentinelsNaming = (names: string | null, lastAnswerMs = 100): ObservedSentinel[] =>
  SENTINELS.map((name) => sentinel(name, names, {}, { lastAnswerMs }));

export const picture = (nodes: ObservedRedisNode[], sentinels: ObservedSentinel[]): ObservedRedis => ({
  cluster: 'veloz',
  at: 0,
  nodes,
  sentinels,
  seen: seenOf(MASTER),
});

/** The list of replicas of a master, as the guard read it last: the topology's alone, unless others are named. */
export const seenOf = (master: string, strangers: string[] = [], at = 0): SeenReplicas => ({ master, at, strangers });

/** Everything as it should be. */
export const healthy = (): ObservedRedis =>
  picture([master(MASTER), replica(REPLICA, MASTER)], sentinelsNaming(MASTER));
