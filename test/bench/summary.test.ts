import { spread, summariseFailovers, summariseRejoins, type FailoverBenchRun } from '../../src/bench/summary';

const run = (rest: Partial<FailoverBenchRun> = {}): FailoverBenchRun => ({
  kind: 'failover',
  fault: 'kill',
  node: 'a',
  primaryAfter: 'b',
  gapMs: 700,
  acknowledged: 1000,
  failed: 4,
  failedPerClientMax: 1,
  lost: 0,
  dualWriteMoments: 0,
  directlyAcknowledged: 50,
  firstSignMs: 20,
  detectMs: 300,
  fenceMs: 50,
  promoteMs: 60,
  routeMs: 5,
  protectedAgainMs: 2000,
  totalMs: 5000,
  failure: 'dead',
  outcome: 'completed',
  rejoin: 'rewind',
  healedAfterMs: null,
  helped: false,
  steps: {},
  ...rest,
});

describe('median, least and greatest', () => {
  test('of an odd and of an even number of values', () => {
    expect(spread([30, 10, 20])).toEqual({ median: 20, min: 10, max: 30 });
    expect(spread([40, 10, 20, 30])).toEqual({ median: 25, min: 10, max: 40 });
  });

  test('of nothing there is none', () => {
    expect(spread([])).toBeUndefined();
  });
});

describe('the sum of faults', () => {
  test('counts add up, and of failures of one client the worst fault counts', () => {
    const summary = summariseFailovers([
      run(),
      run({ failed: 9, failedPerClientMax: 3, lost: 2, dualWriteMoments: 1 }),
    ]);
    expect(summary).toMatchObject({
      runs: 2,
      acknowledged: 2000,
      failed: 13,
      failedPerClientMax: 3,
      lost: 2,
      dualWriteMoments: 1,
      helped: 0,
    });
  });

  test('a time that a run does not have is left out of its spread', () => {
    const inPlace = run({ detectMs: null, fenceMs: null, promoteMs: null, routeMs: null, gapMs: 1500 });
    const summary = summariseFailovers([run(), inPlace, run({ detectMs: 500 })]);
    expect(summary.detectMs).toEqual({ median: 400, min: 300, max: 500 });
    expect(summary.gapMs).toEqual({ median: 700, min: 700, max: 1500 });
  });

  test('a time that no run has is null, and the document still names it', () => {
    const summary = summariseFailovers([run({ fenceMs: null })]);
    expect(summary.fenceMs).toBeNull();
    expect(Object.keys(summaryDocument(summary))).toContain('fenceMs');
  });

  test('faults that came into the middle of a runbook are counted, and not named where there was none', () => {
    const during = {
      runbook: 'maintenance' as const,
      workflowId: 'w',
      startedBeforeMs: 4000,
      atFault: 'held, side 1 is clear',
      underWay: true,
      outcome: 'completed' as const,
      says: 'side 1 was cleared and held',
      helped: false,
    };
    expect(summariseFailovers([run({ during }), run({ during: { ...during, underWay: false } })]).underWay).toBe(1);
    expect(Object.keys(summaryDocument(summariseFailovers([run()])))).not.toContain('underWay');
  });

  test('no run at all', () => {
    expect(summariseFailovers([])).toMatchObject({ runs: 0, failedPerClientMax: 0, gapMs: null });
  });
});

describe('the sum of rejoins', () => {
  const back = (kind: 'rewind' | 'copy' | 'pg_basebackup', ms: number, protectedAgainMs: number | null = null) => ({
    kind,
    node: 'a',
    ms,
    protectedAgainMs,
    bytes: null,
    method: null,
    steps: {},
  });

  test('each kind by itself, and a copy beside a base backup alone', () => {
    const summary = summariseRejoins([
      back('rewind', 900, 1500),
      back('pg_basebackup', 3000),
      back('copy', 3600, 4000),
      back('rewind', 1100, 1700),
    ]);
    expect(summary.rewind).toEqual({
      runs: 2,
      ms: { median: 1000, min: 900, max: 1100 },
      protectedAgainMs: { median: 1600, min: 1500, max: 1700 },
    });
    expect(summary.pgBasebackup.protectedAgainMs).toBeNull();
    expect(summary.ratio).toBe(1.2);
  });

  test('without a copy there is no ratio', () => {
    expect(summariseRejoins([back('rewind', 900)]).ratio).toBeNull();
  });
});

const summaryDocument = (summary: object) => JSON.parse(JSON.stringify(summary)) as Record<string, unknown>;
