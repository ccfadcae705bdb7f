/** Another node, as it is while the old primary is stopped. */
export interface OtherNode {
  name: string;
  /** Why it gives no answer; absent when it answers. */
  silent?: string;
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
}

/**
 * G5: may the old primary be a primary again? Only when it is proven that nobody was promoted in its place: every other node answers,
 * as a standby, not asked for a promotion, and on no newer timeline. Pure.
 * @param timeline the old primary's, by its control file
 * @returns undefined when it may
 */
export function hindrance(timeline: number, others: readonly OtherNode[]): Hindrance | undefined {
  for (const other of others) {
    const { name, silent, inRecovery, promotion } = other;
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
