import type { ClusterTopology } from '../topology';

/** What can be moved away from a node, in the order in which it is: nearest to the clients first. Back goes the other way round. */
export const tiers = ['engine', 'redis', 'postgres'] as const;
/** One of {@link tiers}. */
export type Tier = (typeof tiers)[number];

/** What a tier is called in a sentence. */
export const tierName: Readonly<Record<Tier, string>> = {
  engine: 'the engine',
  redis: 'Redis',
  postgres: 'PostgreSQL',
};
/** What its active member is called. */
export const activeWord: Readonly<Record<Tier, string>> = {
  engine: 'active engine',
  redis: 'Redis master',
  postgres: 'PostgreSQL primary',
};

/** One of the two sides of a cluster. */
export type Side = 1 | 2;

interface SidedNode {
  name: string;
  side?: Side | undefined;
}

/** A tier's nodes, in the topology's order; empty where the cluster has no such tier. */
export function nodesOf(topology: ClusterTopology, tier: Tier): readonly SidedNode[] {
  switch (tier) {
    case 'engine':
      // Engines are moved through the HAProxy in front of them: without one there is nothing to steer by.
      return topology.haproxy === undefined ? [] : (topology.engines?.nodes ?? []);
    case 'redis':
      return topology.redis?.nodes ?? [];
    case 'postgres':
      return topology.postgres.nodes;
  }
}

/** The tiers that a cluster has. */
export const tiersOf = (topology: ClusterTopology): Tier[] =>
  tiers.filter((tier) => nodesOf(topology, tier).length > 0);

/** The nodes of one side: those that say so, and else by their place in the list. */
export function nodesOfSide(topology: ClusterTopology, side: Side): string[] {
  return tiers.flatMap((tier) =>
    nodesOf(topology, tier)
      .filter((node, index) => (node.side ?? index + 1) === side)
      .map(({ name }) => name),
  );
}
