import { copyWordsOf } from '../../src/bench/copy-eye';
import {
  duringLine,
  fillOf,
  mistakeOf,
  nodeToAdd,
  nodeToCopy,
  partOf,
  scopeOf,
  wasUnderWay,
  type DuringName,
  type DuringRun,
  type DuringWish,
} from '../../src/bench/during';
import { loadTarget } from '../../src/bench/target';
import type { ClusterTopology } from '../../src/cluster/topology';
import type { AgentJob, PostgresObservation } from '../../src/systems/agent';
import type { Report, StepState } from '../../src/workflows/run-state';

const { cluster } = loadTarget();
const [first = '', second = '', third = ''] = cluster.postgres.nodes.map(({ name }) => name);
const ofTwo: ClusterTopology = {
  ...cluster,
  postgres: { ...cluster.postgres, nodes: cluster.postgres.nodes.filter(({ optional }) => !optional) },
};

describe('what goes together', () => {
  const mistake = (during: DuringName, rest: Partial<DuringWish> = {}, of = cluster) =>
    mistakeOf({ during, fault: 'kill', standbys: 1, fill: 0, ...rest }, of);

  test('each runbook with the standbys that it needs', () => {
    expect(mistake('none')).toBeUndefined();
    expect(mistake('none', { standbys: 2, fill: 100 })).toBeUndefined();
    expect(mistake('engine-switchover')).toBeUndefined();
    expect(mistake('maintenance', { standbys: 2 })).toBeUndefined();
    expect(mistake('add-standby', { fill: 512 })).toBeUndefined();
    expect(mistake('rejoin-copy', { standbys: 2, fill: 512 })).toBeUndefined();
  });

  test('a copy of the only standby does not, and the command that does is named', () => {
    const says = mistake('rejoin-copy');
    expect(says).toContain('leaves nobody who could be promoted');
    expect(says).toMatch(/Next: npm run -s bench:failover -- --fault kill --during rejoin-copy --standbys 2$/);
  });

  test('nor does a standby more where there are two, or no node for it', () => {
    expect(mistake('add-standby', { standbys: 2 })).toMatch(/leaves no node that could be added.*--standbys 1$/);
    expect(mistake('add-standby', {}, ofTwo)).toContain('needs an optional node');
    expect(mistake('rejoin-copy', { standbys: 2 }, ofTwo)).toContain('needs three nodes, and the topology has 2');
  });

  test('nor does a switchover of engines without them, or without HAProxy', () => {
    const { engines: _, ...noEngines } = cluster;
    const { haproxy: __, ...noHaproxy } = cluster;
    expect(mistake('engine-switchover', {}, noEngines)).toContain('needs two engines and HAProxy');
    expect(mistake('engine-switchover', {}, noHaproxy)).toContain('needs two engines and HAProxy');
  });

  test('nor does anything with small disks', () => {
    expect(mistake('none', { fault: 'disk-full' })).toBeUndefined();
    expect(mistake('none', { fault: 'disk-full', fill: 1 })).toContain('--fill does not go with it');
    expect(mistake('maintenance', { fault: 'disk-full' })).toContain('--during maintenance does not go with it');
  });
});

describe('what is set up', () => {
  test('the database is large only where a copy has to last, or as large as asked for', () => {
    expect(fillOf('none', undefined)).toBe(0);
    expect(fillOf('maintenance', undefined)).toBe(0);
    expect(fillOf('add-standby', undefined)).toBe(512);
    expect(fillOf('rejoin-copy', undefined)).toBe(512);
    expect(fillOf('rejoin-copy', 0)).toBe(0);
    expect(fillOf('none', 64)).toBe(64);
  });

  test('the whole stack only where a runbook moves more than PostgreSQL', () => {
    expect(partOf('none')).toBe('postgres');
    expect(partOf('rejoin-copy')).toBe('postgres');
    expect(partOf('engine-switchover')).toBe('all of it');
    expect(partOf('maintenance')).toBe('all of it');
  });
});

describe('which node', () => {
  test('the optional one is added', () => {
    expect(nodeToAdd(cluster)).toBe(third);
    expect(nodeToAdd(ofTwo)).toBeUndefined();
  });

  test('the last one that is not the primary is copied, and another standby is left', () => {
    expect(nodeToCopy(cluster, first)).toBe(third);
    expect(nodeToCopy(cluster, second)).toBe(third);
    expect(nodeToCopy(cluster, third)).toBe(second);
  });

  test("the primary's side is cleared, and the primary alone where it is on none", () => {
    expect(scopeOf(cluster, first)).toEqual({ side: 1 });
    expect(scopeOf(cluster, second)).toEqual({ side: 2 });
    expect(scopeOf(cluster, third)).toEqual({ nodes: [third] });
  });
});

describe('whether the fault came into the middle', () => {
  const step = (id: string, startedAt: number, ms: number): StepState => ({
    id,
    says: id,
    state: 'done',
    pointOfNoReturn: false,
    startedAt,
    ms,
  });
  const report = (rest: Partial<Report>) => ({ endedAt: 5000, steps: [], ...rest }) as unknown as Report;

  test('of a copy: while its data were made, and neither before nor after', () => {
    const copied = report({ steps: [step('look', 1000, 500), step('data', 1500, 2000), step('start', 3500, 300)] });
    expect([1499, 1500, 3500, 3501].map((at) => wasUnderWay('rejoin-copy', copied, at))).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  test('of a switchover of engines: from its first step to its end', () => {
    const moved = report({ steps: [step('hand over', 1000, 60), step('verify', 1060, 3000)] });
    expect([999, 1000, 5000, 5001].map((at) => wasUnderWay('engine-switchover', moved, at))).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  test('of a maintenance: while it was held', () => {
    const maintenance = { scope: 'side 1', away: [], moves: [], back: 'on request', heldSince: 2000 } as const;
    const held = report({ maintenance: { ...maintenance, away: [], moves: [] } });
    expect([1999, 2000, 5001].map((at) => wasUnderWay('maintenance', held, at))).toEqual([false, true, false]);
    expect(wasUnderWay('maintenance', report({}), 3000)).toBe(false);
  });

  test('a run without a report had not ended', () => {
    expect(wasUnderWay('add-standby', undefined, 1)).toBe(true);
  });
});

describe('what an agent says of a copy', () => {
  const postgres = (state: PostgresObservation['postgres']['state'], pid: number | null) => ({
    state,
    pid,
    sinceMs: 0,
  });
  const job = (rest: Partial<AgentJob> = {}): AgentJob => ({
    kind: 'copy',
    run: 'r',
    state: 'running',
    phase: 'pg_basebackup',
    doneBytes: 0,
    totalBytes: null,
    startedAtMs: 1,
    endedAtMs: null,
    error: null,
    quarantine: null,
    lost: null,
    ...rest,
  });
  const words = (its: AgentJob | null, startGuard: string | null = null, pid: number | null = null) =>
    copyWordsOf({ job: its, postgres: postgres(its === null ? 'starting' : 'stopped', pid), startGuard });

  test('it counts from the moment at which data come', () => {
    expect(words(job())).toBe('copying, 0 bytes');
    expect(words(job({ doneBytes: 2 ** 20, totalBytes: 2 ** 29 }))).toBe('copying, 1.0 MiB of 512.0 MiB');
    expect(words(job({ phase: 'keeping evidence' }))).toBeUndefined();
    expect(words(job({ state: 'done' }))).toBeUndefined();
    expect(words(job({ kind: 'rewind' }))).toBeUndefined();
  });

  test('a node without data copies by itself', () => {
    expect(words(null, 'Copying the primary a:5432.')).toBe('copying, at its first start: Copying the primary a:5432');
    expect(words(null, 'Waiting for a primary.')).toBeUndefined();
    expect(words(null, 'Copying the primary a:5432.', 42)).toBeUndefined();
  });
});

describe('the line about it', () => {
  const during: DuringRun = {
    runbook: 'rejoin-copy',
    workflowId: 'w',
    node: 'c',
    startedBeforeMs: 1234.4,
    atFault: 'copying, 1.0 MiB',
    underWay: true,
    outcome: 'incomplete',
    says: 'A1: …',
    helped: false,
  };

  test('says what was under way, and how it ended', () => {
    expect(duringLine(during)).toBe(
      'during rejoin-copy of c, 1234 ms after its start: copying, 1.0 MiB; it ended: incomplete',
    );
  });

  test('says when it was not, and when the bench had to help', () => {
    const { node: _, ...rest } = during;
    expect(duringLine({ ...rest, runbook: 'maintenance', underWay: false, outcome: null, helped: true })).toBe(
      'during maintenance, 1234 ms after its start: copying, 1.0 MiB (NOT under way any more); it ended: without a report, HELPED',
    );
  });
});
