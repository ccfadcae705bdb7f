import { formatMs } from '../duration';
import { redisCli } from './commands';
import { HEARD_MS, whoHears, type ObservedRedis, type ObservedRedisNode } from './observed';
import type { RedisAnswer } from './watch';

/*
 * A node that goes on for whoever is connected, and lets nobody new in: all of its places are taken, or its password, its port or its
 * addresses were changed. Replicas and Sentinels keep the connections that they have, so that nobody fails over, and nobody gets in to mend
 * it.
 */

/** What somebody is told, by Redis or by its machine, whom it does not let in. */
const REFUSES =
  /max number of clients|WRONGPASS|NOAUTH|without any password|ECONNREFUSED|ECONNRESET|Connection is closed/;

/** What to run about a node that others hear from: its start has the settings back, and all places free. */
export const knock = ({ name, error }: { name: string; error?: string | undefined }): string =>
  REFUSES.test(error ?? '') ? `docker restart ${name}` : redisCli(name, 'ping');

/**
 * Why a master lets nobody new in, in a sentence without full stop, with the next command; undefined where it does, or where the question
 * over the connection that is held got no answer either. Pure.
 */
export function barredSays(observed: ObservedRedis, answer: RedisAnswer, master: string): string | undefined {
  const node = observed.nodes.find(({ name }) => name === master);
  if (!answer.answered || answer.role === 'replica' || node?.state !== null) return undefined;
  // It has ended since it was asked.
  if (!node.container.running && node.container.status !== 'unknown') return undefined;
  return `${master} lets nobody new in, and goes on for those who are connected (${node.error ?? 'no answer'}; limit: a new connection gets an answer). Next: ${knock(node)}`;
}

/** A node that gives no answer here, and that runs and is heard by others; undefined where there is none. Pure. */
export function heardByOthers(
  observed: ObservedRedis,
): { node: ObservedRedisNode; refusal: string; measured: string } | undefined {
  for (const node of observed.nodes) {
    const hear = node.state === null && node.container.running ? whoHears(observed, node.name) : [];
    if (hear.length === 0) continue;
    const bars = REFUSES.test(node.error ?? '');
    return {
      node,
      refusal: `${node.name} ${bars ? 'lets nobody new in' : 'gives no answer here'}, and goes on for those who are connected`,
      measured: `${node.error ?? 'no answer'}; ${hear.join(', ')} heard from it within ${formatMs(HEARD_MS)}`,
    };
  }
  return undefined;
}
