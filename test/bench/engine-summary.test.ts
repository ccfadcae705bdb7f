import { summariseEngines, type EngineBenchRun } from '../../src/bench/engine-summary';

const run = (more: Partial<EngineBenchRun>): EngineBenchRun => ({
  kind: 'kill',
  source: 'veloz-engine-1',
  target: 'veloz-engine-2',
  attempts: 100,
  acknowledged: 100,
  failed: 0,
  failures: {},
  lost: 0,
  duplicates: 0,
  unacknowledged: 0,
  gapMs: 400,
  slowestMs: 600,
  medianMs: 4,
  byEngine: {},
  heldMs: null,
  activeAfterMs: 300,
  staleWrites: null,
  steps: {},
  ...more,
});

test('runs are summed up; a time that no run has is null', () => {
  expect(summariseEngines([run({}), run({ acknowledged: 99, failed: 1, gapMs: 500, staleWrites: 2 })])).toEqual({
    runs: 2,
    attempts: 200,
    acknowledged: 199,
    failed: 1,
    lost: 0,
    duplicates: 0,
    staleWrites: 2,
    gapMs: { median: 450, min: 400, max: 500 },
    slowestMs: { median: 600, min: 600, max: 600 },
    heldMs: null,
    activeAfterMs: { median: 300, min: 300, max: 300 },
  });
});
