import { summariseRedis, type RedisBenchRun } from '../../src/bench/redis-summary';
import { compare } from '../../src/bench/redis-writers';

const run = (more: Partial<RedisBenchRun>): RedisBenchRun => ({
  kind: 'kill',
  source: 'veloz-redis-master',
  target: 'veloz-redis-replica',
  attempts: 100,
  acknowledged: 100,
  acknowledgedWaited: 40,
  failed: 0,
  failures: {},
  lostWaited: 0,
  lostUnwaited: 0,
  duplicatesWaited: 0,
  duplicatesUnwaited: 0,
  gapMs: 6000,
  gapWaitedMs: 7000,
  slowestMs: 7100,
  resent: 3,
  recreated: 0,
  heldMs: null,
  detectMs: null,
  wholeAfterMs: 8000,
  steps: {},
  ...more,
});

test('of a killed master only what a replica had confirmed counts as lost; the rest is told beside', () => {
  const summary = summariseRedis([run({ lostUnwaited: 7 }), run({ lostUnwaited: 1, duplicatesUnwaited: 2 })]);
  expect(summary).toMatchObject({ runs: 2, lost: 0, lostWaited: 0, lostUnwaited: 8, duplicates: 2 });
  expect(summariseRedis([run({ lostWaited: 1, lostUnwaited: 7 })]).lost).toBe(1);
});

test.each(['planned', 'bare'] as const)('of a %s move every acknowledged write counts', (kind) => {
  expect(summariseRedis([run({ kind, lostWaited: 1, lostUnwaited: 7 })]).lost).toBe(8);
});

test('times are summed up; one that no run has is null', () => {
  expect(summariseRedis([run({}), run({ gapMs: 6500 })])).toMatchObject({
    attempts: 200,
    gapMs: { median: 6250, min: 6000, max: 6500 },
    slowestMs: { median: 7100, min: 7100, max: 7100 },
    heldMs: null,
  });
});

test('what a list lacks is lost, what it has twice is double, and what nobody was told of is neither', () => {
  expect(compare(new Set(['0', '1', '2']), ['0', '2', '2', '3'])).toEqual({ lost: 1, duplicates: 1 });
});
