import { psql } from '../commands';
import type { Ledger } from '../guard/ledger';
import type { Checklist } from '../switchover/checklist';
import type { CandidateState, Standing } from './candidates';

/** What the nodes are compared with. */
export interface SystemInput {
  /** The node that was the primary, and failed. */
  failedPrimary: string;
  /** Its database system, where it is known. */
  systemIdentifier?: string | undefined;
  /** The ledger as it was before the failure; null when no guard watches. */
  ledger: Ledger | null;
}

/**
 * A4 of those who take writes: where one belongs to another database system, that is what has to be looked at. Clients are led to no such
 * node, and a switchover, which I8 would lead to, does not help. Tells nothing where none does.
 */
export function checkNobodyForeign(list: Checklist, input: SystemInput, present: readonly CandidateState[]): boolean {
  const reference = input.systemIdentifier ?? input.ledger?.systemIdentifier;
  const foreign = present.find(
    ({ answered, inRecovery, systemIdentifier: system }) =>
      answered && inRecovery === false && reference !== undefined && system !== undefined && system !== reference,
  );
  if (foreign === undefined) return true;
  return list.require('A4', false, {
    says: 'all nodes belong to one database system',
    refusal: `${foreign.name} takes writes, and belongs to another database system than ${input.failedPrimary}`,
    measured: `${foreign.systemIdentifier} on ${foreign.name}, ${reference} ${input.systemIdentifier === undefined ? 'in the ledger' : `on ${input.failedPrimary}`}`,
    limit: 'one system identifier',
    next: psql(foreign.name, 'SELECT system_identifier FROM pg_control_system()'),
  });
}

/**
 * A4: all standbys, and the failed primary where it is known, belong to one database system. While the guard keeps a ledger it compares
 * them itself, and names no standby of another system.
 */
export function checkSameSystem(list: Checklist, input: SystemInput, standing: readonly Standing[]): boolean {
  const known = standing.map(({ state }) => ({ name: state.name, system: state.systemIdentifier }));
  const reference = input.systemIdentifier ?? input.ledger?.systemIdentifier ?? known[0]?.system;
  const unsaid = input.systemIdentifier === undefined && input.ledger?.systemIdentifier === undefined;
  const foreign = known.find(({ system }) => system !== reference);
  const [only] = known;
  const guarded = only !== undefined && input.ledger?.synchronous.includes(only.name) === true;
  if (known.length === 1 && unsaid && !guarded) {
    list.skip(
      'A4',
      'all nodes belong to one database system',
      `there is nothing that ${only?.name} can be compared with`,
    );
    return true;
  }
  return list.require('A4', foreign === undefined, {
    says: 'all nodes belong to one database system',
    refusal: `${foreign?.name} belongs to another database system`,
    measured:
      foreign === undefined
        ? `${reference ?? 'none known'} on ${known.length} ${known.length === 1 ? 'node' : 'nodes'}`
        : [
            ...(input.systemIdentifier === undefined ? [] : [`${input.systemIdentifier} on ${input.failedPrimary}`]),
            ...(input.ledger?.systemIdentifier === undefined ? [] : [`${input.ledger.systemIdentifier} in the ledger`]),
            ...known.map(({ name, system }) => `${system} on ${name}`),
          ].join(', '),
    limit: 'one system identifier',
    next: psql(foreign?.name ?? input.failedPrimary, 'SELECT system_identifier FROM pg_control_system()'),
  });
}
