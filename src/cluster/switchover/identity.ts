import { clusterStatus, psql } from '../commands';
import { repairCommand } from '../commands';
import { rejoinCommand } from '../failover/commands';
import { answers, presentNodes, primaries, type ObservedCluster, type ObservedNode } from '../observed';
import type { Checklist } from './checklist';
import { systemsNotReady } from './systems';
import type { ClusterTopology } from '../topology';

/** PostgreSQL 15 brought `pg_checkpoint` and `GRANT … ON PARAMETER`, on which the control role rests. */
const OLDEST_MAJOR = 15;

const majorOf = (node: ObservedNode): number => Math.floor((node.sql?.versionNum ?? 0) / 10_000);

/** The writable node that clients must not reach: the pooler leads to another one. Undefined when that does not tell. */
function rogueOf(writable: readonly ObservedNode[], observed: ObservedCluster): ObservedNode | undefined {
  const host = observed.pooler.console?.host ?? observed.pooler.agent?.route?.host;
  if (!writable.some((node) => node.internal.host === host)) return undefined;
  return writable.find((node) => node.internal.host !== host);
}

/** A3: exactly one node takes writes. Returns it. */
export function checkOnePrimary(
  list: Checklist,
  topology: ClusterTopology,
  observed: ObservedCluster,
): ObservedNode | undefined {
  const writable = primaries(observed);
  const named = writable.map((node) => `${node.name} on timeline ${node.sql?.timeline}`).join(' and ');
  const several = writable.length > 1;
  const route = observed.pooler.agent?.route;
  const one = list.require('A3', writable.length === 1, {
    says: 'exactly one node is writable',
    refusal: several
      ? `${writable.length === 2 ? 'two' : writable.length} nodes are writable`
      : presentNodes(observed).every(answers)
        ? 'no node is writable'
        : 'no writable node answers',
    measured: several
      ? `${named}; the pooler sends clients to ${route == null ? 'an unknown node' : `${route.host}:${route.port}`}`
      : writable.length === 1
        ? named
        : presentNodes(observed)
            .map((node) => `${node.name} is ${node.sql === null ? 'not answering' : 'a standby'}`)
            .join(', '),
    limit: 'exactly 1',
    next: several ? oneTooMany(writable, observed) : nobodyWrites(topology, observed),
  });
  return one ? writable[0] : undefined;
}

/**
 * What ends a second primary. Where clients are led to one of two, the other one is made its standby. Where nothing tells, or the two are
 * of different database systems, so that the route may lead to an empty one, a person has to say which one ends.
 */
function oneTooMany(writable: readonly ObservedNode[], observed: ObservedCluster): string {
  const systems = new Set(writable.map(({ sql }) => sql?.systemIdentifier));
  const rogue = writable.length === 2 && systems.size === 1 ? rogueOf(writable, observed) : undefined;
  if (rogue !== undefined) return rejoinCommand(observed.cluster, rogue.name);
  const [oldest, ...others] = [...writable].sort((a, b) => (a.sql?.timeline ?? 0) - (b.sql?.timeline ?? 0));
  const other = others.map(({ name }) => name).join(' or ');
  return `docker stop ${oldest?.name}   # or ${other}: one that clients did not write to; then ${repairCommand(observed.cluster)}`;
}

/** What has somebody take writes again: a node that alone is in the way, or else a repair, which hears every node before it acts. */
function nobodyWrites(topology: ClusterTopology, observed: ObservedCluster): string {
  const [first, ...others] = systemsNotReady(topology, observed).map(({ next }) => next);
  return first !== undefined && others.every((next) => next === first) ? first : repairCommand(observed.cluster);
}

/** A1: the primary is the one that the request names, where it names one. */
export function checkExpectedPrimary(
  list: Checklist,
  observed: ObservedCluster,
  source: ObservedNode,
  expected: string | undefined,
): boolean {
  const known = observed.nodes.some((node) => node.name === expected);
  return list.require('A1', expected === undefined || expected === source.name, {
    says: 'the primary is the one that the request expects',
    refusal: known ? 'the request expects another primary' : 'the request expects a primary that does not exist',
    measured:
      expected === undefined
        ? `${source.name}, and the request names none`
        : known
          ? `${source.name} is the primary${expected === source.name ? ', as expected' : `, not ${expected}`}`
          : `the topology has no node ${expected}, and ${source.name} is the primary`,
    limit: expected === undefined ? 'any' : `expectedPrimary ${expected}`,
    next: clusterStatus(observed.cluster),
  });
}

/** A4 and A5: all nodes belong together. */
export function checkSameSystem(list: Checklist, observed: ObservedCluster, source: ObservedNode): void {
  const nodes = presentNodes(observed).filter((node) => node.sql !== null);
  const identifier = source.sql?.systemIdentifier;
  const foreign = nodes.find((node) => node.sql?.systemIdentifier !== identifier);
  list.require('A4', foreign === undefined, {
    says: 'all nodes belong to one database system',
    refusal: `${foreign?.name} belongs to another database system than ${source.name}`,
    measured:
      foreign === undefined
        ? `${identifier} on ${nodes.length} nodes`
        : nodes.map((node) => `${node.sql?.systemIdentifier} on ${node.name}`).join(', '),
    limit: 'one system identifier',
    next: psql(foreign?.name ?? source.name, 'SELECT system_identifier FROM pg_control_system()'),
  });
  const other = nodes.find((node) => majorOf(node) !== majorOf(source));
  const old = nodes.find((node) => majorOf(node) < OLDEST_MAJOR);
  list.require('A5', other === undefined && old === undefined, {
    says: 'all nodes run the same, supported major version',
    refusal:
      other === undefined
        ? `PostgreSQL ${majorOf(source)} is too old for the runbooks`
        : `${other.name} runs another major version than ${source.name}`,
    measured:
      other === undefined
        ? `PostgreSQL ${majorOf(source)} on ${nodes.length} nodes`
        : nodes.map((node) => `${majorOf(node)} on ${node.name}`).join(', '),
    limit: `one version, ${OLDEST_MAJOR} or later`,
    next: `docker exec ${(other ?? old ?? source).name} postgres --version`,
  });
}
