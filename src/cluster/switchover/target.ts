import { clusterStatus, logs } from '../commands';
import {
  answers,
  replicationRowOf,
  standbys,
  type AnsweringNode,
  type ObservedCluster,
  type ObservedNode,
} from '../observed';
import { slotName, type ClusterTopology } from '../topology';
import { Checklist } from './checklist';
import { checkReplay } from './replication';

/** How good a standby is as target: the smaller, the better. */
function rank(source: ObservedNode, node: ObservedNode): number {
  const row = replicationRowOf(source, slotName(node.name));
  if (row?.state !== 'streaming') return 3;
  return { sync: 0, quorum: 0, potential: 1, async: 2 }[row.syncState];
}

/** The best standby that may be promoted. Equals keep the topology's order, so that the choice does not flip between them. */
function bestOf(observed: ObservedCluster, source: ObservedNode): ObservedNode | undefined {
  return standbys(observed)
    .filter((node) => node.promotable)
    .sort((a, b) => rank(source, a) - rank(source, b))[0];
}

/** A2 and A7: the named standby, or the best one. */
export function chooseTarget(
  list: Checklist,
  topology: ClusterTopology,
  observed: ObservedCluster,
  source: ObservedNode,
  wanted: string | undefined,
): ObservedNode | undefined {
  const best = bestOf(observed, source);
  const target = wanted === undefined ? best : observed.nodes.find((node) => node.name === wanted);
  const says = 'the target is a standby';
  const good = target?.sql?.inRecovery === true;
  if (wanted === undefined) {
    const excluded = standbys(observed).map((node) => `${node.name} has promotable: false`);
    list.require('A2', good, {
      says,
      refusal: 'there is no standby that may be promoted',
      measured: good ? target.name : excluded.length > 0 ? excluded.join(', ') : `${source.name} is alone`,
      limit: 'at least 1',
      next: excluded.length > 0 ? clusterStatus(observed.cluster) : 'veloz-ha stack up',
    });
  } else {
    const candidates = observed.nodes.filter((node) => node !== source && node.promotable).map((node) => node.name);
    list.require('A2', good, {
      says,
      refusal: `${wanted} is no standby of this cluster`,
      measured:
        target === undefined
          ? 'the topology has no such node'
          : good
            ? wanted
            : `its container is ${target.container.status}`,
      limit: `one of ${candidates.join(', ')}`,
      next:
        target !== undefined && !target.container.exists
          ? `veloz-ha stack up --standbys ${topology.postgres.nodes.length - 1}`
          : best === undefined
            ? clusterStatus(observed.cluster)
            : `veloz-ha postgres switchover --cluster ${observed.cluster} --to ${best.name}`,
    });
  }
  if (!good) return undefined;
  list.require('A7', target.promotable, {
    says: 'the target is not excluded from promotion',
    refusal: `${target.name} is excluded from promotion`,
    measured: `promotable: ${target.promotable} in the topology`,
    limit: 'promotable: true',
    next:
      best === undefined
        ? clusterStatus(observed.cluster)
        : `veloz-ha postgres switchover --cluster ${observed.cluster} --to ${best.name}`,
  });
  return target;
}

/** The standbys beside the target. */
export interface Followers {
  /** They follow the target before it is promoted, and their confirmations count. */
  others: string[];
  /** Their replay is held up: they follow later, and nobody waits for them. */
  heldUp: string[];
}

/**
 * K5: no standby is left behind. A standby that does not stream now would not follow the target either. One whose replay is held up (B6,
 * B7) takes no other upstream before it goes on, and on a new timeline it confirms nothing until then.
 */
export function checkFollowers(
  list: Checklist,
  topology: ClusterTopology,
  observed: ObservedCluster,
  source: AnsweringNode,
  target: ObservedNode,
): Followers {
  const says = 'every other standby can follow the target';
  const rest = standbys(observed).filter((node) => node !== target);
  if (rest.length === 0) {
    list.skip('K5', says, 'there is no other standby');
    return { others: [], heldUp: [] };
  }
  const lost = rest.filter((node) => node.sql?.receiver == null);
  const names = (nodes: readonly ObservedNode[]) => nodes.map((node) => node.name).join(', ');
  const heldUp = rest
    .filter(answers)
    .filter((node) => !lost.includes(node))
    .flatMap((node) => {
      const replay = new Checklist();
      checkReplay(replay, topology, node, source);
      const found = replay.checks.find(({ result }) => result === 'refuse');
      return found === undefined ? [] : [{ node, found }];
    });
  if (lost.length > 0 || heldUp.length === 0)
    list.advise('K5', lost.length === 0, {
      says,
      refusal: `${names(lost)} will be left behind`,
      measured:
        lost.length === 0
          ? `${names(rest)} ${rest.length === 1 ? 'streams' : 'stream'}`
          : 'its WAL receiver does not run',
      limit: 'streaming',
      next: logs(lost[0]?.name ?? target.name),
    });
  for (const { node, found } of heldUp)
    list.advise('K5', false, {
      says: `${node.name} follows the target at once`,
      refusal: `${node.name} follows ${target.name} only once it replays, and confirms nothing until then: ${found.refusal ?? found.says}`,
      measured: found.measured,
      limit: found.limit ?? 'replaying at once',
      next: found.next ?? logs(node.name),
    });
  const later = heldUp.map(({ node }) => node.name);
  return {
    others: rest.filter((node) => !lost.includes(node) && !later.includes(node.name)).map((node) => node.name),
    heldUp: later,
  };
}
