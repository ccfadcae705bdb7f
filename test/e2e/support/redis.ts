import { setTimeout as sleep } from 'node:timers/promises';
import { observeRedis } from '../../../src/activities/redis/observe';
import { RedisWriters, type RedisWindow } from '../../../src/bench/redis-writers';
import { redisFindings } from '../../../src/cluster/redis/health';
import { mastersOf, type ObservedRedis } from '../../../src/cluster/redis/observed';
import { createDockerClient } from '../../../src/systems/docker';
import { readSecret } from '../../../src/systems/secrets';
import { cluster, docker, waitUntil } from './stack';

if (cluster.redis === undefined) throw new Error('the topology has no Redis');
export const redis = cluster.redis;
export const password = readSecret(redis.passwordFrom, process.env);
const look = { docker: createDockerClient(), environment: process.env, limitMs: 500 };
let counter = 0;

/** What Redis and its Sentinels look like now. */
export const lookAtRedis = (): Promise<ObservedRedis> => observeRedis(look, 'veloz', redis);

/** Who is the master, and who is not, once everything is as it should be. */
export async function wholeRedis(limitMs = 60_000): Promise<{ master: string; replica: string }> {
  let found: { master: string; replica: string } | undefined;
  await waitUntil(
    'Redis being whole',
    async () => {
      const observed = await lookAtRedis();
      const [master] = mastersOf(observed);
      const replica = observed.nodes.find(({ state }) => state?.role === 'replica');
      if (master === undefined || replica === undefined || redisFindings(redis, observed).length > 0) return false;
      // A Sentinel that was told of a move only now finds the replica at its next look.
      if (!observed.sentinels.every(({ state }) => state?.others === 2 && state.replicas.length > 0)) return false;
      found = { master: master.name, replica: replica.name };
      return true;
    },
    limitMs,
  ).catch(async (error: unknown) => {
    const { sentinels, ...observed } = await lookAtRedis();
    const findings = redisFindings(redis, { ...observed, sentinels });
    throw new Error(`${(error as Error).message}; ${JSON.stringify({ findings, sentinels }, null, 1)}`);
  });
  return found!;
}

/** Everything of Redis runs again, whatever a test left. */
export async function recoveredRedis(): Promise<void> {
  for (const { name } of [...redis.nodes, ...redis.sentinels]) {
    const status = docker('inspect', '-f', '{{.State.Status}}', name).trim();
    if (status === 'paused') docker('unpause', name);
    if (status === 'exited') docker('start', name);
  }
  await wholeRedis();
}

/** Four clients that send again, two of which wait for a replica, while something happens. */
export async function underWrites(body: () => Promise<void>): Promise<RedisWindow> {
  const writers = new RedisWriters({ topology: redis, password }, `e2e:${process.pid}:${++counter}`, 4, 50);
  try {
    await writers.start();
    await body();
    const before = writers.acknowledgedSoFar();
    await waitUntil('further acknowledged writes', () => writers.acknowledgedSoFar() > before + 20);
    await sleep(100);
  } finally {
    await writers.stop();
  }
  return writers.result((await wholeRedis()).master);
}
