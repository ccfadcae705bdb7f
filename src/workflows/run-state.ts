import type { Check } from '../cluster/check';
import type { EngineMember } from '../cluster/engine/members';
import type { Ledger } from '../cluster/guard/ledger';
import type { FailureKind, Signal } from '../cluster/guard/signals';
import type { Lsn } from '../cluster/lsn';
import type { Tier } from '../cluster/maintenance/sides';
import type { Member } from '../cluster/members';
import type { RedisMembers } from '../cluster/redis/members';
import type { LostWal } from '../cluster/rejoin/decide';
import type { Protection } from '../cluster/topology';

export type { Member } from '../cluster/members';

/** How a run ended. */
export type Outcome =
  | 'completed'
  | 'completed with warnings'
  /** Plan mode: all checks passed, nothing was changed. */
  | 'planned'
  | 'refused'
  | 'busy'
  | 'rejected'
  | 'not approved in time'
  | 'rolled back'
  | 'aborted'
  | 'failed'
  | 'incomplete';

/** Where a run is. */
export type Phase =
  | 'starting'
  | 'checking'
  | 'awaiting approval'
  | 'running'
  /** A maintenance: what was moved away is kept away until somebody says what next. */
  | 'held'
  | 'undoing'
  | 'ended';

/** A part of a step that is too short to be a step of its own, such as PAUSE inside the hold. */
export interface SubStep {
  id: string;
  says: string;
  /** Milliseconds it took. */
  ms: number;
  /** Milliseconds from the start of the step until its start. */
  atMs: number;
  /** What was measured: "shutdown checkpoint 0/5000028". */
  detail?: string;
}

/** One step of a run as a person sees it. */
export interface StepState {
  id: string;
  /** "Hold clients, move the primary, let clients go". */
  says: string;
  state: 'pending' | 'running' | 'done' | 'failed' | 'undoing' | 'undone' | 'skipped';
  /** After the end of this step there is only forward. */
  pointOfNoReturn: boolean;
  /** Milliseconds since the epoch. */
  startedAt?: number;
  ms?: number;
  /** Expected length in milliseconds, from earlier runs or from measured limits. */
  expectedMs?: number;
  /** What was measured, or why it failed. */
  detail?: string;
  subSteps?: SubStep[];
}

/** A numbered plan: what would be done. */
export interface Plan {
  /** Where a runbook has several ways: which one it is. */
  kind?: 'planned' | 'forced' | 'repair';
  primary: string;
  target: string;
  protection: Protection;
  steps: { id: string; says: string; expectedMs?: number; pointOfNoReturn: boolean; undo?: string }[];
  /** How long clients are expected to wait, in milliseconds, and how that was arrived at. */
  expectedHoldMs: number;
  expectedHoldBasis: string;
  /** What the dead-man switch bounds the hold to, in milliseconds. */
  holdLimitMs: number;
  /** Of a failover: only the failed primary's own WAL tells whether the target is promoted; else that one is started again. */
  readsFirst?: true;
  /** What happens at that limit, where it is not PgBouncer that lets go; a sentence without full stop. */
  holdEnds?: string;
}

/** Who may go on, until when, and how. */
export interface ApprovalState {
  state: 'not needed' | 'waiting' | 'approved' | 'rejected' | 'expired';
  /** Milliseconds since the epoch. */
  deadline?: number;
  by?: string;
  why?: string;
}

/** What a failover knows of the failure, and what its parts cost. Times are lengths in milliseconds; null: not measured. */
export interface FailoverFacts {
  /** How the primary failed. */
  kind: FailureKind;
  /** The same in a sentence. */
  says: string;
  /** The evidence, oldest first. */
  signals: Signal[];
  /** The ledger as it was before the failure; null when nobody kept one. */
  ledger: Ledger | null;
  /** From the first sign until it was certain. */
  detectMs: number | null;
  /** How the old primary was fenced, and what proves it. */
  fence: string;
  fenceMs: number | null;
  /** The fence was made while the standby was promoted: clients did not wait for it. */
  fenceBeside?: true;
  promoteMs: number | null;
  routeMs: number | null;
  /** From the first sign until clients went on. */
  totalMs: number | null;
  /** At most this many bytes of acknowledged WAL are lost: 0 when that is proven, null when nothing bounds it. */
  lossBound: number | null;
  /** What this run proved that by, in half a sentence; absent where nothing is proven. */
  proof?: string;
  /** Consent to a loss, where somebody gave it. */
  dataLoss?: { maxBytes: number; reason: string; by: string };
}

/** How a node became a standby again. */
export interface RejoinFacts {
  node: string;
  /** `none`: its history leads to the new primary's, nothing had to be done. */
  method: 'none' | 'rewind' | 'copy';
  /** Why this method. */
  why: string;
  /** Milliseconds until it streamed, caught up. */
  ms: number;
  /** Bytes that were copied; null when not measured. */
  bytes: number | null;
  /** What only this node had, and has no more; null when nothing. */
  lost: LostWal | null;
  /** The folder on the node's volume that keeps what was lost; null when nothing was. */
  quarantine: string | null;
}

/** How far a long copy is. */
export interface CopyProgress {
  /** What is copied from where to where. */
  says: string;
  doneBytes: number;
  totalBytes: number | null;
  bytesPerSecond: number | null;
  remainingMs: number | null;
}

/** One move of a maintenance, which is a run of its own. */
export interface MaintenanceMove {
  tier: Tier;
  from: string;
  to: string;
  /** On the way back. */
  back: boolean;
  /** The run that carried it out. */
  run: string;
  /** Milliseconds for which clients waited, as that run reports it. */
  heldMs?: number;
}

/** What a maintenance has moved away, and what becomes of it. Times are milliseconds since the epoch. */
export interface MaintenanceState {
  /** What is cleared: `side 1`, or the names of nodes. */
  scope: string;
  /** What is moved away now, in the order in which it was. */
  away: { tier: Tier; from: string; to: string; at: number; run: string }[];
  /** Every move that was carried out, there and back. */
  moves: MaintenanceMove[];
  back: 'on request' | 'never';
  heldSince?: number;
  /** When it ends by itself, and nothing is moved back. */
  heldUntil?: number;
  /** Why it is not as it was asked for: what was moved, what was not, and what to run. */
  trouble?: string;
}

/** The result of a run, whatever its outcome. One versioned document. */
export interface Report {
  version: 1;
  runbook: string;
  cluster: string;
  workflowId: string;
  runId: string;
  outcome: Outcome;
  /** The whole story in one sentence. */
  says: string;
  startedBy: string;
  reason?: string;
  ticket?: string;
  /** Milliseconds since the epoch. */
  startedAt: number;
  endedAt: number;
  primaryBefore?: string;
  primaryAfter?: string;
  timelineBefore?: number;
  timelineAfter?: number;
  protection?: Protection;
  /** Milliseconds for which clients waited: from PAUSE until RESUME. The run's RTO as its clients felt it. */
  heldMs?: number;
  /** Longest time between two commits of the canary that went through the front door during the move. */
  canaryGapMs?: number;
  /** Milliseconds from the start, or from the approval where one was waited for, until a synchronous standby confirmed again. */
  protectedAgainMs?: number;
  /** The same moment in milliseconds since the epoch. */
  protectedSince?: number;
  /**
   * Why no acknowledged row was lost, where this run proved it: the two LSNs, and the proof in half a sentence. `lostBytes` is null where
   * it did not, because somebody else promoted the target.
   */
  rpo?: { lostBytes: number | null; shutdownCheckpoint: Lsn; receivedByTarget: Lsn; proof?: string };
  /** Present in a failover. */
  failover?: FailoverFacts;
  /** It let go of the lock before its end, because others had to act; absent where it did not, and in runs of other kinds. */
  gaveWay?: boolean;
  /** Present where a node was made a standby again: in `rejoin`, and as a part of `failover`. */
  rejoin?: RejoinFacts;
  /** Present in a maintenance: what is away when it ends. */
  maintenance?: MaintenanceState;
  /** Present in plan mode: what would be done. */
  plan?: Plan;
  steps: StepState[];
  checks: Check[];
  membersBefore?: Member[];
  membersAfter?: Member[];
  /** Of a runbook of the engines: them and HAProxy, and the fencing epoch. */
  enginesBefore?: EngineMember[];
  enginesAfter?: EngineMember[];
  epochBefore?: number;
  epochAfter?: number;
  /** Of a runbook of Redis: nodes and Sentinels. */
  redisBefore?: RedisMembers;
  redisAfter?: RedisMembers;
  warnings: string[];
  /** Commands to run now, each with why. */
  next: { command: string; why: string }[];
}

/** Everything that the `status` query returns. One versioned document. */
export interface RunState {
  version: 1;
  runbook: string;
  cluster: string;
  workflowId: string;
  runId: string;
  phase: Phase;
  /** What happens now, in a sentence. */
  says: string;
  startedBy: string;
  reason?: string;
  ticket?: string;
  /** Milliseconds since the epoch. */
  startedAt: number;
  approval: ApprovalState;
  pointOfNoReturnPassed: boolean;
  plan?: Plan;
  checks: Check[];
  steps: StepState[];
  members: Member[];
  /** Present in a runbook of the engines. */
  engines?: EngineMember[];
  /** Present in a runbook of Redis. */
  redis?: RedisMembers;
  warnings: string[];
  /** Present while something long is copied. */
  progress?: CopyProgress;
  /** Present in a maintenance. */
  maintenance?: MaintenanceState;
  /** Present once the phase is `ended`. */
  report?: Report;
}
