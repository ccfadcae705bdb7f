import { commandsOf, refusalSentence } from '../../../src/cluster/check';
import { UNLIMITED_LOSS } from '../../../src/cluster/failover/commands';
import type { CandidateState } from '../../../src/cluster/failover/candidates';
import { decideFailover, type FailoverInput } from '../../../src/cluster/failover/decide';
import type { Ledger } from '../../../src/cluster/guard/ledger';
import type { Lsn } from '../../../src/cluster/lsn';
import { clusterTopology, PRIMARY, STANDBY, STANDBY_2 } from '../support/picture';
import { candidate, checkOf, decide, FAILED_AT, ids, ledgerOf, silent } from './support';

const second = (rest = {}) => candidate({ name: STANDBY_2, ...rest });
const both = ledgerOf(STANDBY, STANDBY_2);
const consent = (maxBytes: number) => ({ maxBytes, reason: 'the disk is gone', by: 'ops' });

describe('a failover goes on without a question', () => {
  test('to the only standby, which the ledger calls protected', () => {
    const decision = decide();
    expect(ids(decision.checks, 'refuse', 'warn')).toEqual([]);
    expect(decision).toMatchObject({
      candidate: STANDBY,
      candidateLsn: '0/5000000',
      others: [],
      names: '',
      lossBound: 0,
      needsConsent: false,
      alreadyDone: false,
    });
    expect(decision.checks.map(({ id }) => id)).toEqual([
      'I8',
      'A1',
      'A4',
      'A2',
      'A7',
      'B3',
      'I7',
      'I6',
      'A6',
      'I9',
      'E8',
      'B7',
      'B6',
      'C9',
      'K5',
      'H4',
    ]);
    expect(checkOf(decision.checks, 'H4').measured).toContain('nobody follows it at once');
  });

  test('A4 is not called held where the only standby is compared with nothing but itself', () => {
    const systems = (input: Partial<FailoverInput>) => checkOf(decide(input).checks, 'A4');
    expect(systems({})).toMatchObject({ result: 'ok' });
    expect(systems({ ledger: null, systemIdentifier: '77' })).toMatchObject({ result: 'ok', measured: '77 on 1 node' });
    expect(systems({ ledger: null })).toMatchObject({
      result: 'skip',
      measured: `there is nothing that ${STANDBY} can be compared with`,
    });
    expect(systems({ ledger: ledgerOf(STANDBY_2) }).result).toBe('skip');
  });

  test.each<[string, Partial<FailoverInput>, string, string[], string]>([
    [
      'to the most advanced of two',
      { ledger: both, candidates: [candidate(), second({ receivedLsn: '0/5000100' })] },
      STANDBY_2,
      [STANDBY],
      'veloz_standby',
    ],
    [
      'to the one on the newer timeline, where the ledger knows that timeline',
      {
        ledger: { ...both, timeline: 4 },
        candidates: [candidate({ receivedLsn: '0/9000000' }), second({ timeline: 4 })],
      },
      STANDBY_2,
      [],
      '',
    ],
    [
      'to the one that replayed more than it received',
      { ledger: both, candidates: [candidate({ replayedLsn: '0/5000200' }), second()] },
      STANDBY,
      [STANDBY_2],
      'veloz_standby',
    ],
    [
      'of two equals to the one that the ledger names',
      { ledger: ledgerOf(STANDBY_2), candidates: [candidate(), second()] },
      STANDBY_2,
      [STANDBY],
      'veloz_standby',
    ],
    [
      'of two equals, both named, to the first',
      { ledger: both, candidates: [candidate(), second()] },
      STANDBY,
      [STANDBY_2],
      'veloz_standby',
    ],
    [
      'to the named one of two equals',
      { ledger: both, candidates: [candidate(), second()], target: STANDBY_2 },
      STANDBY_2,
      [STANDBY],
      'veloz_standby',
    ],
    [
      'while an optional node has no container',
      { candidates: [candidate(), silent(STANDBY_2, { missing: true })] },
      STANDBY,
      [],
      '',
    ],
    ['with the failed primary among the candidates', { candidates: [candidate(), silent(PRIMARY)] }, STANDBY, [], ''],
    ['with the expected primary', { expectedPrimary: PRIMARY }, STANDBY, [], ''],
    ['when the primary had written more than it acknowledged', { lastKnownPrimaryLsn: '0/6000000' }, STANDBY, [], ''],
    ['with a consent that is not needed', { allowDataLoss: consent(0) }, STANDBY, [], ''],
    ['while the disk was not asked', { candidates: [candidate({ freeDiskBytes: undefined })] }, STANDBY, [], ''],
    ['in the known database system', { systemIdentifier: '77' }, STANDBY, [], ''],
  ])('%s', (_what, input, target, others, names) => {
    const decision = decide(input);
    expect(ids(decision.checks, 'refuse')).toEqual([]);
    expect(decision).toMatchObject({ candidate: target, others, names, lossBound: 0, needsConsent: false });
  });

  test('with three standbys, of which two follow, any of them confirms', () => {
    const names = [STANDBY, STANDBY_2, 'veloz-postgres-standby-3'];
    const decision = decide({ ledger: ledgerOf(...names), candidates: names.map((name) => candidate({ name })) });
    expect(decision).toMatchObject({ candidate: STANDBY, others: names.slice(1), names: 'ANY 1 (veloz_standby)' });
  });
});

describe('the ledger has to be confirmed just before the failure', () => {
  const confirmed = (before: number | undefined) => {
    const { confirmedAt: _, ...ledger } = ledgerOf(STANDBY);
    return decide({ ledger: before === undefined ? ledger : { ...ledger, confirmedAt: FAILED_AT - before } });
  };

  test.each([0, 180, 5900, -900])('%i ms before it proves that nothing is lost, and says so', (before) => {
    const decision = confirmed(before);
    expect(ids(decision.checks, 'refuse')).toEqual([]);
    expect(decision).toMatchObject({ lossBound: 0, needsConsent: false });
    // No round shows a wait that began and was cancelled between two of them.
    expect(decision.proof).toMatch(
      new RegExp(
        `^the ledger, confirmed .*before the failure, names ${STANDBY}; it was heard, and none has more; not covered is a commit whose wait for a standby was cancelled .* in the last two rounds of the watch, or since$`,
      ),
    );
  });

  test.each<[number | undefined, string]>([
    [5901, 'was last confirmed 5.90 s before the failure'],
    [14 * 60_000, 'was last confirmed 14 min 00 s before the failure'],
    [-1001, 'was confirmed 1.00 s in the future (a clock is wrong) of the failure'],
    [undefined, 'was never confirmed by a living primary before the failure'],
  ])('%p ms before it proves nothing, and a person is asked', (before, says) => {
    const decision = confirmed(before);
    expect(checkOf(decision.checks, 'I7')).toMatchObject({
      result: 'refuse',
      measured: `the ledger says protected, and ${says}`,
      limit: 'confirmed at most 5.90 s before it',
      next: `veloz-ha postgres promote --cluster veloz --to ${STANDBY} --allow-data-loss unlimited --reason "…"`,
    });
    expect(decision).toMatchObject({ lossBound: null, needsConsent: true });
    expect(decision.proof).toBeUndefined();
  });
});

describe('a person who has not heard of the primary itself', () => {
  const degraded: Ledger = { ...ledgerOf(), state: 'degraded', why: 'no standby confirms' };

  test.each<[string, Ledger | null, string]>([
    ['without a guard', null, 'B3'],
    ['with a ledger that says degraded', degraded, 'I7'],
  ])('%s is told first what loses nothing', (_what, ledger, id) => {
    const check = checkOf(decide({ ledger, repairFirst: true }).checks, id);
    expect(check).toMatchObject({
      result: 'refuse',
      next: 'veloz-ha repair --cluster veloz',
      instead: `veloz-ha postgres promote --cluster veloz --to ${STANDBY} --allow-data-loss unlimited --reason "…"`,
    });
    expect(commandsOf([check]).map(({ command }) => command)).toEqual([check.next, check.instead]);
    expect(checkOf(decide({ ledger }).checks, id)).toMatchObject({ next: check.instead });
  });

  test.each([
    [undefined, `docker start ${STANDBY_2}`],
    ['exited', `docker start ${STANDBY_2}`],
    ['paused', `docker unpause ${STANDBY_2}`],
    ['absent', 'veloz-ha stack up'],
    ['running', 'veloz-ha postgres status --cluster veloz'],
  ])('a member that gives no answer is woken by what helps: its container is %s', (container, next) => {
    const candidates = [candidate(), silent(STANDBY_2, container === undefined ? {} : { container })];
    expect(checkOf(decide({ ledger: both, candidates }).checks, 'I6').next).toBe(next);
  });

  test('a standby that has more than the candidate may have been the primary: the WAL of the one that is named proves nothing', () => {
    const oldPrimary = { timeline: 3, lsn: '0/5000000' };
    const candidates = [candidate(), second({ receivedLsn: '0/5000100' })];
    const named = { candidates, target: STANDBY, oldPrimary };
    expect(decide({ ...named, ledger: null }).lossBound).not.toBe(0);
    expect(decide({ ...named, ledger: { ...degraded } }).lossBound).toBe(0);
  });
});

describe('nobody saw the primary in the moments before its end', () => {
  const unwatched = (rest: Partial<FailoverInput> = {}) => decide({ watched: false, ...rest });

  test('its own files are asked first', () => {
    const decision = unwatched();
    expect(decision).toMatchObject({ unread: true, needsConsent: true });
    expect(decision.lossBound).not.toBe(0);
    expect(checkOf(decision.checks, 'I7').measured).toContain(
      'nobody saw veloz-postgres-primary in the moments before its end, and its files are not read yet',
    );
  });

  test('they say the same as the ledger: that is the proof, and it says so', () => {
    const decision = unwatched({ own: { names: 'veloz_standby' } });
    expect(decision).toMatchObject({ lossBound: 0, needsConsent: false });
    expect(decision.unread).toBeUndefined();
    expect(decision.proof).toContain('; the files of veloz-postgres-primary say the same');
  });

  test.each<[string, boolean, FailoverInput['own'], string]>([
    [
      'other names',
      false,
      { names: '' },
      "but its files say synchronous_standby_names = '', and the ledger 'veloz_standby'",
    ],
    ['the same while somebody watched', true, { names: '' }, "but its files say synchronous_standby_names = ''"],
    [
      'commits that wait for nobody',
      false,
      { names: 'veloz_standby', weak: 'synchronous_commit is off' },
      'synchronous_commit is off',
    ],
    [
      'nothing that could be read',
      false,
      { problem: 'no answer within 1000 ms' },
      'its files tell nothing: no answer within 1000 ms',
    ],
  ])('%s: nothing is proven', (_what, watched, own, says) => {
    const decision = unwatched({ watched, own });
    expect(checkOf(decision.checks, 'I7')).toMatchObject({
      result: 'refuse',
      measured: expect.stringContaining(says) as unknown,
    });
    expect(decision.proof).toBeUndefined();
    expect(decision.unread).toBeUndefined();
  });

  test('names that somebody may have emptied and put back prove nothing: the files are newer than what was seen', () => {
    const own = (before: number) => ({ names: 'veloz_standby', writtenAt: FAILED_AT - before });
    expect(unwatched({ own: own(60_000) })).toMatchObject({ lossBound: 0 });
    const decision = unwatched({ own: own(1000) });
    expect(decision).toMatchObject({ needsConsent: true });
    expect(checkOf(decision.checks, 'I7').measured).toContain('its postgresql.auto.conf was written when the ledger');
    // What the primary itself has is proof enough.
    const oldPrimary = { timeline: 3, lsn: '0/5000000' as const, systemIdentifier: '77' };
    expect(unwatched({ own: own(1000), oldPrimary })).toMatchObject({ lossBound: 0, needsConsent: false });
    expect(decide({ watched: true, own: own(1000) })).toMatchObject({ lossBound: 0 });
  });

  test('of one that was watched nothing has to be read', () => {
    expect(decide({ watched: true, own: { problem: 'its disk hangs' } })).toMatchObject({ lossBound: 0 });
  });

  test('another standby may have joined and confirmed meanwhile: it has to be heard, and may not have more', () => {
    const own = { names: 'veloz_standby' };
    const mute = unwatched({ own, candidates: [candidate(), silent(STANDBY_2)] });
    expect(checkOf(mute.checks, 'I6').result).toBe('refuse');
    const further = unwatched({
      own,
      target: STANDBY,
      candidates: [candidate(), second({ receivedLsn: '0/5000100' })],
    });
    expect(further.lossBound).toBe(256);
    expect(decide({ watched: true, candidates: [candidate(), silent(STANDBY_2)] }).lossBound).toBe(0);
  });
});

describe('a standby that was restarted', () => {
  const restarted = (rest = {}) => second({ receivedLsn: null, replayedLsn: '0/4000000', ...rest });

  test('counts with what lies on its disk, and is promoted when that is the most', () => {
    const decision = decide({ ledger: both, candidates: [candidate(), restarted({ walEndLsn: '0/6000000' })] });
    expect(decision).toMatchObject({ candidate: STANDBY_2, candidateLsn: '0/6000000', lossBound: 0 });
  });

  test('of which nobody can read where its WAL ends is waited for', () => {
    const unread = restarted({ walEndLsn: null, walEndProblem: 'no answer within 1000 ms' });
    const decision = decide({ ledger: both, candidates: [candidate(), unread] });
    expect(checkOf(decision.checks, 'I6')).toMatchObject({
      result: 'refuse',
      measured: `${STANDBY_2} has received nothing since it was started, and where its WAL ends is not known: no answer within 1000 ms`,
    });
    expect(decision).toMatchObject({ candidate: STANDBY, lossBound: null, needsConsent: true });
  });
});

interface Refusal {
  input: Partial<FailoverInput>;
  /** The first check that refuses. */
  id: string;
  also?: string[];
  /** Parts of the sentence: what, measured, limit. */
  says: string;
  next: string;
  candidate?: string;
  bound?: number | null;
  /** A person may accept it. */
  consents?: boolean;
}

const promote = 'veloz-ha postgres promote --cluster veloz';
const accept = (bytes: string, to = STANDBY) => `${promote} --to ${to} --allow-data-loss ${bytes} --reason "…"`;

const refusals: Record<string, Refusal> = {
  // Never, whoever consents
  'another node is writable': {
    input: { candidates: [candidate({ inRecovery: false, timeline: 4 })] },
    id: 'I8',
    says: `${STANDBY} takes writes already: ${STANDBY} is writable on timeline 4 (limit: no reachable primary)`,
    next: 'veloz-ha postgres status --cluster veloz',
  },
  'another node is writable, of another system than the ledger': {
    input: {
      ledger: { ...ledgerOf(STANDBY), systemIdentifier: '77' },
      candidates: [candidate({ inRecovery: false, systemIdentifier: '99' })],
    },
    id: 'A4',
    says: `${STANDBY} takes writes, and belongs to another database system than ${PRIMARY}: 99 on ${STANDBY}, 77 in the ledger`,
    next: 'SELECT system_identifier FROM pg_control_system()',
  },
  'the named target is writable, and another too': {
    input: { target: STANDBY, candidates: [candidate({ inRecovery: false }), second({ inRecovery: false })] },
    id: 'I8',
    says: `${STANDBY} and ${STANDBY_2} take writes already`,
    next: 'status',
  },
  'the request expects another primary': {
    input: { expectedPrimary: STANDBY },
    id: 'A1',
    says: `the request expects another primary: ${PRIMARY} is the one that failed (limit: expectedPrimary ${STANDBY})`,
    next: 'status',
  },
  'a standby belongs to another system': {
    input: { ledger: both, candidates: [candidate(), second({ systemIdentifier: '88' })] },
    id: 'A4',
    says: `${STANDBY_2} belongs to another database system: 77 on ${STANDBY}, 88 on ${STANDBY_2} (limit: one system identifier)`,
    next: `docker exec ${STANDBY_2} psql`,
  },
  'the only standby belongs to another system than the primary': {
    input: { systemIdentifier: '88' },
    id: 'A4',
    says: `88 on ${PRIMARY}, 77 on ${STANDBY}`,
    next: `docker exec ${STANDBY} psql`,
  },
  'no standby answers': {
    input: { candidates: [silent(STANDBY)] },
    id: 'A2',
    says: `there is no standby that can be promoted: ${STANDBY} gives no answer: no answer within 700 ms (limit: at least 1 that answers and has promotable: true)`,
    next: `docker start ${STANDBY}`,
  },
  'no standby answers, and the container of the first runs': {
    input: { candidates: [silent(STANDBY, { container: 'running' })] },
    id: 'A2',
    says: `${STANDBY} gives no answer`,
    next: 'veloz-ha postgres status',
  },
  'no standby answers, and the first is frozen': {
    input: { candidates: [silent(STANDBY, { container: 'paused' })] },
    id: 'A2',
    says: `${STANDBY} gives no answer`,
    next: `docker unpause ${STANDBY}`,
  },
  'the primary was alone': {
    input: { candidates: [] },
    id: 'A2',
    says: `${PRIMARY} is alone`,
    next: 'veloz-ha stack up',
  },
  'the only standby has nothing': {
    input: { candidates: [candidate({ receivedLsn: null, replayedLsn: null })] },
    id: 'A2',
    says: `${STANDBY} has received nothing since it was started, and where its WAL ends is not known`,
    next: `docker start ${STANDBY}`,
  },
  'the only standby is excluded': {
    input: { candidates: [candidate({ promotable: false })] },
    id: 'A2',
    says: `${STANDBY} has promotable: false`,
    next: `docker start ${STANDBY}`,
  },
  'the named target is excluded': {
    input: { target: STANDBY_2, ledger: both, candidates: [candidate(), second({ promotable: false })] },
    id: 'A7',
    says: `${STANDBY_2} is excluded from promotion: promotable: false in the topology (limit: promotable: true)`,
    next: `${promote} --to ${STANDBY}`,
  },
  'the named target gives no answer': {
    input: { target: STANDBY_2, candidates: [candidate(), silent(STANDBY_2)] },
    id: 'A2',
    says: `${STANDBY_2} can't be promoted: ${STANDBY_2} gives no answer: no answer within 700 ms (limit: it answers, in recovery)`,
    next: `${promote} --to ${STANDBY}`,
  },
  'the named target is the node that failed': {
    input: { target: PRIMARY },
    id: 'A2',
    says: `${PRIMARY} is the node that failed`,
    next: `${promote} --to ${STANDBY}`,
  },
  'the named target does not exist, and nobody answers': {
    input: { target: 'x', candidates: [silent(STANDBY)] },
    id: 'A2',
    says: 'the cluster has no other node x that is there',
    next: 'status',
  },
  'the disk is too full to promote': {
    input: { candidates: [candidate({ freeDiskBytes: 32 * 1024 ** 2 - 1 })] },
    id: 'C9',
    says: `the disk of ${STANDBY} is nearly full: 32.0 MiB free (limit: at least 32.0 MiB for the promotion itself)`,
    next: `docker exec ${STANDBY} df`,
    candidate: STANDBY,
    bound: 0,
  },

  // Unless a person accepts the loss
  'there is no ledger': {
    input: { ledger: null },
    id: 'B3',
    says: `nobody knows whether a standby has every acknowledged commit: there is no ledger: no guard watches this cluster (limit: a ledger that says protected of ${PRIMARY})`,
    next: accept('unlimited'),
    candidate: STANDBY,
    bound: null,
    consents: true,
  },
  'the ledger knows another primary': {
    input: { ledger: { ...ledgerOf(STANDBY), primary: STANDBY_2 } },
    id: 'B3',
    says: `the ledger knows ${STANDBY_2} as primary, and ${PRIMARY} failed`,
    next: accept('unlimited'),
    candidate: STANDBY,
    bound: null,
    consents: true,
  },
  'the ledger says degraded': {
    input: {
      ledger: { ...ledgerOf(), state: 'degraded', why: 'commits wait for no standby' },
      lastKnownPrimaryLsn: '0/5004000',
    },
    id: 'I7',
    says: 'the ledger says degraded: commits wait for no standby',
    next: accept('16384'),
    candidate: STANDBY,
    bound: 16384,
    consents: true,
  },
  'the ledger says unknown': {
    input: { ledger: { ...ledgerOf(STANDBY), state: 'unknown', why: '2 nodes are writable' } },
    id: 'I7',
    says: 'the ledger says unknown: 2 nodes are writable',
    next: accept('unlimited'),
    candidate: STANDBY,
    bound: null,
    consents: true,
  },
  'the ledger says protected by nobody': {
    input: { ledger: ledgerOf() },
    id: 'I7',
    says: 'names no standby',
    next: accept('unlimited'),
    candidate: STANDBY,
    bound: null,
    consents: true,
  },
  'one of two synchronous standbys gives no answer': {
    input: { ledger: both, candidates: [candidate(), silent(STANDBY_2)], lastKnownPrimaryLsn: '0/5000000' },
    id: 'I6',
    says: `${STANDBY_2} may have acknowledged commits that nobody else has: ${STANDBY_2} gives no answer: no answer within 700 ms (limit: all of ${STANDBY}, ${STANDBY_2} answer)`,
    next: `docker start ${STANDBY_2}`,
    candidate: STANDBY,
    bound: 1,
    consents: true,
  },
  'the only synchronous standby is another one, and has no container': {
    input: { ledger: ledgerOf(STANDBY_2), candidates: [candidate(), silent(STANDBY_2, { missing: true })] },
    id: 'I6',
    says: `${STANDBY_2} has no container`,
    next: 'veloz-ha stack up --standbys 2',
    candidate: STANDBY,
    bound: null,
    consents: true,
  },
  'a synchronous standby is not in the topology any more': {
    input: { ledger: ledgerOf(STANDBY, 'gone') },
    id: 'I6',
    says: 'gone is not in the topology',
    next: 'docker start gone',
    candidate: STANDBY,
    bound: null,
    consents: true,
  },
  'the standby is on a newer timeline than the ledger': {
    input: { candidates: [candidate({ timeline: 4 })], lastKnownPrimaryLsn: '0/5000000' },
    id: 'A6',
    says: `${STANDBY} is on another timeline than the ledger: timeline 4, the ledger speaks of 3 (limit: the same timeline)`,
    next: accept('unlimited'),
    candidate: STANDBY,
    bound: null,
    consents: true,
  },
  'the standby is on an older timeline than the ledger': {
    input: { candidates: [candidate({ timeline: 2 })] },
    id: 'A6',
    says: 'timeline 2, the ledger speaks of 3',
    next: accept('unlimited'),
    candidate: STANDBY,
    bound: null,
    consents: true,
  },
  'the named target has less than another synchronous standby': {
    input: { target: STANDBY, ledger: both, candidates: [candidate(), second({ receivedLsn: '0/5000100' })] },
    id: 'I9',
    says: `${STANDBY_2} has WAL that ${STANDBY} has not, and that would be lost: ${STANDBY} at 0/5000000 on timeline 3, ${STANDBY_2} at 0/5000100 on timeline 3 (limit: no standby is further)`,
    next: `${promote} --to ${STANDBY_2}`,
    candidate: STANDBY,
    bound: 256,
    consents: true,
  },
  'a synchronous standby that may not be promoted has more': {
    input: { ledger: both, candidates: [candidate(), second({ promotable: false, receivedLsn: '0/5000100' })] },
    id: 'I9',
    says: `${STANDBY_2} has WAL that ${STANDBY} has not`,
    next: accept('256'),
    candidate: STANDBY,
    bound: 256,
    consents: true,
  },
  'somebody has more, and nothing is proven': {
    input: {
      target: STANDBY,
      ledger: { ...both, state: 'degraded' },
      candidates: [candidate(), second({ receivedLsn: '0/5000200' })],
      lastKnownPrimaryLsn: '0/5000100',
    },
    id: 'I7',
    also: ['I9'],
    says: 'the ledger says degraded',
    next: accept('512'),
    candidate: STANDBY,
    bound: 512,
    consents: true,
  },

  // The consent does not suffice
  'more may be lost than was accepted': {
    input: {
      ledger: { ...ledgerOf(), state: 'degraded' },
      lastKnownPrimaryLsn: '0/5004000',
      allowDataLoss: consent(16383),
    },
    id: 'E8',
    says: 'more may be lost than was accepted: 16384 bytes may be lost; ops accepts it, because the disk is gone (limit: at most 16 KiB (--allow-data-loss 16383))',
    next: accept('16384'),
    candidate: STANDBY,
    bound: 16384,
    consents: true,
  },
  'no loss at all was accepted, and none is ruled out': {
    input: {
      ledger: { ...ledgerOf(), state: 'degraded' },
      lastKnownPrimaryLsn: '0/5000000',
      allowDataLoss: consent(0),
    },
    id: 'E8',
    says: 'no loss is known, and none is ruled out; ops accepts it',
    next: accept('1'),
    candidate: STANDBY,
    bound: 1,
    consents: true,
  },
  'a bound was accepted, and nobody can tell the loss': {
    input: { ledger: null, allowDataLoss: consent(10 ** 12) },
    id: 'E8',
    says: 'the loss can not be estimated',
    next: accept('unlimited'),
    candidate: STANDBY,
    bound: null,
    consents: true,
  },
};

describe('a failover is refused, with what was measured, the limit and the next command, when', () => {
  test.each(Object.entries(refusals))(
    '%s',
    (_what, { input, id, also = [], says, next, candidate: chosen, bound = null, consents = false }) => {
      const decision = decide(input);
      expect(ids(decision.checks, 'refuse')).toEqual([id, ...also]);
      expect(decision).toMatchObject({ lossBound: bound, needsConsent: consents, alreadyDone: false });
      expect(decision.candidate).toBe(chosen);
      const check = checkOf(decision.checks, id);
      expect(refusalSentence(decision.checks)).toContain(says);
      expect(refusalSentence(decision.checks)).toContain(` (limit: ${check.limit}).`);
      expect(check.next).toContain(next);
      expect(refusalSentence(decision.checks)).not.toMatch(/undefined|null|NaN|\[object/);
    },
  );

  test('it can not be cured by a consent, when it is more than a loss', () => {
    const full = [candidate({ freeDiskBytes: 0 })];
    expect(decide({ ledger: null, candidates: full })).toMatchObject({ needsConsent: false });
    const decision = decide({ ledger: null, candidates: full, allowDataLoss: consent(UNLIMITED_LOSS) });
    expect(ids(decision.checks, 'refuse')).toEqual(['C9']);
  });
});

describe('with a consent that covers it', () => {
  const degraded = { ...ledgerOf(), state: 'degraded' as const };
  test.each<[string, Partial<FailoverInput>, string[], number | null]>([
    [
      'a known loss',
      { ledger: degraded, lastKnownPrimaryLsn: '0/5004000', allowDataLoss: consent(16384) },
      ['I7'],
      16384,
    ],
    ['an unknown loss, without a bound', { ledger: null, allowDataLoss: consent(UNLIMITED_LOSS) }, ['B3'], null],
    [
      'a missing synchronous standby',
      { ledger: both, candidates: [candidate(), silent(STANDBY_2)], allowDataLoss: consent(UNLIMITED_LOSS) },
      ['I6', 'K5'],
      null,
    ],
    [
      'another timeline',
      { candidates: [candidate({ timeline: 4 })], allowDataLoss: consent(UNLIMITED_LOSS) },
      ['A6'],
      null,
    ],
    [
      'the WAL of a standby that may not be promoted',
      {
        ledger: both,
        candidates: [candidate(), second({ promotable: false, receivedLsn: '0/5000100' })],
        allowDataLoss: consent(256),
      },
      ['I9', 'K5'],
      256,
    ],
    [
      'nothing to lose that anybody knows of',
      { ledger: degraded, lastKnownPrimaryLsn: '0/4000000', allowDataLoss: consent(1) },
      ['I7'],
      1,
    ],
  ])('%s is a warning', (_what, input, warned, bound) => {
    const decision = decide(input);
    expect(ids(decision.checks, 'refuse')).toEqual([]);
    expect(ids(decision.checks, 'warn')).toEqual(warned);
    expect(decision).toMatchObject({ candidate: STANDBY, lossBound: bound, needsConsent: false });
    const accepted = checkOf(decision.checks, 'E8');
    expect(accepted).toMatchObject({ result: 'ok' });
    expect(accepted.measured).toContain('ops accepts it, because the disk is gone');
  });
});

describe('it is worth knowing, and refuses nothing, that', () => {
  test.each<[string, Partial<FailoverInput>, string, string]>([
    [
      'replay is paused',
      { candidates: [candidate({ replayPaused: true, replayedLsn: '0/4FFFC00' })] },
      'B7',
      `replay on ${STANDBY} is paused: the promotion ends that, and first replays what was held up`,
    ],
    ['replay is delayed', { candidates: [candidate({ applyDelayMs: 60_000 })] }, 'B7', 'is delayed by 1 min 00 s'],
    [
      'much is not replayed',
      { candidates: [candidate({ receivedLsn: '0/7000000' })] },
      'B6',
      'it first replays what it received',
    ],
    [
      'the disk is rather full',
      { candidates: [candidate({ freeDiskBytes: 100 * 1024 ** 2 })] },
      'C9',
      'is nearly full',
    ],
    [
      'a standby that never confirmed has more',
      { candidates: [candidate(), second({ promotable: false, receivedLsn: '0/5000001' })] },
      'I9',
      `${STANDBY_2} has WAL`,
    ],
    [
      'a standby that never confirmed gives no answer',
      { candidates: [candidate(), silent(STANDBY_2)] },
      'K5',
      `${STANDBY_2} can't follow ${STANDBY}`,
    ],
    [
      'a standby is on another timeline',
      { candidates: [candidate(), second({ timeline: 2 })] },
      'K5',
      `${STANDBY_2} can't follow`,
    ],
  ])('%s', (_what, input, id, says) => {
    const decision = decide(input);
    expect(ids(decision.checks, 'refuse')).toEqual([]);
    expect(ids(decision.checks, 'warn')).toContain(id);
    expect(checkOf(decision.checks, id).refusal).toContain(says);
    expect(checkOf(decision.checks, id).next).toBeTruthy();
    expect(decision).toMatchObject({ candidate: STANDBY, lossBound: 0 });
  });

  test('a standby that has more does not follow, and no names are kept for it', () => {
    const decision = decide({ candidates: [candidate(), second({ promotable: false, receivedLsn: '0/5000001' })] });
    expect(decision).toMatchObject({ others: [], names: '' });
    expect(checkOf(decision.checks, 'K5').next).toBe(`veloz-ha postgres rejoin ${STANDBY_2} --cluster veloz`);
  });
});

test('the named target that was promoted already is success', () => {
  const decision = decide({ target: STANDBY, candidates: [candidate({ inRecovery: false, timeline: 4 }), second()] });
  expect(decision).toMatchObject({ alreadyDone: true, candidate: STANDBY, checks: [] });
});

describe('a follower whose replay is held up is waited for by nobody:', () => {
  const behind = { replayedLsn: '0/4FFFC00' };
  test.each<[string, Partial<CandidateState>, string]>([
    ['a pause', { replayPaused: true }, 'replay is paused'],
    ['a delay', { applyDelayMs: 60_000, ...behind }, 'replay is delayed by 1 min 00 s'],
    ['a reader', { replayReader: 'RecoveryConflictSnapshot' }, 'a session there is in the way of replay'],
    ['much to replay', { replayedLsn: '0/3000000' }, 'it has much to replay'],
  ])('%s', (_what, rest, why) => {
    const decision = decide({ candidates: [candidate(), second({ promotable: false, ...rest })] });
    expect(decision).toMatchObject({ candidate: STANDBY, others: [STANDBY_2], names: '', lossBound: 0 });
    const told = decision.checks.find(({ id, result }) => id === 'K5' && result === 'warn');
    expect(told?.refusal).toContain(`${STANDBY_2} follows ${STANDBY} only once it replays`);
    expect(told?.refusal).toContain(why);
    expect(checkOf(decision.checks, 'H4').measured).toContain('nobody follows it at once: the ledger says degraded');
  });

  test('with another that confirms at once the names ask for any of them', () => {
    const third = candidate({ name: 'veloz-postgres-standby-3' });
    const decision = decide({ candidates: [candidate(), second({ replayPaused: true }), third] });
    expect(decision).toMatchObject({ others: [STANDBY_2, third.name], names: 'ANY 1 (veloz_standby)' });
    expect(checkOf(decision.checks, 'H4').measured).toContain(`because ${third.name} follows`);
  });

  test('a delay that has nothing to hold back is none', () => {
    const decision = decide({ candidates: [candidate(), second({ promotable: false, applyDelayMs: 60_000 })] });
    expect(decision).toMatchObject({ others: [STANDBY_2], names: 'veloz_standby' });
  });
});

test('names of the topology that ask for more than follow are not set: each commit would wait', () => {
  const topology = clusterTopology();
  const two = { ...topology, postgres: { ...topology.postgres, synchronousStandbyNames: 'ANY 2 (veloz_standby)' } };
  const decision = decideFailover(two, {
    cluster: 'veloz',
    candidates: [candidate(), second()],
    ledger: ledgerOf(STANDBY),
    failedPrimary: PRIMARY,
    failedAt: FAILED_AT,
  });
  expect(decision).toMatchObject({ others: [STANDBY_2], names: '' });
  expect(checkOf(decision.checks, 'H4').measured).toContain('and the topology asks for more');
});

test("names of the topology's own making are kept as they are", () => {
  const topology = clusterTopology();
  topology.postgres.synchronousStandbyNames = 'FIRST 1 (a, b)';
  const decision = decideFailover(topology, {
    cluster: 'veloz',
    candidates: [candidate(), second()],
    ledger: both,
    failedPrimary: PRIMARY,
    failedAt: FAILED_AT,
  });
  expect(decision.names).toBe('FIRST 1 (a, b)');
});

describe("the failed primary's own WAL, where the ledger proves nothing", () => {
  const stale = { ...ledgerOf(STANDBY), confirmedAt: FAILED_AT - 60_000 };
  const end = (lsn: string, timeline = 3) => ({ timeline, lsn });

  test.each<[string, Partial<FailoverInput>]>([
    ['an old ledger', { ledger: stale }],
    ['a degraded one', { ledger: { ...stale, state: 'degraded', synchronous: [], names: '' } }],
    ['none', { ledger: null, systemIdentifier: '77' }],
    ['one of another timeline', { ledger: { ...stale, timeline: 2 } }],
    ['one that names a node that has not all', { ledger: stale, candidates: [candidate({ name: STANDBY_2 })] }],
  ])('beside %s: the candidate has all of it, and nothing is asked', (_what, input) => {
    const decision = decide({ ...input, oldPrimary: end('0/5000000') });
    expect(ids(decision.checks, 'refuse', 'warn')).toEqual([]);
    expect(decision).toMatchObject({ lossBound: 0, needsConsent: false });
    expect(decision.proof).toMatch(
      /the WAL of .* itself ends at 0\/5000000 on timeline 3, and .* has WAL up to 0\/5000000/,
    );
  });

  test('also beside an optional node without container, where the ledger does not name it', () => {
    const candidates = [candidate(), silent(STANDBY_2, { missing: true })];
    expect(decide({ ledger: stale, candidates, oldPrimary: end('0/5000000') })).toMatchObject({ lossBound: 0 });
  });

  test.each<[string, Partial<FailoverInput>, number | null]>([
    [
      'a node that the ledger names as primary has no container',
      {
        ledger: { ...stale, primary: STANDBY_2, state: 'unknown' },
        candidates: [candidate(), silent(STANDBY_2, { missing: true })],
      },
      1,
    ],
    [
      'a standby that the ledger names has no container',
      { ledger: { ...both, state: 'degraded' }, candidates: [candidate(), silent(STANDBY_2, { missing: true })] },
      1,
    ],
    ['the ledger names a primary of a newer timeline', { ledger: { ...stale, timeline: 4 } }, 1],
    ['it has more', { oldPrimary: end('0/5000100') }, 256],
    ['it is on another timeline', { oldPrimary: end('0/4000000', 4) }, null],
    ['another node is silent: it may have been promoted', { candidates: [candidate(), silent(STANDBY_2)] }, 1],
    [
      'another node is on a newer timeline',
      { candidates: [candidate(), second({ timeline: 4 })], target: STANDBY },
      null,
    ],
  ])('proves nothing where %s', (_what, input, bound) => {
    const decision = decide({ ledger: stale, oldPrimary: end('0/5000000'), ...input });
    expect(decision.proof).toBeUndefined();
    expect(decision.lossBound).toBe(bound);
    expect(refusalSentence(decision.checks)).toBeDefined();
  });
});

describe('a failed primary without a container', () => {
  const degraded: Ledger = { ...ledgerOf(), state: 'degraded', primary: STANDBY_2 };
  const without = (rest: Partial<FailoverInput> = {}) =>
    decide({
      candidates: [candidate()],
      ledger: degraded,
      failedPrimary: STANDBY_2,
      oldPrimaryMissing: true,
      oldPrimaryProblem: 'it has no container',
      ...rest,
    });

  test('to make it again loses nothing, and comes before a promotion that may', () => {
    expect(refusalSentence(without().checks)).toMatch(
      /^I7: nobody knows .* itself could not be read: it has no container \(limit: .*\)\. Next: veloz-ha stack up --standbys 2$/,
    );
    expect(without().needsConsent).toBe(true);
    expect(ids(without({ allowDataLoss: consent(UNLIMITED_LOSS) }).checks, 'refuse')).toEqual([]);
  });

  test('the same of one that another node is said to have failed for', () => {
    const candidates = [candidate(), silent(STANDBY_2, { missing: true })];
    const { checks } = decide({ candidates, ledger: degraded });
    expect(checkOf(checks, 'B3').next).toBe('veloz-ha stack up --standbys 2');
  });

  test('one of which Docker says nothing else is left to a person', () => {
    expect(checkOf(without({ oldPrimaryMissing: undefined }).checks, 'I7').next).toMatch(/--allow-data-loss/);
  });
});

describe('what the failed primary was heard to say last', () => {
  const heard = (rest: object, at = FAILED_AT - 180) => ({ ...ledgerOf(STANDBY), heard: { at, ...rest } });
  const waiting = (upTo: Lsn, forMs = 400) => ({ since: FAILED_AT - 1000, until: FAILED_AT - 1000 + forMs, upTo });

  test.each<[string, Ledger]>([
    ['the standby has all that was confirmed', heard({ confirmed: '0/5000000' })],
    ['commits waited for nobody, and it has all that the primary had', heard({ waiting: waiting('0/5000000') })],
    ['it was behind in one round, as it is under load', heard({ waiting: waiting('0/5000100', 0) })],
  ])('proves as before where %s', (_what, ledger) => {
    expect(decide({ ledger, watched: true })).toMatchObject({ lossBound: 0, needsConsent: false });
  });

  test.each<[string, Ledger, RegExp]>([
    [
      'commits waited for nobody, and a wait may have been cancelled',
      heard({ waiting: waiting('0/5000100') }),
      /^the ledger says protected, but no standby had confirmed for 400 ms when .* was last heard, and a commit whose wait is cancelled is acknowledged all the same: it had WAL up to 0\/5000100, and the most advanced, .*, has it up to 0\/5000000/,
    ],
    [
      'somebody else confirmed over the slot of the standby',
      heard({ confirmed: '0/5000100' }),
      /heard that a standby has WAL up to 0\/5000100, and the most advanced, .*, has it up to 0\/5000000: somebody else confirmed over its slot/,
    ],
  ])('proves nothing where %s', (_what, ledger, measured) => {
    const input = { ledger, watched: true, lastKnownPrimaryLsn: '0/5000100' as const };
    const decision = decide(input);
    expect(ids(decision.checks, 'refuse')).toEqual(['I7']);
    expect(checkOf(decision.checks, 'I7').measured).toMatch(measured);
    expect(decision).toMatchObject({ lossBound: 256, needsConsent: true });
    expect(decision.proof).toBeUndefined();
    // The primary's own WAL does not answer it where it ends before what the primary had.
    const short = decide({ ...input, oldPrimary: { timeline: 3, lsn: '0/5000000' } });
    expect(short).toMatchObject({ lossBound: 256, needsConsent: true });
    expect(short.proof).toBeUndefined();
    expect(checkOf(short.checks, 'I7').measured).toMatch(
      /; the WAL of .* itself can be read only up to 0\/5000000 on timeline 3, and the guard heard of 0\/5000100 on timeline 3 on the disk of .*: what lies between can't be read$/,
    );
  });

  const stale = (rest: object, at = FAILED_AT - 180) => ({ ...heard(rest, at), confirmedAt: FAILED_AT - 60_000 });

  test.each<[string, Lsn, number | null | undefined]>([
    ['the primary had flushed no more', '0/5000000', undefined],
    ['it had flushed a record more', '0/5000040', 64],
  ])("the failed primary's own WAL ends where the candidate's does, and %s", (_what, flushed, bound) => {
    const decision = decide({ ledger: stale({ flushed }), oldPrimary: { timeline: 3, lsn: '0/5000000' } });
    expect(decision.lossBound).toBe(bound ?? 0);
    expect(decision.proof !== undefined).toBe(bound === undefined);
  });

  test('what the primary said on a timeline that its WAL does not come to is lost from it', () => {
    const ledger = { ...stale({ flushed: '0/4000000' }), timeline: 4 };
    const decision = decide({ ledger, oldPrimary: { timeline: 3, lsn: '0/5000000' } });
    expect([decision.lossBound, decision.proof]).toEqual([null, undefined]);
  });

  test('what it said on a timeline before that is no measure of this one', () => {
    const ledger = { ...stale({ flushed: '0/6000000' }), timeline: 2 };
    expect(decide({ ledger, oldPrimary: { timeline: 3, lsn: '0/5000000' } }).lossBound).toBe(0);
  });

  test('another standby that has it is the proof', () => {
    const ledger = { ...both, heard: { at: FAILED_AT - 180, confirmed: '0/5000100' as const } };
    const decision = decide({ ledger, candidates: [candidate(), second({ receivedLsn: '0/5000100' })] });
    expect(decision).toMatchObject({ candidate: STANDBY_2, lossBound: 0 });
  });
});

test('a primary whose WAL had gone back proves nothing by what it has now', () => {
  const wentBack = { at: FAILED_AT - 5000, from: '0/5000400' as const, to: '0/5000200' as const };
  const ledger: Ledger = { ...ledgerOf(STANDBY), state: 'unknown', why: 'for a test', heard: { at: FAILED_AT - 200 } };
  const oldPrimary = { timeline: 3, lsn: '0/5000000' as const, systemIdentifier: '77' };
  expect(decide({ ledger, oldPrimary })).toMatchObject({ lossBound: 0 });
  const decision = decide({ ledger: { ...ledger, heard: { at: FAILED_AT - 200, wentBack } }, oldPrimary });
  expect(decision).toMatchObject({ needsConsent: true });
  expect(decision.proof).toBeUndefined();
  expect(decision.checks.find(({ id }) => id === 'I7')?.measured).toContain(
    `the WAL of ${PRIMARY} itself goes to 0/5000000 on timeline 3, and that of ${STANDBY} to 0/5000000 on timeline 3, which proves nothing: the WAL of ${PRIMARY} went back to 0/5000200 before, and standbys that were not copied since are of another history`,
  );
});
