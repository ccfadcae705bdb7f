import { MockActivityEnvironment } from '@temporalio/testing';
import { failOver } from '../../../src/activities/failover/fail-over';
import { emptyJournal } from '../../../src/activities/failover/journal';
import type { FailoverMove, FailoverResult } from '../../../src/activities/failover/move';
import { undoFailOver } from '../../../src/activities/failover/undo';
import { FENCE_FILE } from '../../../src/activities/fence';
import { FAIR_CHANCE_MS } from '../../../src/cluster/guard/fair-chance';
import type { FailureKind } from '../../../src/cluster/guard/signals';
import { ActingCluster, PRIMARY, silence, STANDBY, STANDBY_2, protectedLedger } from '../guard/support/acting-cluster';
import { wellObserved } from '../guard/support/fake-engine';

let cluster: ActingCluster;
jest.mock('../../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../../src/systems/postgres'),
  connectPostgres: (...args: Parameters<ActingCluster['connect']>) => cluster.connect(...args),
}));

const RUN = 'failover-veloz-1/6f9619ff';
const full = { ...wellObserved, disk: { freeBytes: 4096, totalBytes: 1024 ** 3 } };

/** The kinds of failure from which a primary may come back by itself, each with how it comes about. */
const kinds: [FailureKind, () => void][] = [
  ['hung', () => cluster.freeze()],
  ['isolated', () => cluster.isolate()],
  ['unreachable', () => undefined],
  [
    'unwritable',
    () => {
      cluster.before = (node, command) =>
        node === PRIMARY && command === 'observe' && !cluster.fences.has(node) ? full : undefined;
    },
  ],
];

describe('a primary that may come back, and a ledger that proves nothing', () => {
  let move: FailoverMove;
  const run = (rest: Partial<FailoverMove> = {}): Promise<FailoverResult> =>
    new MockActivityEnvironment().run(() => failOver(cluster.engine.deps, { ...move, ...rest }));
  const undo = (rest: Partial<FailoverMove> = {}): Promise<boolean> =>
    new MockActivityEnvironment().run(() => undoFailOver(cluster.engine.deps, { ...move, ...rest }));
  const refusal = async (rest: Partial<FailoverMove> = {}) =>
    run(rest).then(
      () => {
        throw new Error('it was promoted');
      },
      (error: { type: string; message: string; details: Record<string, unknown>[] }) => {
        expect(error.type).toBe('Refused');
        return error;
      },
    );
  const fenced = () => [
    ...cluster.did.filter((each) => each.includes('fenceNow')),
    ...cluster.engine.did.filter((each) => /^(kill|put|disconnect)/.test(each)),
  ];

  beforeEach(() => {
    cluster = new ActingCluster();
    const now = Date.now();
    move = {
      cluster: 'veloz',
      run: RUN,
      source: PRIMARY,
      candidates: [STANDBY, STANDBY_2],
      ledger: {
        ...protectedLedger(now),
        state: 'unknown',
        why: 'it said protected, and was last confirmed 14 min 02 s before now',
        confirmedAt: now - 842_000,
      },
      since: now - FAIR_CHANCE_MS - 1000,
      decidedAt: now,
      holdLimitMs: 5000,
    };
  });
  afterEach(async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(cluster.engine.open).toBe(0);
  });

  describe.each(kinds)('%s', (kind, fail) => {
    beforeEach(() => {
      move.kind = kind;
      fail();
    });

    test('is fenced and read: the standby has all of it, and is promoted with that proof', async () => {
      const result = await run();
      expect(result).toMatchObject({ target: STANDBY, lossBound: 0 });
      expect(result.proof).toBe(
        `the WAL of ${PRIMARY} itself ends at 0/5000000 on timeline 3, and ${STANDBY} has WAL up to 0/5000000`,
      );
      expect(result.subSteps.map(({ id }) => id)).toEqual(
        // The container of one that hung has ended, and is started behind the fence.
        expect.arrayContaining(['look', 'fence', ...(kind === 'hung' ? ['read'] : []), 'choose', 'promote']),
      );
      expect(fenced()).not.toEqual([]);
    });

    test('is given back where a standby turns out to lack some of it: nobody is promoted', async () => {
      // Nobody tells before the fence.
      const before = cluster.before;
      cluster.before = (node, command, args) =>
        command === 'walEnd' && args.fromLsn !== undefined ? silence : before(node, command, args);
      cluster.walEnds.set(PRIMARY, { timeline: 3, lsn: '0/5000100' });
      const { message, details } = await refusal();
      expect(message).toContain(
        `the WAL of ${PRIMARY} itself goes to 0/5000100 on timeline 3, and that of ${STANDBY} to 0/5000000 on timeline 3`,
      );
      expect(message).toContain('--allow-data-loss 256');
      expect(details).toMatchObject([{ neverAsked: true, fence: expect.stringContaining(PRIMARY) as unknown }]);
      expect(await undo({ neverAsked: true })).toBe(true);
      expect(cluster.did).toContain(`${PRIMARY} start 6000001`);
      expect(cluster.fences.size).toBe(0);
      expect(cluster.promotions.size).toBe(0);
      expect(cluster.hold).toBeUndefined();
    }, 20_000);

    test('is left alone until it had its time', async () => {
      const { message } = await refusal({ since: Date.now() - 1000 });
      expect(message).toMatch(/it failed 1\.\d+ s ago and may come back by itself \(limit: 5\.0+ s\)/);
      expect(fenced()).toEqual([]);
    });

    test('is refused where its WAL can not be read, and that is said', async () => {
      cluster.walEnds.set(PRIMARY, undefined);
      const { message } = await refusal();
      expect(message).toContain(`the WAL of ${PRIMARY} itself could not be read: `);
      expect(message).toContain('Reading the WAL took longer than 10 s');
      expect(cluster.promotions.size).toBe(0);
    });
  });

  test('hung, and no kill ends it: it was only cut off, and is put on its networks again when nobody is promoted', async () => {
    move.kind = 'hung';
    cluster.freeze();
    cluster.engine.onKill = () => undefined;
    await refusal();
    expect(cluster.engine.networks).toEqual([]);
    expect(await undo({ neverAsked: true })).toBe(true);
    expect(cluster.engine.networks).toEqual(['veloz-ha']);
    expect(cluster.engine.volumes.size).toBe(0);
    expect(cluster.promotions.size).toBe(0);
  }, 60_000);

  describe('was fenced, and nobody is promoted', () => {
    const promoted = (timeline: number) => ({ ledger: { ...move.ledger!, primary: STANDBY_2, timeline } });
    const starts = () => cluster.did.filter((each) => each.startsWith(`${PRIMARY} start`));
    beforeEach(() => {
      cluster.fences.set(PRIMARY, { run: RUN, wasPrimary: true, atMs: 7 });
      const control = { timeline: 3, systemIdentifier: '77', state: 'in production' };
      cluster.before = (node, command) =>
        node === PRIMARY && command === 'observe' && cluster.fences.has(node)
          ? { ...wellObserved, desired: 'fenced', postgres: { state: 'stopped' }, control }
          : undefined;
    });

    test('it is not started in its place where the ledger names another node, on a newer timeline; clients are let go', async () => {
      cluster.hold = { run: RUN, attempt: 1 };
      await expect(undo(promoted(4))).rejects.toMatchObject({
        type: 'Refused',
        message: `G5: ${PRIMARY} stays fenced: the guard's ledger names ${STANDBY_2} as the primary, on timeline 4, and ${PRIMARY} is on timeline 3 (limit: no primary of a newer timeline). Next: veloz-ha postgres status --cluster veloz`,
      });
      expect(starts()).toEqual([]);
      expect(cluster.hold).toBeUndefined();
    });

    test.each<[string, () => Partial<FailoverMove>]>([
      ['the ledger names another node on its own timeline', () => promoted(3)],
      ['the ledger names itself', () => ({ ledger: { ...move.ledger!, timeline: 4 } })],
      ['there is no ledger', () => ({ ledger: null })],
      [
        'a person has accepted the loss',
        () => ({ ...promoted(4), allowDataLoss: { maxBytes: 1, reason: 'it is gone', by: 'ops' } }),
      ],
    ])('it is started where %s', async (_what, rest) => {
      expect(await undo(rest())).toBe(true);
      expect(starts()).toHaveLength(1);
    });

    /** What the agent of the standby says. */
    const standbySays = (control: object, promotion: object | null = null) => {
      const { before } = cluster;
      cluster.before = (node, command, args) =>
        node === STANDBY && command === 'observe'
          ? { ...wellObserved, control, promotion }
          : before(node, command, args);
    };
    const OTHER = 'failover-veloz-0/9d1c';
    const fencedBefore = `${OTHER} had fenced it before`;

    test.each<[string, () => Partial<FailoverMove>, string]>([
      [
        'a standby is on a newer timeline',
        () => {
          standbySays({ timeline: 4, systemIdentifier: '77' });
          return {};
        },
        `${STANDBY} is on timeline 4, and ${PRIMARY} is on timeline 3`,
      ],
      [
        'another run has asked a standby for its promotion',
        () => {
          standbySays({ timeline: 3, systemIdentifier: '77' }, { run: OTHER, atMs: 6 });
          return {};
        },
        `${STANDBY} was asked for its promotion by ${OTHER}`,
      ],
      [
        'another run had fenced it before, and somebody is silent whom that may have promoted',
        () => {
          cluster.engine.status[STANDBY_2] = 'exited';
          return { fencedBefore };
        },
        `${fencedBefore}, and ${STANDBY_2}, which may have been promoted then, gives no answer`,
      ],
      [
        'another run had fenced it before, and somebody has no container whom the ledger names',
        () => ({ fencedBefore, ledger: { ...move.ledger!, synchronous: [STANDBY_2] } }),
        `${fencedBefore}, and ${STANDBY_2}, which may have been promoted then, has no container`,
      ],
    ])('it is not started in its place where %s', async (_what, change, why) => {
      cluster.hold = { run: RUN, attempt: 1 };
      await expect(undo({ neverAsked: true, ...change() })).rejects.toMatchObject({
        type: 'Refused',
        message: `G5: ${PRIMARY} stays fenced: ${why} (limit: proof that nobody was promoted in its place). Next: veloz-ha repair --cluster veloz`,
      });
      expect(starts()).toEqual([]);
      expect(cluster.hold).toBeUndefined();
    });

    test.each<[string, () => Partial<FailoverMove>]>([
      [
        'somebody of another database system is on a newer timeline',
        () => {
          standbySays({ timeline: 9, systemIdentifier: '99' });
          return {};
        },
      ],
      ['another run had fenced it before, and everybody answers', () => ({ fencedBefore })],
      [
        'somebody is silent, and nobody was ever asked',
        () => {
          cluster.engine.status[STANDBY_2] = 'exited';
          return {};
        },
      ],
    ])('it is started in its place where %s', async (_what, change) => {
      expect(await undo({ neverAsked: true, ...change() })).toBe(true);
      expect(starts()).toHaveLength(1);
    });
  });

  describe('was fenced by another run since it ran last, which may have promoted somebody who is silent', () => {
    const OTHER = 'failover-veloz-0/9d1c';
    beforeEach(() => {
      move.kind = 'dead';
      cluster.kill();
      cluster.engine.exitCodes[PRIMARY] = 137;
      cluster.engine.status[STANDBY_2] = 'exited';
      const control = { timeline: 3, systemIdentifier: '77', state: 'in production' };
      cluster.before = (node, command) =>
        node === PRIMARY && command === 'observe' && cluster.fences.has(node)
          ? { ...wellObserved, desired: 'fenced', postgres: { state: 'stopped' }, control }
          : undefined;
    });
    /** The fence in its volume, until one takes its place. */
    const fenceIn = (content: () => string | Promise<string>) => {
      const { nodeFile } = cluster.engine;
      cluster.engine.nodeFile = (node, path) => {
        if (node !== PRIMARY || path !== FENCE_FILE) return nodeFile(node, path);
        const laid = cluster.engine.files.at(-1);
        return laid === undefined ? content() : JSON.stringify(laid.content);
      };
    };
    const starts = () => cluster.did.filter((each) => each.startsWith(`${PRIMARY} start`));

    test('a refusal tells its undo, and it is not started beside that one', async () => {
      fenceIn(() => JSON.stringify({ version: 1, run: OTHER, attempt: 1 }));
      const { details } = await refusal();
      expect(details).toMatchObject([{ neverAsked: true, fencedBefore: `${OTHER} had fenced it before` }]);
      await expect(undo({ neverAsked: true, ...(details[0] as object) })).rejects.toMatchObject({
        type: 'Refused',
        message: expect.stringContaining(`G5: ${PRIMARY} stays fenced: ${OTHER} had fenced it before`) as unknown,
      });
      expect(starts()).toEqual([]);
    }, 30_000);

    test('nor where nobody can tell whether one had', async () => {
      fenceIn(() => Promise.reject(new Error('the disk hangs.')));
      const { details } = await refusal();
      expect(details).toMatchObject([
        { fencedBefore: 'whether another run had fenced it before is not known: the disk hangs' },
      ]);
    }, 30_000);

    test('what an attempt before this one found in its volume counts, and its own fence is none', async () => {
      fenceIn(() => JSON.stringify({ version: 1, run: RUN, attempt: 1 }));
      const journal = { ...emptyJournal(), began: 'fence' as const };
      expect((await refusal({ journal })).details[0]?.fencedBefore).toBeUndefined();
      const told = { ...emptyJournal(), began: 'fence' as const, fencedBefore: `${OTHER} had fenced it before` };
      expect((await refusal({ journal: told })).details).toMatchObject([{ fencedBefore: told.fencedBefore }]);
    }, 60_000);

    test('without such a fence it is started in its place', async () => {
      const { details } = await refusal();
      expect(details[0]?.fencedBefore).toBeUndefined();
      expect(await undo({ neverAsked: true, ...(details[0] as object) })).toBe(true);
      expect(starts()).toHaveLength(1);
    }, 30_000);
  });

  test.each(kinds.filter(([kind]) => kind !== 'hung'))(
    '%s: it is not fenced where its agent tells that it has more',
    async (kind, fail) => {
      fail();
      cluster.walEnds.set(PRIMARY, { timeline: 3, lsn: '0/5000100' });
      const { message } = await refusal({ kind });
      expect(message).toContain(`the WAL of ${PRIMARY} itself goes to 0/5000100 on timeline 3`);
      expect(message).toContain('--allow-data-loss 256');
      expect(fenced()).toEqual([]);
    },
  );

  test('a standby that still streams gets the time to receive what the primary has', async () => {
    cluster.walEnds.set(PRIMARY, { timeline: 3, lsn: '0/5000100' });
    setTimeout(() => (cluster.received = '0/5000100'), 300);
    const result = await run({ kind: 'unreachable' });
    expect(result).toMatchObject({ target: STANDBY, lossBound: 0, receivedByTarget: '0/5000100' });
  });

  test('one whose disk takes no writes is not fenced: it could not be read', async () => {
    // It answers reads, and a write of the failover's own does not arrive.
    const answer = cluster.servers.answer;
    cluster.servers.answer = (node, sql) => (sql.includes('pg_logical_emit_message') ? silence : answer(node, sql));
    const { message } = await refusal({ kind: 'unwritable' });
    expect(message).toContain(`could not be read: its disk takes no writes, and so no fence`);
    expect(fenced()).toEqual([]);
  });

  test('one that could only be cut off its networks is not started to be read: its server would run', async () => {
    cluster.freeze();
    cluster.engine.onKill = () => undefined;
    const { message } = await refusal({ kind: 'hung' });
    expect(message).toContain('could not be read');
    expect(cluster.engine.did.filter((each) => each.startsWith('start'))).toEqual([]);
    expect(cluster.promotions.size).toBe(0);
  }, 30_000);

  test('a fence that was begun by an attempt which died is gone on with, whatever the primary may still become', async () => {
    cluster.freeze();
    const journal = { ...emptyJournal(), began: 'fence' as const };
    expect(await run({ kind: 'hung', since: Date.now(), journal })).toMatchObject({ target: STANDBY, lossBound: 0 });
  });

  describe('that somebody told to stop', () => {
    beforeEach(() => {
      move.kind = 'dead';
      cluster.kill();
      cluster.engine.exitCodes[PRIMARY] = 0;
    });
    const started = () => cluster.engine.did.filter((each) => each.startsWith('start'));

    test('is not started for a run that nobody asked for, and that is said', async () => {
      const { message } = await refusal({ leavesStopped: true });
      expect(message).toContain(
        `the WAL of ${PRIMARY} itself could not be read: it was told to stop (its container is exited, exit code 0), and stays so; started by docker start ${PRIMARY}, it can be read`,
      );
      expect(started()).toEqual([]);
      expect(cluster.promotions.size).toBe(0);
    });

    test('nor one that Docker had to kill for that', async () => {
      cluster.engine.exitCodes[PRIMARY] = 137;
      cluster.engine.toldToStop.push(PRIMARY);
      await refusal({ leavesStopped: true });
      expect(started()).toEqual([]);
    });

    test.each<[string, number, Partial<FailoverMove>]>([
      ['is started to be read where a person asked for it', 0, {}],
      ['and one that was killed is', 137, { leavesStopped: true }],
    ])('%s', async (_what, exitCode, rest) => {
      cluster.engine.exitCodes[PRIMARY] = exitCode;
      expect(await run(rest)).toMatchObject({ target: STANDBY, lossBound: 0 });
      expect(started()).toEqual([`start ${PRIMARY}`]);
    });
  });

  test('a person who says that one failed which hangs is asked as before: nothing is fenced for a look', async () => {
    cluster.freeze();
    const { since: _since, ...said } = move;
    move = { ...said, byHand: true };
    expect((await refusal()).message).toContain('I7');
    expect(fenced()).toEqual([]);
  });
});
