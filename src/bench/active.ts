import { createActivities } from '../activities';
import { rolesOf, type TierRoles } from '../cluster/maintenance/roles';
import { tiersOf, type Tier } from '../cluster/maintenance/sides';
import { createDockerClient } from '../systems/docker';
import { loadTopology } from '../systems/topology-file';
import type { Target } from './target';

/** Who does what now in each tier that the cluster has. */
export async function rolesNow({ name, cluster }: Target): Promise<TierRoles[]> {
  const topology = loadTopology();
  const looks = createActivities({
    topology,
    identity: 'bench',
    docker: createDockerClient(topology.docker?.socketPath),
    environment: process.env,
    handoverCost: () => undefined,
    lockHolder: () => Promise.resolve(undefined),
  });
  const has = tiersOf(cluster);
  const [postgres, redis, engines] = await Promise.all([
    looks.observe(name),
    has.includes('redis') ? looks.observeRedis(name) : undefined,
    has.includes('engine') ? looks.observeEngines(name) : undefined,
  ]);
  return rolesOf({
    postgres,
    ...(redis === undefined ? {} : { redis }),
    ...(engines === undefined ? {} : { engines }),
  });
}

/** The node that is active in each tier, by name. A tier without exactly one is left out. */
export function activeOf(roles: readonly TierRoles[]): Partial<Record<Tier, string>> {
  return Object.fromEntries(
    roles.flatMap(({ tier, nodes }) => {
      const [active, ...more] = nodes.filter(({ standing }) => standing === 'active');
      return active === undefined || more.length > 0 ? [] : [[tier, active.name] as const];
    }),
  );
}

/** The same, of now. */
export const activeNodes = async (target: Target): Promise<Partial<Record<Tier, string>>> =>
  activeOf(await rolesNow(target));
