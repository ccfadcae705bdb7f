import { isKilled } from '../guard/mending';
import type { RedisTopology } from '../topology';
import { decideRedis } from './decide';
import { answeringSentinels, majorityOf, mastersOf, namedMaster, upstreamOf, type ObservedRedis } from './observed';
import { waitingSentinel } from './waiting';
import { whoFailsOver } from './watch';

/*
 * Nodes that a machine may start, or end and start, while no master answers. A node starts read-only and takes no role but the one that a
 * majority of the Sentinels gives it (docs/redis.md), so none becomes a second master by that. But the Sentinels choose whoever answers:
 * one that lacks what the master has is not started beside it.
 */

/**
 * A master that was killed is for a run, which has a replica take over, or starts it first. Where none has come to that within this time, in
 * milliseconds, it is started as other nodes are, and what else was killed with it.
 */
export const MASTER_FIRST_MS = 20_000;

/** What may be started. */
export interface Startable {
  nodes: string[];
  /** They have to have been dead for this long, in milliseconds; absent: as long as Docker takes to start one that crashed. */
  settleMs?: number;
}

/** The nodes that were killed, on their networks. What a person stopped stays stopped. */
export const killedIn = (observed: ObservedRedis): string[] =>
  observed.nodes
    .filter(({ state, container }) => state === null && container.offNetworks === undefined && isKilled(container))
    .map(({ name }) => name);

/**
 * The nodes that were killed and may be started although no master answers. Pure. None while a Sentinel fails over. Those that lack what
 * the master has stay as they are: beside a master that hangs or is cut off they would be chosen in its place.
 *
 * Where the Sentinels lost what they knew they wait for every node, and then name the one that remembers the newest master: all are started.
 * @param master the master as far as the guard knows; null while it knows none
 * @param hadAll whether a replica had what the master had when that one was last heard, but for seconds
 */
export function killedWithoutMaster(
  observed: ObservedRedis,
  master: string | null,
  hadAll: (replica: string) => boolean,
): Startable {
  if (mastersOf(observed).length > 0 || whoFailsOver(observed) !== undefined) return { nodes: [] };
  const killed = killedIn(observed);
  const named = namedMaster(observed);
  if (waitingSentinel(observed) !== undefined && answeringSentinels(observed).length < majorityOf(observed))
    return { nodes: killed };
  const its = observed.nodes.find(({ name }) => name === master);
  if (its === undefined || named !== its.name) return { nodes: [] };
  // It answers as a replica of that one, and was connected to it: it has no more than that one.
  const followed =
    its.state !== null && its.state.upstream?.downMs != null
      ? upstreamOf(observed, { ...its, state: its.state })
      : undefined;
  const nodes = killed.filter((name) => name === its.name || name === followed || hadAll(name));
  return killed.includes(its.name) ? { nodes, settleMs: MASTER_FIRST_MS } : { nodes };
}

/**
 * A master that runs or is frozen, that has answered nobody for long, and from which nobody can take over: what the guard would start
 * ({@link decideRedis}) is refused. Its process is to be ended and started, since it has its data. Pure. To be asked only where it is
 * certain that nobody hears from it.
 */
export function hungWithoutHeir(topology: RedisTopology, observed: ObservedRedis, master: string): string[] {
  const its = observed.nodes.find(({ name }) => name === master);
  if (its === undefined || its.state !== null || its.container.offNetworks !== undefined) return [];
  if (!['running', 'paused'].includes(its.container.status)) return [];
  const { kind } = decideRedis(topology, observed, { expectedMaster: master, only: 'repair', leaveStopped: true });
  return kind === 'none' ? [master] : [];
}
