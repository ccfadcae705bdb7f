import type { OwnClocks } from '../own-clocks';
import type { TakeBack } from './container-faults';

/** A clock is stepped by one of these, in seconds: around the waits of Redis, PgBouncer and HAProxy, and far beyond all of them. */
const STEPS = [3, 15, 90, 3600] as const;

/**
 * Steps the wall clock of a container or worker, ahead or back, and later back to the machine's, which is a second step. Only with clocks of
 * the campaign's own.
 * @param lot a whole number that the round has drawn: it chooses the step
 * @throws Error where it has none
 */
export function clockFault(clocks: OwnClocks | undefined, what: string, whose: string, lot: number): TakeBack {
  if (clocks === undefined) throw new Error(`${whose} has no clock of its own: add --clocks`);
  const seconds = STEPS[lot % STEPS.length] ?? STEPS[0];
  clocks.set(whose, what === 'clock-back' ? -seconds : seconds);
  return () => Promise.resolve(clocks.set(whose, 0));
}
