import type { Position } from '../../cluster/failover/candidates';
import { containerWords, wasStoppedByHand } from '../../cluster/guard/mending';
import { until } from '../context';
import { withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { hasEnded } from '../end-container';
import { messageOf, withinLimit } from '../guard/probe';
import { howItEnded } from '../how-it-ended';
import { Overtaken, stillMine } from '../still-mine';
import type { FailoverMove } from './move';

/*
 * The failed primary's own data: nothing is acknowledged that its WAL does not hold, so they tell what a ledger can not. Whatever is
 * asked of them has a limit: on a disk that hangs they may not be read either.
 */

/** What is known of where the failed primary's WAL ends. */
export interface SourceWord {
  /** Where it ends, with the database system that it is of. */
  end?: Position & { systemIdentifier: string };
  /** Why nobody knows, in half a sentence; absent where it was read. */
  problem?: string;
  /** There is no container to read it in. */
  missing?: true;
  /** It was tried, in vain. */
  tried?: true;
}

/** How long the failed primary's agent may take to read its WAL to the end, in milliseconds. */
const SOURCE_END_LIMIT_MS = 3000;

/** Where the WAL of the failed primary ends, read while its server does not run. */
export async function sourceEnd(access: ClusterAccess, node: string): Promise<SourceWord> {
  const asked = withSession(access.agent(node), (agent) => agent.call('walEnd', {}, SOURCE_END_LIMIT_MS));
  try {
    const { timeline, lsn, systemIdentifier } = await withinLimit(asked, SOURCE_END_LIMIT_MS);
    if (lsn === null) return { problem: 'it is not whole', tried: true };
    return { end: { timeline, lsn, systemIdentifier } };
  } catch (error) {
    return { problem: messageOf(error).replace(/\.$/, ''), tried: true };
  }
}

/** The same for one whose server may run: clients wait. In milliseconds. */
const HELD_LIMIT_MS = 1000;

/**
 * How far the WAL on the failed primary's disk goes at least, by its agent, whether its server runs or not; undefined where nobody tells.
 * A server that runs writes on: that a standby has as much proves nothing.
 * @param from a position from which on it is read
 */
export async function heldAtLeast(access: ClusterAccess, node: string, from: Position): Promise<SourceWord['end']> {
  const asked = withSession(access.agent(node), (agent) =>
    agent.call('walEnd', { timeline: from.timeline, fromLsn: from.lsn }, HELD_LIMIT_MS),
  );
  const end = await withinLimit(asked, HELD_LIMIT_MS).catch(() => undefined);
  return end?.lsn == null
    ? undefined
    : { timeline: end.timeline, lsn: end.lsn, systemIdentifier: end.systemIdentifier };
}

/** How long a fenced node's container may take until its agent answers, in milliseconds. */
const WAKE_LIMIT_MS = 8000;

/** How long Docker may take to say how a container ended, in milliseconds. */
const DOCKER_LIMIT_MS = 1000;

/**
 * Why the failed primary is not started to be read: a person stopped it, and nobody asked for it; undefined where it may be started.
 * @throws Error when Docker does not say how it ended
 */
export async function whyLeftStopped(
  { docker }: Pick<ActivityDeps, 'docker'>,
  { source, leavesStopped }: Pick<FailoverMove, 'source' | 'leavesStopped'>,
): Promise<string | undefined> {
  if (leavesStopped !== true) return undefined;
  const container = await howItEnded(docker, source, DOCKER_LIMIT_MS);
  if (container.status === 'created' || !wasStoppedByHand(container)) return undefined;
  return `it was told to stop (${containerWords(container)}), and stays so; started by docker start ${source}, it can be read`;
}

/**
 * Has the agent of the fenced primary answer. Its server stays down: the fence lies in its volume. A node that does not wake up is left,
 * and so is one that a person stopped, where nobody asked for it.
 * Never to be called for a node that was only cut off its networks: its server would start.
 */
export async function wakeSource(
  deps: ActivityDeps,
  access: ClusterAccess,
  request: Pick<FailoverMove, 'source' | 'leavesStopped'>,
): Promise<void> {
  const node = request.source;
  try {
    if ((await whyLeftStopped(deps, request)) !== undefined) return;
    const { status } = await deps.docker.inspect(node);
    if (hasEnded(status)) {
      await stillMine(`start the container of ${node} behind its fence`);
      await deps.docker.start(node);
    }
    await until(`the agent of ${node}`, WAKE_LIMIT_MS, 50, () =>
      withSession(access.agent(node), (agent) => agent.call('observe', {}, 1000)).catch(() => undefined),
    );
  } catch (error) {
    if (error instanceof Overtaken) throw error;
    // What it could not say is not known, and the checks say so.
  }
}
