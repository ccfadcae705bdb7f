import { clusterStatus } from '../commands';
import type { Ledger } from '../guard/ledger';
import type { Checklist } from '../switchover/checklist';
import { positionWords, unheardWords, type CandidateState, type Standing } from './candidates';
import { promoteCommand, wakeCommand } from './commands';

/** Whom the request wants. */
export interface ChoiceInput {
  cluster: string;
  /** The node that was the primary, and failed. */
  failedPrimary: string;
  /** The node to promote. Default: the most advanced one that may be promoted. */
  target?: string | undefined;
}

/** Of two that are equally far the one that the ledger names comes first, so that the choice does not flip. */
export function byMembership(standing: readonly Standing[], ledger: Ledger | null): Standing[] {
  const rank = ({ state }: Standing) => (ledger?.synchronous.includes(state.name) === true ? 0 : 1);
  return [...standing].sort((a, b) => rank(a) - rank(b));
}

/** A2 and A7: the named standby, or the most advanced one that may be promoted. */
export function chooseCandidate(
  list: Checklist,
  input: ChoiceInput,
  present: readonly CandidateState[],
  standing: readonly Standing[],
): Standing | undefined {
  const best = standing.find(({ state }) => state.promotable);
  const { target } = input;
  const chosen = target === undefined ? best : standing.find(({ state }) => state.name === target);
  const named = present.find(({ name }) => name === target);
  const excluded = standing.filter(({ state }) => !state.promotable).map(({ state }) => state.name);
  const instead =
    best === undefined ? clusterStatus(input.cluster) : promoteCommand(input.cluster, { to: best.state.name });
  const found = list.require('A2', chosen !== undefined, {
    says: target === undefined ? 'a standby can be promoted' : `${target} is a standby that answers`,
    refusal:
      target === undefined
        ? 'there is no standby that can be promoted'
        : target === input.failedPrimary
          ? `${target} is the node that failed`
          : `${target} can't be promoted`,
    measured:
      chosen !== undefined
        ? `${chosen.state.name} at ${positionWords(chosen.position)}`
        : target !== undefined
          ? named === undefined
            ? `the cluster has no other node ${target} that is there`
            : unheardWords(named)
          : excluded.length > 0
            ? `${excluded.join(' and ')} has promotable: false`
            : present.length === 0
              ? `${input.failedPrimary} is alone`
              : present.map(unheardWords).join('; '),
    limit: target === undefined ? 'at least 1 that answers and has promotable: true' : 'it answers, in recovery',
    next:
      target !== undefined
        ? instead
        : present[0] === undefined
          ? 'veloz-ha stack up'
          : wakeCommand(input.cluster, present[0].name, present[0].container),
  });
  if (!found || chosen === undefined) return undefined;
  const allowed = list.require('A7', chosen.state.promotable, {
    says: `${chosen.state.name} is not excluded from promotion`,
    refusal: `${chosen.state.name} is excluded from promotion`,
    measured: `promotable: ${chosen.state.promotable} in the topology`,
    limit: 'promotable: true',
    next: instead,
  });
  return allowed ? chosen : undefined;
}
