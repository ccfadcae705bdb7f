import {
  hadAtLeast,
  heardAfter,
  isInVain,
  notThemselves,
  withHeard,
  type Heard,
} from '../../../src/cluster/guard/heard';
import type { Ledger } from '../../../src/cluster/guard/ledger';
import { nextLedger } from '../../../src/cluster/guard/ledger-rules';
import type { NodeAnswer, Round } from '../../../src/cluster/guard/signals';
import type { Lsn } from '../../../src/cluster/lsn';
import { PRIMARY, STANDBY, STANDBY_2 } from '../support/picture';
import { policy, round, silence, standbyAnswer, T0, writable } from './support/rounds';

const ledger: Ledger = {
  version: 1,
  state: 'protected',
  primary: PRIMARY,
  timeline: 3,
  epoch: 7,
  synchronous: [STANDBY],
  names: 'veloz_standby',
  since: T0,
  why: `${STANDBY} confirms each commit before it is acknowledged`,
};

/** A primary that has this much on its disk, and a standby that has confirmed that much; none where it is undefined. */
const has = (flushed: Lsn, flush: Lsn | undefined, pid = 81): NodeAnswer =>
  writable({
    lsn: flushed,
    flushed,
    standbys: flush === undefined ? [] : [{ node: STANDBY, syncState: 'sync', state: 'streaming', pid, flush }],
  });

/** Rounds 200 ms apart. */
const rounds = (...each: Partial<Round>[]): Round[] =>
  each.map((rest, index) => round({ at: T0 + 200 * index, ...rest }));

const heardOf = (all: readonly Round[], before?: Heard): Heard | undefined =>
  all.reduce<Heard | undefined>((heard, each, index) => heardAfter(heard, ledger, each, all[index - 1]?.sql), before);

describe('what the primary has on its own disk', () => {
  const atLeast = (heard: Heard | undefined) => (heard === undefined ? undefined : hadAtLeast({ heard }));

  test('is the furthest that it ever said, and not what it has only written', () => {
    const answers = [
      { ...has('0/5000100', '0/5000000'), lsn: '0/5009999' },
      { ...has('0/5000300', '0/5000200'), lsn: '0/5009999' },
      has('0/5000200', '0/5000200'),
    ];
    const heard = heardOf(rounds(...answers.map((sql) => ({ sql }))));
    expect(heard?.flushed).toBe('0/5000300');
    expect(atLeast(heard)).toBe('0/5000300');
  });

  test('is at least what it was heard to have confirmed, also by a version that said no more', () => {
    expect(atLeast({ at: T0, confirmed: '0/5000400', flushed: '0/5000300' })).toBe('0/5000400');
    expect(atLeast({ at: T0, confirmed: '0/5000400' })).toBe('0/5000400');
    expect(atLeast({ at: T0, waiting: { since: T0, until: T0, upTo: '0/5000500' } })).toBe('0/5000500');
    expect(atLeast({ at: T0 })).toBeUndefined();
  });
});

describe('commits that wait for nobody', () => {
  const waits = (...answers: NodeAnswer[]) => heardOf(rounds(...answers.map((sql) => ({ sql }))))?.waiting;

  test.each<[string, NodeAnswer[]]>([
    ['the standby has all', [has('0/5000100', '0/5000100'), has('0/5000200', '0/5000200')]],
    [
      'it is behind in each round, and confirms more in each',
      [has('0/5000100', '0/5000000'), has('0/5000200', '0/5000100'), has('0/5000300', '0/5000200')],
    ],
    ['it is behind in one round', [has('0/5000000', '0/5000000'), has('0/5000100', '0/5000000')]],
    ['nobody is waited for', [1, 2, 3].map(() => ({ ...has('0/5000100', undefined), names: '' }))],
    ['the primary does not tell what was confirmed', [1, 2, 3].map(() => writable({ lsn: '0/5000100' }))],
  ])('do not while %s', (_what, answers) => {
    expect(isInVain(waits(...answers))).toBe(false);
  });

  const frozen = [has('0/5000000', '0/5000000'), has('0/5000100', '0/5000000'), has('0/5000200', '0/5000000')];

  test('do where it confirms nothing in two rounds: up to what the primary has', () => {
    const waiting = waits(...frozen);
    expect(waiting).toEqual({ since: T0 + 200, until: T0 + 400, upTo: '0/5000200' });
    expect(isInVain(waiting)).toBe(true);
  });

  test('do while no standby is there', () => {
    expect(waits(has('0/5000100', undefined), has('0/5000100', undefined))).toEqual({
      since: T0,
      until: T0 + 200,
      upTo: '0/5000100',
    });
  });

  test('count until a standby that confirms again has what the primary had when that began', () => {
    const back = has('0/5000300', '0/5000100');
    expect(waits(...frozen, back)).toMatchObject({ upTo: '0/5000300', again: true });
    expect(isInVain(waits(...frozen, back))).toBe(true);
    expect(isInVain(waits(...frozen, back, has('0/5000400', '0/5000200')))).toBe(true);
    expect(waits(...frozen, back, has('0/5000400', '0/5000300'))).toBeUndefined();
    expect(waits(...frozen, has('0/5000300', '0/5000300'))).toBeUndefined();
  });

  test('count on over the silence of the primary, and into another stretch of the watch', () => {
    const before = heardOf(rounds(...frozen.map((sql) => ({ sql }))));
    expect(heardAfter(before, ledger, round({ at: T0 + 600, sql: silence() }), undefined)).toBe(before);
    const next = round({ at: T0 + 800, sql: has('0/5000900', '0/5000100') });
    expect(isInVain(heardAfter(before, ledger, next, undefined)?.waiting)).toBe(true);
  });

  test('of another primary or timeline say nothing', () => {
    const before = heardOf(rounds(...frozen.map((sql) => ({ sql }))));
    const other = round({ at: T0 + 800, sql: { ...has('0/9000000', '0/9000000'), timeline: 4 } });
    expect(heardAfter(before, ledger, other, undefined)).toBe(before);
  });
});

test('the furthest position that was confirmed is kept, also when whoever confirmed it is gone', () => {
  const all = rounds({ sql: has('0/5000900', '0/5000900') }, { sql: has('0/5000900', undefined) });
  expect(heardOf(all)?.confirmed).toBe('0/5000900');
});

test('a ledger takes over what was heard later', () => {
  const with1 = withHeard(ledger, { at: T0, confirmed: '0/1' });
  expect(withHeard(with1, { at: T0 - 1 })).toBe(with1);
  expect(withHeard(with1, undefined)).toBe(with1);
  expect(withHeard(with1, { at: T0 + 1 }).heard).toEqual({ at: T0 + 1 });
});

describe('a standby for which somebody else confirms', () => {
  /** The last of these rounds, by a guard that has seen all of them. */
  const last = (all: readonly Round[], of = ledger) => {
    const known = withHeard(of, heardOf(all, of.heard));
    const now = all.at(-1);
    if (now === undefined) throw new Error('no round');
    return nextLedger(known, now, policy, now.at, all);
  };
  const many = (count: number, each: Partial<Round>) => Array.from({ length: count }, () => each);
  const stuck = standbyAnswer({ lsn: '0/5000000', receiver: null });
  const taken = { sql: has('0/5000900', '0/5000900', 117), others: [stuck] };

  test('is found where it has less than was confirmed over its slot a second ago', () => {
    expect(last(rounds(...many(5, taken)))).toBeUndefined();
    expect(last(rounds(...many(7, taken)))).toMatchObject({
      state: 'degraded',
      why: `somebody else may confirm commits over the slot of ${STANDBY}: ${PRIMARY} hears of more than ${STANDBY} has received itself`,
    });
  });

  test('and stays so when the watch begins anew', () => {
    const after = last(rounds(...many(7, taken)));
    if (after === undefined) throw new Error('nothing changed');
    expect(last(rounds(taken), after)).toBeUndefined();
    expect(last(rounds(...many(8, taken)), after)).toBeUndefined();
  });

  test('protection does not begin by it, although nothing was written yet', () => {
    const idle = { sql: has('0/5000000', '0/5000000', 117), others: [stuck] };
    const degraded: Ledger = { ...ledger, state: 'degraded', why: 'for a test' };
    expect(last(rounds(...many(8, idle)), degraded)?.state).toBe('degraded');
  });

  test('begins anew once it confirms itself', () => {
    const degraded = last(rounds(...many(7, taken)));
    if (degraded === undefined) throw new Error('nothing changed');
    const back = { sql: has('0/5000900', '0/5000900', 120), others: [standbyAnswer({ lsn: '0/5000900' })] };
    expect(last(rounds(...many(8, back)), degraded)).toMatchObject({ state: 'protected', synchronous: [STANDBY] });
  });

  test('is not one that is behind its own word under load: what it says may be as old as a round or two', () => {
    const loaded = Array.from({ length: 20 }, (_, index) => ({
      sql: has(`0/50${index + 20}00`, `0/50${index + 18}00`),
      others: [standbyAnswer({ lsn: `0/50${index + 16}00` })],
    }));
    expect(last(rounds(...loaded))).toBeUndefined();
  });

  test('may be one that is silent since the connection was made', () => {
    const silent = { sql: has('0/5000900', '0/5000900', 117), others: [silence({ name: STANDBY })] };
    expect(last(rounds(...many(15, silent)))).toBeUndefined();
    expect(last(rounds(...many(17, silent)))).toMatchObject({
      state: 'degraded',
      why: `somebody else may confirm commits over the slot of ${STANDBY}: ${STANDBY} has not said for 3.00 s that it streams itself`,
    });
  });

  test('is not one that was heard over this connection, and is silent for a while', () => {
    const well = { sql: has('0/5000000', '0/5000000'), others: [standbyAnswer()] };
    const quiet = { sql: has('0/5000900', '0/5000900'), others: [silence({ name: STANDBY })] };
    expect(last(rounds(...many(6, well), ...many(30, quiet)))).toBeUndefined();
    // Nor over another one, in the first moments.
    expect(
      last(rounds(...many(6, well), ...many(10, { ...quiet, sql: has('0/5000900', '0/5000900', 82) }))),
    ).toBeUndefined();
  });

  test('nothing is said of a round that nobody has', () => {
    expect(notThemselves({}, writable(), [])).toBeUndefined();
  });
});

describe('a primary whose WAL went back', () => {
  /** A primary with this on its disk, and a standby that streams from it and has replayed that. */
  const pair = (flushed: Lsn, replayed: Lsn, rest: Partial<NodeAnswer> = {}): Partial<Round> => ({
    sql: has(flushed, flushed),
    others: [standbyAnswer({ lsn: replayed, replayed, ...rest })],
  });
  const silentPrimary: Partial<Round> = { sql: silence(), others: [standbyAnswer({ replayed: '0/5000400' })] };
  const wentBack = (...each: Partial<Round>[]) => heardOf(rounds(...each))?.wentBack;

  test('has less than its standby has replayed of it, by its own word in a later round', () => {
    const seen = wentBack(pair('0/5000400', '0/5000400'), silentPrimary, pair('0/5000200', '0/5000400'));
    expect(seen).toEqual({ at: T0 + 400, from: '0/5000400', to: '0/5000200', by: [STANDBY] });
  });

  test('is found out by a guard that begins to look when it is back', () => {
    expect(wentBack(pair('0/5000200', '0/5000400'), pair('0/5000200', '0/5000400'))).toBeDefined();
  });

  test.each<[string, Partial<Round>[]]>([
    ['both move on', [pair('0/5000400', '0/5000400'), pair('0/5000600', '0/5000500')]],
    ['the standby was asked a moment later', [pair('0/5000400', '0/5000500'), pair('0/5000600', '0/5000600')]],
    // The rest of a record that did not reach the disk whole is given up, and nobody has replayed it.
    [
      'it crashed, and had sent the beginning of a record',
      [pair('0/5000400', '0/5000200'), pair('0/5000300', '0/5000200')],
    ],
    [
      'whoever has more does not stream from it',
      [pair('0/5000400', '0/5000400', { receiver: null }), pair('0/5000200', '0/5000400', { receiver: null })],
    ],
    [
      'whoever has more is on another timeline',
      [pair('0/5000400', '0/5000400', { timeline: 2 }), pair('0/5000200', '0/5000400', { timeline: 2 })],
    ],
    [
      'it does not tell',
      [pair('0/5000400', '0/5000400'), { sql: { ...has('0/5000200', '0/5000200'), flushed: undefined } }],
    ],
  ])('is none where %s', (_what, each) => {
    expect(wentBack(...each)).toBeUndefined();
  });

  const before = [pair('0/5000400', '0/5000400'), pair('0/5000200', '0/5000400')];

  test('stays one when it has passed what its standbys had: no position tells the two histories apart', () => {
    expect(wentBack(...before, pair('0/5000500', '0/5000500'), pair('0/5000600', '0/5000600'))).toBeDefined();
  });

  test('stays one while no standby is connected, or one says nothing itself', () => {
    const alone: Partial<Round> = { sql: has('0/5000300', undefined) };
    expect(wentBack(...before, alone)).toBeDefined();
    expect(
      wentBack(...before, { ...pair('0/5000300', '0/5000200'), others: [silence({ name: STANDBY })] }),
    ).toBeDefined();
  });

  test('is over when its standbys were copied from it before it has passed that, and all else is heard anew', () => {
    const heard = heardOf(rounds(...before, pair('0/5000300', '0/5000300')));
    expect(heard).toMatchObject({ confirmed: '0/5000300', flushed: '0/5000300', replayed: '0/5000300' });
    expect(heard?.wentBack).toBeUndefined();
  });

  describe('and one of two standbys was copied from it', () => {
    /** The primary has this on its disk, and the copied standby streams all of it; what the other one says. */
    const copied = (flushed: Lsn, other: NodeAnswer): Partial<Round> => ({
      sql: writable({
        lsn: flushed,
        flushed,
        standbys: [STANDBY_2, ...(other.receiver === 'streaming' ? [other.name] : [])].map((node) => ({
          node,
          syncState: 'quorum',
          state: 'streaming',
          pid: 82,
          flush: flushed,
        })),
      }),
      others: [other, standbyAnswer({ name: STANDBY_2, lsn: flushed, replayed: flushed })],
    });
    const refusedByIt = standbyAnswer({ receiver: null, lsn: '0/5000400', replayed: '0/5000400' });
    const streams = (replayed: Lsn) => standbyAnswer({ lsn: replayed, replayed });

    test('it stays one: the other waits with more until the primary is past that, and follows with another history then', () => {
      expect(wentBack(...before, copied('0/5000300', refusedByIt))).toBeDefined();
      expect(
        wentBack(...before, copied('0/5000300', refusedByIt), copied('0/5000600', streams('0/5000600'))),
      ).toMatchObject({ from: '0/5000400', by: [STANDBY] });
    });

    test('also where the other one says nothing for a while, or where only a later round hears that it has more', () => {
      const silent = silence({ name: STANDBY });
      expect(wentBack(...before, copied('0/5000300', silent))).toBeDefined();
      const unheard = [pair('0/5000400', '0/5000400'), copied('0/5000200', silent)];
      expect(wentBack(...unheard)).toMatchObject({ to: '0/5000200' });
      expect(wentBack(...unheard, copied('0/5000300', refusedByIt))).toMatchObject({ by: [STANDBY] });
    });

    test('it is over once the other one was copied too, while the primary is still behind what they had', () => {
      expect(
        wentBack(...before, copied('0/5000300', refusedByIt), copied('0/5000380', streams('0/5000380'))),
      ).toBeUndefined();
    });

    test('a node of another database system says nothing of its history', () => {
      const foreign = { ...refusedByIt, systemIdentifier: '99' };
      const only = [pair('0/5000400', '0/5000400'), copied('0/5000200', foreign)];
      expect(wentBack(...only)).toEqual({ at: T0 + 200, from: '0/5000400', to: '0/5000200' });
      expect(wentBack(...only, copied('0/5000300', foreign))).toBeUndefined();
    });
  });

  test('makes the ledger unknown, whatever its standbys confirm, and says what to do', () => {
    const seen = rounds(...before, pair('0/5000600', '0/5000600'));
    const heard = heardOf(seen);
    const next = nextLedger(withHeard(ledger, heard), seen[2] as Round, policy, T0 + 1000, seen);
    expect(next).toMatchObject({ state: 'unknown', primary: PRIMARY, timeline: 3, epoch: 7 });
    expect(next?.why).toContain('had WAL up to 0/5000200, and a standby had replayed 0/5000400 of it');
    expect(next?.why).toContain('a rejoin of each standby with --method copy');
    // And nothing more is news of it.
    expect(next && nextLedger(next, seen[2] as Round, policy, T0 + 2000, seen)).toBeUndefined();
  });
});
