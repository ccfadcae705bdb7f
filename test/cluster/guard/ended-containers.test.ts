import {
  clientsOnlyWay,
  containersOfTheWay,
  endedContainer,
  lifeQuestions,
  lockOf,
  othersLike,
} from '../../../src/cluster/guard/ended-containers';

test('the pooler, the engines, HAProxy and the Sentinels are the containers that take up their work by themselves', () => {
  const node = (name: string) => ({ name, address: { host: 'localhost', port: 1 } });
  const pgbouncer = { nodes: [node('pooler')] } as never;
  expect(containersOfTheWay({ pgbouncer })).toEqual(['pooler']);
  expect(
    containersOfTheWay({
      pgbouncer,
      engines: { nodes: [node('engine-1'), node('engine-2')] },
      haproxy: node('proxy') as never,
      redis: { nodes: [node('redis-1')], sentinels: [node('sentinel-1'), node('sentinel-2')] } as never,
    }),
  ).toEqual(['pooler', 'engine-1', 'engine-2', 'proxy', 'sentinel-1', 'sentinel-2']);
});

test.each([
  ['was killed', { status: 'exited', exitCode: 137 }, 'its container is exited, exit code 137'],
  ['crashed', { status: 'exited', exitCode: 1 }, 'its container is exited, exit code 1'],
  ['could not be removed', { status: 'dead' }, 'its container is dead'],
])('one that %s is to be started', (_how, container, says) => {
  expect(endedContainer('engine', container)).toMatchObject({ node: 'engine', says, started: true });
});

test.each([
  ['runs', { status: 'running' }],
  ['restarts by itself', { status: 'restarting' }],
  ['was told to stop', { status: 'exited', exitCode: 0 }],
  ['was told to stop and did not listen', { status: 'exited', exitCode: 143 }],
  ['was made and never started', { status: 'created' }],
])('one that %s is left alone', (_how, container) => {
  expect(endedContainer('engine', container)).toBeUndefined();
});

test('one that is frozen is told with the command that ends it, and is for a person alone', () => {
  expect(endedContainer('engine', { status: 'paused' })).toMatchObject({
    node: 'engine',
    says: 'its container is paused',
    leaves: 'somebody froze it',
    byHand: 'docker unpause engine',
  });
});

test('clients’ only way are the pooler and HAProxy', () => {
  const pgbouncer = { nodes: [{ name: 'pooler' }] } as never;
  expect(clientsOnlyWay({ pgbouncer })).toEqual(['pooler']);
  expect(clientsOnlyWay({ pgbouncer, haproxy: { name: 'proxy' } as never })).toEqual(['pooler', 'proxy']);
});

test.each([
  ['is not there', { status: 'absent' }, {}, { says: 'it has no container', next: 'veloz-ha stack up' }],
  [
    'ends each time that Docker starts it',
    { status: 'running' },
    { loops: true },
    { says: 'it ends each time that Docker starts it', next: 'docker logs --tail 20 pooler' },
  ],
  [
    'was told to stop, where no client gets through without it',
    { status: 'exited', exitCode: 0 },
    { onlyWay: true },
    { says: 'its container is exited, exit code 0', byHand: 'docker start pooler' },
  ],
])('one that %s is told, and is for a person alone', (_how, container, way, found) => {
  expect(endedContainer('pooler', container, way)).toMatchObject({
    ...found,
    leaves: expect.any(String) as string,
    started: true,
  });
});

describe('what is ended where it hangs', () => {
  const node = (name: string, port: number) => ({ name, address: { host: '127.0.0.1', port } });
  const topology = {
    engines: { nodes: [node('engine-1', 18081), node('engine-2', 18082)] },
    haproxy: {
      ...node('proxy', 8080),
      stats: { host: '127.0.0.1', port: 8404 },
      runtime: { host: '127.0.0.1', port: 9999 },
      backend: 'veloz_engines',
    },
    redis: { sentinels: [node('sentinel-1', 26379), node('sentinel-2', 26380), node('sentinel-3', 26381)] } as never,
  };

  test.each([
    ['engine-1', 'engine', [18081], ['engine-2']],
    ['proxy', 'engine', [9999, 8404, 8080], []],
    ['sentinel-2', 'redis', [26380], ['sentinel-1', 'sentinel-3']],
  ])('%s: by which lock, asked where, and beside whom', (name, lock, ports, others) => {
    expect(lockOf(name, topology)).toBe(lock);
    expect(lifeQuestions(name, topology).map(({ at }) => at.port)).toEqual(ports);
    expect(othersLike(name, topology)).toEqual(others);
  });

  test('each is asked in its own protocol', () => {
    expect(lifeQuestions('sentinel-1', topology).map(({ says }) => says)).toEqual(['PING\r\n']);
    expect(lifeQuestions('engine-1', topology)[0]?.says).toMatch(/^GET \/health\/live HTTP\/1\.1\r\n.*\r\n\r\n$/s);
    expect(lifeQuestions('proxy', topology)[0]?.says).toBe('show info\n');
  });
});
