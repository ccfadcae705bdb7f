import type { CandidateState } from '../../../src/cluster/failover/candidates';
import { decidePromotion } from '../../../src/cluster/repair/promotion';
import { clusterTopology, PRIMARY, STANDBY, STANDBY_2 } from '../support/picture';

const standby = (name: string, rest: Partial<CandidateState> = {}): CandidateState => ({
  name,
  promotable: true,
  answered: true,
  inRecovery: true,
  timeline: 3,
  receivedLsn: '0/3000148',
  replayedLsn: '0/3000148',
  systemIdentifier: '7711207839503429655',
  ...rest,
});
const decide = (...states: CandidateState[]) => decidePromotion(clusterTopology(), 'veloz', states);
const refusedBy = (...states: CandidateState[]) => {
  const { checks, candidate } = decide(...states);
  expect(candidate).toBeUndefined();
  return checks.filter(({ result }) => result === 'refuse').map(({ id }) => id);
};

describe('every node is a standby: whom to promote', () => {
  test('the furthest of all; the others follow and confirm', () => {
    const decision = decide(standby('a'), standby('b', { receivedLsn: '0/3000200' }));
    expect(decision).toMatchObject({ candidate: 'b', others: ['a'], names: 'veloz_standby' });
    expect(decision.checks.every(({ result }) => result === 'ok')).toBe(true);
  });

  test('with three nodes any one of the others confirms', () => {
    expect(decide(standby('a'), standby('b'), standby('c'))).toMatchObject({
      candidate: 'a',
      others: ['b', 'c'],
      names: 'ANY 1 (veloz_standby)',
    });
  });

  test('one whose replay is held up follows, and nobody waits for it', () => {
    expect(decide(standby('a'), standby('b', { replayPaused: true }))).toMatchObject({ others: ['b'], names: '' });
  });

  test('an optional node without container does not count; alone, nobody confirms', () => {
    const missing = standby('b', { answered: false, missing: true });
    expect(decide(standby('a'), missing)).toMatchObject({ candidate: 'a', others: [], names: '' });
  });

  describe('beside a ledger', () => {
    const missing = standby(STANDBY_2, { answered: false, missing: true });
    const known = (primary: string, synchronous: string[] = [], timeline = 3) =>
      decidePromotion(clusterTopology(), 'veloz', [standby(PRIMARY), standby(STANDBY), missing], {
        ...{ primary, synchronous, timeline },
      });
    const refused = ({ checks }: ReturnType<typeof known>) => checks.filter(({ result }) => result === 'refuse');

    test.each([
      ['as the primary', known(STANDBY_2)],
      ['as one that confirms commits', known(PRIMARY, [STANDBY, STANDBY_2])],
    ])(
      'nobody, when it names an optional node without container %s: it may have what nobody else has',
      (_how, decision) => {
        expect(decision.candidate).toBeUndefined();
        expect(refused(decision)).toEqual([
          expect.objectContaining({
            id: 'I6',
            refusal: `${STANDBY_2} may have acknowledged commits that nobody else has`,
            measured: `${PRIMARY} answers, ${STANDBY} answers, ${STANDBY_2} has no container`,
            next: 'veloz-ha stack up --standbys 2',
          }),
        ]);
      },
    );

    test('that names it no more, as after its removal in order: it does not count', () => {
      expect(known(PRIMARY, [STANDBY])).toMatchObject({ candidate: PRIMARY, others: [STANDBY] });
    });

    test('nobody, when its primary was on a newer timeline than all of them', () => {
      const decision = known(PRIMARY, [STANDBY], 4);
      expect(decision.candidate).toBeUndefined();
      expect(refused(decision)).toEqual([expect.objectContaining({ id: 'A6', limit: 'timeline 4 or a newer one' })]);
    });
  });

  test('what lies on its own disk counts as much as what it received, and has to be known', () => {
    const own = standby('b', { receivedLsn: null, walEndLsn: '0/3000200', replayedLsn: '0/2000000' });
    expect(decide(standby('a'), own).candidate).toBe('b');
    expect(refusedBy(standby('a'), { ...own, walEndLsn: null })).toEqual(['I6']);
  });

  test('nobody, when one gives no answer: it may have what nobody else has', () => {
    expect(refusedBy(standby('a'), standby('b', { answered: false, problem: 'timeout' }))).toEqual(['I6']);
  });

  test.each([
    ['exited', 'docker start b'],
    ['paused', 'docker unpause b'],
    ['running', 'veloz-ha postgres status --cluster veloz'],
  ])('one that gives no answer is woken by what helps: its container is %s', (container, next) => {
    const silent = standby('b', { answered: false, problem: 'timeout', container });
    expect(decide(standby('a'), silent).checks.find(({ id }) => id === 'I6')?.next).toBe(next);
  });

  test('nobody, when one takes writes', () => {
    expect(refusedBy(standby('a'), standby('b', { inRecovery: false }))).toContain('I8');
  });

  test('nobody, when they are on different timelines or of different systems', () => {
    expect(refusedBy(standby('a'), standby('b', { timeline: 4 }))).toEqual(['A6']);
    expect(refusedBy(standby('a'), standby('b', { systemIdentifier: '1' }))).toEqual(['A4']);
  });

  test('nobody, when the furthest may not be promoted, or none may', () => {
    const furthest = standby('b', { receivedLsn: '0/3000200', promotable: false });
    expect(refusedBy(standby('a'), furthest)).toEqual(['I9']);
    expect(refusedBy(standby('a', { promotable: false }))).toEqual(['I9']);
  });

  test('an equal one that may be promoted is taken', () => {
    expect(decide(standby('a', { promotable: false }), standby('b')).candidate).toBe('b');
  });
});
