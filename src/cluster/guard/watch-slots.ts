/** How many watches a worker carries at a time. One of PostgreSQL and one of Redis for each cluster that has both. */
export const WATCH_SLOTS = 200;

/**
 * Why the watches of these guards may wait for a slot; undefined while one worker alone can carry them all. One has to be enough: when
 * the others die, a cluster whose watch finds no slot is guarded by nobody, and its guard says nothing of it.
 * @param guards how many guards run
 */
export function whyWatchesWait(guards: number, slots = WATCH_SLOTS): string | undefined {
  const watches = guards * 2;
  if (watches <= slots) return undefined;
  return `${guards} guards watch with up to ${watches} watches, one of PostgreSQL and one of Redis each (limit: ${slots}, what one worker carries): when a worker dies, some of the clusters may be watched by nobody`;
}
