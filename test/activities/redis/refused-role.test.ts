import { MockActivityEnvironment } from '@temporalio/testing';
import { moveMaster } from '../../../src/activities/redis/move';
import { observeRedis } from '../../../src/activities/redis/observe';
import { takeOverMaster } from '../../../src/activities/redis/take-over';
import { selectCluster } from '../../../src/cluster/topology';
import { MASTER, REPLICA } from '../../cluster/redis/picture';
import { FakeRedis } from './fake-redis';

const MOVE = { cluster: 'veloz', run: 'r', source: MASTER, target: REPLICA };
const run = <Result>(body: () => Promise<Result>) =>
  new MockActivityEnvironment().run<[], Result, () => Promise<Result>>(body);

describe('a replica whose ACL takes REPLICAOF away', () => {
  let world: FakeRedis;
  beforeEach(async () => {
    world = await FakeRedis.start();
    world.refusesRole = REPLICA;
  });
  afterEach(() => world.close());

  test('is seen by a look', async () => {
    const deps = world.deps();
    const selected = selectCluster(deps.topology);
    if ('error' in selected || selected.cluster.redis === undefined) throw new Error('no redis');
    const { nodes } = await observeRedis(deps, selected.name, selected.cluster.redis);
    expect(nodes.map(({ state }) => state?.denied)).toEqual([undefined, ['REPLICAOF']]);
  });

  test('has the source put back at once by a planned move', async () => {
    await expect(run(() => moveMaster(world.deps(), MOVE))).rejects.toMatchObject({
      type: 'RolledBack',
      message: expect.stringContaining(`${REPLICA} refuses to be the master: NOPERM`) as string,
    });
    expect(world.asked).toEqual([
      `${MASTER}: REPLICAOF ${REPLICA} 6379`,
      `${REPLICA}: REPLICAOF NO ONE`,
      `${MASTER}: REPLICAOF NO ONE`,
    ]);
  });

  test('keeps a forced one from ending the master', async () => {
    await expect(run(() => takeOverMaster(world.deps(), MOVE))).rejects.toMatchObject({ type: 'Refused' });
    expect([world.asked, world.ended]).toEqual([[], []]);
  });
});
