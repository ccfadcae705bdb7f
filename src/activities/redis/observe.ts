import type { OffNetworks } from '../../cluster/off-networks';
import type {
  ObservedRedis,
  ObservedRedisNode,
  ObservedSentinel,
  RedisContainer,
  RedisState,
} from '../../cluster/redis/observed';
import { internalRedisEndpoint, type RedisNode, type RedisTopology, type SentinelNode } from '../../cluster/topology';
import type { DockerClient } from '../../systems/docker';
import { RedisNodeClient } from '../../systems/redis';
import { SentinelClient } from '../../systems/redis-sentinel';
import { readSecret, type Environment } from '../../systems/secrets';
import { withinLimit } from '../guard/probe';
import { howItEnded } from '../how-it-ended';
import { offNetworks } from '../put-back';

/** A Docker that takes longer gives no answer, in milliseconds. */
const INSPECT_LIMIT_MS = 1000;

/** What a look at Redis is made of. */
export interface RedisLook {
  docker: Pick<DockerClient, 'inspect' | 'toldToStop' | 'attachments' | 'volumes'>;
  environment: Environment;
  /** How long each node and Sentinel may take to connect, and then for each answer, in milliseconds. */
  limitMs?: number;
}

/**
 * Looks at every Redis node and every Sentinel, all at once. A master is asked for a write of which nothing comes. Changes nothing and never fails for one that does not answer:
 * that is part of the picture.
 */
export async function observeRedis(look: RedisLook, cluster: string, redis: RedisTopology): Promise<ObservedRedis> {
  const at = Date.now();
  const [nodes, sentinels] = await Promise.all([
    Promise.all(redis.nodes.map((node) => observeNode(look, redis, node))),
    Promise.all(redis.sentinels.map((sentinel) => observeSentinel(look, redis, sentinel))),
  ]);
  return { cluster, at, nodes, sentinels };
}

async function observeNode(look: RedisLook, redis: RedisTopology, node: RedisNode): Promise<ObservedRedisNode> {
  const [container, said] = await Promise.all([
    containerOf(look, node.name),
    answer(
      () => RedisNodeClient.open(node.address, readSecret(redis.passwordFrom, look.environment), look.limitMs),
      nodeSays,
    ),
  ]);
  const off = said.state === null && container.exists ? await whyOff(look, node.name) : undefined;
  return {
    name: node.name,
    internal: internalRedisEndpoint(node),
    container: { ...container, ...(off === undefined ? {} : { offNetworks: off }) },
    ...said,
  };
}

/** What a node says about itself. Last comes the write, behind which other answers would wait. */
async function nodeSays(client: RedisNodeClient): Promise<RedisState> {
  const [state, settings, denied] = await Promise.all([client.state(), client.settings(), client.denied()]);
  const refusesWrites = state.role === 'master' ? await client.whyNoWrite() : undefined;
  return {
    ...state,
    ...(denied.length === 0 ? {} : { denied }),
    ...(settings === undefined ? {} : { settings }),
    ...(refusesWrites === undefined ? {} : { refusesWrites }),
  };
}

async function observeSentinel(
  look: RedisLook,
  redis: RedisTopology,
  { name, address }: SentinelNode,
): Promise<ObservedSentinel> {
  const [container, said] = await Promise.all([
    containerOf(look, name),
    answer(
      () => SentinelClient.open(address, readSecret(redis.passwordFrom, look.environment), look.limitMs),
      (client) => client.state(redis.master),
    ),
  ]);
  return { name, container, ...said };
}

/** Docker's word; a Docker that gives no answer is a part of the picture too. */
async function containerOf({ docker }: RedisLook, name: string): Promise<RedisContainer> {
  try {
    const { exists, running, status, exitCode, toldToStop } = await howItEnded(docker, name, INSPECT_LIMIT_MS);
    return {
      exists,
      running,
      status,
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(toldToStop === undefined ? {} : { toldToStop }),
    };
  } catch {
    return { exists: false, running: false, status: 'unknown' };
  }
}

/** Why a node that gives no answer is on no network; undefined where it is on one, or Docker does not say. */
const whyOff = ({ docker }: RedisLook, name: string): Promise<OffNetworks | undefined> =>
  withinLimit(offNetworks(docker, name), INSPECT_LIMIT_MS).catch(() => undefined);

/** One question on a connection of its own. A secret that can't be read is told like a node that does not answer. */
async function answer<Client extends { close(): void }, State>(
  open: () => Promise<Client>,
  ask: (client: Client) => Promise<State>,
): Promise<{ state: State | null; error?: string }> {
  let client: Client | undefined;
  try {
    client = await open();
    return { state: await ask(client) };
  } catch (error) {
    return { state: null, error: (error as Error).message };
  } finally {
    client?.close();
  }
}
