import { formatMs } from '../duration';
import {
  answeringNodes,
  heardAgo,
  HEARD_MS,
  mastersOf,
  nodeAt,
  type ObservedRedis,
  type SeenReplicas,
} from './observed';

/*
 * Replicas that the topology does not have. `WAIT` counts whoever follows the master, and nobody asks a stranger what it holds: what only
 * it has confirmed is lost with the master. The master's own list, which tells of it, is gone by then; so it is remembered.
 */

/** A list that was read longer than this before the master failed, in milliseconds, tells nothing: the guard reads it every 3 s. */
const SEEN_WITHIN_MS = 10_000;

/** The replicas of a node that the topology does not have, by address. */
export function strangersOf(observed: ObservedRedis, name: string): string[] {
  const node = answeringNodes(observed).find((each) => each.name === name);
  return (node?.state.replicas ?? [])
    .filter((replica) => nodeAt(observed, replica) === undefined)
    .map(({ host, port }) => `${host}:${port}`);
}

/** What is known after one more look; unchanged where that look did not get the list of the one master. Pure. */
export function nextSeen(
  before: SeenReplicas | undefined,
  observed: ObservedRedis,
  name: string,
): SeenReplicas | undefined {
  const [master, second] = mastersOf(observed);
  if (master?.name !== name || second !== undefined) return before;
  const { at } = observed;
  const known = before?.master === name ? before : undefined;
  const now = strangersOf(observed, name);
  const had = known?.strangers ?? [];
  if (now.length > 0) return { master: name, at, strangers: [...new Set([...had, ...now])] };
  const { replicationId: history, offset } = master.state;
  const owed = known?.owed ?? { history, offset };
  const others = observed.nodes.filter((node) => node !== master);
  const everyoneHas = others.every(
    ({ state }) =>
      state?.upstream?.up === true &&
      state.replicationId === history &&
      // Of another history all of it was copied.
      (history !== owed.history || state.offset >= owed.offset),
  );
  if (had.length === 0 || everyoneHas) return { master: name, at, strangers: [] };
  return { master: name, at, strangers: had, owed };
}

/** The newer of two. */
export const newerSeen = (one: SeenReplicas | undefined, other: SeenReplicas | undefined): SeenReplicas | undefined =>
  one === undefined || (other !== undefined && other.at > one.at) ? other : one;

/** The strangers in half a sentence; undefined where there was none. */
export function strangersSay(seen: SeenReplicas | undefined): string | undefined {
  if (seen === undefined || seen.strangers.length === 0) return undefined;
  const { master, strangers } = seen;
  return `${strangers.join(' and ')}, which the topology does not have, ${strangers.length === 1 ? 'was a replica' : 'were replicas'} of ${master}`;
}

/** Why it is not known whether a master that failed had such a replica, in half a sentence; undefined where it is. */
export function whyUnseen(observed: ObservedRedis, master: string): string | undefined {
  const { seen } = observed;
  const list = `its list of replicas, which may have had one that the topology does not have,`;
  if (seen?.master !== master) return `no guard read ${list} before it failed`;
  const agoMs = observed.at - seen.at;
  // Two workers of one machine, or a look that began a moment before, may differ a little.
  if (agoMs < -HEARD_MS)
    return `the guard read ${list} ${formatMs(-agoMs)} later than this look by the clock of this look: a clock was set`;
  const heard = heardAgo(observed, master);
  if (heard.length === 0)
    return agoMs > SEEN_WITHIN_MS
      ? `the guard read ${list} ${formatMs(agoMs)} ago, and no Sentinel that answers has ever heard from it (limit: ${formatMs(SEEN_WITHIN_MS)})`
      : undefined;
  // The latest word of its life: an older look would count as fresh by a Sentinel that has been blind for long. A list that was read
  // later still is no older than that: a master whose disk fails, or that the Sentinels are cut off from, is read on.
  const beforeMs = agoMs - Math.min(...heard);
  return beforeMs > SEEN_WITHIN_MS
    ? `the guard read ${list} ${formatMs(beforeMs)} before it failed (limit: ${formatMs(SEEN_WITHIN_MS)})`
    : undefined;
}
