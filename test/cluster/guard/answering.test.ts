import { nextStreak, type PathQuestion, type PathStreak } from '../../../src/cluster/guard/client-path';
import type { CutPath, HangingWrite, Round, Verdict } from '../../../src/cluster/guard/signals';
import { guardPolicySchema } from '../../../src/cluster/guard/policy';
import { judge } from '../../../src/cluster/guard/verdict';
import { POOLER, PRIMARY, STANDBY } from '../support/picture';
import { policy, silence, story, times, writable } from './support/rounds';

const write = (hangsMs: number, waitsFor: string | undefined = 'IO WalSync'): Partial<Round> => ({
  write: { hangsMs, ...(waitsFor === undefined ? {} : { waitsFor }) } satisfies HangingWrite,
});
/** Rounds whose write hangs, the last of them for so long. */
const hanging = (count: number, lastMs: number, waitsFor?: string): Partial<Round>[] =>
  times(count, {}).map((_each, index) => write(lastMs - 200 * (count - 1 - index), waitsFor));
const path = (rest: Partial<CutPath> = {}): Partial<Round> => ({
  clientPath: {
    pooler: POOLER,
    cutMs: 5000,
    times: 4,
    problem: 'no answer within 1000 ms',
    asked: [STANDBY],
    reaches: [STANDBY],
    through: 'silent',
    ...rest,
  },
});

interface Case {
  rounds: Partial<Round>[];
  state: Verdict['state'];
  kind?: string;
  says: string | RegExp;
}

describe('a primary that answers, and whose disk takes no writes', () => {
  const cases: Record<string, Case> = {
    'has failed after the limit': {
      rounds: hanging(5, 5000),
      state: 'failed',
      kind: 'unwritable',
      says: `${PRIMARY} answers and can't write: a write of the guard's own has not reached its disk for 5.00 s, and neither has any other WAL; by the server's own word it waits for IO WalSync (limit: 5.00 s)`,
    },
    'has failed also where its write waits for another that hangs': {
      rounds: hanging(5, 6000, 'LWLock WALWrite'),
      state: 'failed',
      kind: 'unwritable',
      says: 'waits for LWLock WALWrite',
    },
    'is suspected before, and that is told': {
      rounds: hanging(9, 4999),
      state: 'suspect',
      says: 'it counts as failed after 5.00 s and 3 rounds',
    },
    'is suspected while too few rounds confirm it': { rounds: hanging(2, 9000), state: 'suspect', says: '3 rounds' },
    'is only suspected where the server does not say what the write waits for': {
      rounds: times(9, { write: { hangsMs: 60_000 } }),
      state: 'suspect',
      says: 'the server does not say what it waits for, which proves no failure of its disk',
    },
    'is only suspected where the write waits for something else': {
      rounds: hanging(9, 60_000, 'nothing'),
      state: 'suspect',
      says: 'the server says that it waits for nothing',
    },
    'is well where the write arrived in the end': { rounds: [...hanging(9, 4900), {}], state: 'healthy', says: '' },
    'is judged anew after a round in which the observer was stalled': {
      rounds: [...hanging(5, 5000), { ...write(5200), lateMs: 2000 }, ...hanging(2, 5600)],
      state: 'suspect',
      says: '3 rounds',
    },
    'is judged anew after a silence': {
      rounds: [...hanging(5, 5000), { sql: silence() }, ...hanging(2, 5600)],
      state: 'suspect',
      says: '3 rounds',
    },
    'is no failed primary where it is a standby': {
      rounds: times(5, { ...write(9000), sql: writable({ inRecovery: true }) }),
      state: 'suspect',
      says: 'is a standby now',
    },
  };
  test.each(Object.entries(cases))('%s', (_name, { rounds, state, kind, says }) => {
    const verdict = judge(story(...rounds), policy);
    expect(verdict).toMatchObject({ state, ...(kind === undefined ? {} : { kind }) });
    expect(verdict.says).toMatch(typeof says === 'string' ? new RegExp(says.replace(/[()]/g, '\\$&')) : says);
    if (verdict.state === 'suspect') expect(verdict.hold).toBe(false);
  });

  test('failed when its write was asked for, and the evidence names both signs', () => {
    const rounds = story(...hanging(5, 5000));
    const verdict = judge(rounds, policy);
    if (verdict.state !== 'failed') throw new Error(verdict.says);
    expect(verdict.since).toBe((rounds.at(-1)?.at ?? 0) - 5000);
    expect(verdict.signals).toContainEqual({
      at: verdict.since,
      source: 'write',
      speaks: 'for',
      says: `the guard's own has not reached the disk of ${PRIMARY} for 5.00 s; the server says that it waits for IO WalSync`,
    });
  });

  test('has its own limit', () => {
    expect(judge(story(...hanging(5, 8000)), { ...policy, writeLimit: 10_000 }).state).toBe('suspect');
  });
});

describe('a primary that answers here, and that the pooler does not reach', () => {
  const cases: Record<string, Case> = {
    'has failed after the limit, where a standby that confirms is reached and the pool is silent': {
      rounds: [path()],
      state: 'failed',
      kind: 'unreachable',
      says: `${PRIMARY} runs, and its clients can't reach it: ${POOLER} has not reached it for 5.00 s, in 4 questions (no answer within 1000 ms); it reaches ${STANDBY}, and a query through the pool gets no answer (limit: 5.00 s)`,
    },
    'is suspected before': {
      rounds: [path({ cutMs: 4999 })],
      state: 'suspect',
      says: 'it counts as failed after 5.00 s and 3 questions',
    },
    'is suspected where too few questions say so': {
      rounds: [path({ times: 2 })],
      state: 'suspect',
      says: '3 questions',
    },
    'is not told of for a moment': { rounds: [path({ cutMs: 900, times: 1 })], state: 'healthy', says: 'takes writes' },
    'has not failed where the pooler reaches nobody: that is cut off itself': {
      rounds: [path({ reaches: [], cutMs: 600_000, times: 400 })],
      state: 'observer in doubt',
      says: `It does not reach ${STANDBY} either: the pooler itself is cut off, and a failover would not help`,
    },
    'has not failed where no standby streams': {
      rounds: [path({ asked: [], reaches: [] })],
      state: 'suspect',
      says: 'no standby streams',
    },
    'has not failed where the standby that is reached confirms nothing': {
      rounds: [{ ...path(), sql: writable({ standbys: [{ node: STANDBY, syncState: 'async', state: 'streaming' }] }) }],
      state: 'suspect',
      says: `it reaches ${STANDBY}, which confirms no commits: nobody could be promoted without loss`,
    },
    'has not failed where a query through the pool is answered': {
      rounds: [path({ through: 'answered' })],
      state: 'observer in doubt',
      says: 'A query through the pool was answered',
    },
    'has not failed where no query through the pool could be tried': {
      rounds: [path({ through: 'unknown' })],
      state: 'suspect',
      says: 'one way alone proves nothing',
    },
    'has not failed by the word of an observer that was stalled': {
      rounds: [{ ...path(), lateMs: 2000 }],
      state: 'suspect',
      says: 'it counts as failed after',
    },
    'has failed all the same where its disk is only suspected': {
      rounds: [{ ...path(), ...write(2000) }],
      state: 'failed',
      kind: 'unreachable',
      says: 'gets no answer',
    },
  };
  test.each(Object.entries(cases))('%s', (_name, { rounds, state, kind, says }) => {
    const verdict = judge(story(...rounds), policy);
    expect(verdict).toMatchObject({ state, ...(kind === undefined ? {} : { kind }) });
    expect(verdict.says).toContain(says);
    if (verdict.state === 'suspect') expect(verdict.hold).toBe(false);
  });

  test('the evidence names the pooler, the standby that it reaches, and the pool', () => {
    const verdict = judge(story(path()), policy);
    if (verdict.state !== 'failed') throw new Error(verdict.says);
    expect(verdict.signals.map(({ source, speaks, says }) => [source, speaks, says])).toEqual([
      ['sql', 'against', `${PRIMARY} answered in 2 ms`],
      [
        `pooler ${POOLER}`,
        'for',
        `has not reached ${PRIMARY} for 5.00 s, in 4 questions (no answer within 1000 ms), and reaches ${STANDBY}`,
      ],
      ['through the pool', 'for', 'a query gets no answer'],
      [`receiver ${STANDBY}`, 'neither', 'streaming, and nothing new arrived'],
    ]);
  });
});

test('limits that any disk or network exceeds now and then are refused', () => {
  for (const key of ['writeLimit', 'poolerLimit']) {
    expect(guardPolicySchema.safeParse({ [key]: '2999ms' }).error?.issues[0]?.message).toBe('expected 3s or more');
    expect(guardPolicySchema.safeParse({ [key]: '3s' }).success).toBe(true);
  }
});

describe('questions of the pooler', () => {
  const asked = (from: number, rest: Partial<PathQuestion> = {}): PathQuestion => ({
    from,
    until: from + 1000,
    reachesPrimary: false,
    asked: [STANDBY],
    reaches: [STANDBY],
    ...rest,
  });
  const streakOf = (...questions: PathQuestion[]): PathStreak | undefined =>
    questions.reduce<PathStreak | undefined>(nextStreak, undefined);

  test('count from the first that did not reach the primary', () => {
    expect(streakOf(asked(0, { reachesPrimary: true }), asked(1000), asked(2000), asked(3500))).toEqual({
      from: 1000,
      until: 4500,
      times: 3,
      asked: [STANDBY],
      reaches: [STANDBY],
    });
  });

  test('begin anew when it was reached, and after a while in which nobody asked', () => {
    expect(streakOf(asked(0), asked(1000, { reachesPrimary: true }))).toBeUndefined();
    expect(streakOf(asked(0), asked(4000))).toMatchObject({ from: 0, times: 2 });
    expect(streakOf(asked(0), asked(4001, { problem: 'refused' }))).toMatchObject({
      from: 4001,
      times: 1,
      problem: 'refused',
    });
  });
});
