import { psql } from '../commands';
import type { Ledger } from '../guard/ledger';
import { isForeign } from '../guard/ledger-rules';
import type { ObservedNode } from '../observed';
import type { Checklist } from '../switchover/checklist';
import type { Repair } from './repair-parts';

/**
 * A4: a node whose data are of another database system than the ledger is no primary of this cluster, whatever it says: it was made anew in
 * the place of a node with data, or its data were replaced. To lead clients to it, or to have a node follow it, would give up what the
 * others hold; which of the two systems is meant is for people to say. Nothing is known of a node that tells no system, nor without a ledger.
 * @param role what it would be, for the refusal: "takes writes"
 * @returns whether it was refused
 */
export function refusesSystem(
  { ledger, list, observed }: Repair,
  { name, sql, agent }: ObservedNode,
  role: string,
): boolean {
  const systemIdentifier = sql?.systemIdentifier ?? agent?.systemIdentifier ?? undefined;
  if (ledger === null || systemIdentifier === undefined) return false;
  return !isOfLedgersSystem(list, { cluster: observed.cluster, name, systemIdentifier, ledger, role });
}

/**
 * The same of a node whose system is known, and of a ledger.
 * @returns whether it is of the ledger's system; where it is not, the list refuses
 */
export function isOfLedgersSystem(
  list: Checklist,
  seen: {
    cluster: string;
    name: string;
    systemIdentifier: string;
    ledger: Pick<Ledger, 'systemIdentifier' | 'primary'>;
    role: string;
  },
): boolean {
  const { cluster, name, systemIdentifier, ledger, role } = seen;
  if (!isForeign(ledger, { systemIdentifier })) return true;
  return list.require('A4', false, {
    says: `${name} belongs to the database system of the ledger`,
    refusal: `${name} ${role}, and belongs to another database system than the ledger: no client is led to it, and no node is made its standby`,
    measured: `${systemIdentifier} on ${name}, ${ledger.systemIdentifier} in the ledger, whose primary was ${ledger.primary ?? 'nobody'}`,
    limit: `one system identifier; a new system that is meant needs a guard that begins anew: veloz-ha guard stop --cluster ${cluster}, then veloz-ha guard start --cluster ${cluster}`,
    next: psql(name, 'SELECT system_identifier FROM pg_control_system()'),
  });
}
