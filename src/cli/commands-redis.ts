import type { actions as allActions } from './actions';
import { clusterOption, type Builder, type HaCommand } from './command';
import { addCommon } from './commands-postgres';

/** `redis …`: what is, and the runbook that moves the master. */
export function addRedis(program: HaCommand, build: Builder, actions: typeof allActions): void {
  const redis = build.command(program, 'redis', 'Redis and its Sentinels: status, failover', [
    'veloz-ha redis status',
    'veloz-ha redis failover --plan',
    'veloz-ha redis failover',
  ]);
  const status = build.command(redis, 'status', 'nodes and Sentinels, and what is not as it should be', [
    'veloz-ha redis status',
    'veloz-ha redis status -o json',
  ]);
  clusterOption(status);
  build.act(status, actions.redisStatus);

  const failover = build.command(
    redis,
    'failover',
    'move the master: planned where it answers, forced where it failed; mends what is left over',
    [
      'veloz-ha redis failover --plan',
      'veloz-ha redis failover                            # shows the plan, asks, shows each step',
      'veloz-ha redis failover --to veloz-redis-replica --reason "new kernel" --yes',
      'veloz-ha redis failover --repair                   # mends what a failover of the Sentinels left',
    ],
  );
  failover.optionsGroup('What:');
  failover.option('--to <node>', 'node to become the master (default: the best replica)');
  failover.option('--expected-master <node>', 'refuse unless this node is the master now, or was before it failed');
  failover.option('--repair', 'mend what is not as it should be, and move nothing');
  addCommon(failover);
  build.act(failover, actions.redisFailover);
}
