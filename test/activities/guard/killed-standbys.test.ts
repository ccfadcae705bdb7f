import { KilledStandbys } from '../../../src/activities/guard/killed-standbys';
import type { LeftOver, MembersRound } from '../../../src/cluster/guard/mending';

const killed: LeftOver = {
  node: 's',
  says: 'its container is exited, exit code 137',
  key: 's ended',
  started: true,
  settleMs: 1000,
};
const round = (answers: boolean, status = 'exited'): MembersRound => ({
  writable: [],
  streams: [],
  commitsWait: false,
  members: [
    { name: 'p', optional: false, container: { status: 'paused' } },
    {
      name: 's',
      optional: false,
      container: { status, ...(status === 'exited' ? { exitCode: 137 } : {}) },
      ...(answers ? { sql: { inRecovery: true } } : {}),
    },
  ],
});

describe('a killed standby beside a primary that gives no answer', () => {
  let now = 0;
  let started: string[] = [];
  let holder: string | undefined;
  let broken: string | undefined;
  beforeEach(() => {
    [now, started, holder, broken] = [1000, [], undefined, undefined];
    jest.spyOn(performance, 'now').mockImplementation(() => now);
  });
  afterEach(() => jest.restoreAllMocks());

  const watched = (mayAct = true) =>
    new KilledStandbys(
      {
        docker: {
          start: (name: string) => {
            started.push(name);
            return broken === undefined ? Promise.resolve() : Promise.reject(new Error(broken));
          },
        } as never,
        lockHolder: () => Promise.resolve(holder),
      },
      { name: 'veloz', topology: { guard: { backoff: 60_000 } } } as never,
      mayAct,
    );
  const at = (standbys: KilledStandbys, ms: number, found = [killed]) => {
    now += ms;
    return standbys.start(found);
  };

  test('is started once Docker had its time, and told when it answers', async () => {
    const standbys = watched();
    await at(standbys, 0);
    expect(started).toEqual([]);
    expect(await at(standbys, 1000)).toEqual([killed]);
    expect(started).toEqual(['s']);
    await at(standbys, 1000, []);
    expect(standbys.takeAnswering(round(false, 'running'))).toEqual([]);
    const says = 's was started again: its container is exited, exit code 137';
    expect(standbys.takeAnswering(round(true, 'running'))).toEqual([{ node: 's', says }]);
    expect(standbys.takeAnswering(round(true, 'running'))).toEqual([]);
  });

  test('one that ends again before it answers is started again only after the back-off', async () => {
    const standbys = watched();
    await at(standbys, 0);
    await at(standbys, 1000);
    await at(standbys, 5000, []);
    await at(standbys, 1000);
    expect(started).toHaveLength(1);
    await at(standbys, 60_000);
    expect(started).toHaveLength(2);
  });

  test('one that does not start is told with the reason', async () => {
    const standbys = watched();
    broken = 'port is already allocated';
    await at(standbys, 0);
    expect((await at(standbys, 1000))[0]?.says).toBe(
      'its container is exited, exit code 137; it could not be started: port is already allocated',
    );
    expect(standbys.takeAnswering(round(true))).toEqual([]);
  });

  test('nothing is started while a run holds the lock, or where nothing may be done', async () => {
    holder = 'failover-veloz-1';
    const standbys = watched();
    await at(standbys, 0);
    await at(standbys, 2000);
    const told = watched(false);
    holder = undefined;
    await at(told, 0);
    await at(told, 2000);
    expect(started).toEqual([]);
    await at(standbys, 1000);
    expect(started).toEqual(['s']);
  });
});
