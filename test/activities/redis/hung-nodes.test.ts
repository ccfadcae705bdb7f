import { HANGS_MS, HungNodes } from '../../../src/activities/redis/hung-nodes';
import { REPLICA } from '../../cluster/redis/picture';
import { FakeRedis } from './fake-redis';

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a node that runs and answers nobody', () => {
  let world: FakeRedis;
  let hung: HungNodes;
  beforeEach(async () => {
    world = await FakeRedis.start();
    hung = new HungNodes(world.deps(), 'veloz', { backoff: 15_000 });
    world.freeze(REPLICA);
    world.containers.set(REPLICA, { health: 'unhealthy' });
  });
  afterEach(() => world.close());

  /** It is looked at for so long, and then has time for what is begun. */
  async function silentFor(ms: number): Promise<string[]> {
    hung.see([REPLICA], 0);
    hung.restartDue(ms);
    // A last question is waited for.
    await pause(3500);
    return hung.takeStarted();
  }

  test('is ended and started once that has lasted', async () => {
    expect(await silentFor(HANGS_MS)).toEqual([
      `${REPLICA} was ended and started again: it ran, and its process answered nobody`,
    ]);
    expect([world.ended, world.started]).toEqual([[REPLICA], [REPLICA]]);
  });

  test.each<[string, () => unknown, number?]>([
    ['that has not lasted', () => undefined, HANGS_MS - 1],
    ['it answers at last', () => world.freeze(REPLICA, false)],
    ['Docker gets an answer inside', () => world.containers.set(REPLICA, { health: 'healthy' })],
    ['a person froze it', () => world.containers.set(REPLICA, { status: 'paused', health: 'unhealthy' })],
    [
      'a run has Redis',
      () => {
        world.holder = 'redis-failover-1';
      },
    ],
  ])('is left alone where %s', async (_why, happens, ms = HANGS_MS) => {
    happens();
    expect(await silentFor(ms)).toEqual([]);
    expect([world.ended, world.started, hung.trouble]).toEqual([[], [], undefined]);
  });

  test('is told where it does not start, and tried again later', async () => {
    world.broken = 'port is already allocated';
    expect(await silentFor(HANGS_MS)).toEqual([]);
    expect(hung.trouble).toBe(`${REPLICA} hangs, and could not be ended and started: port is already allocated`);
    hung.restartDue(HANGS_MS + 1000);
    await pause(100);
    expect(world.ended).toEqual([REPLICA]);
  });
});
