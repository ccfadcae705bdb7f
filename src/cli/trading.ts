import { observeEngines } from '../activities/engine/observe';
import { observeRedis } from '../activities/redis/observe';
import { engineFindings } from '../cluster/engine/health';
import { engineMembers } from '../cluster/engine/members';
import type { ObservedEngines } from '../cluster/engine/observed';
import { redisFindings } from '../cluster/redis/health';
import type { ObservedRedis } from '../cluster/redis/observed';
import type { ClusterTopology } from '../cluster/topology';
import type { EnginesPicture } from '../report/engine';
import { redisPicture } from '../report/redis';
import type { TradingPicture } from '../report/trading';
import { createDockerClient } from '../systems/docker';
import type { Environment } from '../systems/secrets';
import { loadTopology } from '../systems/topology-file';

/** A tier that takes longer is told as one that gave no answer, in milliseconds: the others must not wait for it. */
const TIER_LIMIT_MS = 4_000;

/** The containers of Redis, the engines and HAProxy, as the topology has them. */
export function tradingContainers({ redis, engines, haproxy }: ClusterTopology): string[] {
  const nodes = [...(redis?.nodes ?? []), ...(redis?.sentinels ?? []), ...(engines?.nodes ?? [])];
  return [...nodes, ...(haproxy === undefined ? [] : [haproxy])].map(({ name }) => name);
}

/**
 * Looks at Redis, the engines and HAProxy of a cluster, directly and all at once. What does not answer is part of the
 * picture. A tier that the topology does not have is left out.
 */
export async function observeTrading(
  name: string,
  cluster: ClusterTopology,
  environment: Environment,
): Promise<TradingPicture> {
  const topology = loadTopology(environment);
  const docker = createDockerClient(topology.docker?.socketPath);
  const { redis, engines, haproxy } = cluster;
  const deps = {
    topology,
    docker,
    identity: 'cli',
    environment,
    handoverCost: () => undefined,
    lockHolder: () => Promise.resolve(undefined),
  };
  const [seenRedis, seenEngines] = await Promise.all([
    redis === undefined ? undefined : within(observeRedis({ docker, environment }, name, redis)),
    engines === undefined || haproxy === undefined ? undefined : within(observeEngines(deps, name)),
  ]);
  if (tradingContainers(cluster).length === 0) return {};
  const started = ![seenRedis, seenEngines].every(
    (tier) => tier === undefined || (typeof tier !== 'string' && isAbsent(tier)),
  );
  if (!started) return { started };
  const silent = {
    ...(typeof seenRedis === 'string' ? { redis: seenRedis } : {}),
    ...(typeof seenEngines === 'string' ? { engines: seenEngines } : {}),
  };
  return {
    started,
    ...(redis !== undefined && typeof seenRedis === 'object'
      ? { redis: redisPicture(seenRedis, redisFindings(redis, seenRedis)) }
      : {}),
    ...(typeof seenEngines === 'object' ? { engines: enginesPicture(name, seenEngines) } : {}),
    ...(Object.keys(silent).length === 0 ? {} : { silent }),
  };
}

const enginesPicture = (name: string, seen: ObservedEngines): EnginesPicture => ({
  name,
  members: engineMembers(seen),
  findings: engineFindings(seen),
});

/** Docker says that there is not one container of the tier, and nothing answers in their place. */
export function isAbsent(seen: ObservedRedis | ObservedEngines): boolean {
  if ('sentinels' in seen)
    return [...seen.nodes, ...seen.sentinels].every(
      ({ container, state }) => container.status === 'absent' && state === null,
    );
  return (
    seen.engines.every(({ container, health }) => container.status === 'absent' && health === null) &&
    seen.proxy.container.status === 'absent' &&
    seen.proxy.servers === null
  );
}

/** The answer, or why there is none. */
async function within<T>(look: Promise<T>): Promise<T | string> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer within ${TIER_LIMIT_MS / 1000} s`), TIER_LIMIT_MS);
  });
  try {
    return await Promise.race([look.catch((error: unknown) => (error as Error).message), limit]);
  } finally {
    clearTimeout(timer);
  }
}
