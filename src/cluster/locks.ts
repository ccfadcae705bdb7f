import type { Tier } from './maintenance/sides';

/**
 * What of a cluster is locked: a tier, for runs that change it; or a node, for the run that has its data copied, which goes on without
 * the lock of PostgreSQL.
 */
export type LockName = Tier | `copy/${string}`;

/** The lock of a node whose data is copied. */
export const copyLock = (node: string): LockName => `copy/${node}`;

/** A lock that somebody holds. */
export interface HeldLock {
  lock: LockName;
  /** The run that holds it. */
  holder: string;
}
