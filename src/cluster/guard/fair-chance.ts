import type { FailureKind } from './signals';

/**
 * How long a primary that may come back by itself gets for that, in milliseconds from the first sign of its failure, where nothing proves
 * that somebody else has all it acknowledged. To be read it has to be ended, and a hang that ends by itself costs no more than its own
 * length. Longer than most stalls of a virtual machine or a network.
 */
export const FAIR_CHANCE_MS = 5000;

/** Its server is gone: to fence it takes nothing away. One that hangs, or is cut off, may come back with all of its data. */
export const isOver = (kind: FailureKind | undefined): boolean => kind === 'dead' || kind === 'crashed';

/**
 * Whether a primary had its time to come back. Its data are read only then.
 * @param since milliseconds since the epoch of the first sign; undefined where nobody knows
 */
export function hadItsChance(kind: FailureKind | undefined, since: number | undefined, now: number): boolean {
  if (isOver(kind)) return true;
  // Without the guard's word on how it failed nothing tells that it has.
  return kind !== undefined && since !== undefined && now - since >= FAIR_CHANCE_MS;
}
