import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { LockName } from '../cluster/locks';
import type { RunState } from './run-state';

/** The task queue that workers poll and runs are started on. */
export const TASK_QUEUE = 'veloz-ha';

/**
 * The task queue on which the same workers take watches. A watch keeps its slot for as long as its guard runs: on a queue with slots
 * of its own it can take none from a run.
 */
export const watchQueueOf = (taskQueue: string): string => `${taskQueue}-watch`;

/**
 * How long a worker may keep a task of a workflow before another one gets it. Temporal's default is 10 s, which a frozen worker costs
 * each time that it is handed one. Every start of a workflow that clients may wait for names it: a child inherits nothing.
 */
export const WORKFLOW_TASK_TIMEOUT = '2s';

/** The whole live state of a run. */
export const statusQuery = defineQuery<RunState>('status');

/** Who decides, and why. Every field may be left out: an empty form of the Web UI sends no argument at all. */
export interface Decision {
  by?: string;
  why?: string;
}

/** Goes on with a run that waits for approval. Refused when it does not wait. Returns what happens next. */
export const approveUpdate = defineUpdate<string, [Decision?]>('approve');
/** Ends a run that waits for approval. Nothing has been changed. Refused when it does not wait. */
export const rejectUpdate = defineUpdate<string, [Decision?]>('reject');
/** Stops a run before the point of no return and puts everything back. Refused after it. */
export const abortUpdate = defineUpdate<string, [Decision?]>('abort');
/** Something that a run is in the way of. */
export interface WayAsked {
  /** The primary that has failed, or whose commits wait in vain. */
  primary: string;
  /** What is seen of it, in a sentence. */
  why: string;
}

/**
 * Asks a run that holds the lock of PostgreSQL to let go of it: clients wait for something that needs it. A run in the middle of a
 * critical section goes on, since that has its own limit; one that prepares, waits or watches leaves what it does to others.
 */
export const giveWaySignal = defineSignal<[WayAsked]>('give way');

/**
 * Workflow id of a lock. One open run per id: that is the exclusion. Each tier has its own, so that the failover of one never waits
 * for a run of another; that of PostgreSQL has the id under which there was one lock for all.
 */
export function lockWorkflowId(cluster: string, lock: LockName = 'postgres'): string {
  return lock === 'postgres' ? `cluster-lock/${cluster}` : `cluster-lock/${cluster}/${lock}`;
}

/** Input of the lock: shown in the Web UI, so that a person sees who holds it. */
export interface ClusterLockInput {
  cluster: string;
  runbook: string;
  holder: string;
  holderRunId: string;
}

/** Search attributes of every run. Registered by `veloz-ha temporal`, and by a worker where they are missing. */
export const searchAttributeNames = {
  cluster: 'VelozCluster',
  runbook: 'VelozRunbook',
  phase: 'VelozPhase',
  outcome: 'VelozOutcome',
  heldMs: 'VelozHeldMs',
} as const;

/** What a worker measured of its Temporal server: the price of one hand-over, in milliseconds. */
export interface HandoverCost {
  minMs: number;
  medianMs: number;
  maxMs: number;
  samples: number;
  /** Milliseconds since the epoch. */
  measuredAt: number;
  /** The worker's identity. */
  worker: string;
}

/** Workflow id under which a worker's latest measurement of hand-overs is found; its result is a {@link HandoverCost}. */
export const HANDOVER_PROBE_ID = 'handover-probe';
