import type { Ledger } from '../guard/ledger';
import { newerPrimary } from '../guard/named-nodes';

/** Another node, as it is while the old primary is stopped. */
export interface OtherNode {
  name: string;
  /** Why it gives no answer; absent when it answers. */
  silent?: string;
  /** Docker says that it has no container: it is among the others since the guard's ledger names it, or the topology has it always there. */
  missing?: true;
  inRecovery?: boolean;
  /** The newest timeline that it took part in. */
  timeline?: number;
  /** The run that asked for its promotion, which is on record until it is started as a standby. */
  promotion?: string | null;
}

/** Why the old primary may not be started as a primary. */
export interface Hindrance {
  says: string;
  /** It will be otherwise in a moment: the promotion that was asked for is through, or never comes. */
  passing: boolean;
  /** A node that has to come back first: the one that may be in its place. */
  first?: string;
}

/**
 * G5: may the old primary be a primary again? Only when it is proven that nobody was promoted in its place: every other node answers,
 * as a standby, not asked for a promotion, and on no newer timeline; and the guard's ledger names none that was on a newer one. Pure.
 * @param timeline the old primary's, by its control file
 * @param ledger null without a guard
 * @returns undefined when it may
 */
export function hindrance(
  timeline: number,
  others: readonly OtherNode[],
  ledger: Pick<Ledger, 'primary' | 'timeline'> | null = null,
): Hindrance | undefined {
  const newer = newerPrimary(ledger, timeline);
  if (newer !== undefined)
    return {
      says: `the guard's ledger names ${newer.primary} as the primary, on timeline ${newer.timeline}, newer than ${timeline}`,
      passing: false,
      first: newer.primary,
    };
  for (const other of others) {
    const { name, silent, missing, inRecovery, promotion } = other;
    if (missing === true) return { says: `${name} has no container`, passing: false, first: name };
    if (silent !== undefined) return { says: `${name} gives no answer: ${silent}`, passing: false };
    if (inRecovery !== true) return { says: `${name} takes writes`, passing: false };
    if (promotion != null) return { says: `${name} was asked for its promotion by ${promotion}`, passing: true };
    if ((other.timeline ?? Infinity) > timeline)
      return {
        says: `${name} is on timeline ${other.timeline ?? 'unknown'}, newer than ${timeline}`,
        passing: false,
      };
  }
  return undefined;
}
