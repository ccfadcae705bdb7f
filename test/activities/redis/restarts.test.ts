import type { ActivityDeps } from '../../../src/activities/deps';
import { HANGS_MS } from '../../../src/activities/redis/hung-nodes';
import { Restarts } from '../../../src/activities/redis/restarts';
import { MASTER_FIRST_MS } from '../../../src/cluster/redis/masterless';
import type { ObservedRedis } from '../../../src/cluster/redis/observed';
import type { RedisRound, RedisVerdict } from '../../../src/cluster/redis/watch';
import {
  healthy,
  killed,
  MASTER,
  picture,
  redisTopology,
  REPLICA,
  sentinelsNaming,
  silent,
} from '../../cluster/redis/picture';
import { FakeRedis } from './fake-redis';

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const EVERY_MS = 2000;

/** The master answers nobody, and no replica is fit: each of these looks comes two seconds after the one before. */
describe('without a master', () => {
  let world: FakeRedis;
  let deps: ActivityDeps;
  let restarts: Restarts;
  let now: number;
  let clock: jest.SpyInstance;
  const begin = (mayStart = true) =>
    new Restarts(deps, {
      cluster: 'veloz',
      redis: redisTopology(),
      policy: { backoff: 15_000 },
      master: MASTER,
      movedFrom: null,
      mayStart,
    });
  beforeEach(async () => {
    world = await FakeRedis.start();
    deps = world.deps();
    restarts = begin();
    now = 1_000_000;
    const real = performance.now.bind(performance);
    const began = real();
    clock = jest.spyOn(performance, 'now').mockImplementation(() => now + real() - began);
  });
  afterEach(() => {
    clock.mockRestore();
    return world.close();
  });

  const failed = (kind: 'dead' | 'silent'): RedisVerdict => ({
    state: 'failed',
    kind,
    says: '',
    signals: [],
    since: 0,
  });
  const round = (picture: ObservedRedis, answered = false): RedisRound => ({
    at: now,
    lateMs: 0,
    master: MASTER,
    answer: answered ? { answered, ms: 1, role: 'master' } : { answered, ms: 300 },
    picture,
  });
  /** Looks again and again for so long. */
  const looks = (forMs: number, picture: ObservedRedis, verdict: RedisVerdict) => {
    for (const end = now + forMs; now < end; now += EVERY_MS) restarts.see(round(picture), verdict, now);
    restarts.see(round(picture), verdict, now);
  };
  const hung = picture([silent(MASTER, 'running'), silent(REPLICA)], sentinelsNaming(MASTER, 5000));
  const hangs = async () => {
    world.freeze(MASTER);
    world.containers.set(MASTER, { health: 'unhealthy' });
    await world.kill(REPLICA, 0);
  };

  test('a master that hangs is ended and started once that has lasted, also over the stretches of the watch', async () => {
    await hangs();
    looks(HANGS_MS - EVERY_MS, hung, failed('silent'));
    expect(restarts.busy).toBe(false);
    restarts = begin();
    now += EVERY_MS;
    looks(0, hung, failed('silent'));
    expect(restarts.busy).toBe(true);
    await pause(3000);
    expect([world.ended, world.started, restarts.busy]).toEqual([[MASTER], [MASTER], false]);
    expect(restarts.takeStarted()).toEqual([
      `${MASTER} was ended and started again: it ran, and its process answered nobody`,
    ]);
  });

  test('a master that is frozen, too', async () => {
    await hangs();
    world.containers.set(MASTER, { status: 'paused' });
    const frozen = picture([silent(MASTER, 'paused'), silent(REPLICA)], sentinelsNaming(MASTER, 5000));
    looks(HANGS_MS, frozen, failed('silent'));
    await pause(3000);
    expect(restarts.takeStarted()).toEqual([
      `${MASTER} was ended and started again: it was frozen, and nobody could take over`,
    ]);
  });

  test.each<[string, () => unknown, boolean?]>([
    ['it may not', () => undefined, false],
    ['Docker gets an answer inside: it is cut off', () => world.containers.set(MASTER, { health: 'healthy' })],
    ['a run has Redis', () => (world.holder = 'redis-failover-1')],
  ])('a master that hangs is left alone where %s', async (_why, happens, mayStart = true) => {
    await hangs();
    happens();
    restarts = begin(mayStart);
    looks(HANGS_MS, hung, failed('silent'));
    await pause(3000);
    expect([world.ended, world.started]).toEqual([[], []]);
  });

  test('a master that was ended is not started where a run has begun meanwhile: that may have a replica take over', async () => {
    await hangs();
    let asked = 0;
    deps.lockHolder = () => Promise.resolve(++asked > 1 ? 'redis-failover-1' : undefined);
    looks(HANGS_MS, hung, failed('silent'));
    await pause(3000);
    expect([world.ended, world.started]).toEqual([[MASTER], []]);
    expect(restarts.takeStarted()).toEqual([
      `${MASTER} was ended: it ran, and its process answered nobody; run redis-failover-1 goes on with it`,
    ]);
  });

  test('a master that answered meanwhile has to hang for as long again', async () => {
    await hangs();
    looks(HANGS_MS - EVERY_MS, hung, failed('silent'));
    restarts.see(round(healthy()), { state: 'suspect', says: 'it answered late', signals: [] }, now);
    looks(HANGS_MS - EVERY_MS, hung, failed('silent'));
    await pause(100);
    expect([restarts.busy, world.ended]).toEqual([false, []]);
  });

  test('where both were killed and no run came to it, both are started', async () => {
    restarts.see(round(healthy(), true), { state: 'healthy', says: '' }, now);
    await world.kill(MASTER);
    await world.kill(REPLICA);
    const dead = picture([killed(MASTER), killed(REPLICA)], sentinelsNaming(MASTER, 5000));
    looks(MASTER_FIRST_MS - EVERY_MS, dead, failed('dead'));
    await pause(50);
    expect(world.started).toEqual([]);
    now += EVERY_MS;
    looks(EVERY_MS, dead, failed('dead'));
    await pause(50);
    expect(world.started.sort()).toEqual([MASTER, REPLICA]);
  });
});
