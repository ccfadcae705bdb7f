import { containerWords, isKilled, type LeftOver, type MemberFacts } from './mending';
import type { ClusterTopology } from '../topology';

/**
 * The containers through which clients come: the pooler, the engines, HAProxy. Each takes up its work by itself when it starts, and
 * asks first who is in charge: its pooler looks for the primary, an engine for the lock. PostgreSQL's and Redis' nodes have a role that
 * has to be decided on, and are brought back by runs.
 */
export function containersOfTheWay({ pgbouncer, engines, haproxy }: WayTopology): string[] {
  return [
    ...pgbouncer.nodes.map(({ name }) => name),
    ...(engines?.nodes ?? []).map(({ name }) => name),
    ...(haproxy === undefined ? [] : [haproxy.name]),
  ];
}

type WayTopology = Pick<ClusterTopology, 'pgbouncer' | 'engines' | 'haproxy'>;

/** Docker starts a container anew within this time that ended by itself, in milliseconds. */
const RESTART_MS = 1000;

/**
 * A container that has ended, and that Docker does not start again: it was killed. Undefined for one that runs, has no container, or
 * was told to stop: that is a person's decision.
 */
export function endedContainer(name: string, container: MemberFacts['container']): LeftOver | undefined {
  if (!isKilled(container)) return undefined;
  return {
    node: name,
    says: containerWords(container),
    key: `${name} ended`,
    started: true,
    settleMs: RESTART_MS,
  };
}
