import { redisFailover } from './commands';
import { decideRedis } from './decide';
import { mastersOf, type ObservedRedis } from './observed';
import type { RedisTopology } from '../topology';

/**
 * A master whose disk takes no writes (`MISCONF`) has this long until the guard moves it away, in milliseconds. It refuses PING as well, so
 * the Sentinels take it for down after their 5 s, and go first where a majority of them can.
 */
export const REFUSES_MS = 8000;

/**
 * The move that mends a master which refuses writes since its disk takes none, and the command for it; undefined where it takes them,
 * refuses for another reason, or a planned move would be refused. Pure. The replica's disk is another one; and a planned move loses nothing.
 */
export function moveThatMends(
  topology: RedisTopology,
  observed: ObservedRedis,
): { target: string; next: string } | undefined {
  const refuses = mastersOf(observed).some(({ state }) => state.refusesWrites?.startsWith('MISCONF') === true);
  if (!refuses) return undefined;
  const { kind, target } = decideRedis(topology, observed, {});
  return kind === 'planned' && target !== undefined ? { target, next: redisFailover(observed.cluster) } : undefined;
}
