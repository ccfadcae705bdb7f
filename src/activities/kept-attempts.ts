import type { Attempts } from './start-again';

/** A container that was not seen hanging for this long has stayed well: its next hang counts anew. In milliseconds. */
export const FORGOTTEN_MS = 10 * 60_000;

/** What is known of a container that hangs, or did lately. Times in milliseconds, on the clock that only goes forward. */
export interface KeptAttempts extends Omit<Attempts, 'since'> {
  /** Since when it hangs; absent while it does not. */
  since?: number;
  /** When it was seen hanging last. */
  seenAt: number;
  /** When it was ended last. */
  triedAt?: number;
  /** How often it was ended and started in a row. */
  restarts?: number;
  /** When it was asked last, and whether it answered. */
  askedAt?: number;
  answered?: boolean;
  /** Why the last attempt was in vain. */
  problem?: string;
}

/**
 * What this worker keeps of a container that hangs, by name: also over the restart, after which Docker's check says `starting`, and over
 * the stretch of the watch, which ends with the news of it. Else each hang would be the first one, without a back-off. To be called when
 * it is seen hanging.
 */
export function keptOf(deps: object, name: string, now: number): KeptAttempts {
  const all = remembered.get(deps) ?? new Map<string, KeptAttempts>();
  remembered.set(deps, all);
  const before = all.get(name);
  const kept =
    before !== undefined && now - before.seenAt < FORGOTTEN_MS
      ? before
      : { attempts: 0, notBefore: -Infinity, seenAt: now };
  kept.seenAt = now;
  all.set(name, kept);
  return kept;
}

/** The same where nobody sees it hanging now; undefined where it never did. */
export const lastKeptOf = (deps: object, name: string): KeptAttempts | undefined => remembered.get(deps)?.get(name);

const remembered = new WeakMap<object, Map<string, KeptAttempts>>();
