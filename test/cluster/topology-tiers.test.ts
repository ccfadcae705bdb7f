import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { internalRedisEndpoint, parseTopology, type ClusterTopology } from '../../src/cluster/topology';
import { topologyDocument } from './support/picture';

type Sections = ReturnType<typeof sections>;

/** The sections of Redis, engines and HAProxy, as they stand in a file. */
function sections() {
  const at = (port: number) => ({ host: '127.0.0.1', port });
  return {
    redis: {
      passwordFrom: 'VELOZ_REDIS_PASSWORD',
      nodes: [
        { name: 'veloz-redis-master', address: at(16379) },
        { name: 'veloz-redis-replica', address: at(16380) },
      ] as Record<string, unknown>[],
      sentinels: [1, 2, 3].map((n) => ({ name: `veloz-redis-sentinel-${n}`, address: at(26378 + n) })),
    } as Record<string, unknown> & { nodes: Record<string, unknown>[]; sentinels: Record<string, unknown>[] },
    engines: { nodes: [1, 2].map((n) => ({ name: `veloz-engine-${n}`, address: at(18080 + n) })) },
    haproxy: { name: 'veloz-haproxy', address: at(8080), stats: at(8404), runtime: at(9999) } as Record<
      string,
      unknown
    >,
  };
}

function parsed(change: (sections: Sections) => unknown) {
  const tiers = sections();
  change(tiers);
  const document = topologyDocument();
  Object.assign(document.clusters.veloz as object, tiers);
  return parseTopology(document);
}

function clusterWith(change: (sections: Sections) => unknown = () => undefined): ClusterTopology {
  const result = parsed(change);
  if ('mistakes' in result) throw new Error(JSON.stringify(result.mistakes));
  return result.topology.clusters.veloz as ClusterTopology;
}

describe('Redis, engines and HAProxy in a topology', () => {
  test('may be left out, each of them', () => {
    const result = parseTopology(topologyDocument());
    const cluster = 'topology' in result ? result.topology.clusters.veloz : undefined;
    expect([cluster?.redis, cluster?.engines, cluster?.haproxy]).toEqual([undefined, undefined, undefined]);
    expect(cluster?.postgres.nodes).toHaveLength(3);
    const fewer = clusterWith((tiers) => Object.assign(tiers, { engines: undefined, haproxy: undefined }));
    expect(fewer.redis?.nodes).toHaveLength(2);
  });

  test('have defaults', () => {
    const cluster = clusterWith();
    expect(cluster.redis).toMatchObject({
      master: 'veloz-master',
      quorum: 2,
      limits: { lagBytes: 1024 ** 2, hold: 1000, promote: 5000, agree: 5000 },
    });
    expect(cluster.haproxy?.backend).toBe('veloz_engines');
  });

  test('a Redis node is reached inside the network by its name, unless it says otherwise', () => {
    const cluster = clusterWith((tiers) =>
      Object.assign(tiers.redis.nodes[1] ?? {}, { internal: { host: 'r', port: 7 } }),
    );
    expect(cluster.redis?.nodes.map(internalRedisEndpoint)).toEqual([
      { host: 'veloz-redis-master', port: 6379 },
      { host: 'r', port: 7 },
    ]);
  });

  test('stand in the topology file of the shipped stack, under the names of its containers', () => {
    const result = parseTopology(parse(readFileSync(join(__dirname, '../../topology.yaml'), 'utf8')));
    if ('mistakes' in result) throw new Error(JSON.stringify(result.mistakes));
    const { redis, engines, haproxy } = result.topology.clusters.veloz as ClusterTopology;
    expect(redis?.nodes.map(({ name }) => name)).toEqual(['veloz-redis-master', 'veloz-redis-replica']);
    expect(redis?.sentinels).toHaveLength(3);
    expect(engines?.nodes.map(({ name }) => name)).toEqual(['veloz-engine-1', 'veloz-engine-2']);
    expect(haproxy).toMatchObject({ name: 'veloz-haproxy', backend: 'veloz_engines' });
  });

  test.each<[string, (sections: Sections) => unknown, string, RegExp]>([
    ['one Redis node', (s) => s.redis.nodes.splice(1), 'redis.nodes', /at least two Redis nodes/],
    ['two Sentinels', (s) => s.redis.sentinels.splice(2), 'redis.sentinels', /at least three/],
    ['a quorum of nobody', (s) => (s.redis.quorum = 0), 'redis.quorum', />=1/],
    [
      'a quorum beyond the Sentinels',
      (s) => (s.redis.quorum = 4),
      'redis.quorum',
      /at most the number of Sentinels, 3/,
    ],
    ['a password', (s) => (s.redis.password = 'x'), 'redis', /"password"/],
    ['a secret in place of its name', (s) => (s.redis.passwordFrom = 's3cret'), 'redis.passwordFrom', /NAME/],
    ['a hold of no time', (s) => (s.redis.limits = { hold: '0s' }), 'redis.limits.hold', /1ms to 10m/],
    ['an unknown limit', (s) => (s.redis.limits = { lag: 1 }), 'redis.limits', /"lag"/],
    ['no engine', (s) => s.engines.nodes.splice(0), 'engines.nodes', /at least one engine/],
    ['no runtime API', (s) => delete s.haproxy.runtime, 'haproxy.runtime', /expected object/],
    ['an unknown key', (s) => (s.haproxy.socket = '/run/x'), 'haproxy', /"socket"/],
  ])('%s is refused', (_what, change, key, message) => {
    const result = parsed(change);
    expect('mistakes' in result && result.mistakes).toContainEqual({
      path: `clusters.veloz.${key}`,
      message: expect.stringMatching(message) as string,
    });
  });

  test.each<[string, (sections: Sections) => unknown, string]>([
    [
      'two Redis nodes',
      (s) => Object.assign(s.redis.nodes[1] ?? {}, { name: 'veloz-redis-master' }),
      'redis.nodes[1].name',
    ],
    [
      'a Sentinel and a node',
      (s) => Object.assign(s.redis.sentinels[0] ?? {}, { name: 'veloz-redis-master' }),
      'redis.sentinels[0].name',
    ],
    [
      'an engine and a PostgreSQL node',
      (s) => Object.assign(s.engines.nodes[0] ?? {}, { name: 'veloz-postgres-primary' }),
      'engines.nodes[0].name',
    ],
    ['HAProxy and an engine', (s) => (s.haproxy.name = 'veloz-engine-2'), 'haproxy.name'],
  ])('a name used twice, by %s, is refused', (_who, change, key) => {
    const result = parsed(change);
    expect('mistakes' in result && result.mistakes).toContainEqual({
      path: `clusters.veloz.${key}`,
      message: expect.stringMatching(/expected a name used once/) as string,
    });
  });
});
