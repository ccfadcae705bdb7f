import { containersOfTheWay, endedContainer } from '../../../src/cluster/guard/ended-containers';

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
  ['is not there', { status: 'absent' }],
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
