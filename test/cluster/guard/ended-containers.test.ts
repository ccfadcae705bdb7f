import { clientsOnlyWay, containersOfTheWay, endedContainer } from '../../../src/cluster/guard/ended-containers';

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
