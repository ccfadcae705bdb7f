import type { Ledger } from '../../src/cluster/guard/ledger';
import type { Signal } from '../../src/cluster/guard/signals';
import type { GuardEvent, GuardState } from '../../src/workflows/guard-messages';
import type { FailoverFacts, Plan, RejoinFacts, Report, RunState, StepState } from '../../src/workflows/run-state';
import { completed, membersBefore, plan, stateWith, T0 } from './made-up';

export const FAILOVER = 'failover/veloz/20251123T032011Z-9f3a';

export const ledger: Ledger = {
  version: 1,
  state: 'protected',
  primary: 'veloz-postgres-primary',
  timeline: 3,
  epoch: 7,
  synchronous: ['veloz-postgres-standby'],
  names: 'veloz_standby',
  since: T0 - 245_000,
  why: 'every commit waits for veloz-postgres-standby',
};

export const signals: Signal[] = [
  { at: T0, source: 'sql', says: 'connection reset', speaks: 'for' },
  { at: T0 + 12, source: 'docker', says: 'the container is exited', speaks: 'for' },
  { at: T0 + 31, source: 'receiver veloz-postgres-standby', says: 'its WAL receiver has ended', speaks: 'for' },
  { at: T0 + 44, source: 'witness veloz-pgbouncer', says: 'connection refused', speaks: 'for' },
  { at: T0 + 45, source: 'agent', says: 'no answer within 300 ms', speaks: 'neither' },
  { at: T0 + 46, source: 'witness veloz-postgres-standby-2', says: 'it still sees the primary', speaks: 'against' },
];

export const failoverFacts: FailoverFacts = {
  kind: 'dead',
  says: 'veloz-postgres-primary is dead: its container is exited, and it has not answered for 46 ms (connection reset)',
  signals,
  ledger,
  detectMs: 46,
  fence: 'container exited, and fence.json written into its volume: whoever starts it gets a fenced node',
  fenceMs: 103,
  promoteMs: 142,
  routeMs: 9,
  totalMs: 388,
  lossBound: 0,
};

export const rejoinFacts: RejoinFacts = {
  node: 'veloz-postgres-primary',
  method: 'rewind',
  why: 'its WAL goes 312 bytes beyond the point at which timeline 4 left timeline 3',
  ms: 1130,
  bytes: 52_428_800,
  lost: { bytes: 312, commits: 2 },
  quarantine: '/var/lib/postgresql/veloz/quarantine/20251123T032013Z',
};

const step = (id: string, says: string, more: Partial<StepState> = {}): StepState => ({
  id,
  says,
  state: 'done',
  pointOfNoReturn: false,
  ...more,
});

export const failoverSteps: StepState[] = [
  step('failOver', 'Fence veloz-postgres-primary, promote veloz-postgres-standby, let clients go', {
    startedAt: T0 + 60,
    ms: 330,
    pointOfNoReturn: true,
    detail: 'timeline 4',
  }),
  step('rejoin', 'Make veloz-postgres-primary a standby again', { startedAt: T0 + 400, ms: 1130, detail: 'rewind' }),
  step('settle', 'Protected again', { startedAt: T0 + 1540, ms: 120 }),
  step('verify', 'Verify through the front door', { startedAt: T0 + 1660, ms: 3050 }),
];

/** A failover that the guard started, in its report. */
export const failedOver: Report = {
  ...completed,
  runbook: 'failover',
  workflowId: FAILOVER,
  says: 'veloz-postgres-standby is the primary now: no acknowledged row was lost',
  startedBy: 'guard of veloz',
  reason: failoverFacts.says,
  ticket: undefined,
  endedAt: T0 + 4700,
  protection: undefined,
  heldMs: 388,
  canaryGapMs: undefined,
  rpo: undefined,
  protectedAgainMs: 1660,
  protectedSince: T0 + 1660,
  failover: failoverFacts,
  rejoin: rejoinFacts,
  steps: failoverSteps,
  checks: [],
  next: [
    { command: 'veloz-ha guard status', why: 'says what is protected now' },
    { command: 'docker logs --tail 20 veloz-postgres-primary', why: 'says why it died' },
  ],
};

export const failoverPlan: Plan = { ...plan, expectedHoldBasis: 'from now until the standby is promoted' };

/** A rejoin in the middle of its copy. */
export function copying(more: Partial<RunState> = {}): RunState {
  return stateWith({
    runbook: 'rejoin',
    workflowId: 'rejoin/veloz/20251123T033000Z-11aa',
    phase: 'running',
    says: 'Copying from veloz-postgres-standby',
    steps: [
      step('compare', 'Compare the history of veloz-postgres-primary', { startedAt: T0, ms: 212 }),
      step('copy', 'Copy the data of veloz-postgres-standby', { state: 'running', startedAt: T0 + 300 }),
      step('follow', 'Stream, catch up, confirm', { state: 'pending' }),
    ],
    progress: {
      says: 'pg_basebackup from veloz-postgres-standby to veloz-postgres-primary',
      doneBytes: 450_887_680,
      totalBytes: 1_288_490_189,
      bytesPerSecond: 102_760_448,
      remainingMs: 8_150,
    },
    ...more,
  });
}

export const guardEvents: GuardEvent[] = [
  { at: T0 - 300_000, kind: 'started', says: 'started by ops@desk, mode auto' },
  { at: T0 - 245_000, kind: 'ledger', says: 'protected: every commit waits for veloz-postgres-standby' },
];

/** A guard on a quiet day. */
export function guardWith(more: Partial<GuardState> = {}): GuardState {
  return {
    version: 1,
    cluster: 'veloz',
    workflowId: 'guard/veloz',
    runId: 'g1',
    mode: 'auto',
    ledger,
    sees: 'veloz-postgres-primary answered in 2 ms and takes writes, on timeline 3',
    waitsFor: 'Something to happen.',
    next: 'veloz-postgres-primary dead: failover at once. veloz-postgres-primary silent: after 600 ms, if others confirm it.',
    signals: [],
    events: guardEvents,
    startedAt: T0 - 300_000,
    ...more,
  };
}

/** The same guard in the middle of a failover. */
export const acting: GuardState = guardWith({
  sees: 'veloz-postgres-primary is dead: its container is exited',
  waitsFor: `The end of failover ${FAILOVER}.`,
  next: 'It does nothing else before that.',
  acting: { workflowId: FAILOVER, since: T0 + 46, what: 'failover' },
  signals: signals.slice(0, 4),
  events: [
    ...guardEvents,
    { at: T0, kind: 'in doubt', says: 'the session to veloz-postgres-primary was reset: looking harder' },
    { at: T0 + 46, kind: 'primary failed', says: 'veloz-postgres-primary is dead: its container is exited' },
    { at: T0 + 47, kind: 'failover', says: 'started the failover, clients are held', run: FAILOVER },
  ],
});

/** The members of a cluster whose old primary waits, fenced. */
export const membersFenced = [
  { ...membersBefore[0]!, role: 'stopped' as const, state: 'fenced', lsn: undefined },
  { ...membersBefore[1]!, role: 'primary' as const, state: 'running', timeline: 4, sync: undefined },
];
