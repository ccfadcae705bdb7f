import { healthFindings } from '../../cluster/health';
import { engineFindings } from '../../cluster/engine/health';
import { rolesOf, type TierRoles } from '../../cluster/maintenance/roles';
import { redisFindings } from '../../cluster/redis/health';
import { isCalm, type Guarded } from '../guarded';
import type { Target } from '../target';
import { TiersLook } from '../tiers-look';

/** What was seen of the cluster, looking at every system directly. */
export interface Look {
  roles: TierRoles[];
  /** What is not as it should be, in words. Empty: healthy. */
  amiss: string[];
}

/** Looks at every tier of a cluster, apart from its guard. */
export class Looker {
  private readonly tiers: TiersLook;

  /** @param runs which tiers besides PostgreSQL run */
  constructor(
    private readonly target: Target,
    runs: { redis: boolean; engines: boolean },
  ) {
    this.tiers = new TiersLook(target, runs);
  }

  async look(): Promise<Look> {
    const { cluster } = this.target;
    const seen = await this.tiers.observe();
    const { postgres, redis, engines } = seen;
    const findings = [
      ...healthFindings(cluster, postgres),
      ...(redis === undefined || cluster.redis === undefined ? [] : redisFindings(cluster.redis, redis)),
      ...(engines === undefined ? [] : engineFindings(engines)),
    ];
    return {
      roles: rolesOf(seen),
      amiss: findings
        .filter(({ result }) => result === 'refuse')
        .map(({ id, says, measured }) => `${id} ${says}: ${measured}`),
    };
  }
}

/** What the guard says is not as it should be, in words; empty while it is calm. */
export async function guardAmiss(guarded: Guarded): Promise<string[]> {
  try {
    const state = await guarded.state();
    if (isCalm(state)) return [];
    const { ledger, sees, waitsFor, acting, backoffUntil } = state;
    const doing = acting === undefined ? '' : `; it does: ${acting.what} (${acting.workflowId})`;
    const waiting =
      backoffUntil === undefined || backoffUntil < Date.now()
        ? ''
        : `; it waits until ${new Date(backoffUntil).toISOString()}`;
    return [`guard: ledger ${ledger.state} (${ledger.why}); sees: ${sees} waits for: ${waitsFor}${doing}${waiting}`];
  } catch (error) {
    return [`guard: ${(error as Error).message}`];
  }
}
