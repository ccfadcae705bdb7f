import type { Check } from '../check';
import { Checklist } from '../switchover/checklist';
import type { ClusterTopology } from '../topology';
import { maintenanceStart, scopeName, tierStatus, type Scope } from './commands';
import type { NodeRole, TierRoles } from './roles';
import { activeWord, nodesOf, nodesOfSide, tiers, type Tier } from './sides';

/** One move of what is active in a tier. */
export interface TierMove {
  tier: Tier;
  from: string;
  to: string;
}

/** What a maintenance would move, in this order, one after the other. */
export interface MaintenanceDecision {
  checks: Check[];
  /** Nodes that are to be free of anything active. */
  leaving: string[];
  moves: TierMove[];
}

/** The id under which the safety checklist asks for exactly one active member. */
const oneActive: Readonly<Record<Tier, string>> = { engine: 'L4', redis: 'L3', postgres: 'A3' };

/** What has to be moved away from a side, or from nodes, before somebody works on them. Pure. */
export function decideAway(
  topology: ClusterTopology,
  cluster: string,
  roles: readonly TierRoles[],
  scope: Scope,
): MaintenanceDecision {
  const list = new Checklist();
  const leaving = scope.side === undefined ? [...(scope.nodes ?? [])] : nodesOfSide(topology, scope.side);
  const decision: MaintenanceDecision = { checks: list.checks, leaving, moves: [] };
  checkNames(list, topology, cluster, leaving);
  checkSentinels(list, topology, cluster, leaving);
  for (const tier of roles) {
    if (!tier.nodes.some(({ name }) => leaving.includes(name))) continue;
    const active = checkOneActive(list, cluster, tier);
    if (active === undefined || !leaving.includes(active.name)) continue;
    const to = checkSomebody(list, cluster, tier, active, leaving, scope);
    if (to !== undefined) decision.moves.push({ tier: tier.tier, from: active.name, to: to.name });
  }
  return decision;
}

/**
 * What has to be moved so that everything is where it was before. In the reverse order. Pure.
 * @param away what was moved away, in that order
 */
export function decideBack(
  cluster: string,
  roles: readonly TierRoles[],
  away: readonly TierMove[],
): Omit<MaintenanceDecision, 'leaving'> {
  const list = new Checklist();
  const moves: TierMove[] = [];
  for (const { tier, from: home } of [...away].reverse()) {
    const seen = roles.find((one) => one.tier === tier);
    const active = seen === undefined ? undefined : checkOneActive(list, cluster, seen);
    if (active === undefined || active.name === home) continue;
    const node = seen?.nodes.find(({ name }) => name === home);
    const fit = list.require('A2', node !== undefined && node.standing !== 'away', {
      says: `${home} is there to become ${activeWord[tier]} again`,
      refusal: `${home} is not there to become ${activeWord[tier]} again`,
      measured: node?.says ?? 'the topology has no such node any more',
      limit: 'it answers, and may take over',
      next: tierStatus(tier, cluster),
    });
    if (fit) moves.push({ tier, from: active.name, to: home });
  }
  return { checks: list.checks, moves };
}

/** Only what has somebody to take over can be moved away. */
function checkNames(list: Checklist, topology: ClusterTopology, cluster: string, leaving: readonly string[]): void {
  const movable = tiers.flatMap((tier) => nodesOf(topology, tier).map(({ name }) => name));
  const sentinels = topology.redis?.sentinels.map(({ name }) => name) ?? [];
  const strange = leaving.find((name) => !movable.includes(name) && !sentinels.includes(name));
  const single = [...topology.pgbouncer.nodes.map(({ name }) => name), topology.haproxy?.name].includes(strange);
  list.require('A1', strange === undefined, {
    says: 'every node of it is one that something can be moved away from',
    refusal: single
      ? `${strange} is the only one of its kind: nothing can be moved away from it`
      : `${strange} is no node of the cluster from which something could be moved away`,
    measured: leaving.join(', '),
    limit: [...movable, ...sentinels].join(', '),
    next: maintenanceStart(cluster, { side: 1 }),
  });
}

/** Sentinels are not moved: what stays must still be able to agree. */
function checkSentinels(list: Checklist, topology: ClusterTopology, cluster: string, leaving: readonly string[]): void {
  const sentinels = topology.redis?.sentinels ?? [];
  const gone = sentinels.filter(({ name }) => leaving.includes(name)).length;
  if (gone === 0) return;
  const majority = Math.floor(sentinels.length / 2) + 1;
  const needed = Math.max(majority, topology.redis?.quorum ?? 0);
  list.require('L1', sentinels.length - gone >= needed, {
    says: 'enough Sentinels stay to agree on a failover',
    refusal: 'too few Sentinels would stay to agree on a failover',
    measured: `${sentinels.length - gone} of ${sentinels.length} stay`,
    limit: `at least ${needed}`,
    next: tierStatus('redis', cluster),
  });
}

function checkOneActive(list: Checklist, cluster: string, { tier, nodes }: TierRoles): NodeRole | undefined {
  const active = nodes.filter(({ standing }) => standing === 'active');
  const one = list.require(oneActive[tier], active.length === 1, {
    says: `there is one ${activeWord[tier]}`,
    refusal: active.length === 0 ? `there is no ${activeWord[tier]}` : `there is more than one ${activeWord[tier]}`,
    measured:
      active.length === 0
        ? nodes.map(({ name, says }) => `${name}: ${says}`).join('; ')
        : active.map(({ name }) => name).join(', '),
    limit: 'one',
    next: tierStatus(tier, cluster),
  });
  return one ? active[0] : undefined;
}

/** Somebody outside of what is to be cleared can take over; of several the readiest, then the topology's first. */
function checkSomebody(
  list: Checklist,
  cluster: string,
  { tier, nodes }: TierRoles,
  active: NodeRole,
  leaving: readonly string[],
  scope: Scope,
): NodeRole | undefined {
  const others = nodes.filter(({ name }) => !leaving.includes(name));
  const to =
    others.find(({ standing }) => standing === 'ready') ?? others.find(({ standing }) => standing === 'behind');
  list.require('A2', to !== undefined, {
    says: `somebody else can become ${activeWord[tier]} in place of ${active.name}`,
    refusal: `nobody else can become ${activeWord[tier]} in place of ${active.name}`,
    measured:
      others.length === 0
        ? `${scopeName(scope)} has every node that could: ${nodes.map(({ name }) => name).join(', ')}`
        : others.map(({ name, says }) => `${name}: ${says}`).join('; '),
    limit: 'one that answers, and may take over',
    next: tierStatus(tier, cluster),
  });
  return to;
}

/** A move in a few words. */
export const moveSays = ({ tier, from, to }: TierMove): string => `${activeWord[tier]}: ${from} → ${to}`;
