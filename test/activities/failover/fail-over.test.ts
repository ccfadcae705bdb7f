import { MockActivityEnvironment } from '@temporalio/testing';
import { failOver } from '../../../src/activities/failover/fail-over';
import { emptyJournal, type FailoverJournal } from '../../../src/activities/failover/journal';
import type { FailoverMove, FailoverResult } from '../../../src/activities/failover/move';
import { undoFailOver } from '../../../src/activities/failover/undo';
import {
  ActingCluster,
  POOLER,
  PRIMARY,
  Refusal,
  silence,
  STANDBY,
  STANDBY_2,
  protectedLedger,
} from '../guard/support/acting-cluster';

let cluster: ActingCluster;
jest.mock('../../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../../src/systems/postgres'),
  connectPostgres: (...args: Parameters<ActingCluster['connect']>) => cluster.connect(...args),
}));

const RUN = 'failover-veloz-1/6f9619ff';

describe('the critical section as a step of its run', () => {
  let move: FailoverMove;
  const run = (rest: Partial<FailoverMove> = {}, attempt = 1): Promise<FailoverResult> =>
    new MockActivityEnvironment({ attempt }).run(() => failOver(cluster.engine.deps, { ...move, ...rest }));
  beforeEach(() => {
    cluster = new ActingCluster();
    cluster.kill();
    const now = Date.now();
    move = {
      cluster: 'veloz',
      run: RUN,
      source: PRIMARY,
      candidates: [STANDBY, STANDBY_2],
      ledger: protectedLedger(now),
      kind: 'dead',
      decidedAt: now,
      holdLimitMs: 5000,
    };
  });
  afterEach(async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(cluster.engine.open).toBe(0);
  });

  /** What a watch did that came to the end of it. */
  const done = (): FailoverJournal => {
    cluster.promotions.set(STANDBY, { run: RUN, atMs: 8 });
    cluster.claims.set(STANDBY, { run: RUN, attempt: 2 });
    cluster.claims.set(POOLER, { run: RUN, attempt: 2 });
    cluster.primary = STANDBY;
    cluster.route = STANDBY;
    return {
      ...emptyJournal(),
      began: 'promotion',
      checks: [],
      fence: 'fenced by the watch',
      lossBound: 0,
      proof: `${STANDBY} was heard`,
      names: '',
      timelineBefore: 3,
      receivedByTarget: '0/5000000',
      subSteps: [{ id: 'promote', says: 'promote it', ms: 60, atMs: 120 }],
      warnings: ['J7: no slot'],
      marks: { fencedAt: 1, promotedAt: 2, routedAt: 3, releasedAt: 4, fenceMs: 90, promoteMs: 60, routeMs: 3 },
    };
  };

  test('holds, fences, promotes, routes and lets go', async () => {
    const result = await run();
    expect(result).toMatchObject({ target: STANDBY, others: [], lossBound: 0, timelineBefore: 3, names: '' });
    expect(cluster.did).toEqual([
      `${POOLER} hold 5000001`,
      `${STANDBY} promote 5000001`,
      `${POOLER} route 5000001`,
      `${POOLER} drop 5000001`,
      `${POOLER} route 5000001`,
      `${POOLER} release 5000001`,
    ]);
    expect(result.subSteps.map(({ id }) => id)).not.toContain('confirm');
  });

  test("a candidate's agent that somebody stopped is woken, and it is promoted in the same look", async () => {
    cluster.engine.stopped.add(STANDBY);
    const result = await run();
    expect(cluster.engine.did).toContain(`wake ${STANDBY}`);
    expect(result.target).toBe(STANDBY);
    expect(result.warnings).toEqual([]);
    // It was claimed once: nobody had to look a second time with more patience.
    expect(cluster.engine.asked.filter((each) => each === `${STANDBY} claim`)).toHaveLength(1);
  }, 20_000);

  describe('with a pooler that gives no answer', () => {
    test.each([
      ['paused', 'its container is paused', 'docker unpause'],
      ['exited', 'its container is exited', 'docker start'],
      ['absent', 'its container is absent', 'veloz-ha stack up'],
    ])('%s: promotes without it, and says so', async (status, measured, next) => {
      cluster.engine.status[POOLER] = status;
      const result = await run();
      expect(result).toMatchObject({ target: STANDBY, lossBound: 0, marks: { releasedAt: null, routedAt: null } });
      expect(result.marks.promotedAt).not.toBeNull();
      expect(cluster.did).toEqual([`${STANDBY} promote 5000001`]);
      expect(result.subSteps.map(({ id }) => id).filter((id) => ['hold', 'route', 'release'].includes(id))).toEqual([]);
      expect(result.warnings).toEqual([
        expect.stringMatching(
          new RegExp(
            `^F2: ${POOLER} gave no answer, .*: ${measured} \\(limit: an answer within 1500 ms\\)\\. Next: ${next}`,
          ),
        ),
      ]);
    });

    test('frozen, with an agent that takes the session: it is left out after its limit', async () => {
      cluster.before = (node) => (node === POOLER ? silence : undefined);
      const result = await run();
      expect(result.target).toBe(STANDBY);
      expect(result.warnings).toEqual([expect.stringMatching(/^F2: .*no answer to "claim" within 1500 ms/)]);
    }, 20_000);

    test('stopped by a signal while PgBouncer goes on: its agent is woken, and holds and leads clients', async () => {
      cluster.engine.stopped.add(POOLER);
      const result = await run();
      expect(cluster.engine.did).toContain(`wake ${POOLER}`);
      expect(result.warnings).toEqual([]);
      expect(cluster.did[0]).toBe(`${POOLER} hold 5000001`);
      expect(cluster.route).toBe(STANDBY);
      expect(result.marks.releasedAt).not.toBeNull();
    }, 20_000);

    test('one that somebody paused stays so', async () => {
      cluster.engine.status[POOLER] = 'paused';
      cluster.engine.stopped.add(POOLER);
      await run();
      expect(cluster.engine.did).not.toContain(`wake ${POOLER}`);
    });

    test('one that ends in the middle holds nothing up', async () => {
      cluster.before = (node, command) => {
        if (node !== POOLER || command !== 'route') return undefined;
        cluster.engine.status[POOLER] = 'exited';
        return new Error('gone');
      };
      const result = await run();
      expect(result).toMatchObject({ target: STANDBY, marks: { releasedAt: null } });
      expect(result.warnings).toEqual([expect.stringContaining('docker start') as unknown]);
    });

    test('back before the end: it is led there, and nothing is told', async () => {
      cluster.engine.status[POOLER] = 'paused';
      cluster.before = (node, command) => {
        if (node === STANDBY && command === 'promote') cluster.engine.status[POOLER] = 'running';
        return undefined;
      };
      const result = await run();
      expect(result.warnings).toEqual([]);
      expect(cluster.route).toBe(STANDBY);
      expect(result.marks.releasedAt).not.toBeNull();
    });

    test('what the watch did without it is gone on with, once it answers', async () => {
      const before = done();
      cluster.route = PRIMARY;
      const journal = { ...before, marks: { ...before.marks, routedAt: null, releasedAt: null } };
      const result = await run({ journal });
      expect(cluster.route).toBe(STANDBY);
      expect(result.marks.releasedAt).not.toBeNull();
    });

    test.each(['Busy', 'Superseded'])('one that answers %s is not passed over', async (type) => {
      cluster.before = (node, command) =>
        node === POOLER && command === 'claim' ? new Refusal(type, 'run promote-1 holds this node') : undefined;
      await expect(run()).rejects.toThrow('run promote-1 holds this node');
      expect(cluster.promotions.size).toBe(0);
    });

    test('an undo needs it no more: the fenced primary is started as it was', async () => {
      cluster.engine.status[POOLER] = 'paused';
      cluster.engine.status[PRIMARY] = 'running';
      cluster.fences.set(PRIMARY, { run: RUN, wasPrimary: true, atMs: 7 });
      const undone = await new MockActivityEnvironment().run(() =>
        undoFailOver(cluster.engine.deps, { ...move, neverAsked: true }),
      );
      expect(undone).toBe(true);
      expect(cluster.did).toEqual([expect.stringMatching(`^${PRIMARY} start`) as unknown]);
    });

    test('a failure that only the pooler saw is refused', async () => {
      cluster.engine.status[POOLER] = 'paused';
      await expect(run({ kind: 'unreachable' })).rejects.toThrow(/I8: whether .* reaches .* is not known/);
    });
  });

  test.each<[string, boolean, () => string | Promise<string>, RegExp]>([
    [
      'names that somebody emptied while nobody watched',
      false,
      () => "synchronous_standby_names = ''",
      /its files say synchronous_standby_names = ''/,
    ],
    [
      'the same a moment before its end',
      true,
      () => "synchronous_standby_names = ''",
      /its files say synchronous_standby_names = ''/,
    ],
    [
      'files that nobody can read',
      false,
      () => Promise.reject(new Error('the disk hangs')),
      /its files tell nothing: the disk hangs/,
    ],
  ])(
    'promotes nobody on the word of a ledger where the fenced primary has %s',
    async (_what, watched, autoConf, says) => {
      cluster.engine.autoConf = autoConf;
      cluster.walEnds.set(PRIMARY, undefined);
      await expect(run({ watched })).rejects.toThrow(says);
      expect(cluster.promotions.size).toBe(0);
      expect(cluster.hold).toBeUndefined();
    },
  );

  test('one that nobody watched is read once it is fenced, and the proof says so', async () => {
    const result = await run();
    expect(result.proof).toContain(`; the files of ${PRIMARY} say the same`);
    expect(cluster.engine.did.filter((each) => each.startsWith('start'))).toEqual([]);
  });

  test('one that can not be ended is not read where the watch saw its end: its volume hangs, and clients wait', async () => {
    let read = 0;
    Object.assign(cluster.engine, {
      onKill: () => undefined,
      autoConf: () => {
        read += 1;
        return "synchronous_standby_names = 'veloz_standby'";
      },
    });
    cluster.engine.status[PRIMARY] = 'paused';
    expect((await run({ watched: true })).fence).toContain('was cut off');
    expect({ read, promoted: cluster.promotions.has(STANDBY) }).toEqual({ read: 0, promoted: true });
  }, 20_000);

  test('finds what the watch did, holds nobody again, and tells what was measured then', async () => {
    const journal = done();
    const result = await run({ journal });
    expect(result).toMatchObject({
      target: STANDBY,
      fence: 'fenced by the watch',
      lossBound: 0,
      proof: `${STANDBY} was heard`,
      receivedByTarget: '0/5000000',
      timelineBefore: 3,
      marks: journal.marks,
      warnings: ['J7: no slot'],
    });
    expect(result.subSteps.map(({ id }) => id)).toEqual(['promote', 'open', 'confirm']);
    expect(cluster.did.filter((each) => /hold|promote|fence/.test(each))).toEqual([]);
    expect(cluster.engine.did).toEqual([]);
    expect(cluster.claims.get(STANDBY)).toEqual({ run: RUN, attempt: 5_000_001 });
  });

  describe('what the promotion replayed is held against what the proof said', () => {
    /** The segment in which timeline 3 ended, with one record's header right there. */
    const recordAt = (end: string, { length, previous }: { length: number; previous: number }) => {
      const segment = Buffer.alloc(1024 ** 2);
      const at = Number.parseInt(end.slice(2), 16);
      segment.writeUInt32LE(length, at % segment.length);
      segment.writeBigUInt64LE(BigInt(previous), (at % segment.length) + 8);
      cluster.walFiles.set('000000030000000000000050', segment);
    };
    beforeEach(() => {
      cluster.received = '0/5002000';
      cluster.leftAt = '0/5001000';
    });
    const told = {
      lossBound: null,
      warnings: [
        expect.stringMatching(
          /^I7: whether something is lost is not known: veloz-postgres-standby had received WAL up to 0\/5002000 on timeline 3, and its promotion could replay only up to 0\/5001000: the 4096 bytes behind it are damaged or gone \(limit: all that it had received, 0\/5002000\)\. The rejoin of veloz-postgres-primary tells .* Next: veloz-ha show failover-veloz-1$/,
        ) as unknown,
      ],
    };

    test.each([
      ['a record that is whole by its length', { length: 100, previous: 0x5000f00 }],
      ['nothing where a record was', { length: 0, previous: 0 }],
      ['what is no record', { length: 77_777, previous: 0x7777_7777_7777 }],
    ])('%s is behind its end: nothing is claimed', async (_what, record) => {
      recordAt('0/5001000', record);
      const result = await run();
      expect(result).toMatchObject(told);
      expect(result.proof).toBeUndefined();
      // Clients went on before.
      expect(result.marks.releasedAt).not.toBeNull();
    });

    test('the same after a promotion of the watch', async () => {
      const journal = { ...done(), receivedByTarget: '0/5002000', warnings: [] };
      recordAt('0/5001000', { length: 100, previous: 0x5000f00 });
      expect(await run({ journal })).toMatchObject(told);
    });

    test('the beginning of a record whose rest never came was acknowledged to nobody', async () => {
      recordAt('0/5001000', { length: 9000, previous: 0x5000f00 });
      const result = await run();
      expect(result).toMatchObject({ lossBound: 0, warnings: [] });
      expect(result.proof).toContain('none has more');
    });

    test('no more than the header of a record is missing: its segment is not even read', async () => {
      cluster.received = '0/5001010';
      expect(await run()).toMatchObject({ lossBound: 0, warnings: [] });
    });

    test('its segment, or the history, can not be read: nothing is claimed', async () => {
      const unread = await run();
      expect(unread.lossBound).toBeNull();
      expect(unread.warnings).toEqual([expect.stringContaining('000000030000000000000050 is not there') as unknown]);
      cluster.engine.nodeFile = () => undefined;
      const again = await run({ journal: { ...done(), warnings: [] } });
      expect(again.lossBound).toBeNull();
      expect(again.warnings).toEqual([expect.stringContaining('its timeline has no history file') as unknown]);
    });
  });

  test('goes on where the watch had only fenced: what it fenced is told, and the ledger is held against that moment', async () => {
    const fencedAt = Date.now() - 100;
    const journal: FailoverJournal = {
      ...emptyJournal(),
      began: 'fence',
      marks: { ...emptyJournal().marks, fencedAt, fenceMs: 90 },
    };
    // By itself the decision would be too old to prove anything.
    const ledger = { ...move.ledger!, confirmedAt: fencedAt - 1000 };
    const result = await run({ journal, ledger, decidedAt: fencedAt - 60_000 });
    expect(result).toMatchObject({ target: STANDBY, lossBound: 0 });
    expect(result.subSteps.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['hold', 'look', 'fence', 'choose', 'promote', 'route', 'release']),
    );
  });

  test('is refused without having asked anybody, and says so only where nobody was asked before', async () => {
    cluster.stop(STANDBY);
    const journal: FailoverJournal = { ...emptyJournal(), began: 'promotion' };
    await expect(run({ journal })).rejects.toMatchObject({ type: 'Refused', details: [{ neverAsked: false }] });
    await expect(run()).rejects.toMatchObject({ type: 'Refused', details: [{ neverAsked: true }] });
    await expect(run({}, 2)).rejects.toMatchObject({ type: 'Refused', details: [{ neverAsked: false }] });
  });

  test('promotes nobody else while somebody who may have been asked gives no answer', async () => {
    cluster.before = (node, command) => (node === STANDBY && command === 'observe' ? silence : undefined);
    const journal: FailoverJournal = { ...emptyJournal(), began: 'promotion' };
    await expect(run({ journal })).rejects.toThrow(`${STANDBY}, which may have been asked to be promoted, does not`);
    await expect(run({ journal }, 4)).rejects.toMatchObject({ type: 'Failed' });
    expect(cluster.did).toEqual([]);
  }, 20_000);

  test('does not promote once more what another run has made a standby since', async () => {
    const journal = done();
    cluster.promotions.clear();
    cluster.primary = STANDBY_2;
    await expect(run({ journal })).rejects.toMatchObject({
      type: 'Failed',
      message: expect.stringContaining('is a standby again') as unknown,
    });
    expect(cluster.did).toEqual([]);
  });

  test('after an undo that found only a way forward takes the nodes from it', async () => {
    done();
    cluster.claims.set(STANDBY, { run: RUN, attempt: 6_000_003 });
    cluster.claims.set(POOLER, { run: RUN, attempt: 6_000_003 });
    expect((await run({ afterUndo: true })).target).toBe(STANDBY);
  });
});
