import { rolesOf, type TierRoles } from '../cluster/maintenance/roles';
import type { Tier } from '../cluster/maintenance/sides';
import type { Target } from './target';
import { TiersLook } from './tiers-look';

/** Who does what now in each tier that the cluster has. */
export const rolesNow = async (target: Target): Promise<TierRoles[]> => rolesOf(await new TiersLook(target).observe());

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
