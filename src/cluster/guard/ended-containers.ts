import { containerWords, isKilled, type LeftOver, type MemberFacts } from './mending';
import type { ClusterTopology } from '../topology';

/**
 * The containers through which clients come, and those that tell them the way: the pooler, the engines, HAProxy, the Sentinels. Each
 * takes up its work by itself when it starts, and asks first who is in charge: its pooler looks for the primary, an engine for the lock,
 * a Sentinel for what the other Sentinels watch. The nodes of PostgreSQL and Redis have a role that has to be decided on; they are not
 * among these.
 */
export function containersOfTheWay(topology: WayTopology): string[] {
  return [...topology.pgbouncer.nodes.map(({ name }) => name), ...restartedWhereTheyHang(topology)];
}

/**
 * Those among them that are ended and started where they hang: Docker's own check of their health asks only whether the process answers,
 * and not whether it has what it needs. A pooler's agent looks after PgBouncer itself.
 */
export function restartedWhereTheyHang({ engines, haproxy, redis }: Omit<WayTopology, 'pgbouncer'>): string[] {
  return [
    ...(engines?.nodes ?? []).map(({ name }) => name),
    ...(haproxy === undefined ? [] : [haproxy.name]),
    ...(redis?.sentinels ?? []).map(({ name }) => name),
  ];
}

type WayTopology = Pick<ClusterTopology, 'pgbouncer' | 'engines' | 'haproxy' | 'redis'>;

/** Docker starts a container anew within this time that ended by itself, in milliseconds. */
export const RESTART_MS = 1000;

/** By Docker's check it has not answered several times in a row, for some 15 s. It hangs when that is so for this long, in milliseconds. */
const HANGS_MS = 10_000;

/** A freeze that lasts for a moment is none to tell of, in milliseconds. */
const FROZEN_MS = 2000;

/** A process that runs and does not answer, although nobody froze its container. Undefined for one that answers, or has just started. */
export function hungContainer(
  name: string,
  { status, health }: { status: string; health?: string },
): LeftOver | undefined {
  if (status !== 'running' || health !== 'unhealthy') return undefined;
  return {
    node: name,
    says: "its container runs, and its process does not answer by Docker's check of its health",
    key: `${name} hangs`,
    started: true,
    settleMs: HANGS_MS,
  };
}

/**
 * A container that has ended, and that Docker does not start again: it was killed. Or one that somebody froze: whoever comes through it
 * waits, and it looks as if it ran. Undefined for one that runs, has no container, or was told to stop: that is a person's decision.
 */
export function endedContainer(name: string, container: MemberFacts['container']): LeftOver | undefined {
  if (container.status === 'paused')
    return {
      node: name,
      says: 'its container is paused',
      leaves: 'somebody froze it',
      byHand: `docker unpause ${name}`,
      key: `${name} paused`,
      started: true,
      settleMs: FROZEN_MS,
    };
  if (!isKilled(container)) return undefined;
  return {
    node: name,
    says: containerWords(container),
    key: `${name} ended`,
    started: true,
    settleMs: RESTART_MS,
  };
}
