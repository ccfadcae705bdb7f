import type { Away } from './away';
import { redisCli, redisFailover } from './commands';
import { answeringNodes, upstreamOf, waitsForCopy, type AnsweringRedis, type ObservedRedis } from './observed';

/*
 * Replicas that answer and are not connected to the master that they follow: another password, a firewall between the two, a copy that
 * breaks off again and again. Clients see nothing of it, until the master fails.
 */

/** It follows that master, and has no connection to it; one that is being copied, or reads its files, is about to have one. */
const isApart = (observed: ObservedRedis, node: AnsweringRedis, master: string): boolean =>
  node.name !== master && upstreamOf(observed, node) === master && node.state.upstream?.up === false;

/** The names of the replicas that have no connection to the master that they follow, also those that are being copied. Pure. */
export const notConnected = (observed: ObservedRedis, master: string): string[] =>
  answeringNodes(observed)
    .filter((node) => isApart(observed, node, master))
    .map(({ name }) => name);

/** Those of them that are not being copied either, and read no files. Pure. A copy that only waits is for nobody to mend. */
export function apartFrom(observed: ObservedRedis, master: string): Away[] {
  const others = answeringNodes(observed).filter(({ name }) => name !== master);
  const apart = others.filter(
    (node) => isApart(observed, node, master) && node.state.upstream?.syncing !== true && !node.state.loading,
  );
  const heirs = others.some((node) => upstreamOf(observed, node) === master && node.state.upstream?.up === true);
  const its = observed.nodes.find(({ name }) => name === master)?.state;
  return apart.map(({ name, internal }) => {
    const waits = waitsForCopy(internal, its);
    const why = waits === undefined ? '' : `, and ${waits}`;
    return {
      name,
      says: `${name} is not connected to ${master}, which it follows${why}${heirs ? '' : ': nobody could take over'}`,
      next: waits === undefined ? redisFailover(observed.cluster, '--repair') : redisCli(master, 'info persistence'),
    };
  });
}
