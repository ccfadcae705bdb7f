import type { ActivityDeps } from '../../src/activities/deps';
import { observeCluster } from '../../src/activities/observe';
import { healthFindings } from '../../src/cluster/health';
import { POOLER, PRIMARY, STANDBY, STANDBY_2, topology } from '../cluster/support/picture';

const silent = (): Promise<never> => Promise.reject(new Error('connect ENOENT /nowhere/docker.sock'));

/** A machine without Docker, on which the worker has no secret that it could read. */
const nothing: ActivityDeps = {
  topology: topology(),
  docker: {
    ping: silent,
    inspect: silent,
    toldToStop: silent,
    readFile: silent,
    readDated: silent,
    readBytes: silent,
    isFrozen: silent,
    open: silent,
    run: silent,
    demux: () => undefined,
    start: silent,
    kill: silent,
    unpause: silent,
    putFile: silent,
    putIntoVolume: silent,
    networks: silent,
    attachments: silent,
    disconnect: silent,
    connect: silent,
    createVolume: silent,
    livingWritersOf: silent,
    volumes: silent,
    removeVolume: silent,
    events: silent,
  },
  identity: 'test',
  environment: {
    VELOZ_PG_HA_PASSWORD_FILE: '/nowhere/ha',
    VELOZ_PGBOUNCER_ADMIN_PASSWORD_FILE: '/nowhere/admin',
  },
  handoverCost: () => undefined,
  lockHolder: () => Promise.resolve(undefined),
};

test('what gives no answer is part of the picture and no error: Docker, agents, and secrets that can’t be read', async () => {
  const observed = await observeCluster(nothing, 'veloz');
  expect(observed.docker).toEqual({ ok: false, error: 'connect ENOENT /nowhere/docker.sock' });
  expect(observed.nodes.map(({ name }) => name)).toEqual([PRIMARY, STANDBY, STANDBY_2]);
  for (const node of observed.nodes) {
    expect(node).toMatchObject({ agent: null, sql: null, container: { exists: false, running: false } });
    expect(node.container.error).toContain('ENOENT');
    expect(node.agentError).toContain('ENOENT');
    expect(node.sqlError).toContain('VELOZ_PG_HA_PASSWORD_FILE names /nowhere/ha: ENOENT');
  }
  expect(observed.pooler).toMatchObject({ name: POOLER, agent: null, console: null });
  expect(observed.pooler.consoleError).toContain('VELOZ_PGBOUNCER_ADMIN_PASSWORD_FILE names /nowhere/admin: ENOENT');
});

test('and of that picture it is Docker that a person is told about', async () => {
  const cluster = nothing.topology.clusters.veloz;
  if (cluster === undefined) throw new Error('no cluster');
  const found = healthFindings(cluster, await observeCluster(nothing, 'veloz'));
  expect(found.map(({ id, result }) => `${id} ${result}`)).toEqual(['A3 refuse', 'E4 refuse']);
  expect(found[1]).toMatchObject({ refusal: 'the Docker engine is not ready' });
});

test('a cluster that the topology does not have is refused', async () => {
  await expect(observeCluster(nothing, 'berlin')).rejects.toThrow('unknown cluster "berlin": the topology has veloz');
});
