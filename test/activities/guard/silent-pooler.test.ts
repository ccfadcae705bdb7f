import { SilentPooler } from '../../../src/activities/guard/silent-pooler';
import { wordsOf } from '../../../src/cluster/guard/mending';
import { FakeEngine, FakeServers, pause, POOLER, PRIMARY, Refusal, STANDBY } from './support/fake-engine';

describe('a pooler that runs, and at which clients get no answer', () => {
  let engine: FakeEngine;
  let servers: FakeServers;
  let pooler: SilentPooler;
  let begin: (known?: { node: string; says: string }[], mayStart?: boolean) => void;
  let now: number;
  let through: unknown;
  let tried: number;
  let agent: unknown;
  let reached: { writable: boolean; standby: boolean; problem: string | null };
  const answers = { paused: false, hold: null };
  const noAnswer = new Error('Query read timeout');

  beforeEach(() => {
    engine = new FakeEngine();
    servers = new FakeServers();
    [now, tried, through, agent] = [10_000, 0, { one: 1 }, answers];
    reached = { writable: true, standby: false, problem: null };
    servers.answer = () => through;
    engine.agent = (_node, command) => (command === 'ask' ? { answers: [reached] } : agent);
    const door = () => {
      tried += 1;
      return servers.sql('the pool');
    };
    const access = { ...servers.access(), frontDoor: door, keptDoor: door };
    begin = (known = [], mayStart = false) => {
      pooler = new SilentPooler(engine.deps, access, known, mayStart, () => now);
    };
    begin();
  });
  afterEach(() => pooler.close());

  /** So many looks, that far apart, each with the time to ask. */
  const looks = async (times: number, ms = 2000, writable = [PRIMARY]) => {
    let told = pooler.look({ writable });
    for (let left = times; left > 0; left--) {
      await pause(30);
      now += ms;
      told = pooler.look({ writable });
    }
    return told;
  };

  const looksUntil = async (holds: () => boolean) => {
    for (let left = 100; left > 0 && !holds(); left--) {
      await pause(100);
      now += 100;
      pooler.look({ writable: [PRIMARY] });
    }
    expect(holds()).toBe(true);
  };

  test('is told with the next command where its agent is silent too, until clients are answered', async () => {
    [agent, through] = [new Refusal('Unreachable'), noAnswer];
    expect(await looks(4)).toMatchObject([
      {
        node: POOLER,
        says: `no client gets an answer at the pooler, although ${PRIMARY} takes writes; its agent gives none either`,
        next: `docker restart ${POOLER}`,
        leaves: expect.any(String) as string,
      },
    ]);
    [agent, through] = [answers, { one: 1 }];
    expect(await looks(2)).toEqual([]);
  });

  test('stays told when the next stretch begins, until a client is answered', async () => {
    [agent, through] = [new Refusal('Unreachable'), noAnswer];
    const told = await looks(4);
    const known = told.map((each) => ({ node: each.node, says: wordsOf(each) }));
    pooler.close();
    begin(known);
    expect(pooler.look({ writable: [PRIMARY] })).toEqual(told);
    expect(await looks(3)).toEqual(told);
    [agent, through] = [answers, { one: 1 }];
    expect(await looks(3)).toEqual([]);
    pooler.close();
    begin([{ node: POOLER, says: 'its container is paused; somebody froze it' }]);
    expect(pooler.look({ writable: [PRIMARY] })).toEqual([]);
  });

  test('is told where only PgBouncer hangs', async () => {
    through = noAnswer;
    const [told] = await looks(6);
    expect(told?.says).toMatch(/its agent answers$/);
  });

  test.each<[string, 'paused' | 'suspended' | null | undefined, string, string]>([
    ['its database', null, 'database veloz is paused there', '-c "RESUME veloz"'],
    ['its database, by an older agent', undefined, 'database veloz is paused there', '-c "RESUME veloz"'],
    ['all of it', 'paused', 'all of it is paused there', '-c "RESUME"'],
    ['all of it, which lets nobody in', 'suspended', 'all of it is suspended there', 'veloz-ha repair --cluster veloz'],
  ])('is told where somebody paused %s, and left so', async (_what, halted, says, next) => {
    pooler.close();
    begin([], true);
    [agent, through] = [{ paused: true, halted, hold: null }, noAnswer];
    expect(await looks(1)).toEqual([]);
    const told = await looks(2);
    expect(told).toMatchObject([{ node: POOLER, says: `clients wait at the pooler, and no run holds them: ${says}` }]);
    expect(told[0]?.byHand).toContain(next);
    // A stretch that begins goes on telling it.
    pooler.close();
    begin(
      told.map((each) => ({ node: each.node, says: wordsOf(each) })),
      true,
    );
    expect(pooler.look({ writable: [PRIMARY] })).toEqual(told);
    expect(await looks(3)).toEqual(told);
    expect(engine.did).toEqual([]);
    [agent, through] = [answers, { one: 1 }];
    expect(await looks(2)).toEqual([]);
  });

  describe('where the guard may act', () => {
    beforeEach(() => {
      pooler.close();
      begin([], true);
      [agent, through] = [new Refusal('Unreachable'), noAnswer];
    });

    test('is ended with proof and started once its agent is silent too, and told', async () => {
      engine.onKill = (node) => {
        engine.status[node] = 'exited';
        [agent, through] = [answers, { one: 1 }];
      };
      expect(await looks(6)).toEqual([]);
      expect(engine.did).toEqual([`kill ${POOLER}`, `start ${POOLER}`]);
      expect(pooler.takeStarted()).toEqual([
        `${POOLER} was ended and started again: no client gets an answer at the pooler, although ${PRIMARY} takes writes; its agent gives none either`,
      ]);
      expect(pooler.takeStarted()).toEqual([]);
    });

    test('is not started where somebody told it to stop meanwhile, and that is told', async () => {
      engine.onKill = (node) => {
        engine.status[node] = 'exited';
        engine.exitCodes[node] = 137;
        engine.toldToStop.push(node);
      };
      await looks(6);
      expect(engine.did).toEqual([`kill ${POOLER}`]);
      expect(pooler.takeStarted()).toEqual([
        `${POOLER} was ended, and stays so: somebody told it to stop meanwhile. Next: docker start ${POOLER}`,
      ]);
    });

    test('hangs again and again: each time waits longer, also in the next stretch', async () => {
      for (let stretch = 0; stretch < 3; stretch++) {
        await looks(7, 1000);
        pooler.close();
        begin([], true);
      }
      // 21 s: at once, and after the back-off; without one it would have been each four seconds.
      expect(engine.did.filter((each) => each.startsWith('kill'))).toHaveLength(2);
    });

    test('is woken where its agent was only stopped, and not ended', async () => {
      engine.stopped.add(POOLER);
      agent = answers;
      await looksUntil(() => engine.did.length > 0);
      through = { one: 1 };
      await looks(2);
      expect(engine.did).toEqual([`wake ${POOLER}`]);
    }, 20_000);

    test('cannot be ended: it is told with the reason', async () => {
      engine.onKill = () => {
        throw new Error('the engine says no');
      };
      const [told] = await looks(6);
      expect(told?.says).toMatch(/; it could not be restarted: the engine says no$/);
      expect(told?.next).toBe(`docker restart ${POOLER}`);
    });

    test.each<[string, () => void]>([
      ['its agent answers: that looks after PgBouncer itself', () => (agent = answers)],
      ['somebody paused it', () => (engine.status[POOLER] = 'paused')],
      ['a run is under way', () => (engine.holder = 'switchover-1')],
      ['clients are answered', () => (through = { one: 1 })],
    ])('is left alone where %s', async (_what, so) => {
      so();
      await looks(6);
      expect(engine.did).toEqual([]);
    });
  });

  test.each<[string, () => void, string[]?]>([
    ['only its agent is silent', () => (agent = new Refusal('Unreachable'))],
    ['clients are refused', () => (through = new Error('connect ECONNREFUSED 127.0.0.1:6432'))],
    ['a run holds clients', () => ([agent, through] = [{ paused: true, halted: null, hold: {} }, noAnswer])],
    [
      'a run that has the lock paused clients',
      () => ([engine.holder, agent] = ['switchover-1', { ...answers, paused: true }]),
    ],
    ['clients are paused and nobody takes writes', () => (agent = { ...answers, paused: true }), []],
    ['a run is under way', () => ([engine.holder, through] = ['switchover-1', noAnswer])],
    [
      'the pooler does not reach the primary: the watch of its way tells that',
      () => ([reached, through] = [{ ...reached, writable: false, problem: 'no answer' }, noAnswer]),
    ],
    ['PgBouncer says why', () => (through = Object.assign(new Error('login failing, timeout'), { code: '08P01' }))],
    ['nobody takes writes', () => (through = noAnswer), []],
    ['two take writes', () => (through = noAnswer), [PRIMARY, STANDBY]],
  ])('is not told where %s', async (_what, so, writable = [PRIMARY]) => {
    so();
    expect(await looks(6, 2000, writable)).toEqual([]);
  });

  test('costs a query each few seconds while all is well', async () => {
    await looks(9, 1000);
    expect(tried).toBeGreaterThan(0);
    expect(servers.sessions).toHaveLength(1);
  });
});
