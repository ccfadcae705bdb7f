import type { ObservedRedis } from './observed';

/** How a Sentinel answers that lost what it knew and names no master yet, as docker/redis/veloz_redis/sentinel.py writes it. */
const WAITING = /WAITING it names no master: (.*?)(?:\. |, )?Next: (.*)$/s;

/** Why a Sentinel names no master. */
export interface WaitingSentinel {
  name: string;
  says: string;
  /** The commands of its answer. */
  next: string;
}

/**
 * A Sentinel that waits until the nodes tell who was the master last; undefined where none does. Pure. What it says is for a person: no
 * run decides which node may have newer data.
 */
export function waitingSentinel(observed: ObservedRedis): WaitingSentinel | undefined {
  for (const { name, state, error } of observed.sentinels) {
    const found = state === null ? WAITING.exec(error ?? '') : null;
    if (found !== null) return { name, says: found[1] ?? '', next: found[2] ?? '' };
  }
  return undefined;
}
