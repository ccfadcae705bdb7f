import { createActivities } from '../activities';
import type { ObservedTiers } from '../cluster/maintenance/roles';
import { tiersOf } from '../cluster/maintenance/sides';
import { createDockerClient } from '../systems/docker';
import { loadTopology } from '../systems/topology-file';
import type { Target } from './target';

/** Looks at the tiers of a cluster directly, apart from its guard and its workers. */
export class TiersLook {
  private readonly looks: ReturnType<typeof createActivities>;

  /** @param runs which tiers besides PostgreSQL run; those that the cluster does not have are left out anyway */
  constructor(
    private readonly target: Target,
    private readonly runs: { redis: boolean; engines: boolean } = { redis: true, engines: true },
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

  async observe(): Promise<ObservedTiers> {
    const { name, cluster } = this.target;
    const has = tiersOf(cluster);
    const [postgres, redis, engines] = await Promise.all([
      this.looks.observe(name),
      this.runs.redis && has.includes('redis') ? this.looks.observeRedis(name) : undefined,
      this.runs.engines && has.includes('engine') ? this.looks.observeEngines(name) : undefined,
    ]);
    return {
      postgres,
      ...(redis === undefined ? {} : { redis }),
      ...(engines === undefined ? {} : { engines }),
    };
  }
}
