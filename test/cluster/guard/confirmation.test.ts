import {
  CONFIRMED_BEFORE_END_MS,
  confirmedAfter,
  confirmedByBeat,
  confirmedWithinMs,
  doubted,
  isFresh,
  wasFresh,
} from '../../../src/cluster/guard/confirmation';
import { ledgerKey, type Ledger } from '../../../src/cluster/guard/ledger';
import type { Round } from '../../../src/cluster/guard/signals';
import { PRIMARY, STANDBY } from '../support/picture';
import { policy, round, silence, standbyAnswer, T0, writable } from './support/rounds';

const LIMIT = 5000;
const ledger: Ledger = {
  version: 1,
  state: 'protected',
  primary: PRIMARY,
  timeline: 3,
  epoch: 7,
  synchronous: [STANDBY],
  names: 'veloz_standby',
  since: T0,
  why: 'for a test',
};
const AT = T0 + 10_000;
const after = (seen: Partial<Round>, before: number | undefined = AT - 200, of: Ledger = ledger) =>
  confirmedAfter(of, round({ at: AT, ...seen }), before, LIMIT);

describe('a round confirms the ledger', () => {
  test.each<[string, Partial<Round>]>([
    ['when its primary takes writes under it', {}],
    ['when its container has ended', { sql: silence(), container: 'exited' }],
    ['when it is frozen', { sql: silence(), container: 'paused' }],
    [
      'when its agent says that PostgreSQL does not run',
      { sql: silence(), container: 'running', agent: { answered: true, postgres: 'stopped' } },
    ],
  ])('%s', (_what, seen) => {
    expect(after(seen)).toBe(AT);
  });

  test('a degraded one whatever settings let pass', () => {
    expect(after({ sql: writable({ weak: ['x'] }) }, T0, { ...ledger, state: 'degraded' })).toBe(AT);
  });
});

describe('a round leaves it as old as it was', () => {
  test.each<[string, Partial<Round>]>([
    ['when the primary is silent, and may run', { sql: silence(), container: 'running' }],
    ['when only the network is silent', { sql: silence(), container: 'unknown' }],
    [
      'when its agent says that PostgreSQL runs',
      { sql: silence(), container: 'running', agent: { answered: true, postgres: 'running' } },
    ],
    ['when its agent is silent too', { sql: silence(), container: 'running', agent: { answered: false } }],
    ['when it answers as a standby', { sql: standbyAnswer({ name: PRIMARY }) }],
    ['when it waits for other names', { sql: writable({ names: '' }) }],
    ['when it is on another timeline', { sql: writable({ timeline: 4 }) }],
    ['when a setting lets commits pass', { sql: writable({ weak: ['synchronous_commit is off'] }) }],
    ['when another node answers', { sql: writable({ name: STANDBY }) }],
  ])('%s', (_what, seen) => {
    expect(after(seen)).toBe(AT - 200);
    expect(confirmedAfter(ledger, round({ at: AT, ...seen }), undefined, LIMIT)).toBeUndefined();
  });

  test('when the primary is gone, and nobody knows what it did before', () => {
    const gone: Partial<Round> = { sql: silence(), container: 'exited' };
    expect(after(gone, AT - LIMIT - 1)).toBe(AT - LIMIT - 1);
    // A clock that is wrong proves nothing.
    expect(after({ ...gone, endedAt: AT + 60_000 }, AT + 59_000)).toBe(AT + 59_000);
    expect(confirmedAfter(ledger, round({ at: AT, ...gone }), undefined, LIMIT)).toBeUndefined();
  });
});

describe('a primary whose end is known', () => {
  const END = AT - 60_000;
  const ends: [string, Partial<Round>][] = [
    ['by Docker', { container: 'exited', endedAt: END }],
    ['by its agent', { container: 'running', agent: { answered: true, postgres: 'stopped', sinceMs: END } }],
  ];
  test.each(ends)('%s: what it acknowledged was known just before, and nothing since', (_by, end) => {
    const seen: Partial<Round> = { sql: silence(), ...end };
    expect(after(seen, END - CONFIRMED_BEFORE_END_MS)).toBe(AT);
    // Found out and written down: it stays so.
    expect(after(seen, AT - 300)).toBe(AT);
  });
  test.each(ends)('%s: what it did for longer than a moment nobody knows', (_by, end) => {
    const before = END - CONFIRMED_BEFORE_END_MS - 1;
    expect(after({ sql: silence(), ...end }, before)).toBe(before);
    expect(wasFresh(round({ at: AT, sql: silence(), ...end }), before, LIMIT, undefined)).toBe(false);
  });
  test.each(ends)('%s, whose clock is behind: an end before its last answer proves nothing', (_by, end) => {
    const heard = (at: number): Ledger => ({ ...ledger, heard: { at } });
    const seen: Partial<Round> = { sql: silence(), ...end };
    // It was heard, and changed by hand while nobody watched; then it ended, at a time that its own machine names wrongly.
    expect(after(seen, END + 30_000, heard(END + 30_000))).toBe(END + 30_000);
    // Watched all the time, it needs no clock of another machine.
    expect(after(seen, AT - 300, heard(AT - 300))).toBe(AT);
    expect(after(seen, END + 1000, heard(END + 1000))).toBe(AT);
  });
  test('also where it ended a moment ago: that it was seen lately is not enough', () => {
    const seen: Partial<Round> = { sql: silence(), container: 'exited', endedAt: AT - 100 };
    expect(after(seen, AT - 2000)).toBe(AT - 2000);
    expect(after(seen, AT - 900)).toBe(AT);
  });
});

test('the time in which a silence becomes certain belongs to the limit', () => {
  expect(confirmedWithinMs(policy)).toBe(5000 + 3 * 300);
  expect(confirmedWithinMs({ ...policy, probeInterval: 1000, confirmations: 10 })).toBe(15_000);
});

test.each<[number | undefined, boolean]>([
  [AT, true],
  [AT - LIMIT, true],
  [AT - LIMIT - 1, false],
  [AT + 1000, true],
  [AT + 1001, false],
  [undefined, false],
])('confirmed at %p is fresh: %p', (confirmedAt, fresh) => {
  expect(isFresh({ confirmedAt, at: AT, limitMs: LIMIT })).toBe(fresh);
});

test('a ledger that nobody confirmed is unknown, and keeps what it knew', () => {
  expect(doubted(ledger, { confirmedAt: AT - 840_000, at: AT, limitMs: LIMIT }, AT)).toEqual({
    ...ledger,
    state: 'unknown',
    since: AT,
    why: 'it said protected, and was last confirmed 14 min 00 s before now (limit: 5.00 s): what its primary did since nobody has seen',
  });
});

describe('a heartbeat of the watch', () => {
  test('tells until when the ledger holds', () => {
    expect(confirmedByBeat(ledger, { ledger: ledgerKey(ledger), confirmedAt: AT })).toEqual({
      ...ledger,
      confirmedAt: AT,
    });
  });

  test.each<[string, unknown]>([
    ['about another ledger', { ledger: ledgerKey({ ...ledger, epoch: 8 }), confirmedAt: AT }],
    ['without a time', { ledger: ledgerKey(ledger) }],
    ['of an older version', 'watching'],
    ['that is not there', undefined],
  ])('%s tells nothing', (_what, beat) => {
    expect(confirmedByBeat(ledger, beat)).toEqual(ledger);
  });

  test('that is older than what is known changes nothing', () => {
    const known = { ...ledger, confirmedAt: AT };
    expect(confirmedByBeat(known, { ledger: ledgerKey(ledger), confirmedAt: AT - 1 })).toBe(known);
  });
});
