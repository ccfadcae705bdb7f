import { randomOf } from '../../../src/bench/chaos/random';

/**
 * The points of a crash matrix that this run tries: `count` of them, or all where `VELOZ_HA_CRASH_POINTS` is `all`
 * (`npm run test:crashes`). Which ones follows from `VELOZ_HA_SEED` (a whole number, 1 unless set), in the order of the matrix.
 */
export function sampleOf(
  points: readonly string[],
  count: number,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string[] {
  if (env.VELOZ_HA_CRASH_POINTS === 'all') return [...points];
  const seed = Number(env.VELOZ_HA_SEED ?? 1);
  if (!Number.isSafeInteger(seed)) throw new Error(`VELOZ_HA_SEED is no whole number: ${String(env.VELOZ_HA_SEED)}`);
  const random = randomOf(seed, 0);
  const taken = new Set<string>();
  while (taken.size < Math.min(count, points.length)) taken.add(random.pick(points));
  return points.filter((point) => taken.has(point));
}
