import {
  internalEndpoint,
  parseTopology,
  selectCluster,
  slotName,
  type Topology,
  type TopologyMistake,
} from '../../src/cluster/topology';
import { POOLER, PRIMARY, STANDBY, clusterTopology, topology, topologyDocument } from './support/picture';

/** The document with one change. */
function changed(change: (cluster: Changeable, document: Record<string, unknown>) => void): unknown {
  const document = topologyDocument();
  change(document.clusters.veloz as Changeable, document);
  return document;
}
interface Changeable extends Record<string, unknown> {
  postgres: Record<string, unknown> & { nodes: Record<string, unknown>[]; control: Record<string, unknown> };
  pgbouncer: Record<string, unknown> & { nodes: Record<string, unknown>[] };
}

function mistakesOf(document: unknown): TopologyMistake[] {
  const result = parseTopology(document);
  return 'mistakes' in result ? result.mistakes : [];
}

describe('a good topology', () => {
  test('is taken, with every default filled in and durations as milliseconds', () => {
    const cluster = clusterTopology();
    expect(cluster).toMatchObject({ protection: 'zero-loss', soak: 3000, approvalTimeout: 900_000 });
    expect(cluster.limits).toEqual({
      flushLagBytes: 10 * 1024 ** 2,
      replayLagBytes: 16 * 1024 ** 2,
      transactionAge: 2000,
      checkpoint: 30_000,
      pause: 2000,
      hold: 5000,
      stop: 3000,
      promote: 10_000,
      freeDiskBytes: 256 * 1024 ** 2,
      archiveBacklog: 8,
    });
    expect(cluster.postgres).toMatchObject({
      synchronousStandbyNames: 'veloz_standby',
      database: 'veloz',
    });
    expect(cluster.postgres.nodes.map(({ promotable, optional }) => [promotable, optional])).toEqual([
      [true, false],
      [true, false],
      [true, true],
    ]);
  });

  test('keeps what it says itself', () => {
    const result = parseTopology(
      changed((cluster) => {
        cluster.protection = 'fast';
        cluster.soak = '0s';
        cluster.limits = { hold: '1.5s', flushLagBytes: 0 };
      }),
    );
    expect('topology' in result && result.topology.clusters.veloz).toMatchObject({
      protection: 'fast',
      soak: 0,
      limits: { hold: 1500, flushLagBytes: 0, pause: 2000 },
    });
  });

  test('reaches a node inside the network by its name, unless it says otherwise', () => {
    const [node] = clusterTopology().postgres.nodes;
    if (node === undefined) throw new Error('no node');
    expect(internalEndpoint(node)).toEqual({ host: PRIMARY, port: 5432 });
    expect(internalEndpoint({ ...node, internal: { host: 'db', port: 6000 } })).toEqual({ host: 'db', port: 6000 });
  });

  test('may have several clusters', () => {
    const two = twoClusters();
    expect(Object.keys(two.clusters)).toEqual(['veloz', 'berlin']);
  });
});

describe('a mistake is refused with the path of its key and what was expected', () => {
  test.each<[string, unknown, string, RegExp]>([
    ['nothing at all', undefined, '(top)', /expected object/],
    ['an empty file', null, '(top)', /expected object/],
    ['a list', [], '(top)', /expected object/],
    ['another version', { ...topologyDocument(), version: 2 }, 'version', /expected 1/],
    ['no clusters', { version: 1 }, 'clusters', /expected record|expected object/],
    ['an empty list of clusters', { version: 1, clusters: {} }, 'clusters', /at least one cluster/],
    ['an unknown key at the top', { ...topologyDocument(), cluster: {} }, '(top)', /"cluster"/],
    [
      'a default that is no cluster',
      { ...topologyDocument(), default: 'berlin' },
      'default',
      /one of the clusters: veloz/,
    ],
    ['a name that no cluster can have', renamed('ve loz'), 'clusters.ve loz', /.+/],
    ['an unknown key of a cluster', changed((c) => (c.protecton = 'fast')), 'clusters.veloz', /"protecton"/],
    [
      'an unknown protection',
      changed((c) => (c.protection = 'none')),
      'clusters.veloz.protection',
      /"zero-loss"\|"fast"/,
    ],
    ['a duration without unit', changed((c) => (c.soak = '3')), 'clusters.veloz.soak', /number and a unit/],
    ['a duration that is a number', changed((c) => (c.soak = 3)), 'clusters.veloz.soak', /expected string/],
    [
      'a hold beyond what an agent keeps',
      changed((c) => (c.limits = { hold: '11m' })),
      'clusters.veloz.limits.hold',
      /expected 1ms to 10m/,
    ],
    [
      'a pause of no time',
      changed((c) => (c.limits = { pause: '0s' })),
      'clusters.veloz.limits.pause',
      /expected 1ms to 10m/,
    ],
    [
      'a negative limit',
      changed((c) => (c.limits = { flushLagBytes: -1 })),
      'clusters.veloz.limits.flushLagBytes',
      />=0/,
    ],
    ['an unknown limit', changed((c) => (c.limits = { lag: 1 })), 'clusters.veloz.limits', /"lag"/],
    [
      'one PostgreSQL node',
      changed((c) => c.postgres.nodes.splice(1)),
      'clusters.veloz.postgres.nodes',
      /at least two PostgreSQL nodes/,
    ],
    [
      'a node without address',
      changed((c) => delete c.postgres.nodes[1]?.address),
      'clusters.veloz.postgres.nodes[1].address',
      /expected object/,
    ],
    [
      'a port that is none',
      changed((c) => Object.assign(c.postgres.nodes[1] ?? {}, { address: { host: 'h', port: 70_000 } })),
      'clusters.veloz.postgres.nodes[1].address.port',
      /<=65535/,
    ],
    [
      'a node name that no container can have',
      changed((c) => Object.assign(c.postgres.nodes[0] ?? {}, { name: 'a b' })),
      'clusters.veloz.postgres.nodes[0].name',
      /expected a name of letters/,
    ],
    [
      'a secret in place of its name',
      changed((c) => (c.postgres.control.passwordFrom = 's3cret!')),
      'clusters.veloz.postgres.control.passwordFrom',
      /NAME of an environment variable/,
    ],
    [
      'a password key',
      changed((c) => (c.postgres.control.password = 'x')),
      'clusters.veloz.postgres.control',
      /"password"/,
    ],
    [
      'two poolers',
      changed((c) => c.pgbouncer.nodes.push({ name: 'other', address: { host: 'h', port: 1 } })),
      'clusters.veloz.pgbouncer.nodes',
      /exactly one PgBouncer/,
    ],
    [
      'an empty path of the socket',
      { ...topologyDocument(), docker: { socketPath: '' } },
      'docker.socketPath',
      />=1 char/,
    ],
  ])('%s', (_what, document, path, message) => {
    expect(mistakesOf(document)).toContainEqual({ path, message: expect.stringMatching(message) as string });
  });

  test('and the secret itself is not repeated', () => {
    const document = changed((c) => (c.postgres.control.passwordFrom = 's3cret!'));
    expect(JSON.stringify(mistakesOf(document))).not.toContain('s3cret!');
  });

  test('all of them at once', () => {
    const document = changed((cluster) => {
      cluster.soak = 'soon';
      cluster.protection = 'none';
    });
    expect(mistakesOf(document).map(({ path }) => path)).toEqual(['clusters.veloz.protection', 'clusters.veloz.soak']);
  });

  test('a name that stands twice in a cluster, as node or as pooler', () => {
    expect(mistakesOf(changed((c) => Object.assign(c.postgres.nodes[1] ?? {}, { name: PRIMARY })))).toEqual([
      {
        path: 'clusters.veloz.postgres.nodes[1].name',
        message: `expected a name used once: ${PRIMARY} stands in cluster veloz already`,
      },
    ]);
    expect(mistakesOf(changed((c) => Object.assign(c.pgbouncer.nodes[0] ?? {}, { name: STANDBY })))).toMatchObject([
      { path: 'clusters.veloz.pgbouncer.nodes[0].name' },
    ]);
  });

  test('a name that stands in two clusters', () => {
    const document = topologyDocument();
    document.clusters.berlin = topologyDocument().clusters.veloz;
    expect(mistakesOf(document).map(({ path }) => path)).toContain('clusters.berlin.postgres.nodes[0].name');
    expect(mistakesOf(document)[0]?.message).toContain('stands in cluster veloz already');
  });
});

function renamed(name: string): unknown {
  const document = topologyDocument();
  return { ...document, clusters: { [name]: document.clusters.veloz } };
}

function twoClusters(rest: Record<string, unknown> = {}): Topology {
  const document = topologyDocument();
  const text = JSON.stringify(document.clusters.veloz).replaceAll('veloz-p', 'berlin-p');
  const result = parseTopology({
    ...document,
    ...rest,
    clusters: { ...document.clusters, berlin: JSON.parse(text) as unknown },
  });
  if ('mistakes' in result) throw new Error(JSON.stringify(result.mistakes));
  return result.topology;
}

describe('the cluster that is meant', () => {
  test('is the only one when nobody names one', () => {
    expect(selectCluster(topology())).toMatchObject({ name: 'veloz' });
  });

  test('is the default of several', () => {
    expect(selectCluster(twoClusters({ default: 'berlin' }))).toMatchObject({ name: 'berlin' });
  });

  test('is the one that is named, whatever the default', () => {
    const selected = selectCluster(twoClusters({ default: 'berlin' }), 'veloz');
    expect(selected).toMatchObject({ name: 'veloz' });
    expect('cluster' in selected && selected.cluster.pgbouncer.nodes[0]?.name).toBe(POOLER);
  });

  test('must be named among several without a default', () => {
    expect(selectCluster(twoClusters())).toEqual({
      error: 'the topology has 2 clusters and no default: name one of veloz, berlin',
    });
  });

  test.each(['paris', '', 'constructor', '__proto__', 'toString'])('is refused when it is %j', (name) => {
    expect(selectCluster(topology(), name)).toEqual({ error: `unknown cluster "${name}": the topology has veloz` });
  });
});

test('a slot is named after its node in the letters that PostgreSQL allows', () => {
  expect(slotName('veloz-postgres-standby-2')).toBe('veloz_postgres_standby_2');
  expect(slotName('DB.One')).toBe('db_one');
});

describe('the slots of nodes', () => {
  test.each([
    [['pg-1', 'pg.1'], 'pg_1'],
    [['PG-1', 'pg-1'], 'pg_1'],
    [['pg1.example.com', 'pg1-example-com'], 'pg1_example_com'],
  ])('%j would share one, and are refused', ([first, second], slot) => {
    const document = changed(({ postgres }) => {
      Object.assign(postgres.nodes[0] ?? {}, { name: first });
      Object.assign(postgres.nodes[1] ?? {}, { name: second });
    });
    expect(mistakesOf(document)).toEqual([
      {
        path: 'clusters.veloz.postgres.nodes[1].name',
        message: `expected a name whose replication slot is its own: ${second} and ${first} both have ${slot}`,
      },
    ]);
  });

  test('are no longer than PostgreSQL allows', () => {
    const named = (length: number) =>
      mistakesOf(changed(({ postgres }) => Object.assign(postgres.nodes[1] ?? {}, { name: 'n'.repeat(length) })));
    expect(named(63)).toEqual([]);
    expect(named(64)).toContainEqual(expect.objectContaining({ path: 'clusters.veloz.postgres.nodes[1].name' }));
  });
});
