import type { TierRoles } from '../../cluster/maintenance/roles';
import type { ClusterTopology } from '../../cluster/topology';

/** Containers by the role that they have when a round begins. */
export type Places = Readonly<Record<string, string>>;

/** Which container is where, by roles that were just looked at. A role that nobody has is filled by the topology's order. Pure. */
export function placesOf(cluster: ClusterTopology, standbys: 1 | 2, roles: readonly TierRoles[]): Places {
  const taking = cluster.postgres.nodes.filter((node) => standbys === 2 || !node.optional).map(({ name }) => name);
  const ordered = (tier: TierRoles['tier'], names: readonly string[]): string[] => {
    const active = roles.find((one) => one.tier === tier)?.nodes.find(({ standing }) => standing === 'active')?.name;
    return active === undefined ? [...names] : [active, ...names.filter((name) => name !== active)];
  };
  const named = (labels: readonly string[], names: readonly string[]) =>
    labels.flatMap((label, index) => {
      const name = names[index];
      return name === undefined ? [] : [[label, name] as const];
    });
  const names = (nodes: readonly { name: string }[] = []) => nodes.map(({ name }) => name);
  return Object.fromEntries([
    ...named(['primary', 'standby', 'standby-2'], ordered('postgres', taking)),
    ...named(['pooler'], names(cluster.pgbouncer.nodes)),
    ...named(['redis-master', 'redis-replica'], ordered('redis', names(cluster.redis?.nodes))),
    ...named(['sentinel-1', 'sentinel-2', 'sentinel-3'], names(cluster.redis?.sentinels)),
    ...named(['engine-active', 'engine-standby'], ordered('engine', names(cluster.engines?.nodes))),
    ...(cluster.haproxy === undefined ? [] : [['haproxy', cluster.haproxy.name] as const]),
  ]);
}
