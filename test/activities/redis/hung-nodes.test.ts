import type { ActivityDeps } from '../../../src/activities/deps';
import { HANGS_MS, HungNodes } from '../../../src/activities/redis/hung-nodes';
import { FORGOTTEN_MS } from '../../../src/activities/kept-attempts';
import { REPLICA } from '../../cluster/redis/picture';
import { FakeRedis } from './fake-redis';

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a node that runs and answers nobody', () => {
  let world: FakeRedis;
  let deps: ActivityDeps;
  let hung: HungNodes;
  beforeEach(async () => {
    world = await FakeRedis.start();
    deps = world.deps();
    hung = new HungNodes(deps, 'veloz', { backoff: 15_000 });
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

  test('that somebody told to stop meanwhile is not started, and that is told', async () => {
    world.toldToStop.push(REPLICA);
    expect(await silentFor(HANGS_MS)).toEqual([
      `${REPLICA} was ended, and stays so: somebody told it to stop meanwhile. Next: docker start ${REPLICA}`,
    ]);
    expect([world.ended, world.started, hung.trouble]).toEqual([[REPLICA], [], undefined]);
  });

  test('that hangs again waits longer, also in the next stretch, and counts anew when it was well for long', async () => {
    await silentFor(HANGS_MS);
    const hangsAgain = async (since: number, at: number) => {
      world.freeze(REPLICA);
      world.containers.set(REPLICA, { health: 'unhealthy' });
      hung = new HungNodes(deps, 'veloz', { backoff: 60_000 });
      hung.see([REPLICA], since);
      hung.restartDue(at);
      await pause(2500);
      return world.ended.length;
    };
    // The first pause is as long as a hang.
    expect(await hangsAgain(HANGS_MS - 1000, 2 * HANGS_MS - 1)).toBe(1);
    expect(await hangsAgain(HANGS_MS, 2 * HANGS_MS)).toBe(2);
    const secondPauseMs = 120_000;
    expect(await hangsAgain(2 * HANGS_MS, 2 * HANGS_MS + secondPauseMs - 1)).toBe(2);
    expect(await hangsAgain(2 * HANGS_MS, 2 * HANGS_MS + secondPauseMs)).toBe(3);
    const longAfter = 2 * HANGS_MS + secondPauseMs + FORGOTTEN_MS;
    expect(await hangsAgain(longAfter - HANGS_MS, longAfter)).toBe(4);
    expect(await hangsAgain(longAfter, longAfter + 60_000)).toBe(5);
  }, 30_000);

  test('is told where it does not start, and tried again later', async () => {
    world.broken = 'port is already allocated';
    expect(await silentFor(HANGS_MS)).toEqual([]);
    expect(hung.trouble).toBe(`${REPLICA} hangs, and could not be ended and started: port is already allocated`);
    hung.restartDue(HANGS_MS + 1000);
    await pause(100);
    expect(world.ended).toEqual([REPLICA]);
  });
});
