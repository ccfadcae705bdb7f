import { mendRedis, returnRedisNode } from '../../../src/activities/redis/mend';
import { moveMaster, putBackMaster } from '../../../src/activities/redis/move';
import { takeOverMaster } from '../../../src/activities/redis/take-over';
import { Overtaken } from '../../../src/activities/still-mine';
import type { RedisFault } from '../../../src/cluster/redis/faults';
import { MASTER, REPLICA, SENTINELS } from '../../cluster/redis/picture';
import { Attempt, overtaken, standStill } from '../attempts';
import { FakeRedis } from './fake-redis';

const MOVE = { cluster: 'veloz', run: 'r', source: MASTER, target: REPLICA };

describe('an attempt whose worker stood still, so that another one goes on,', () => {
  let world: FakeRedis;
  beforeEach(async () => {
    world = await FakeRedis.start();
    world.gossips = true;
  });
  afterEach(() => world.close());

  /** What was asked of nodes and Sentinels that changes something, and of Docker. */
  const done = () => [world.holds, world.asked, world.configured, world.told, world.started, world.ended];
  const nothing = [[], [], [], [], [], []];

  describe('in a planned move', () => {
    /** Brings the move to its end, as another worker does. */
    const moveOn = () => new Attempt(2, () => 2).run(() => moveMaster(world.deps(), MOVE));

    /** The answer to the first hold is on its way for as long as the worker is frozen. */
    const untilHeld = () =>
      new Promise<void>((resolve) => {
        world.losesAnswer = (_name, words) => {
          if (!words.includes('PAUSE')) return false;
          world.losesAnswer = () => false;
          resolve();
          return true;
        };
      });

    test('leaves an old master alone that another attempt has replaced meanwhile', async () => {
      let current = 1;
      const waits = untilHeld();
      const first = new Attempt(1, () => current).run(() => moveMaster(world.deps(), MOVE));
      first.catch(() => undefined);
      await waits;
      current = 2;
      await moveOn();
      const before = [...world.asked];
      await expect(first).rejects.toThrow();
      expect(world.asked).toEqual(before);
      expect(world.asked).not.toContain(`${MASTER}: REPLICAOF NO ONE`);
    });

    test('and so it does where no word of Temporal is to be had: the target is the master', async () => {
      const waits = untilHeld();
      const first = moveMaster(world.deps(), MOVE);
      first.catch(() => undefined);
      await waits;
      await moveOn();
      await expect(first).rejects.toThrow(`${REPLICA} is the master, and ${MASTER} is not put back`);
      expect(world.asked).not.toContain(`${MASTER}: REPLICAOF NO ONE`);
    });

    test.each([
      ['hold', 0],
      ['demote', 0],
      ['promote', 1],
      ['announce', 2],
      ['let go', 2],
    ])('before "%s" does nothing of that any more', async (point, steps) => {
      let current = 1;
      const faultPoint = (at: string) => {
        if (at !== `hold:${point}`) return;
        standStill(550);
        current = 2;
      };
      const late = new Attempt(1, () => current).run(() => moveMaster({ ...world.deps(), faultPoint }, MOVE));
      await expect(late).rejects.toThrow(Overtaken);
      expect(world.asked).toEqual(
        [`${MASTER}: REPLICAOF ${REPLICA} 6379`, `${REPLICA}: REPLICAOF NO ONE`].slice(0, steps),
      );
      expect(world.holds).toEqual(point === 'hold' ? [] : [`${MASTER}: PAUSE`]);
      expect(world.told.length > 0).toBe(point === 'let go');
    });

    test('asks once where nothing keeps it, and before anybody waits', async () => {
      const attempt = new Attempt(1, () => 1);
      const deps = world.deps();
      const asked: number[] = [];
      const faultPoint = () => void asked.push(attempt.asked);
      const began = performance.now();
      await attempt.run(() => moveMaster({ ...deps, faultPoint }, MOVE));
      // At the sub-steps connect and hold.
      expect([asked[0], asked[1]]).toEqual([0, 1]);
      // On a machine that stalls the word may have become too old.
      expect(attempt.asked - 1).toBeLessThanOrEqual(Math.floor((performance.now() - began) / 500));
    });

    test('puts nothing back', async () => {
      const asksMaster = overtaken().run(() => putBackMaster(world.deps(), MOVE));
      await expect(asksMaster).rejects.toThrow(Overtaken);
      expect(done()).toEqual(nothing);
    });
  });

  test('promotes nobody in a forced failover, and tells no Sentinel', async () => {
    await world.kill(MASTER);
    await expect(overtaken().run(() => takeOverMaster(world.deps(), MOVE))).rejects.toThrow(Overtaken);
    expect(done()).toEqual(nothing);
  });

  describe('in a repair', () => {
    const mend = (fault: RedisFault) =>
      overtaken().run(() => mendRedis(world.deps(), { cluster: 'veloz', run: 'r', fault, master: MASTER }));

    test('has no second master follow anybody', async () => {
      world.alsoMaster = REPLICA;
      world.says = ['db0:keys=1,expires=0,avg_ttl=0'];
      await expect(mend({ kind: 'second master', node: REPLICA, master: MASTER })).rejects.toThrow(Overtaken);
      expect(done()).toEqual(nothing);
    });

    test('has no replica follow anew', async () => {
      world.apart = { upS: 3600 };
      await expect(mend({ kind: 'apart', node: REPLICA, master: MASTER })).rejects.toThrow(Overtaken);
      expect(done()).toEqual(nothing);
    });

    test('promotes nobody', async () => {
      world.following.add(MASTER);
      await expect(mend({ kind: 'no master', node: MASTER })).rejects.toThrow(Overtaken);
      expect(done()).toEqual(nothing);
    });

    test.each([REPLICA, SENTINELS[0]])('starts no container: a person may have stopped it (%s)', async (node) => {
      await world.kill(node, 0);
      await expect(mend({ kind: 'stopped', node, status: 'exited' })).rejects.toThrow(Overtaken);
      expect(done()).toEqual(nothing);
    });
  });

  test('does not start the old master after a failover', async () => {
    await world.kill(MASTER, 0);
    const back = overtaken().run(() => returnRedisNode(world.deps(), { cluster: 'veloz', node: MASTER }));
    await expect(back).rejects.toThrow(Overtaken);
    expect(done()).toEqual(nothing);
  });
});
