import {
  chaosSummary,
  dualRows,
  falseClaims,
  isClean,
  lostRows,
  type AcknowledgedRow,
  type Claim,
  type Round,
} from '../../../src/bench/chaos/account';
import { claimOf } from '../../../src/bench/chaos/claims';
import type { Report } from '../../../src/workflows/run-state';

const row = (over: Partial<AcknowledgedRow>): AcknowledgedRow => ({
  writer: 'w',
  seq: 1,
  timeline: 1,
  node: 'a',
  sentAt: 0,
  acknowledgedAt: 1,
  at: 1_000_000,
  ...over,
});
const round = (over: Partial<Round> = {}): Round => ({
  round: 1,
  began: 1_000_000,
  did: 'kill:primary@0+500',
  told: [],
  faults: 1,
  acknowledged: 10,
  lost: [],
  aloneLost: [],
  dualWrites: 0,
  ordersAcknowledged: 1,
  ordersDouble: 0,
  redisAcknowledged: 1,
  readOnlyErrors: 0,
  gapMs: 100,
  protectedAgainMs: 1000,
  runs: [],
  ...over,
});
const claim: Claim = {
  run: 'failover/1',
  tier: 'postgres',
  says: 'no acknowledged row was lost',
  startedAt: 1_001_000,
  endedAt: 1_005_000,
  timelineBefore: 1,
  timelineAfter: 2,
};
const lost = lostRows([row({}), row({ seq: 2 })], (_writer, seq) => seq === 1);

describe('the account of a campaign', () => {
  test('a row that was acknowledged and is not there is lost', () => {
    expect(lost).toHaveLength(1);
    expect(lost[0]).toMatchObject({ tier: 'postgres', timeline: 1 });
    expect(lost[0]?.says).toContain('row 2 of w');
    expect(chaosSummary([round({ lost })], [])).toMatchObject({ lost: 1, ordersLost: 0, redisLost: 0 });
    expect(chaosSummary([round()], [], lost)).toMatchObject({ lost: 1 });
  });

  test('a row sent on an older timeline after one of a newer was acknowledged is a dual write', () => {
    const newer = row({ seq: 2, timeline: 2, node: 'b', sentAt: 10, acknowledgedAt: 11 });
    const second = row({ seq: 3, sentAt: 12, acknowledgedAt: 13 });
    expect(dualRows([row({}), newer, second])).toEqual([second]);
  });

  test('an acknowledgement that was only held back is none', () => {
    const newer = row({ seq: 2, timeline: 2, node: 'b', sentAt: 10, acknowledgedAt: 11 });
    expect(dualRows([newer, row({ seq: 3, sentAt: 5, acknowledgedAt: 30 })])).toEqual([]);
  });

  test('two nodes that write on one timeline are two primaries', () => {
    const other = row({ seq: 2, node: 'b', sentAt: 2, acknowledgedAt: 3 });
    expect(dualRows([row({}), other])).toEqual([other]);
  });

  test('a report that says that nothing was lost of a run in which something was is false', () => {
    expect(falseClaims([claim], lost)).toEqual([claim]);
    expect(chaosSummary([round({ lost })], [claim])).toMatchObject({ falselyTold: 1 });
  });

  test('a claim is not held against what another move lost, what came later, or another tier', () => {
    expect(falseClaims([{ ...claim, timelineBefore: 2, timelineAfter: 3 }], lost)).toEqual([]);
    expect(falseClaims([{ ...claim, endedAt: 999_999 }], lost)).toEqual([]);
    expect(falseClaims([{ ...claim, tier: 'redis' }], lost)).toEqual([]);
    const { timelineBefore: _, ...unknown } = claim;
    expect(falseClaims([unknown], lost)).toEqual([unknown]);
    expect(
      falseClaims(
        [claim],
        lost.map((loss) => ({ ...loss, tier: 'orders' })),
      ),
    ).toEqual([claim]);
  });

  test('a write to Redis that waited for nobody is held against the claim of a planned move in its round alone', () => {
    const alone = [{ tier: 'redis' as const, at: 1_000_000, aloneUntil: 1_060_000, says: 'the write l 1' }];
    const planned: Claim = { ...claim, tier: 'redis', ofAll: true };
    const { ofAll: _, ...forced } = planned;
    expect(falseClaims([planned, forced], alone)).toEqual([planned]);
    expect(falseClaims([{ ...planned, startedAt: 1_070_000, endedAt: 1_080_000 }], alone)).toEqual([]);
    expect(chaosSummary([round({ aloneLost: alone })], [planned])).toMatchObject({ falselyTold: 1, redisLost: 0 });
  });

  test.each([
    ['a lost row', round({ lost })],
    ['a dual write', round({ dualWrites: 1 })],
    ['a double order', round({ ordersDouble: 1 })],
    ['a person who was needed', round({ needsHelp: 'no primary', protectedAgainMs: null })],
    ['a writer led to a standby', round({ readOnlyErrors: 1 })],
  ])('%s makes a campaign fail', (_what, bad) => {
    expect(isClean(chaosSummary([round()], []))).toBe(true);
    expect(isClean(chaosSummary([round(), bad], []))).toBe(false);
  });

  test('sums up gaps and times', () => {
    const rounds = [round(), round({ gapMs: 700, protectedAgainMs: 3000 }), round({ protectedAgainMs: null })];
    expect(chaosSummary(rounds, [])).toMatchObject({
      rounds: 3,
      faults: 3,
      acknowledged: 30,
      worstGapMs: 700,
      protectedAgainMs: { median: 2000, min: 1000, max: 3000 },
    });
  });
});

describe('what a report claims', () => {
  const report = (over: Partial<Report>): Report => ({
    version: 1,
    runbook: 'failover',
    cluster: 'veloz',
    workflowId: 'failover/1',
    runId: 'r',
    outcome: 'completed',
    says: 'b is the primary now',
    startedBy: 'guard',
    startedAt: 1,
    endedAt: 2,
    steps: [],
    checks: [],
    warnings: [],
    next: [],
    ...over,
  });

  test.each([
    'b is the primary now; no acknowledged row was lost',
    'b is the master now, and no acknowledged one is lost',
    'nothing acknowledged is lost: the ledger said protected',
  ])('a sentence: %s', (says) => {
    expect(claimOf(report({ says }))).toMatchObject({ run: 'failover/1', tier: 'postgres', says });
  });

  test.each([
    'that no acknowledged row was lost is not proven',
    'at most 16 MB of acknowledged WAL may be lost, as somebody accepted',
    'b is the primary now',
  ])('no claim: %s', (says) => {
    expect(claimOf(report({ says }))).toBeUndefined();
  });

  test('a figure of zero is one as well, and a run that was refused claims nothing', () => {
    const rpo = { lostBytes: 0, shutdownCheckpoint: '0/1', receivedByTarget: '0/1' };
    expect(claimOf(report({ rpo }))).toMatchObject({ says: 'rpo.lostBytes 0' });
    expect(claimOf(report({ rpo, outcome: 'refused' }))).toBeUndefined();
    expect(claimOf(report({ runbook: 'redisFailover', says: 'no acknowledged one is lost' }))).toMatchObject({
      tier: 'redis',
      ofAll: true,
    });
  });

  test('a forced failover of Redis claims it of writes that waited for a replica', () => {
    const says = 'b took over from a. Writes that no replica had are lost; those acknowledged with WAIT 1 are not';
    expect(claimOf(report({ runbook: 'redisFailover', says }))).toMatchObject({ tier: 'redis', says });
    expect(claimOf(report({ runbook: 'redisFailover', says }))?.ofAll).toBeUndefined();
    const doubted = 'Writes that b did not have are lost, and those acknowledged with WAIT 1 may be among them: x';
    expect(claimOf(report({ runbook: 'redisFailover', says: doubted }))).toBeUndefined();
    expect(claimOf(report({ says }))).toBeUndefined();
  });
});
