import { StandbyWatcher } from '../../../src/activities/guard/standby-watcher';
import { PRIMARY, STANDBY } from '../../cluster/support/picture';
import { policy, round, writable } from '../../cluster/guard/support/rounds';

const running = { exists: true, status: 'running', running: true, restartPolicy: 'no' };
const access = { name: 'veloz', topology: { postgres: { nodes: [{ name: PRIMARY }, { name: STANDBY }] } } } as never;
/** The standby streams, and has less than the primary. */
const silent = round({
  sql: writable({ lsn: '0/6', standbys: [{ node: STANDBY, syncState: 'sync', state: 'streaming', flush: '0/5' }] }),
});

describe('a standby that confirms nothing', () => {
  let now = 0;
  const deps = () => ({ docker: { inspect: () => Promise.resolve(running) } }) as never;
  const watcher = (of: never, beat?: StandbyWatcher['beat'], counted?: StandbyWatcher['beat']) =>
    new StandbyWatcher(of, access, policy, PRIMARY, beat, counted);
  /** Looks at it for so long, and returns what is lost by then. */
  const looks = async (each: StandbyWatcher, ms: number) => {
    await each.look(silent, false);
    now += ms;
    return each.look(silent, false);
  };
  beforeEach(() => {
    now = 1000;
    jest.spyOn(performance, 'now').mockImplementation(() => now);
  });
  afterEach(() => jest.restoreAllMocks());

  test('is lost after its time, also where news ended the stretch in between', async () => {
    const worker = deps();
    const first = watcher(worker);
    await first.look(silent, false);
    expect(await looks(first, 2000)).toBeUndefined();
    now += 500;
    expect(await looks(watcher(worker), 900)).toBeUndefined();
    now += 500;
    expect(await looks(watcher(worker), 100)).toMatchObject({ proven: false });
  });

  test('is counted anew where nobody looked for longer, and by a worker that knows nothing', async () => {
    const worker = deps();
    const first = watcher(worker);
    await first.look(silent, false);
    await looks(first, 2900);
    now += 2500;
    expect(await looks(watcher(worker), 2000)).toBeUndefined();
    expect(await looks(watcher(deps()), 2000)).toBeUndefined();
  });

  test('is gone on with by the worker that takes a watch over, by the last heartbeat', async () => {
    const first = watcher(deps());
    await first.look(silent, false);
    await looks(first, 2900);
    const { beat } = first;
    expect(beat).toMatchObject({ lostMs: 2900 });
    now += 60_000;
    expect(await looks(watcher(deps(), beat), 200)).toMatchObject({ proven: false });
    expect(watcher(deps()).beat).toBeUndefined();
  });

  test('is gone on with by the worker that has the next stretch, by what the guard hands on', async () => {
    const first = watcher(deps());
    await first.look(silent, false);
    await looks(first, 2900);
    const counted = first.beat;
    expect(await looks(watcher(deps(), undefined, counted), 200)).toMatchObject({ proven: false });
    // What the worker has seen itself is newer.
    const worker = deps();
    const own = watcher(worker);
    await own.look(silent, false);
    await looks(own, 100);
    expect(await looks(watcher(worker, undefined, counted), 200)).toBeUndefined();
  });

  test('is back for commits once it confirms what was written before, not while it is merely listed', () => {
    const one = watcher(deps());
    expect(one.goesOn(silent)).toBe(false);
    expect(one.goesOn(silent)).toBe(false);
    const standbys = [{ node: STANDBY, syncState: 'sync' as const, state: 'streaming', flush: '0/6' }];
    expect(one.goesOn(round({ sql: writable({ lsn: '0/7', standbys }) }))).toBe(true);
  });
});
