import type { actions as allActions } from './actions';
import { clusterOption, type Builder, type HaCommand } from './command';

/** `redis …`: what is. */
export function addRedis(program: HaCommand, build: Builder, actions: typeof allActions): void {
  const redis = build.command(program, 'redis', 'Redis and its Sentinels: status', ['veloz-ha redis status']);
  const status = build.command(redis, 'status', 'nodes and Sentinels, and what is not as it should be', [
    'veloz-ha redis status',
    'veloz-ha redis status -o json',
  ]);
  clusterOption(status);
  build.act(status, actions.redisStatus);
}
