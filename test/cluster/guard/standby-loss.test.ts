import type { ContainerWord, NodeAnswer, Round } from '../../../src/cluster/guard/signals';
import {
  carriedWatch,
  commitsGoOn,
  goesOnWith,
  isStandbyBack,
  lostStandbys,
  nothingWatched,
  standbysDueIn,
  watchStandbys,
  type StandbyWatch,
} from '../../../src/cluster/guard/standby-loss';
import { PRIMARY, STANDBY, STANDBY_2 } from '../support/picture';
import { policy, round, silence, standbyAnswer, writable } from './support/rounds';

const streams = (node: string, flush: string, syncState = 'sync') => ({ node, syncState, state: 'streaming', flush });
const primary = (lsn: string, standbys: NonNullable<NodeAnswer['standbys']>, rest: Partial<NodeAnswer> = {}) =>
  writable({ lsn, standbys, ...rest });
const words = (...each: [string, ContainerWord][]) => new Map(each);
/** What is known after these rounds, each with its time in milliseconds and Docker's words where they were asked. */
const after = (...rounds: [number, Partial<Round>, ReadonlyMap<string, ContainerWord>?][]): StandbyWatch =>
  rounds.reduce((known, [at, seen, said]) => watchStandbys(known, round(seen), PRIMARY, at, said), nothingWatched);
const none = { sql: primary('0/5', []) };
const exited = words([STANDBY, 'exited']);
const lost = (known: StandbyWatch, now: number) => lostStandbys(known, round(none), PRIMARY, now, policy);

describe('a standby that is proven dead', () => {
  test('is lost once its container stays away for as long as a restart may take', () => {
    const known = after([0, {}], [1000, none, exited]);
    expect(lost(known, 1000 + policy.standbyDeadAfter - 1)).toBeUndefined();
    expect(standbysDueIn(known, 1100, policy)).toBe(policy.standbyDeadAfter - 100);
    expect(lost(known, 1000 + policy.standbyDeadAfter)).toEqual({
      forMs: 500,
      proven: true,
      mark: '0/5',
      says: "no standby runs by Docker's word for 500 ms (limit: 500 ms); commits wait",
    });
  });

  test('is counted from the first word of its end, also where rounds are seen before Docker is asked again', () => {
    const known = after([1000, none, exited], [1200, none], [1250, none, exited], [1400, none]);
    expect(lost(known, 1000 + policy.standbyDeadAfter)).toMatchObject({ proven: true });
  });

  test.each<[string, StandbyWatch]>([
    ['its container runs again', after([0, none, exited], [400, none, words([STANDBY, 'running'])])],
    ['Docker restarts it', after([0, none, words([STANDBY, 'restarting'])])],
    ['Docker gives no answer', after([0, none, words([STANDBY, 'unknown'])])],
    ['another standby runs', after([0, none, words([STANDBY, 'exited'], [STANDBY_2, 'running'])])],
    ['it is listed still', after([0, { sql: primary('0/6', [streams(STANDBY, '0/5')]) }, exited])],
    ['the observer was stalled', after([0, none, exited], [900, { ...none, lateMs: 2000 }])],
  ])('not where %s', (_what, known) => {
    expect(lost(known, 900)?.proven).not.toBe(true);
  });
});

describe('a standby that is silent', () => {
  const frozen = (lsn: string) => ({ sql: primary(lsn, [streams(STANDBY, '0/5')]) });
  const two = { names: 'ANY 2 (veloz_standby)' };
  test.each<[string, StandbyWatch, number | undefined]>([
    ['it confirms', after([0, {}]), undefined],
    ['it left', after([0, {}], [200, none], [400, none]), 200],
    [
      'it catches up',
      after([100, { sql: writable({ standbys: [{ ...streams(STANDBY, '0/5'), state: 'catchup' }] }) }]),
      100,
    ],
    [
      'it streams without confirming',
      after([100, { sql: writable({ standbys: [streams(STANDBY, '0/5', 'async')] }) }]),
      100,
    ],
    ['commits wait for nobody', after([100, { sql: writable({ names: '', standbys: [] }) }]), undefined],
    ['it confirms again', after([0, none], [200, {}]), undefined],
    [
      'it is listed, frozen, while the primary writes',
      after([0, frozen('0/5')], [200, frozen('0/6')], [400, frozen('0/7')]),
      200,
    ],
    [
      "it has all that is flushed, and the primary's own disk hangs",
      after(
        [0, { sql: primary('0/6', [streams(STANDBY, '0/5')], { flushed: '0/5' }) }],
        [9000, { sql: primary('0/7', [streams(STANDBY, '0/5')], { flushed: '0/5' }) }],
      ),
      undefined,
    ],
    ['it is listed and nothing is written', after([0, frozen('0/5')], [9000, frozen('0/5')]), undefined],
    [
      'it confirms more each time and is always behind',
      after(
        [0, { sql: primary('0/6', [streams(STANDBY, '0/5')]) }],
        [200, { sql: primary('0/7', [streams(STANDBY, '0/6')]) }],
        [400, { sql: primary('0/8', [streams(STANDBY, '0/7')]) }],
      ),
      undefined,
    ],
    [
      'one of two confirms',
      after(
        [0, { sql: primary('0/6', [streams(STANDBY, '0/5', 'quorum'), streams(STANDBY_2, '0/6', 'quorum')]) }],
        [200, { sql: primary('0/7', [streams(STANDBY, '0/5', 'quorum'), streams(STANDBY_2, '0/7', 'quorum')]) }],
      ),
      undefined,
    ],
    [
      'one of two confirms, and commits wait for both',
      after(
        [0, { sql: primary('0/5', [streams(STANDBY, '0/5', 'quorum'), streams(STANDBY_2, '0/5', 'quorum')], two) }],
        [200, { sql: primary('0/6', [streams(STANDBY, '0/5', 'quorum'), streams(STANDBY_2, '0/6', 'quorum')], two) }],
        [400, { sql: primary('0/7', [streams(STANDBY, '0/5', 'quorum'), streams(STANDBY_2, '0/7', 'quorum')], two) }],
      ),
      200,
    ],
    [
      'one of two is there and has everything, and commits wait for both',
      after([100, { sql: primary('0/5', [streams(STANDBY, '0/5', 'quorum')], two) }]),
      100,
    ],
    ['the primary is silent, which says nothing', after([0, none], [200, { sql: silence() }]), 0],
    ['the observer was stalled: it may have been there', after([0, none], [5000, { ...none, lateMs: 2000 }]), 5000],
  ])('%s', (_what, known, since) => {
    expect(known.lostSince).toBe(since);
  });

  test('is lost after its limit, and not before', () => {
    const known = after([0, frozen('0/5')], [200, frozen('0/6')], [400, frozen('0/6')]);
    expect(lost(known, 200 + policy.standbyLostAfter - 1)).toBeUndefined();
    expect(lost(known, 200 + policy.standbyLostAfter)).toMatchObject({ proven: false, forMs: policy.standbyLostAfter });
  });

  test('is told with how many confirm where commits wait for more', () => {
    const seen = { sql: primary('0/5', [streams(STANDBY, '0/5', 'quorum')], two) };
    expect(lostStandbys(after([0, seen]), round(seen), PRIMARY, policy.standbyLostAfter, policy)?.says).toBe(
      "commits wait for 2 standbys, by synchronous_standby_names 'ANY 2 (veloz_standby)', and fewer have confirmed for 3.00 s (limit: 3.00 s)",
    );
  });

  test('is asked of the primary that the ledger names', () => {
    const turned = round({
      sql: standbyAnswer({ name: PRIMARY }),
      others: [writable({ name: STANDBY, standbys: [] })],
    });
    expect(watchStandbys(nothingWatched, turned, STANDBY, 7).lostSince).toBe(7);
    expect(watchStandbys(nothingWatched, turned, PRIMARY, 7).lostSince).toBeUndefined();
  });
});

describe('a standby is back', () => {
  const relaxed = (lsn: string, flush: string) => ({
    sql: primary(lsn, [streams(STANDBY, flush, 'async')], { names: '' }),
  });
  const back = (known: StandbyWatch, seen: Partial<Round>) => isStandbyBack(known, round(seen), PRIMARY);
  test('when it streams by its own word, and confirms', () => {
    const seen = relaxed('0/7', '0/6');
    expect(back(after([0, relaxed('0/6', '0/5')], [200, seen]), seen)).toBe(true);
  });
  test.each<[string, StandbyWatch, Partial<Round>]>([
    [
      'it does not answer',
      after([0, relaxed('0/5', '0/5')]),
      { ...relaxed('0/5', '0/5'), others: [silence({ name: STANDBY })] },
    ],
    [
      'it receives nothing',
      after([0, relaxed('0/5', '0/5')]),
      { ...relaxed('0/5', '0/5'), others: [standbyAnswer({ receiver: null })] },
    ],
    ['it confirms nothing new', after([0, relaxed('0/5', '0/5')], [200, relaxed('0/6', '0/5')]), relaxed('0/6', '0/5')],
    ['the names are set', after([0, {}]), {}],
  ])('not while %s', (_what, known, seen) => {
    expect(back(known, seen)).toBe(false);
  });
});

describe('what was counted', () => {
  const known = after(
    [0, { sql: primary('0/5', [streams(STANDBY, '0/5')]) }],
    [1000, { sql: primary('0/6', [streams(STANDBY, '0/5')]) }],
    [3000, { sql: primary('0/7', [streams(STANDBY, '0/5')]) }],
  );

  test('is gone on with by another clock, without the time in which nobody looked', () => {
    const elsewhere = goesOnWith(carriedWatch(known, 3000), 50_000);
    expect(elsewhere.lostSince).toBe(48_000);
    const still = watchStandbys(elsewhere, round({ sql: primary('0/8', [streams(STANDBY, '0/5')]) }), PRIMARY, 50_100);
    expect(lost(still, 50_999)).toBeUndefined();
    expect(lost(still, 51_000)).toMatchObject({ forMs: 3000, proven: false });
  });

  test('counts for nothing where the standby has confirmed something since', () => {
    const elsewhere = goesOnWith(carriedWatch(known, 3000), 50_000);
    const back = watchStandbys(elsewhere, round({ sql: primary('0/8', [streams(STANDBY, '0/6')]) }), PRIMARY, 50_100);
    expect(back.lostSince).toBeUndefined();
  });

  test('is the same to the same clock', () => {
    const dead = after([0, {}], [1000, none, exited], [1400, none, exited]);
    expect(goesOnWith(carriedWatch(dead, 1400), 1400)).toEqual(dead);
    expect(goesOnWith(carriedWatch(known, 3000), 3000)).toEqual(known);
  });
});

describe('commits that waited go on', () => {
  const two = { names: 'ANY 2 (veloz_standby)' };
  test.each<[string, NodeAnswer, string | undefined, boolean]>([
    ['once it confirms what was written before', primary('0/7', [streams(STANDBY, '0/6')]), '0/6', true],
    ['not while it is listed and confirms nothing new', primary('0/7', [streams(STANDBY, '0/5')]), '0/6', false],
    [
      'not before something was written that it could confirm',
      primary('0/7', [streams(STANDBY, '0/7')]),
      undefined,
      false,
    ],
    ['not by one that commits do not wait for', primary('0/7', [streams(STANDBY, '0/7', 'async')]), '0/6', false],
    ['not by one of two', primary('0/7', [streams(STANDBY, '0/7', 'quorum')], two), '0/6', false],
    ['where they wait for nobody any more', primary('0/7', [], { names: '' }), '0/6', true],
    ['not where the primary is silent', silence(), '0/6', false],
  ])('%s', (_what, sql, mark, goesOn) => {
    expect(commitsGoOn(round({ sql }), PRIMARY, mark)).toBe(goesOn);
  });
});
