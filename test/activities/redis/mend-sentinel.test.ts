import { MockActivityEnvironment } from '@temporalio/testing';
import { mendRedis } from '../../../src/activities/redis/mend';
import { MASTER, REPLICA, SENTINELS } from '../../cluster/redis/picture';
import { FakeRedis } from './fake-redis';

const [, , SENTINEL] = SENTINELS;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a Sentinel that does not hear from the master that it was told to watch', () => {
  let world: FakeRedis;
  const mend = () =>
    new MockActivityEnvironment().run<[], string, () => Promise<string>>(() =>
      mendRedis(world.deps(), {
        cluster: 'veloz',
        run: 'r',
        fault: { kind: 'wrong word', node: SENTINEL, master: MASTER, says: REPLICA },
        master: MASTER,
      }),
    );
  beforeEach(async () => {
    world = await FakeRedis.start();
    world.otherWord.set(SENTINEL, REPLICA);
  });
  afterEach(() => world.close());

  test('is given up for good: the run has the lock, and the master may fail', async () => {
    await expect(mend()).rejects.toMatchObject({
      type: 'Failed',
      nonRetryable: true,
      message: expect.stringMatching(
        /^L3: veloz-redis-sentinel-3 hearing from veloz-redis-master did not happen within 5000 ms .*Next: docker logs --tail 20 veloz-redis-sentinel-3$/,
      ) as string,
    });
  });

  test('is given up at once where the master has failed', async () => {
    const began = performance.now();
    const mending = mend();
    mending.catch(() => undefined);
    await pause(500);
    await world.kill(MASTER);
    await expect(mending).rejects.toMatchObject({
      type: 'Failed',
      message: expect.stringContaining(`${MASTER} gave no answer meanwhile`) as string,
    });
    expect(performance.now() - began).toBeLessThan(3000);
  });
});
