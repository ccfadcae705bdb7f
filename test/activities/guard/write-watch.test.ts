import { WriteWatch, FLUSHED_WRITE } from '../../../src/activities/guard/write-watch';
import { ITS_CLIENT } from '../../../src/activities/guard/probe';
import type { ActivityDeps } from '../../../src/activities/deps';
import type { NodeAnswer } from '../../../src/cluster/guard/signals';
import { guardPolicySchema } from '../../../src/cluster/guard/policy';
import { FakeServers, pause, PRIMARY, silence } from './support/fake-engine';

const policy = guardPolicySchema.parse({});

describe('a watch of writes', () => {
  let servers: FakeServers;
  let deps: ActivityDeps;
  let now: number;
  /** What the next write answers. */
  let written: unknown;
  let writes: number;
  let ending: AbortController;
  const open: WriteWatch[] = [];
  const begin = () => {
    const watch = WriteWatch.of(deps, servers.access(), PRIMARY, policy, () => now);
    open.push(watch);
    return watch;
  };
  const answer = (rest: Partial<NodeAnswer> = {}): NodeAnswer => ({
    name: PRIMARY,
    answered: true,
    ms: 1,
    inRecovery: false,
    flushed: '0/5000000',
    ...rest,
  });
  /** Rounds for so long, the last of which is returned. */
  const rounds = async (watch: WriteWatch, forMs: number, rest: Partial<NodeAnswer> = {}) => {
    let seen;
    for (const end = now + forMs; now < end;) {
      now += 200;
      seen = watch.look(answer(rest));
      await pause(0);
    }
    return seen;
  };
  beforeEach(() => {
    servers = new FakeServers();
    ending = new AbortController();
    deps = { ending: ending.signal } as unknown as ActivityDeps;
    now = 1000;
    written = { lsn: '0/1' };
    writes = 0;
    servers.answer = (_node, sql) => {
      if (sql !== FLUSHED_WRITE) return { pid: 71 };
      writes += 1;
      return written;
    };
  });
  afterEach(async () => {
    ending.abort();
    for (const watch of open.splice(0)) watch.close(deps);
    await pause(5);
    expect(servers.sessions.filter(({ session }) => !session.closed)).toEqual([]);
  });

  test('asks an idle primary for a write about once a second, over one session', async () => {
    const watch = begin();
    expect(await rounds(watch, 5000)).toBeUndefined();
    expect(writes).toBeGreaterThanOrEqual(3);
    expect(writes).toBeLessThanOrEqual(5);
    expect(servers.sessions).toHaveLength(1);
    expect(watch.backend).toBeUndefined();
  });

  test('asks for nothing while commits wait and no standby confirms: its write would be what nobody else has', async () => {
    const watch = begin();
    for (let round = 0; round < 20; round++) {
      now += 200;
      watch.look(answer({ names: 'veloz_standby', standbys: [] }));
      await pause(0);
    }
    expect(writes).toBe(0);
    for (let round = 0; round < 20; round++) {
      now += 200;
      watch.look(answer({ names: '', standbys: [] }));
      await pause(0);
    }
    expect(writes).toBeGreaterThan(0);
  });

  test('asks a primary for nothing whose WAL reaches the disk by itself', async () => {
    const watch = begin();
    for (let lsn = 0; lsn < 30; lsn++) {
      now += 200;
      watch.look(answer({ flushed: `0/50000${lsn + 10}` }));
      await pause(0);
    }
    expect(writes).toBe(0);
    expect(servers.sessions).toHaveLength(0);
  });

  test('tells of a write that hangs, for how long and what it waits for, and asks for no second one', async () => {
    written = silence;
    const watch = begin();
    await rounds(watch, 7000);
    expect(writes).toBe(1);
    expect(watch.backend).toBe(71);
    now += 200;
    const seen = watch.look(answer({ writeWaitsFor: 'IO WalSync' }));
    expect(seen?.waitsFor).toBe('IO WalSync');
    expect(seen?.hangsMs).toBeGreaterThan(5000);
    expect(seen?.hangsMs).toBeLessThanOrEqual(6200);
  });

  test('a disk that is slow moves other WAL, and what it moves begins the counting anew', async () => {
    written = silence;
    const watch = begin();
    await rounds(watch, 4000);
    expect(await rounds(watch, 1000, { flushed: '0/5000040' })).toBeUndefined();
    expect(await rounds(watch, 600, { flushed: '0/5000040' })).toMatchObject({ hangsMs: 1400 });
  });

  test('what a frozen observer slept through counts for nothing', async () => {
    written = silence;
    const watch = begin();
    await rounds(watch, 1400);
    now += 60_000;
    expect(watch.look(answer())).toBeUndefined();
    expect(await rounds(watch, 1000)).toMatchObject({ hangsMs: 1000 });
  });

  test('says nothing of a primary that is silent, or is none any more', async () => {
    written = silence;
    const watch = begin();
    await rounds(watch, 4000);
    expect(watch.look(answer({ answered: false }))).toBeUndefined();
    expect(watch.look(answer({ inRecovery: true }))).toBeUndefined();
    expect(watch.backend).toBeUndefined();
  });

  test('a write whose answer was lost on the way is no sign: its session is given up, and another one asks', async () => {
    written = silence;
    const watch = begin();
    await rounds(watch, 3000);
    now += 200;
    expect(watch.look(answer({ writeWaitsFor: ITS_CLIENT }))).toBeUndefined();
    expect(servers.session().closed).toBe(true);
    written = {};
    await rounds(watch, 2000);
    expect(servers.sessions).toHaveLength(2);
    expect(writes).toBeGreaterThanOrEqual(2);
  });

  test.each([
    ['the server refuses it', () => (written = new Error('recovery is in progress'))],
    ['no session can be had', () => (servers.connect = () => new Error('sorry, too many clients'))],
  ])('is no sign where %s, and is tried again', async (_what, arrange) => {
    arrange();
    const watch = begin();
    expect(await rounds(watch, 5000)).toBeUndefined();
    expect(watch.backend).toBeUndefined();
  });

  test('what hangs when a stretch ends is taken over by the next one, with its session and its time', async () => {
    written = silence;
    const first = begin();
    await rounds(first, 4000);
    first.close(deps);
    now += 400;
    const second = begin();
    expect(second).toBe(first);
    now += 200;
    expect(second.look(answer())?.hangsMs).toBeGreaterThan(3000);
    expect(servers.sessions).toHaveLength(1);
    // A worker that ends leaves nothing behind.
    second.close(deps);
    ending.abort();
    expect(servers.session().closed).toBe(true);
    expect(begin()).not.toBe(first);
  });

  test('what nobody comes back for ends with its answer', async () => {
    let arrive: (row: unknown) => void = () => undefined;
    written = new Promise((resolve) => (arrive = resolve));
    const watch = begin();
    await rounds(watch, 2000);
    watch.close(deps);
    expect(servers.session().closed).toBe(false);
    arrive({});
    await pause(1);
    expect(servers.session().closed).toBe(true);
  });
});
