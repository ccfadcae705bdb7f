import type { Ledger } from './ledger';

/** The part of a ledger that names nodes. */
export type NamingLedger = Pick<Ledger, 'primary' | 'synchronous'>;

/**
 * Whether the ledger names the node: as the primary, or as one that may have confirmed the last commits. Pure. Nobody else may have what
 * such a node acknowledged: without a container it is no node that is not there, whatever the topology calls it, but one that is silent. A
 * standby that was removed in order is named no more within a round or two of the watch (ledger-rules.ts).
 * @param ledger null without a guard: then nobody is named
 */
export const isNamed = (ledger: NamingLedger | null, node: string): boolean =>
  ledger !== null && (ledger.primary === node || ledger.synchronous.includes(node));

/**
 * The primary that the ledger names, where it was on a newer timeline than this one: whoever takes writes on this one has nothing of what
 * that primary acknowledged on its own. Undefined where it was not, or nobody is named. Pure.
 */
export function newerPrimary(
  ledger: Pick<Ledger, 'primary' | 'timeline'> | null,
  timeline: number,
): { primary: string; timeline: number } | undefined {
  if (ledger?.primary == null || ledger.timeline <= timeline) return undefined;
  return { primary: ledger.primary, timeline: ledger.timeline };
}
