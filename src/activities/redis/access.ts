import { addressOfNode } from '../../cluster/redis/observed';
import { selectCluster, type Endpoint, type RedisTopology } from '../../cluster/topology';
import { RedisNodeClient } from '../../systems/redis';
import { SentinelClient } from '../../systems/redis-sentinel';
import { readSecret } from '../../systems/secrets';
import { finalFailure } from '../context';
import type { ActivityDeps } from '../deps';

/** The ways into Redis and its Sentinels of one cluster. */
export interface RedisAccess {
  readonly cluster: string;
  readonly topology: RedisTopology;
  /** Where other nodes and the Sentinels reach a node. @throws Error when the topology has no such node */
  internal(name: string): Endpoint;
  /** A control connection to a node. @throws Error when it does not answer within `limitMs` */
  node(name: string, limitMs?: number): Promise<RedisNodeClient>;
  /** A control connection to a Sentinel. @throws Error when it does not answer */
  sentinel(name: string): Promise<SentinelClient>;
  password(): string;
}

/** @throws ApplicationFailure `BadInput` when the topology has no such cluster, or the cluster no Redis */
export function accessRedis(deps: Pick<ActivityDeps, 'topology' | 'environment'>, cluster: string): RedisAccess {
  const selected = selectCluster(deps.topology, cluster);
  if ('error' in selected) throw finalFailure('BadInput', selected.error);
  const { redis } = selected.cluster;
  if (redis === undefined)
    throw finalFailure(
      'BadInput',
      `the topology has no redis section for cluster ${selected.name}. Nothing was changed. Next: add it (docs/topology.md), then veloz-ha redis status --cluster ${selected.name}`,
    );
  const password = () => readSecret(redis.passwordFrom, deps.environment);
  return {
    cluster: selected.name,
    topology: redis,
    internal: (name) => addressOfNode(redis, name),
    async node(name, limitMs) {
      const node = redis.nodes.find((one) => one.name === name);
      if (node === undefined) throw new Error(`cluster ${selected.name} has no Redis node ${name}`);
      return RedisNodeClient.open(node.address, password(), limitMs);
    },
    async sentinel(name) {
      const sentinel = redis.sentinels.find((one) => one.name === name);
      if (sentinel === undefined) throw new Error(`cluster ${selected.name} has no Sentinel ${name}`);
      return SentinelClient.open(sentinel.address, password());
    },
    password,
  };
}

/** Runs `body` with a connection and closes it whatever happens. */
export async function withConnection<Client extends { close(): void }, Result>(
  open: Promise<Client>,
  body: (client: Client) => Promise<Result>,
): Promise<Result> {
  const client = await open;
  try {
    return await body(client);
  } finally {
    client.close();
  }
}
