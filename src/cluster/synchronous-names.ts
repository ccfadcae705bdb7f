import type { ClusterTopology } from './topology';

type Names = { postgres: Pick<ClusterTopology['postgres'], 'synchronousStandbyNames'> };

/** One standby's name and nothing else: `veloz_standby`. What names several, or how many, is taken as it is. */
const plainName = /^\s*("[^"]+"|[a-z_][a-z0-9_$]*)\s*$/i;

/** Blanks and the case of the keyword mean nothing to PostgreSQL. */
const same = (a: string, b: string): boolean => canonical(a) === canonical(b);
const canonical = (names: string): string =>
  names
    .trim()
    .replace(/^(any|first)\b/i, (word) => word.toUpperCase())
    .replace(/\s*([(),])\s*/g, '$1')
    .replace(/\s+/g, ' ');

/**
 * `synchronous_standby_names` of a primary that so many standbys stream from. All standbys go by one application name. With one
 * of them the plain name; with more, `ANY 1 (name)`: then each of them is a `quorum` standby and may be the target of a switchover,
 * where the plain name would make one `sync` and leave the others `potential`. Any other value of the topology is used as it is.
 */
export function synchronousNamesFor(topology: Names, streamingStandbys: number): string {
  const names = topology.postgres.synchronousStandbyNames;
  return streamingStandbys >= 2 && plainName.test(names) ? `ANY 1 (${names.trim()})` : names;
}

/**
 * Are these names what a primary with so many streaming standbys should have? With fewer than two standbys `ANY 1 (name)` means
 * the same as the plain name, and is what is left when one of two is gone.
 */
export function isExpectedNames(topology: Names, names: string, streamingStandbys: number): boolean {
  if (same(names, synchronousNamesFor(topology, streamingStandbys))) return true;
  return streamingStandbys < 2 && same(names, synchronousNamesFor(topology, 2));
}

/** `ANY 2 (…)`, `FIRST 2 (…)` and, as PostgreSQL 9.6 wrote it, `2 (…)`. */
const numbered = /^\s*(?:(?:any|first)\s+)?(\d+)\s*\(/i;

/** How many standbys have to confirm a commit before it is acknowledged: 0 with empty names, 1 where the names say no number. */
export function standbysNeeded(names: string): number {
  if (names.trim() === '') return 0;
  const number = numbered.exec(names)?.[1];
  return number === undefined ? 1 : Number(number);
}
