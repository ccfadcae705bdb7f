import type { ObservedEngines } from '../../../src/cluster/engine/observed';
import type { ObservedRedis } from '../../../src/cluster/redis/observed';
import { parseTopology, type ClusterTopology } from '../../../src/cluster/topology';
import { topologyDocument } from '../support/picture';

export const ENGINES = ['veloz-engine-1', 'veloz-engine-2'] as const;
export const REDIS = ['veloz-redis-master', 'veloz-redis-replica'] as const;
export const SENTINELS = ['veloz-redis-sentinel-1', 'veloz-redis-sentinel-2', 'veloz-redis-sentinel-3'] as const;
export const HAPROXY = 'veloz-haproxy';

const at = (port: number) => ({ host: '127.0.0.1', port });

/** A cluster with every tier. */
export function fullTopology(change: (cluster: Record<string, unknown>) => void = () => undefined): ClusterTopology {
  const document = topologyDocument();
  const cluster = (document.clusters as Record<string, Record<string, unknown>>).veloz ?? {};
  Object.assign(cluster, {
    redis: {
      passwordFrom: 'VELOZ_REDIS_PASSWORD',
      nodes: REDIS.map((name, index) => ({ name, address: at(16379 + index) })),
      sentinels: SENTINELS.map((name, index) => ({ name, address: at(26379 + index) })),
    },
    engines: { nodes: ENGINES.map((name, index) => ({ name, address: at(18081 + index) })) },
    haproxy: { name: HAPROXY, address: at(8080), stats: at(8404), runtime: at(9999) },
  });
  change(cluster);
  const result = parseTopology(document);
  if ('mistakes' in result) throw new Error(JSON.stringify(result.mistakes));
  const parsed = result.topology.clusters.veloz;
  if (parsed === undefined) throw new Error('the topology has no cluster veloz');
  return parsed;
}

const running = { exists: true, running: true, status: 'running' } as const;

/** Engines, one of them active, the other ones hot standbys. */
export function enginesWith(active: string, cluster = 'veloz'): ObservedEngines {
  return {
    cluster,
    backend: 'veloz_engines',
    engines: ENGINES.map((name) => ({
      name,
      container: running,
      health: {
        node: name,
        role: name === active ? 'active' : 'standby',
        status: 'healthy',
        epoch: 7,
        drained: false,
        able: true,
      },
      ready: name === active,
    })),
    proxy: { name: HAPROXY, container: running, servers: [] },
    door: { node: active, role: 'active' },
  };
}

/** Redis nodes, one of them the master, the other ones its replicas. */
export function redisWith(master: string, cluster = 'veloz'): ObservedRedis {
  return {
    cluster,
    at: 0,
    nodes: REDIS.map((name) => ({
      name,
      internal: { host: name, port: 6379 },
      container: running,
      state: {
        role: name === master ? 'master' : 'replica',
        replicationId: 'a1',
        offset: 100,
        upstream:
          name === master ? null : { host: master, port: 6379, up: true, syncing: false, silentMs: 10, downMs: 0 },
        replicas: [],
        loading: false,
        writesFile: true,
        keys: 10,
        version: '8.0.2',
      },
    })),
    sentinels: [],
  };
}
