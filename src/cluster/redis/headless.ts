import { diagnose, type RedisFault } from './faults';
import { answeringNodes, answeringSentinels, majorityOf, type ObservedRedis } from './observed';

/**
 * A Redis in which every node answers as a replica has this long until the guard has a run make one the master, in milliseconds. The
 * Sentinels go first: they take a master that says that it is none for down after `down-after-milliseconds` and two of their INFO periods
 * (Redis: `sentinelCheckSubjectivelyDown`), 25 s as the image sets them, and elect and promote within 5 s more.
 */
export const HEADLESS_MS = 35_000;

/**
 * Nobody takes writes although every node answers, and a run may mend that: one node has everything that any of them has. Pure. Empty
 * where a node is a master, is silent or reads its files, where the histories differ, while a Sentinel fails over, and while fewer than a
 * majority of the Sentinels answers: a run would be refused.
 */
export function headless(observed: ObservedRedis): RedisFault[] {
  const found = diagnose(observed);
  if ('undecided' in found || !found.faults.some(({ kind }) => kind === 'no master')) return [];
  const sentinels = answeringSentinels(observed);
  const acts = sentinels.some(({ state }) => state.master?.flags.includes('failover_in_progress') === true);
  const reads = answeringNodes(observed).some(({ state }) => state.loading);
  if (acts || reads || sentinels.length < majorityOf(observed)) return [];
  return found.faults.filter(({ kind }) => kind === 'no master');
}
