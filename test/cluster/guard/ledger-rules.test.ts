import { emptyLedger, type Ledger } from '../../../src/cluster/guard/ledger';
import { nextLedger, relaxedLedger } from '../../../src/cluster/guard/ledger-rules';
import type { NodeAnswer, Round } from '../../../src/cluster/guard/signals';
import { PRIMARY, STANDBY, STANDBY_2 } from '../support/picture';
import { policy, round, silence, standbyAnswer, T0, writable } from './support/rounds';

const NOW = T0 + 60_000;
const protectedBy = (...synchronous: string[]): Ledger => ({
  version: 1,
  state: 'protected',
  primary: PRIMARY,
  timeline: 3,
  epoch: 7,
  synchronous,
  names: synchronous.length > 1 ? 'ANY 1 (veloz_standby)' : 'veloz_standby',
  since: T0,
  why:
    synchronous.length > 1
      ? `${synchronous.join(' and ')} confirm each commit before it is acknowledged`
      : `${synchronous.join('')} confirms each commit before it is acknowledged`,
});
const degraded: Ledger = { ...protectedBy(STANDBY), state: 'degraded', why: 'for a test' };

const row = (node: string, syncState: string, state = 'streaming') => ({ node, syncState, state });
const quorum = [row(STANDBY, 'quorum'), row(STANDBY_2, 'quorum')];
const second = (rest: Partial<NodeAnswer> = {}) => standbyAnswer({ name: STANDBY_2, ...rest });
const any = (standbys: NodeAnswer['standbys'], lsn = '0/5000000') =>
  writable({ names: 'ANY 1 (veloz_standby)', standbys, lsn });
/** The other node as primary, after a switchover or a promotion. */
const promoted = (rest: Partial<NodeAnswer> = {}) =>
  writable({ name: STANDBY, timeline: 4, standbys: [row(PRIMARY, 'sync')], ...rest });
const oldAsStandby = (rest: Partial<NodeAnswer> = {}) => standbyAnswer({ name: PRIMARY, timeline: 4, ...rest });

const next = (ledger: Ledger, seen: Partial<Round>, earlier: Round[] = []) =>
  nextLedger(ledger, round({ at: T0 + 10_000, ...seen }), policy, NOW, earlier);

describe('the ledger does not change', () => {
  test.each<[string, Ledger, Partial<Round>]>([
    ['while all is as it was', protectedBy(STANDBY), {}],
    [
      'while all is as it was, with two standbys',
      protectedBy(STANDBY, STANDBY_2),
      { sql: any(quorum), others: [standbyAnswer(), second()] },
    ],
    ['when the primary gives no answer', protectedBy(STANDBY), { sql: silence() }],
    ['when nobody gives an answer', protectedBy(STANDBY), { sql: silence(), others: [silence({ name: STANDBY })] }],
    [
      'in the middle of a switchover, when nobody is writable',
      protectedBy(STANDBY),
      { sql: writable({ inRecovery: true }) },
    ],
    ['when a round begins late', protectedBy(STANDBY), { lateMs: 5000 }],
    [
      'when the standby gives the guard no answer, but the primary says that it confirms',
      protectedBy(STANDBY),
      { others: [silence({ name: STANDBY })] },
    ],
  ])('%s', (_what, ledger, seen) => {
    expect(next(ledger, seen)).toBeUndefined();
  });
});

describe('a primary of the ledger that answers as a standby', () => {
  const demoted = (at: number) => round({ at: T0 + at, sql: standbyAnswer({ name: PRIMARY }) });

  test('makes the ledger unknown when that lasts, and nobody takes writes', () => {
    const seen = { at: T0 + 10_000, sql: standbyAnswer({ name: PRIMARY }) };
    expect(next(protectedBy(STANDBY), seen, [demoted(8900), demoted(9500)])).toMatchObject({
      state: 'unknown',
      primary: PRIMARY,
      why: `${PRIMARY}, which it knows as primary, answers as a standby, and no node takes writes`,
    });
  });

  test.each<[string, Round[]]>([
    ['has only begun', [demoted(9500)]],
    ['was interrupted by silence', [demoted(8900), round({ at: T0 + 9200, sql: silence() }), demoted(9500)]],
  ])('changes nothing while that %s', (_what, earlier) => {
    const seen = { at: T0 + 10_000, sql: standbyAnswer({ name: PRIMARY }) };
    expect(next(protectedBy(STANDBY), seen, earlier)).toBeUndefined();
  });
});

describe('protection begins', () => {
  test('never in the first round that sees the names', () => {
    const first = next(emptyLedger(T0), {});
    expect(first).toEqual({
      ...emptyLedger(T0),
      state: 'degraded',
      primary: PRIMARY,
      timeline: 3,
      systemIdentifier: '77',
      epoch: 1,
      synchronous: [STANDBY],
      names: 'veloz_standby',
      since: NOW,
      why: `${STANDBY} confirms, but was not seen to have what was acknowledged before`,
    });
  });

  test('in the next, when the standby has all that the primary wrote', () => {
    const first = next(emptyLedger(T0), {});
    if (first === undefined) throw new Error('no first ledger');
    expect(next(first, {})).toMatchObject({
      state: 'protected',
      epoch: 1,
      synchronous: [STANDBY],
      since: NOW,
      why: `${STANDBY} confirms each commit before it is acknowledged`,
    });
  });

  test.each<[string, Partial<Round>]>([
    ['the standby has less than the primary', { others: [standbyAnswer({ lsn: '0/4FFFFFF' })] }],
    ['the standby gives no answer', { others: [silence({ name: STANDBY })] }],
    [
      'the position of the standby is on another timeline',
      { others: [standbyAnswer({ timeline: 2, lsn: '0/6000000' })] },
    ],
    ['the standby catches up', { sql: writable({ standbys: [row(STANDBY, 'sync', 'catchup')] }) }],
    ['the standby is only potential', { sql: writable({ standbys: [row(STANDBY, 'potential')] }) }],
    ['the standby is asynchronous', { sql: writable({ standbys: [row(STANDBY, 'async')] }) }],
    ['nobody streams', { sql: writable({ standbys: [] }) }],
    ['names are blanks', { sql: writable({ names: '  ' }) }],
  ])('not while %s', (_what, seen) => {
    expect((next(degraded, seen) ?? degraded).state).toBe('degraded');
  });

  describe('under load, when the standby is always a little behind', () => {
    const moving = (at: number, lsn: string, names = 'veloz_standby') =>
      round({ at: T0 + at, sql: writable({ lsn, names }) });
    const now = { sql: writable({ lsn: '0/5000900' }), others: [standbyAnswer({ lsn: '0/5000800' })] };

    test('when it has what the primary had written in an earlier round with the names set', () => {
      const earlier = [moving(9600, '0/5000100'), moving(9800, '0/5000700')];
      expect(next(degraded, now, earlier)?.state).toBe('protected');
    });

    test('not by a position from before the names were set', () => {
      expect(next(degraded, now, [moving(9800, '0/5000700', '')])).toMatchObject({ state: 'degraded' });
    });

    test('not by the round that saw the names first', () => {
      const earlier = [moving(9600, '0/5000100', ''), moving(9800, '0/5000700')];
      expect(next(degraded, now, earlier)).toMatchObject({ state: 'degraded' });
    });

    test('not by a position on another timeline', () => {
      const earlier = [round({ at: T0 + 9800, sql: writable({ lsn: '0/5000100', timeline: 2 }) })];
      expect(next(degraded, now, earlier)).toMatchObject({ state: 'degraded' });
    });

    test('not across a silence', () => {
      const earlier = [moving(9400, '0/5000100'), round({ at: T0 + 9600, sql: silence() }), moving(9800, '0/5000900')];
      expect(next(degraded, now, earlier)).toMatchObject({ state: 'degraded' });
    });
  });

  test('with every standby that may confirm, not only with those that do now', () => {
    const standbys = [row(STANDBY, 'sync'), row(STANDBY_2, 'potential', 'catchup')];
    expect(
      next(degraded, { sql: writable({ standbys }), others: [standbyAnswer(), second({ lsn: '0/1000000' })] }),
    ).toMatchObject({
      state: 'protected',
      synchronous: [STANDBY, STANDBY_2],
      why: `${STANDBY} confirms each commit before it is acknowledged`,
    });
  });
});

describe('protection ends at once', () => {
  test.each(['', '   '])('when the names are "%s"', (names) => {
    expect(next(protectedBy(STANDBY), { sql: writable({ names, standbys: [row(STANDBY, 'async')] }) })).toMatchObject({
      state: 'degraded',
      synchronous: [],
      names: '',
      since: NOW,
      epoch: 7,
      why: 'commits wait for no standby: synchronous_standby_names is empty',
    });
  });
});

describe('protection lasts while the standby is away and commits wait', () => {
  const away = { sql: writable({ standbys: [] }), others: [silence({ name: STANDBY })] };

  test('and says so', () => {
    const after = next(protectedBy(STANDBY), away);
    expect(after).toMatchObject({ state: 'protected', synchronous: [STANDBY], since: T0, epoch: 7 });
    expect(after?.why).toBe(
      `${STANDBY} is away, and commits wait for 3.00 s at most, then they go on without it and without protection: all that was acknowledged is there, unless somebody cancels a commit that waits`,
    );
    if (after !== undefined) expect(next(after, away)).toBeUndefined();
  });

  test('and says that they wait on, where the policy blocks', () => {
    const blocks = { ...policy, onStandbyLost: 'block' as const };
    expect(nextLedger(protectedBy(STANDBY), round(away), blocks, NOW)?.why).toContain('wait until one is back');
  });

  test('also when it streams, and catches up', () => {
    const catching = {
      sql: writable({ standbys: [row(STANDBY, 'potential', 'catchup')] }),
      others: [standbyAnswer({ lsn: '0/1000000' })],
    };
    expect(next(protectedBy(STANDBY), catching)).toMatchObject({ state: 'protected', synchronous: [STANDBY] });
  });

  test('and goes on as before when it is back', () => {
    const after = next(protectedBy(STANDBY), away);
    if (after === undefined) throw new Error('nothing changed');
    expect(next(after, {})).toEqual({ ...protectedBy(STANDBY), systemIdentifier: '77' });
  });
});

describe('one of two standbys leaves', () => {
  const both = protectedBy(STANDBY, STANDBY_2);
  const left = [row(STANDBY, 'quorum')];

  test('and counts on, while the other has less than was written: the last commits may be only there', () => {
    const after = next(both, {
      sql: any(left, '0/5000900'),
      others: [standbyAnswer({ lsn: '0/5000800' }), silence({ name: STANDBY_2 })],
    });
    expect(after).toMatchObject({ state: 'protected', synchronous: [STANDBY, STANDBY_2] });
    expect(after?.why).toContain(`${STANDBY_2} left, and may have commits that the others have not received yet`);
  });

  test('and counts no more, once the other has all that was written while it was away', () => {
    const seen = {
      sql: any(left, '0/5000900'),
      others: [standbyAnswer({ lsn: '0/5000900' }), silence({ name: STANDBY_2 })],
    };
    expect(next(both, seen)).toMatchObject({ state: 'protected', synchronous: [STANDBY] });
  });

  test('and counts no more under load, once the other has what was written at an earlier round without it', () => {
    const earlier = [
      round({ at: T0 + 9600, sql: any(quorum, '0/5000100') }),
      round({ at: T0 + 9800, sql: any(left, '0/5000500') }),
    ];
    const seen = {
      sql: any(left, '0/5000900'),
      others: [standbyAnswer({ lsn: '0/5000800' }), silence({ name: STANDBY_2 })],
    };
    expect(next(both, seen, earlier)).toMatchObject({ state: 'protected', synchronous: [STANDBY] });
  });

  test('and counts on, when it had been back in between', () => {
    const earlier = [
      round({ at: T0 + 9600, sql: any(left, '0/5000100') }),
      round({ at: T0 + 9800, sql: any(quorum, '0/5000500') }),
    ];
    const seen = {
      sql: any(left, '0/5000900'),
      others: [standbyAnswer({ lsn: '0/5000800' }), silence({ name: STANDBY_2 })],
    };
    expect(next(both, seen, earlier)?.synchronous).toEqual([STANDBY, STANDBY_2]);
  });

  test('and counts on, while nobody knows what the other has', () => {
    const seen = { sql: any(left), others: [silence({ name: STANDBY }), silence({ name: STANDBY_2 })] };
    expect(next(both, seen)?.synchronous).toEqual([STANDBY, STANDBY_2]);
  });

  test('and the other too: both count', () => {
    expect(
      next(both, { sql: any([]), others: [silence({ name: STANDBY }), silence({ name: STANDBY_2 })] }),
    ).toMatchObject({
      state: 'protected',
      synchronous: [STANDBY, STANDBY_2],
      why: expect.stringContaining(`${STANDBY} and ${STANDBY_2} are away`) as string,
    });
  });

  test('FIRST: the one that takes over was counted before', () => {
    const first = { ...both, names: 'veloz_standby' };
    const seen = {
      sql: writable({ standbys: [row(STANDBY_2, 'sync')], lsn: '0/5000900' }),
      others: [silence({ name: STANDBY }), second({ lsn: '0/5000100' })],
    };
    expect(next(first, seen)?.synchronous).toEqual([STANDBY, STANDBY_2]);
  });
});

test('a standby that joins counts at once', () => {
  const seen = {
    sql: any([row(STANDBY, 'quorum'), row(STANDBY_2, 'potential', 'catchup')]),
    others: [standbyAnswer(), second()],
  };
  expect(next(protectedBy(STANDBY), seen)).toMatchObject({
    state: 'protected',
    synchronous: [STANDBY, STANDBY_2],
    names: 'ANY 1 (veloz_standby)',
    since: T0,
  });
});

describe('another node is writable', () => {
  test('alone, on a newer timeline: it is taken over under the next epoch, unprotected until proven', () => {
    const after = next(protectedBy(STANDBY), { sql: oldAsStandby(), others: [promoted()] });
    expect(after).toMatchObject({
      state: 'degraded',
      primary: STANDBY,
      timeline: 4,
      epoch: 8,
      synchronous: [PRIMARY],
      since: NOW,
    });
    if (after !== undefined)
      expect(next(after, { sql: oldAsStandby(), others: [promoted()] })).toMatchObject({
        state: 'protected',
        epoch: 8,
      });
  });

  test('alone, while the old primary gives no answer, after a promotion by hand', () => {
    expect(
      next(protectedBy(STANDBY), { sql: silence(), others: [promoted({ names: '', standbys: [] })] }),
    ).toMatchObject({
      state: 'degraded',
      primary: STANDBY,
      epoch: 8,
      names: '',
    });
  });

  test('on the same timeline, and the old primary says that it is a standby', () => {
    expect(
      next(protectedBy(STANDBY), { sql: oldAsStandby({ timeline: 3 }), others: [promoted({ timeline: 3 })] }),
    ).toMatchObject({
      primary: STANDBY,
      epoch: 8,
    });
  });

  test.each<[string, Partial<Round>, string]>([
    [
      'on the same timeline without having been promoted, and the old primary is silent',
      { sql: silence(), others: [promoted({ timeline: 3 })] },
      'without having been promoted',
    ],
    [
      'on an older timeline',
      { sql: silence(), others: [promoted({ timeline: 2 })] },
      `${PRIMARY} was on the newer timeline 3`,
    ],
    [
      'in another database system',
      { sql: oldAsStandby(), others: [promoted({ systemIdentifier: '88' })] },
      'another database system: 88 and 77',
    ],
    [
      'beside the primary',
      { others: [promoted()] },
      `2 nodes are writable: ${PRIMARY} on timeline 3 and ${STANDBY} on timeline 4`,
    ],
  ])('%s: nobody knows, and what was known is kept', (_what, seen, why) => {
    const after = next(protectedBy(STANDBY), seen);
    expect(after).toMatchObject({
      state: 'unknown',
      primary: PRIMARY,
      timeline: 3,
      epoch: 7,
      synchronous: [STANDBY],
      since: NOW,
    });
    expect(after?.why).toContain(why);
  });

  test('after that protection has to be proven again', () => {
    const unknown: Ledger = { ...protectedBy(STANDBY), state: 'unknown', why: '2 nodes are writable' };
    expect(next(unknown, { others: [standbyAnswer({ lsn: '0/4000000' })] })).toMatchObject({ state: 'degraded' });
    expect(next(unknown, {})).toMatchObject({ state: 'protected', epoch: 7 });
  });
});

describe('the same node', () => {
  test('on a newer timeline begins a new epoch', () => {
    expect(next(protectedBy(STANDBY), { sql: writable({ timeline: 5 }) })).toMatchObject({
      state: 'degraded',
      timeline: 5,
      epoch: 8,
    });
  });

  test('on an older timeline is not known', () => {
    expect(next(protectedBy(STANDBY), { sql: writable({ timeline: 2 }) })).toMatchObject({
      state: 'unknown',
      timeline: 3,
      epoch: 7,
    });
  });
});

test('relaxing is in the ledger first', () => {
  expect(relaxedLedger(protectedBy(STANDBY), 'no standby for 10 s', NOW)).toEqual({
    ...protectedBy(STANDBY),
    state: 'degraded',
    synchronous: [],
    names: '',
    since: NOW,
    why: 'no standby for 10 s',
  });
  expect(relaxedLedger(degraded, 'again', NOW).since).toBe(T0);
});

describe('settings that let some commits pass', () => {
  const weak = ['synchronous_commit is off for veloz in every database'];
  const at = (seconds: number, rest: Partial<NodeAnswer> = {}) =>
    round({ at: T0 + seconds * 1000, sql: writable({ lsn: `0/${(5 + seconds).toString(16)}000000`, ...rest }) });

  test('end the promise once they were seen twice', () => {
    const seen = { sql: writable({ weak }) };
    expect(next(protectedBy(STANDBY), seen, [at(9)])).toBeUndefined();
    expect(next(protectedBy(STANDBY), seen, [at(8), at(9, { weak })])).toMatchObject({
      state: 'degraded',
      synchronous: [STANDBY],
      why: 'some commits wait for no standby that is known: synchronous_commit is off for veloz in every database',
    });
  });

  test('at once where nothing is known of before', () => {
    expect(next(protectedBy(STANDBY), { sql: writable({ weak }) })?.state).toBe('degraded');
  });

  test('it begins anew when a standby has what was written after they were gone', () => {
    const now = (lsn: string) => ({ sql: writable({ lsn: '0/F000000' }), others: [standbyAnswer({ lsn })] });
    // The first round without them proves nothing.
    expect(next(degraded, now('0/F000000'), [at(9, { weak })])?.state ?? 'degraded').toBe('degraded');
    const earlier = [at(7, { weak }), at(8), at(9)];
    // 0/D000000 is the position of the first round without them, 0/E000000 of the one after.
    expect(next(degraded, now('0/C000000'), earlier)?.state ?? 'degraded').toBe('degraded');
    expect(next(degraded, now('0/E000000'), earlier)?.state).toBe('protected');
  });
});

describe('the database system of the ledger', () => {
  const ofSystem = { ...protectedBy(STANDBY), systemIdentifier: '77' };
  const anew = writable({ systemIdentifier: '88', timeline: 1, standbys: [], names: '' });

  test.each<[string, Partial<Round>]>([
    ['its own primary was made anew, on the timeline of the ledger', { sql: { ...anew, timeline: 3 } }],
    ['its own primary was made anew, on the first timeline', { sql: anew }],
    ['another node takes writes', { sql: silence(), others: [{ ...anew, name: STANDBY, timeline: 9 }] }],
  ])('a primary of another one is none: %s', (_what, seen) => {
    const after = next(ofSystem, seen);
    expect(after).toMatchObject({ state: 'unknown', primary: PRIMARY, timeline: 3, systemIdentifier: '77' });
    expect(after?.why).toContain('belongs to another database system than this ledger: 88 and 77');
    expect(next(after ?? ofSystem, seen)).toBeUndefined();
  });

  test('it is noted with the first primary, and kept with each one that follows', () => {
    expect(next(emptyLedger(T0), {})).toMatchObject({ primary: PRIMARY, systemIdentifier: '77' });
    const after = next(ofSystem, { sql: oldAsStandby(), others: [promoted()] });
    expect(after).toMatchObject({ primary: STANDBY, systemIdentifier: '77' });
  });

  test('a ledger of a version that did not note it takes any primary, as before', () => {
    expect(next(protectedBy(STANDBY), { sql: writable({ systemIdentifier: '88' }) })).toBeUndefined();
  });
});

describe('names that the checkpointer has not taken', () => {
  const before = (takesReloads?: boolean) => [
    round({ at: T0 + 9600, sql: writable() }),
    round({ at: T0 + 9800, sql: writable({ ...(takesReloads === undefined ? {} : { takesReloads }) }) }),
  ];
  test('protect nothing while it works on a checkpoint', () => {
    const busy = writable({ takesReloads: false });
    const earlier = [round({ at: T0 + 9600, sql: busy }), round({ at: T0 + 9800, sql: busy })];
    expect(next(degraded, { sql: busy }, earlier)?.state).not.toBe('protected');
  });
  test('protect once it is at rest, also if it is at work again', () => {
    expect(next(degraded, { sql: writable({ takesReloads: true }) }, before(false))?.state).toBe('protected');
    expect(next(degraded, { sql: writable({ takesReloads: false }) }, before(true))?.state).toBe('protected');
  });
});
