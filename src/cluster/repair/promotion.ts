import type { Check } from '../check';
import { clusterStatus, makeContainer, psql } from '../commands';
import {
  comparePositions,
  mostAdvanced,
  positionOf,
  positionWords,
  unheardWords,
  type CandidateState,
} from '../failover/candidates';
import { wakeCommand } from '../failover/commands';
import { heldUpBy, namesFor } from '../failover/followers';
import type { Ledger } from '../guard/ledger';
import { isNamed, newerPrimary } from '../guard/named-nodes';
import { Checklist } from '../switchover/checklist';
import type { ClusterTopology } from '../topology';

/** Whom to promote where every node of the cluster is a standby. */
export interface Promotion {
  checks: Check[];
  /** Absent when a check refuses. */
  candidate?: string;
  /** Standbys that can follow it as they are. */
  others: string[];
  /** `synchronous_standby_names` for it, set before the promotion (H4). */
  names: string;
}

/**
 * Every node is a standby, as a fence leaves them when its run ended and its target could not be asked. Needs no ledger: every commit
 * that was ever acknowledged is on one of the nodes, and when ALL of them answer, on ONE timeline, the furthest has all of it. So
 * nothing can be lost, or it is refused. Where there is a ledger, a node that it names is one of them also without a container, and nobody
 * is promoted on an older timeline than that of the primary that it names.
 * @param states every node of the cluster
 * @param ledger null without a guard
 */
export function decidePromotion(
  topology: ClusterTopology,
  cluster: string,
  states: readonly CandidateState[],
  ledger: Pick<Ledger, 'primary' | 'synchronous' | 'timeline'> | null = null,
): Promotion {
  const list = new Checklist();
  const promotion: Promotion = { checks: list.checks, others: [], names: '' };
  const present = states.filter(({ name, missing }) => missing !== true || isNamed(ledger, name));
  const status = clusterStatus(cluster);
  const told = (what: (state: CandidateState) => string) => present.map(what).join(', ');

  const writable = present.filter(({ answered, inRecovery }) => answered && inRecovery === false);
  list.require('I8', writable.length === 0, {
    says: 'no node is writable',
    refusal: `${writable.map(({ name }) => name).join(' and ')} takes writes already`,
    measured: `${writable.length} writable`,
    limit: 'no reachable primary',
    next: status,
  });
  const standing = present.flatMap((state) => {
    const position = state.inRecovery === true ? positionOf(state) : undefined;
    return position === undefined ? [] : [{ state, position }];
  });
  const silent = present.filter(({ name }) => !standing.some(({ state }) => state.name === name));
  list.require('I6', silent.length === 0, {
    says: 'every node that may have acknowledged commits answers',
    refusal: `${silent.map(({ name }) => name).join(' and ')} may have acknowledged commits that nobody else has`,
    measured: told((state) => (silent.includes(state) ? unheardWords(state) : `${state.name} answers`)),
    limit: 'all of them answer, and say where their WAL ends',
    next: silent[0] === undefined || silent[0].answered ? status : bringsBack(topology, cluster, silent[0]),
  });
  const systems = new Set(standing.map(({ state }) => state.systemIdentifier));
  list.require('A4', systems.size <= 1, {
    says: 'all nodes belong to one database system',
    refusal: 'the nodes belong to different database systems',
    measured: told(({ name, systemIdentifier }) => `${name}: ${systemIdentifier}`),
    limit: 'one system identifier',
    next: psql(present[0]?.name ?? cluster, 'SELECT system_identifier FROM pg_control_system()'),
  });
  const timelines = new Set(standing.map(({ position }) => position.timeline));
  list.require('A6', timelines.size <= 1, {
    says: 'all nodes are on one timeline',
    refusal: 'the nodes are on different timelines: an older one may have commits that the newest has not',
    measured: standing.map(({ state, position }) => `${state.name} at ${positionWords(position)}`).join(', '),
    limit: 'one timeline',
    next: `veloz-ha postgres promote --cluster ${cluster} --to ${mostAdvanced(standing)[0]?.state.name ?? 'NODE'}`,
  });
  const ranked = mostAdvanced(standing);
  const newer = ranked[0] === undefined ? undefined : newerPrimary(ledger, ranked[0].position.timeline);
  if (newer !== undefined)
    list.require('A6', false, {
      says: 'the furthest node is on the timeline of the last primary',
      refusal: `every node is on an older timeline than ${newer.primary}, the primary of the ledger: what it acknowledged would be lost`,
      measured: `timeline ${newer.timeline} in the ledger; ${standing.map(({ state, position }) => `${state.name} at ${positionWords(position)}`).join(', ')}`,
      limit: `timeline ${newer.timeline} or a newer one`,
      next: status,
    });
  const candidate = ranked.find(({ state }) => state.promotable);
  const ahead = ranked.filter(
    ({ position }) => candidate !== undefined && comparePositions(position, candidate.position) > 0,
  );
  list.require('I9', candidate !== undefined && ahead.length === 0, {
    says: 'the furthest node may be promoted',
    refusal:
      candidate === undefined
        ? 'no node may be promoted'
        : `${ahead.map(({ state }) => state.name).join(' and ')} has more than every node that may be promoted`,
    measured: standing
      .map(({ state, position }) => `${state.name} at ${positionWords(position)}, promotable: ${state.promotable}`)
      .join('; '),
    limit: 'promotable: true, and nobody further',
    next: status,
  });
  if (candidate === undefined || list.checks.some(({ result }) => result === 'refuse')) return promotion;
  const rest = standing.filter((each) => each !== candidate);
  const others = rest.map(({ state }) => state.name);
  const confirming = rest.filter((each) => heldUpBy(topology, each) === undefined);
  return {
    checks: list.checks,
    candidate: candidate.state.name,
    others,
    names: namesFor(topology, others.length, confirming.length),
  };
}

/** What has a node answer that does not. */
const bringsBack = (
  topology: ClusterTopology,
  cluster: string,
  { name, missing, container }: CandidateState,
): string => (missing === true ? makeContainer(topology, name) : wakeCommand(cluster, name, container));
