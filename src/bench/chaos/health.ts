import { createActivities } from '../../activities';
import { healthFindings } from '../../cluster/health';
import { engineFindings } from '../../cluster/engine/health';
import { rolesOf, type TierRoles } from '../../cluster/maintenance/roles';
import { tiersOf } from '../../cluster/maintenance/sides';
import { redisFindings } from '../../cluster/redis/health';
import { createDockerClient } from '../../systems/docker';
import { loadTopology } from '../../systems/topology-file';
import { isCalm, type Guarded } from '../guarded';
import type { Target } from '../target';

/** What was seen of the cluster, looking at every system directly. */
export interface Look {
  roles: TierRoles[];
  /** What is not as it should be, in words. Empty: healthy. */
  amiss: string[];
}

/** Looks at every tier of a cluster, apart from its guard. */
export class Looker {
  private readonly looks: ReturnType<typeof createActivities>;

  /** @param tiers are those that run */
  constructor(
    private readonly target: Target,
    private readonly tiers: { redis: boolean; engines: boolean },
  ) {
    const topology = loadTopology();
    this.looks = createActivities({
      topology,
      identity: 'bench',
      docker: createDockerClient(topology.docker?.socketPath),
      environment: process.env,
      handoverCost: () => undefined,
      lockHolder: () => Promise.resolve(undefined),
    });
  }

  async look(): Promise<Look> {
    const { name, cluster } = this.target;
    const has = tiersOf(cluster);
    const [postgres, redis, engines] = await Promise.all([
      this.looks.observe(name),
      this.tiers.redis && has.includes('redis') ? this.looks.observeRedis(name) : undefined,
      this.tiers.engines && has.includes('engine') ? this.looks.observeEngines(name) : undefined,
    ]);
    const findings = [
      ...healthFindings(cluster, postgres),
      ...(redis === undefined || cluster.redis === undefined ? [] : redisFindings(cluster.redis, redis)),
      ...(engines === undefined ? [] : engineFindings(engines)),
    ];
    return {
      roles: rolesOf({
        postgres,
        ...(redis === undefined ? {} : { redis }),
        ...(engines === undefined ? {} : { engines }),
      }),
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
