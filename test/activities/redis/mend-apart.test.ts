import { MockActivityEnvironment } from '@temporalio/testing';
import { mendRedis } from '../../../src/activities/redis/mend';
import { MASTER, REPLICA } from '../../cluster/redis/picture';
import { FakeRedis } from './fake-redis';

describe('a replica that answers and is not connected to its master', () => {
  let world: FakeRedis;
  const mend = () =>
    new MockActivityEnvironment().run<[], string, () => Promise<string>>(() =>
      mendRedis(world.deps(), {
        cluster: 'veloz',
        run: 'r',
        fault: { kind: 'apart', node: REPLICA, master: MASTER },
        master: MASTER,
      }),
    );
  beforeEach(async () => {
    world = await FakeRedis.start();
    world.apart = { upS: 90_000 };
  });
  afterEach(() => world.close());

  test('follows anew, and is left running where that helps', async () => {
    world.connectsBy = 'following';
    expect(await mend()).toMatch(/^follows veloz-redis-master anew, and connected after/);
    expect([world.ended, world.started]).toEqual([[], []]);
  });

  test('is restarted where it does not', async () => {
    world.connectsBy = 'a start';
    expect(await mend()).toMatch(
      /^following veloz-redis-master anew was in vain: ended and started, and connected after/,
    );
    expect([world.ended, world.started]).toEqual([[REPLICA], [REPLICA]]);
  }, 15_000);

  test('is not started where somebody told it to stop meanwhile', async () => {
    world.toldToStop.push(REPLICA);
    await expect(mend()).rejects.toMatchObject({
      type: 'Failed',
      message: expect.stringMatching(
        /^L1: .*; veloz-redis-replica was ended, and stays so: somebody told it to stop meanwhile\. Next: docker start veloz-redis-replica$/,
      ) as string,
    });
    expect([world.ended, world.started]).toEqual([[REPLICA], []]);
  }, 15_000);

  test('is left running where it waits for its copy, since the master has a child at work', async () => {
    world.connectsBy = 'a copy';
    world.says = ['rdb_bgsave_in_progress:0', 'aof_rewrite_in_progress:0'];
    expect(await mend()).toBe(
      'follows veloz-redis-master anew, and waits for its copy (state=wait_bgsave): left running',
    );
    expect([world.ended, world.started]).toEqual([[], []]);
  }, 15_000);

  test('is not touched at all while the master rewrites its file', async () => {
    world.says = ['rdb_bgsave_in_progress:0', 'aof_rewrite_in_progress:1'];
    expect(await mend()).toBe('it is so no longer');
    expect([world.asked, world.ended]).toEqual([[], []]);
  });

  test('was started lately, in vain: that is not tried again', async () => {
    world.apart = { upS: 1200 };
    await expect(mend()).rejects.toMatchObject({
      type: 'Failed',
      message: expect.stringMatching(
        /, as since its start 20 min.* ago .*Next: docker logs --tail 20 veloz-redis-replica$/,
      ) as string,
    });
    expect([world.ended, world.started]).toEqual([[], []]);
  }, 15_000);
});
