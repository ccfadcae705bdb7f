import { MockActivityEnvironment } from '@temporalio/testing';
import type { ActivityDeps } from '../../../src/activities/deps';
import { redisActivities } from '../../../src/activities/redis';
import { watchRedis, type RedisWatchRequest } from '../../../src/activities/redis/watch';
import type { ObservedRedis } from '../../../src/cluster/redis/observed';
import { MASTER, REPLICA, SENTINELS } from '../../cluster/redis/picture';
import { PRIMARY } from '../../cluster/support/picture';
import { FakeRedis } from './fake-redis';

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a stretch of watching Redis', () => {
  let world: FakeRedis;
  /** Of one worker. */
  let deps: ActivityDeps;
  beforeEach(async () => {
    world = await FakeRedis.start();
    deps = world.deps();
  });
  afterEach(() => world.close());

  const known = { failed: false, leftOver: false, sees: 'healthy' };
  const watch = (over: Partial<RedisWatchRequest> = {}) =>
    watchRedis(deps, {
      cluster: 'veloz',
      master: MASTER,
      movedFrom: null,
      postgresPrimary: PRIMARY,
      known,
      forMs: 15_000,
      ...over,
    });

  test('learns at once who is the master', async () => {
    expect(await watch({ master: null })).toMatchObject({
      why: 'master',
      master: MASTER,
      sees: `${MASTER} is the master`,
    });
  });

  test('ends when its time is over, and had nothing to tell', async () => {
    expect(await watch({ forMs: 500 })).toMatchObject({ why: 'quiet', state: 'healthy', master: MASTER, signals: [] });
  });

  test('tells of a master that was killed, with the evidence', async () => {
    const watching = watch();
    await pause(300);
    await world.kill(MASTER);
    const result = await watching;
    expect(result).toMatchObject({ why: 'failed', state: 'failed', key: 'failed dead', failure: { kind: 'dead' } });
    expect(result.signals.map(({ source, speaks }) => `${source} ${speaks}`)).toEqual(
      expect.arrayContaining(['redis for', 'docker for']),
    );
  });

  test('tells with it which replicas the master had that the topology does not have', async () => {
    world.strangers = ['10.0.0.9'];
    const watching = watch();
    // It looks at everything every three seconds.
    await pause(4000);
    await world.kill(MASTER);
    expect(await watching).toMatchObject({ why: 'failed', seen: { master: MASTER, strangers: ['10.0.0.9:6379'] } });
  });

  test('the run that follows learns of it, from the watch on its worker or from the guard', async () => {
    const seen = { master: MASTER, at: Date.now(), strangers: ['10.0.0.9:6379'] };
    const deps = { ...world.deps(), guardState: () => Promise.resolve({ redis: { seen } } as never) };
    const look = () =>
      new MockActivityEnvironment().run<[], ObservedRedis, () => Promise<ObservedRedis>>(() =>
        redisActivities(deps).observeRedis('veloz'),
      );
    // A master that answers is asked itself.
    expect((await look()).seen).toBeUndefined();
    await world.kill(MASTER);
    expect((await look()).seen).toEqual(seen);
    deps.guardState = () => new Promise(() => undefined);
    expect((await look()).seen).toBeUndefined();
  });

  test('waits for the lock while a run holds it', async () => {
    world.holder = 'switchover-1';
    const watching = watch();
    await world.kill(MASTER);
    expect(await Promise.race([watching, pause(1000)])).toBeUndefined();
    world.holder = undefined;
    expect(await watching).toMatchObject({ why: 'failed' });
  });

  test('leaves the lock to PostgreSQL where its primary ended too', async () => {
    world.containers.set(PRIMARY, { running: false, status: 'exited', exitCode: 137 });
    const watching = watch();
    await world.kill(MASTER);
    expect(await Promise.race([watching, pause(1000)])).toBeUndefined();
    world.containers.delete(PRIMARY);
    expect(await watching).toMatchObject({ why: 'failed' });
  });

  test('tells of a master that answers nobody, once the others have not heard from it either', async () => {
    const watching = watch();
    world.freeze(MASTER);
    await pause(1500);
    world.heardMs = 5000;
    const { failure, sees } = await watching;
    expect(failure?.kind).toBe('silent');
    expect(sees).toContain(`${MASTER} has answered nobody for`);
  });

  test('doubts itself while the Sentinels hear from a master that gives it no answer', async () => {
    const watching = watch();
    world.freeze(MASTER);
    expect(await watching).toMatchObject({ why: 'sees', state: 'observer in doubt' });
  });

  test('leaves it to a Sentinel that fails over, and tells of the new master and of the run that holds the lock', async () => {
    world.flags = 'master,o_down,failover_in_progress';
    world.holder = 'redis-failover-1';
    const watching = watch();
    await world.kill(MASTER);
    expect(await Promise.race([watching, pause(1000)])).toBeUndefined();
    world.flags = 'master';
    world.named = REPLICA;
    expect(await watching).toMatchObject({ why: 'master', state: 'moved', master: REPLICA, by: 'redis-failover-1' });
  });

  test('tells that a failure is over', async () => {
    expect(await watch({ known: { ...known, failed: true, sees: 'failed dead' } })).toMatchObject({ why: 'healthy' });
  });

  test('tells what a failover left, once it has lasted, and not while a run holds the lock', async () => {
    world.named = REPLICA;
    await world.kill(MASTER);
    expect(await watch({ master: REPLICA, movedFrom: MASTER })).toMatchObject({
      why: 'left over',
      sees: `something is not as it should be: the container ${MASTER} does not run`,
    });
  });

  test('tells it beside what was told already, and the same not again', async () => {
    world.named = REPLICA;
    await world.kill(MASTER);
    const told = (left?: string[]) =>
      watch({
        master: REPLICA,
        movedFrom: MASTER,
        known: { ...known, leftOver: true, ...(left === undefined ? {} : { left }) },
        forMs: 7000,
      });
    const key = `stopped ${MASTER}`;
    const [news, same, older] = await Promise.all([told([`wrong word ${SENTINELS[2]}`]), told([key]), told()]);
    expect(news).toMatchObject({ why: 'left over', faults: [key] });
    expect([same.why, older.why]).toEqual(['quiet', 'quiet']);
  }, 20_000);

  test('has a Redis without any master mended once the Sentinels had their time', async () => {
    const real = performance.now.bind(performance);
    const began = real();
    // Ten times as fast.
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => began + 10 * (real() - began));
    try {
      world.following.add(MASTER);
      const seen = { ...known, sees: 'suspect' };
      const left = { why: 'left over', sees: expect.stringContaining(`no node is a master; ${MASTER} has`) as string };
      expect(await watch({ known: seen, forMs: 30_000 })).toMatchObject({ why: 'quiet', state: 'suspect' });
      expect(await watch({ known: seen, forMs: 45_000 })).toMatchObject(left);
      world.holder = 'redis-failover-1';
      expect(await watch({ known: seen, forMs: 45_000 })).toMatchObject({ why: 'quiet' });
    } finally {
      clock.mockRestore();
    }
  });

  test('says nothing of a replica or a Sentinel that is down', async () => {
    await world.kill(REPLICA);
    await world.kill(SENTINELS[0]);
    expect(await watch({ forMs: 4000 })).toMatchObject({ why: 'quiet', state: 'healthy' });
  });

  test.each([
    ['MISCONF Errors writing to the AOF file: No space left on device', 'veloz-ha redis failover --cluster veloz'],
    ['NOREPLICAS Not enough good replicas to write.', `docker exec ${MASTER} redis-cli info persistence`],
  ])('tells of a master that refuses writes in two looks: %s', async (refuses, next) => {
    world.refuses = refuses;
    const watching = watch({ forMs: 15_000 });
    expect(await Promise.race([watching, pause(4000)])).toBeUndefined();
    expect(await watching).toMatchObject({
      why: 'sees',
      state: 'suspect',
      key: 'trouble',
      sees: `${MASTER}, the master, takes no writes (${refuses.replace(/\.$/, '')}; limit: it takes a write). Next: ${next}`,
    });
    // The next stretch keeps it told until it knows.
    const told = { ...known, sees: 'trouble' };
    expect(await watch({ known: told, forMs: 5000 })).toMatchObject({ why: 'quiet', key: 'trouble' });
    world.refuses = undefined;
    expect(await watch({ known: told, forMs: 10_000 })).toMatchObject({ why: 'sees', key: 'healthy' });
  });

  test('has a master whose disk takes no writes moved away, where it may and no run has Redis', async () => {
    world.refuses = 'MISCONF Errors writing to the AOF file: No space left on device';
    const told = { ...known, sees: 'trouble' };
    expect(await watch({ known: told, forMs: 11_000 })).toMatchObject({ why: 'quiet' });
    world.holder = 'redis-failover-1';
    const watching = watch({ known: told, mayMove: true, forMs: 15_000 });
    expect(await Promise.race([watching, pause(10_500)])).toBeUndefined();
    world.holder = undefined;
    expect(await watching).toMatchObject({
      why: 'refuses',
      key: 'trouble',
      heir: REPLICA,
      sees: expect.stringContaining(world.refuses) as string,
    });
  }, 40_000);

  test('tells of a master that lets nobody new in, within seconds, until it does', async () => {
    const watching = watch({ forMs: 20_000 });
    await pause(500);
    world.bar(MASTER, 'ERR max number of clients reached');
    expect(await watching).toMatchObject({
      why: 'sees',
      state: 'suspect',
      key: 'trouble',
      sees: `${MASTER} lets nobody new in, and goes on for those who are connected (ERR max number of clients reached; limit: a new connection gets an answer). Next: docker restart ${MASTER}`,
    });
    world.bar(MASTER, undefined);
    const told = { ...known, sees: 'trouble' };
    expect(await watch({ known: told, forMs: 10_000 })).toMatchObject({ why: 'sees', key: 'healthy' });
  });

  test('says nothing of a write that was refused once, as in the hold of a planned move', async () => {
    world.refuses = 'NOREPLICAS Not enough good replicas to write.';
    const watching = watch({ forMs: 9000 });
    await pause(4500);
    world.refuses = undefined;
    expect(await watching).toMatchObject({ why: 'quiet', key: 'healthy' });
  });

  test('tells of a master that keeps no append-only file, until it does', async () => {
    world.says = ['aof_enabled:0'];
    expect(await watch({ forMs: 10_000 })).toMatchObject({
      why: 'sees',
      state: 'suspect',
      key: 'trouble',
      sees: `${MASTER} keeps no append-only file: a restart would bring back an old state (appendonly is no; limit: yes). Next: docker exec ${MASTER} redis-cli config set appendonly yes`,
    });
    world.says = ['aof_enabled:1'];
    const told = { ...known, sees: 'trouble' };
    expect(await watch({ known: told, forMs: 10_000 })).toMatchObject({ why: 'sees', key: 'healthy' });
  });

  test('tells of a replica that ends each time that Docker starts it, once that has lasted', async () => {
    await world.kill(REPLICA);
    world.containers.set(REPLICA, { running: true, status: 'restarting' });
    expect(await watch({ mayStart: true, forMs: 20_000 })).toMatchObject({
      why: 'sees',
      state: 'suspect',
      key: 'trouble',
      sees: `${REPLICA} ends each time that Docker starts it: nobody could take over. Next: docker logs --tail 20 ${REPLICA}`,
    });
    // The next stretch keeps it told until it knows.
    const again = await watch({ forMs: 3000, known: { ...known, sees: 'trouble' } });
    expect(again).toMatchObject({ why: 'quiet', key: 'trouble' });
  });

  test('leaves a master that a person stopped as it is after it was replaced, and tells how it comes back', async () => {
    world.named = REPLICA;
    await world.kill(MASTER, 0);
    expect(await watch({ master: REPLICA, movedFrom: MASTER, mayStart: true, forMs: 20_000 })).toMatchObject({
      why: 'sees',
      key: 'trouble',
      sees: `${MASTER} was told to stop, and stays so (its container is exited, exit code 0): nobody could take over. Next: docker start ${MASTER}`,
    });
    expect(world.started).toEqual([]);
  });

  test('starts a replica that was killed beside a master that is well, once Docker had the time to do so', async () => {
    const watching = watch({ mayStart: true });
    await pause(300);
    await world.kill(REPLICA);
    expect(await watching).toMatchObject({
      why: 'sees',
      state: 'healthy',
      started: [`${REPLICA} was started again: its container is exited, exit code 137`],
    });
    expect(world.started).toEqual([REPLICA]);
  });

  test.each([
    ['a person stopped it', () => world.kill(REPLICA, 0)],
    [
      'a person stopped it, and Docker had to kill it for that',
      () => {
        world.toldToStop.push(REPLICA);
        return world.kill(REPLICA);
      },
    ],
    [
      'a run has Redis',
      () => {
        world.holder = 'redis-failover-1';
        return world.kill(REPLICA);
      },
    ],
    [
      'it is the master that was replaced',
      () => {
        world.named = REPLICA;
        return world.kill(MASTER);
      },
      { master: REPLICA, movedFrom: MASTER },
    ],
  ])('starts none where %s', async (_why, happens, over: Partial<RedisWatchRequest> = {}) => {
    await happens();
    await watch({ mayStart: true, forMs: 4500, ...over });
    expect(world.started).toEqual([]);
  });

  describe('starts a replica that was killed also where no master answers:', () => {
    const started = [`${REPLICA} was started again: its container is exited, exit code 137`];
    /** It is looked at everything every three seconds, and so the replica was seen connected. */
    const LOOKED_MS = 3500;

    test('the master hangs a moment later', async () => {
      const watching = watch({ mayStart: true });
      await pause(LOOKED_MS);
      await world.kill(REPLICA);
      world.freeze(MASTER);
      world.heardMs = 5000;
      expect(await watching).toMatchObject({ why: 'failed', failure: { kind: 'silent' }, started });
      expect(world.started).toEqual([REPLICA]);
    });

    test('the master was made its replica', async () => {
      const watching = watch({ mayStart: true });
      await pause(LOOKED_MS);
      world.following.add(MASTER);
      await world.kill(REPLICA);
      expect(await watching).toMatchObject({ why: 'sees', state: 'suspect', started });
      expect(world.started).toEqual([REPLICA]);
    });

    test('the container of the master was removed, in the next stretch', async () => {
      const watching = watch({ mayStart: true });
      await pause(LOOKED_MS);
      await world.kill(MASTER);
      world.containers.set(MASTER, { exists: false, running: false, status: 'absent' });
      expect(await watching).toMatchObject({ why: 'failed' });
      await world.kill(REPLICA);
      const told = { ...known, failed: true, sees: 'failed dead' };
      expect(await watch({ mayStart: true, known: told })).toMatchObject({ why: 'sees', started });
    });

    test.each<[string, () => unknown, number?]>([
      ['it was never seen connected', () => world.kill(REPLICA), 0],
      ['a person stopped it', () => world.kill(REPLICA, 0)],
      [
        'a run has Redis',
        () => {
          world.holder = 'redis-failover-1';
          return world.kill(REPLICA);
        },
      ],
      [
        'a Sentinel fails over',
        () => {
          world.flags = 'master,o_down,failover_in_progress';
          return world.kill(REPLICA);
        },
      ],
    ])('not where %s', async (_why, happens, lookedMs = LOOKED_MS) => {
      const seen = { ...known, sees: 'suspect' };
      const watching = watch({ mayStart: true, known: seen, forMs: lookedMs + 4000 });
      await pause(lookedMs);
      world.following.add(MASTER);
      await happens();
      await watching;
      expect(world.started).toEqual([]);
    });
  });

  test('tells of one that does not start, and of that once', async () => {
    world.broken = 'port is already allocated';
    await world.kill(REPLICA);
    expect(await watch({ mayStart: true })).toMatchObject({
      why: 'sees',
      state: 'suspect',
      key: 'trouble',
      sees: `${REPLICA} was killed, and could not be started: port is already allocated`,
    });
    const again = await watch({ mayStart: true, forMs: 5500, known: { ...known, sees: 'trouble' } });
    expect(again).toMatchObject({ why: 'quiet', key: 'trouble' });
  });

  test('tells of two masters of which only a person can say which is right', async () => {
    world.named = REPLICA;
    world.alsoMaster = MASTER;
    expect(await watch({ master: REPLICA })).toMatchObject({
      why: 'sees',
      state: 'suspect',
      key: 'trouble',
      sees: expect.stringContaining(`Next: docker exec ${REPLICA} redis-cli replicaof ${MASTER} 6379`) as string,
    });
  });
});
