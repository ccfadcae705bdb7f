import type { Check } from '../../src/cluster/check';
import { makeStyle, type Style } from '../../src/report/style';
import type { Member, Plan, Report, RunState, StepState } from '../../src/workflows/run-state';

/** 2025-11-23 03:20:11 UTC. */
export const T0 = Date.UTC(2025, 10, 23, 3, 20, 11);
export const ID = 'switchover/veloz/20251123T032011Z-9f3a';
export const LINK = 'http://localhost:8233/namespaces/default/workflows/x/y';

/** No colours, UTC, 100 columns. */
export function plain(more: Partial<{ unicode: boolean; width: number; verbose: boolean }> = {}): Style {
  return makeStyle({ colour: false, unicode: true, width: 100, utc: true, ...more });
}

export const membersBefore: Member[] = [
  {
    name: 'veloz-postgres-primary',
    kind: 'postgres',
    role: 'primary',
    state: 'running',
    timeline: 3,
    lsn: '0/5000028',
  },
  {
    name: 'veloz-postgres-standby',
    kind: 'postgres',
    role: 'standby',
    state: 'streaming',
    timeline: 3,
    lsn: '0/4FF0028',
    lagBytes: 65536,
    sync: 'sync',
  },
  {
    name: 'veloz-pgbouncer',
    kind: 'pgbouncer',
    role: 'pooler',
    state: 'running',
    routesTo: 'veloz-postgres-primary',
    note: 'held by nobody',
  },
];

export const checks: Check[] = [
  { id: 'A1', says: 'the source is the primary', result: 'ok', measured: 'veloz-postgres-primary is' },
  {
    id: 'B2',
    says: 'the candidate is a synchronous standby',
    result: 'refuse',
    measured: 'sync_state is async',
    limit: 'sync or quorum',
    next: 'veloz-ha postgres status',
  },
  { id: 'C9', says: 'there is enough disk space', result: 'warn', measured: '312 MB free', next: 'free some space' },
  { id: 'K5', says: 'other standbys follow', result: 'skip', measured: 'there are two nodes' },
];

const step = (id: string, says: string, more: Partial<StepState> = {}): StepState => ({
  id,
  says,
  state: 'pending',
  pointOfNoReturn: false,
  ...more,
});

export const pendingSteps: StepState[] = [
  step('check', 'Check everything', { expectedMs: 400 }),
  step('prepare', 'Take checkpoints and claim the nodes', { expectedMs: 90 }),
  step('move', 'Hold clients, move the primary, let clients go', { expectedMs: 420, pointOfNoReturn: true }),
  step('verify', 'Verify through the front door'),
];

export const doneSteps: StepState[] = [
  { ...pendingSteps[0]!, state: 'done', startedAt: T0, ms: 412, detail: '38 checks' },
  { ...pendingSteps[1]!, state: 'done', startedAt: T0 + 412, ms: 88 },
  {
    ...pendingSteps[2]!,
    state: 'done',
    startedAt: T0 + 500,
    ms: 192,
    subSteps: [
      { id: 'pause', says: 'Hold clients at PgBouncer', ms: 3, atMs: 0 },
      { id: 'stop', says: 'Stop the primary', ms: 60, atMs: 3, detail: 'shutdown checkpoint 0/5000028' },
      { id: 'promote', says: 'Promote the standby', ms: 120, atMs: 63, detail: 'timeline 4' },
      { id: 'release', says: 'Let clients go', ms: 2, atMs: 185 },
    ],
  },
  { ...pendingSteps[3]!, state: 'done', startedAt: T0 + 2100, ms: 50 },
];

export const plan: Plan = {
  primary: 'veloz-postgres-primary',
  target: 'veloz-postgres-standby',
  protection: 'zero-loss',
  steps: pendingSteps.map(({ id, says, expectedMs, pointOfNoReturn }) => ({
    id,
    says,
    expectedMs,
    pointOfNoReturn,
    ...(id === 'prepare' ? { undo: 'give the nodes back' } : {}),
  })),
  expectedHoldMs: 420,
  expectedHoldBasis: 'two nodes, zero-loss: 400 ms measured, 21 ms for a hand-over',
  holdLimitMs: 5000,
};

/** A run in its first moment. */
export function stateWith(more: Partial<RunState> = {}): RunState {
  return {
    version: 1,
    runbook: 'switchover',
    cluster: 'veloz',
    workflowId: ID,
    runId: 'r1',
    phase: 'checking',
    says: 'Checking everything',
    startedBy: 'ops@desk',
    startedAt: T0,
    approval: { state: 'not needed' },
    pointOfNoReturnPassed: false,
    checks: [],
    steps: pendingSteps,
    members: [],
    warnings: [],
    ...more,
  };
}

export const completed: Report = {
  version: 1,
  runbook: 'switchover',
  cluster: 'veloz',
  workflowId: ID,
  runId: 'r1',
  outcome: 'completed',
  says: 'The primary moved from veloz-postgres-primary to veloz-postgres-standby in 2.31 s; clients waited 187 ms.',
  startedBy: 'ops@desk',
  reason: 'kernel update',
  ticket: 'OPS-1',
  startedAt: T0,
  endedAt: T0 + 2310,
  primaryBefore: 'veloz-postgres-primary',
  primaryAfter: 'veloz-postgres-standby',
  timelineBefore: 3,
  timelineAfter: 4,
  protection: 'zero-loss',
  heldMs: 187,
  canaryGapMs: 190,
  protectedAgainMs: 2010,
  rpo: { lostBytes: 0, shutdownCheckpoint: '0/5000028', receivedByTarget: '0/50000A0' },
  steps: doneSteps,
  checks: [checks[0]!, checks[3]!],
  membersBefore,
  membersAfter: [
    { ...membersBefore[1]!, role: 'primary', state: 'running', timeline: 4, sync: undefined, lagBytes: undefined },
    { ...membersBefore[0]!, role: 'standby', state: 'streaming', timeline: 4, sync: 'sync', lagBytes: 0 },
  ],
  warnings: [],
  next: [{ command: 'veloz-ha postgres status', why: 'see the cluster as it is now' }],
};

export const refused: Report = {
  ...completed,
  outcome: 'refused',
  says: 'B2: it is not so that the candidate is a synchronous standby: sync_state is async (limit: sync or quorum).',
  endedAt: T0 + 412,
  reason: undefined,
  ticket: undefined,
  primaryAfter: undefined,
  timelineBefore: undefined,
  timelineAfter: undefined,
  heldMs: undefined,
  canaryGapMs: undefined,
  protectedAgainMs: undefined,
  rpo: undefined,
  steps: [doneSteps[0]!, ...pendingSteps.slice(1)],
  checks,
  membersAfter: undefined,
  warnings: ['C9: 312 MB free', 'the canary could not be written'],
  next: [],
};
