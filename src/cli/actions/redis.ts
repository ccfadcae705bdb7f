import { observeRedis } from '../../activities/redis/observe';
import { redisFindings } from '../../cluster/redis/health';
import { selectCluster } from '../../cluster/topology';
import { exitCodes } from '../../failures';
import { redisPicture, redisText } from '../../report/redis';
import { createDockerClient } from '../../systems/docker';
import { Problem } from '../../systems/problem';
import { loadTopology, topologyPath } from '../../systems/topology-file';
import { parseRedisFailoverInput, type RedisFailoverInput } from '../../workflows/redis-input';
import { clusterName } from '../context';
import { print, printDocument, type Cli } from '../io';
import { checkedInput, commonInput, launch, type LaunchOptions } from './launch';

/** Options of `redis failover`. */
export interface RedisFailoverOptions extends LaunchOptions {
  to?: string;
  expectedMaster?: string;
  repair?: boolean;
}

/** `redis status`: nodes and Sentinels, and what is not as it should be. Looks directly, without Temporal. */
export async function redisStatus(cli: Cli, options: { cluster?: string }): Promise<number> {
  const topology = loadTopology();
  const selected = selectCluster(topology, clusterName(cli, options.cluster));
  if ('error' in selected)
    throw new Problem('BadInput', selected.error, {
      next: `veloz-ha redis status --cluster ${Object.keys(topology.clusters)[0]}   # the topology is ${topologyPath()}`,
    });
  const { redis } = selected.cluster;
  if (redis === undefined)
    throw new Problem('BadInput', `cluster ${selected.name} has no Redis`, {
      why: `${topologyPath()} has no clusters.${selected.name}.redis`,
      next: `veloz-ha postgres status --cluster ${selected.name}`,
    });
  const look = { docker: createDockerClient(topology.docker?.socketPath), environment: process.env };
  const observed = await observeRedis(look, selected.name, redis);
  const picture = redisPicture(observed, redisFindings(redis, observed));
  const healthy = !picture.findings.some(({ result }) => result === 'refuse');
  if (cli.format === 'json' || cli.format === 'jsonl') printDocument(cli, { version: 1, healthy, redis: picture });
  else if (cli.quiet) print(cli, healthy ? 'healthy' : 'unhealthy');
  else print(cli, redisText(picture, cli.style));
  return healthy ? exitCodes.ok : exitCodes.unhealthy;
}

/** `redis failover`: moves the master, forces a failover or mends what one left, after a plan and a question, or `--yes`. */
export function redisFailover(cli: Cli, options: RedisFailoverOptions): Promise<number> {
  const command = 'veloz-ha redis failover';
  const given: RedisFailoverInput = {
    ...commonInput(cli, options),
    target: options.to,
    expectedMaster: options.expectedMaster,
    only: options.repair === true ? 'repair' : undefined,
  };
  const input = checkedInput(given, parseRedisFailoverInput, command);
  return launch(cli, { workflow: 'redisFailover', runbook: 'redis-failover', command, input }, options);
}
