import { MockActivityEnvironment } from '@temporalio/testing';
import { moveMaster } from '../../../src/activities/redis/move';
import { RedisNodeClient } from '../../../src/systems/redis';
import { MASTER, REPLICA } from '../../cluster/redis/picture';
import { FakeRedis } from './fake-redis';

const MOVE = { cluster: 'veloz', run: 'r', source: MASTER, target: REPLICA };

describe('a node that is told to follow another one', () => {
  let world: FakeRedis;
  let client: RedisNodeClient | undefined;
  const open = async () => {
    const node = world.deps().topology.clusters.veloz?.redis?.nodes[0];
    if (node === undefined) throw new Error('no node');
    return (client = await RedisNodeClient.open(node.address, 'secret'));
  };
  beforeEach(async () => {
    world = await FakeRedis.start();
  });
  afterEach(async () => {
    client?.close();
    await world.close();
  });

  test('refuses the writes of clients before it follows', async () => {
    await (await open()).follow({ host: REPLICA, port: 6379 });
    await client?.followNow({ host: REPLICA, port: 6379 });
    expect(world.configured).toEqual([
      `${MASTER}: replica-read-only yes`,
      `${MASTER}: follow ${REPLICA}`,
      `${MASTER}: replica-read-only yes`,
      `${MASTER}: follow 127.0.0.1`,
      `${MASTER}: follow ${REPLICA}`,
    ]);
  });

  test('and can not be set so: a planned move leaves it the master, and says why', async () => {
    world.refusesSettings = MASTER;
    const move = new MockActivityEnvironment().run<[], unknown, () => Promise<unknown>>(() =>
      moveMaster(world.deps(), MOVE),
    );
    await expect(move).rejects.toMatchObject({
      type: 'RolledBack',
      message: expect.stringContaining('config|set') as string,
    });
    expect([world.asked, world.configured]).toEqual([[], []]);
  });

  test('and can not be set so: a second master follows all the same', async () => {
    world.refusesSettings = MASTER;
    await (await open()).followNow({ host: REPLICA, port: 6379 });
    expect(world.configured).toEqual([`${MASTER}: follow 127.0.0.1`, `${MASTER}: follow ${REPLICA}`]);
  });
});
