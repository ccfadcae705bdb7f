import { MockActivityEnvironment } from '@temporalio/testing';
import { mayComeRight, verifyRedis } from '../../../src/activities/redis/verify';
import {
  healthy,
  master,
  MASTER,
  picture,
  replica,
  REPLICA,
  sentinelsNaming,
  silent,
} from '../../cluster/redis/picture';
import { FakeRedis } from './fake-redis';

const proof = { cluster: 'veloz', run: 'r', master: MASTER };

test('what is not so may come right by itself where the master is the expected one and every node answers', () => {
  const copied = picture(
    [master(MASTER), replica(REPLICA, MASTER, {}, { up: false, syncing: true })],
    sentinelsNaming(MASTER),
  );
  expect(mayComeRight(copied, proof)).toBe(true);
  const dead = picture([master(MASTER), silent(REPLICA)], sentinelsNaming(MASTER));
  expect(mayComeRight(dead, proof)).toBe(false);
  expect(mayComeRight(dead, { ...proof, without: REPLICA })).toBe(true);
  expect(mayComeRight(dead, { ...proof, leaves: [REPLICA] })).toBe(true);
  expect(mayComeRight(healthy(), { ...proof, master: REPLICA })).toBe(false);
  const both = picture([master(MASTER), master(REPLICA)], sentinelsNaming(MASTER));
  expect(mayComeRight(both, proof)).toBe(false);
});

describe('a proof', () => {
  let world: FakeRedis;
  let clock: jest.SpyInstance;
  beforeEach(async () => {
    world = await FakeRedis.start();
    const real = performance.now.bind(performance);
    const began = real();
    // Twenty times as fast.
    clock = jest.spyOn(performance, 'now').mockImplementation(() => began + 20 * (real() - began));
  });
  afterEach(() => {
    clock.mockRestore();
    return world.close();
  });
  const prove = () =>
    new MockActivityEnvironment().run<[], unknown, () => Promise<unknown>>(() => verifyRedis(world.deps(), proof, 0));

  test('that waits for a node that is dead is given up for good', async () => {
    await world.kill(REPLICA);
    await expect(prove()).rejects.toMatchObject({
      type: 'Failed',
      nonRetryable: true,
      message: `the container ${REPLICA} does not run`,
    });
  });

  test('that waits for a copy is tried again', async () => {
    world.apart = { upS: 1 };
    const error = await prove().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ message: `${REPLICA} is not connected to ${MASTER}` });
    expect(error).not.toHaveProperty('nonRetryable', true);
  });
});
