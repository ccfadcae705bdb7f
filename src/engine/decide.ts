import type { Heir, LockValue } from './lock';

/** What a standby knows when it decides whether to take the lock. */
export interface StandbyView {
  node: string;
  instance: string;
  drained: boolean;
  holder: LockValue | undefined;
  heir: Heir | undefined;
  /** For how long the holder's connection has been seen to be gone, on one connection of ours. */
  holderAbsentMs: number;
  absentLimitMs: number;
  /** Whether this process has held the lock, or seen another one hold it, since it started. */
  settled: boolean;
}

/** Whether to take the lock, and the sentence that says why. */
export interface StandbyMove {
  take: boolean;
  why: string;
}

/** Decides whether a standby takes the lock. What it may write then is for PostgreSQL to say. */
export function decideStandby(view: StandbyView): StandbyMove {
  if (view.drained) return { take: false, why: 'it is drained' };
  const { holder, heir } = view;
  if (holder === undefined) {
    if (heir !== undefined && 'to' in heir && heir.to !== view.node)
      return { take: false, why: `the lock was handed to ${heir.to}` };
    if (heir !== undefined && 'not' in heir && heir.not === view.node)
      return { take: false, why: 'it has just given the lock away' };
    return { take: true, why: heir === undefined ? 'nobody holds the lock' : 'the lock was handed to it' };
  }
  if (holder.node === view.node && holder.instance !== view.instance && !view.settled)
    return { take: true, why: 'the holder is an earlier process of this node' };
  if (view.holderAbsentMs >= view.absentLimitMs && view.holderAbsentMs > 0)
    return {
      take: true,
      why: `the connection of ${holder.node} to Redis has been gone for ${Math.round(view.holderAbsentMs)} ms`,
    };
  return { take: false, why: `${holder.node} holds the lock in epoch ${holder.epoch}` };
}

/** What an active engine knows about its right to be one. Ages in milliseconds. */
export interface ActiveView {
  /** Since the lock was last known to be this engine's. */
  lockAgeMs: number;
  lockTtlMs: number;
  /** Since PostgreSQL last said that this engine's epoch is the one. */
  epochAgeMs: number;
  epochFreshMs: number;
}

/**
 * Whether an active engine is known to be the one: by its lock, or, where Redis does not answer, by its epoch. Nobody
 * else becomes active without a later one.
 */
export function isConfirmed(view: ActiveView): boolean {
  return view.lockAgeMs < view.lockTtlMs || view.epochAgeMs < view.epochFreshMs;
}
