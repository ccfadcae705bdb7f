import type { Check } from '../check';
import { clusterStatus, makeContainer, psql } from '../commands';
import {
  answers,
  presentNodes,
  primaries,
  type AnsweringNode,
  type ObservedCluster,
  type ObservedNode,
} from '../observed';
import { Checklist } from '../switchover/checklist';
import { checkOnePrimary } from '../switchover/identity';
import { followers, follows } from '../standbys/following';
import { checkCopyable, checkDirectory, checkRoomFor, checkSpace, type Copying } from '../standbys/room';
import type { ClusterTopology } from '../topology';

/** What is asked of a rejoin. */
export interface RejoinRequestOfNode {
  node?: string;
  method: 'auto' | 'copy';
  /** A run that began when nobody looked at what a copy would leave out goes on so. */
  copiesAnything?: boolean;
}

/** What the checks of a runbook that makes a standby come to. */
export interface StandbyChoice {
  checks: Check[];
  /** The primary; absent when it can't be told. */
  primary?: string;
  /** The node that is to become a standby, or to cease being one. */
  node?: string;
  /** The other standbys, which stream from the primary now. */
  others: string[];
  /** There is nothing to do: a sentence without full stop that says what is so. */
  alreadyDone?: string;
}

/**
 * The node to rejoin, and whether that can be done. Pure. A node that is writable beside the primary may be rejoined too, where
 * the request names it and clients are sent to the other one.
 */
export function chooseRejoin(
  topology: ClusterTopology,
  observed: ObservedCluster,
  wish: RejoinRequestOfNode,
): StandbyChoice {
  const list = new Checklist();
  const choice: StandbyChoice = { checks: list.checks, others: [] };
  const primary = primaryBeside(list, topology, observed, wish.node);
  if (!answers(primary)) return choice;
  choice.primary = primary.name;
  choice.others = followers(primary, observed).map(({ name }) => name);

  const node = chooseNode(list, topology, observed, primary, wish.node);
  if (node === 'none') {
    choice.alreadyDone =
      choice.others.length === 1
        ? `${choice.others[0]} streams from ${primary.name} already`
        : `every standby streams from ${primary.name} already`;
    return choice;
  }
  if (node === undefined) return choice;
  choice.node = node.name;
  choice.others = choice.others.filter((name) => name !== node.name);
  checkSameSystemAs(list, primary, node);
  // A copy that was asked for is made, however well the node follows.
  if (follows(primary, node) && wish.method === 'auto') {
    choice.alreadyDone = `${node.name} streams from ${primary.name} already`;
    return choice;
  }
  if (follows(primary, node)) {
    list.advise('B2', choice.others.length > 0, {
      says: 'another standby confirms commits meanwhile',
      refusal: `commits wait while ${node.name} is copied`,
      measured: choice.others.length === 0 ? 'no other standby streams' : `${choice.others.join(', ')} streams`,
      limit: 'at least 1 other standby',
      next: `veloz-ha postgres add-standby --cluster ${observed.cluster}`,
    });
  }
  checkRoomFor(list, topology, primary, node.name);
  checkDirectory(list, node);
  const copy: Copying = wish.method === 'copy' ? 'certain' : 'possible';
  checkSpace(list, topology, primary, node, copy);
  if (wish.copiesAnything !== true) checkCopyable(list, primary, copy);
  list.skip('J4', `${primary.name} has written a checkpoint on its timeline`, 'the run writes one before it compares');
  list.skip('J2', `it is known what ${node.name} has that ${primary.name} has not`, 'compared once the node is fenced');
  return choice;
}

/** A3: the one writable node, or the one that is left when the named node is writable too and clients go to the other one. */
function primaryBeside(
  list: Checklist,
  topology: ClusterTopology,
  observed: ObservedCluster,
  named: string | undefined,
): ObservedNode | undefined {
  const writable = primaries(observed);
  const rest = writable.filter(({ name }) => name !== named);
  const [primary] = rest;
  const rogue = writable.find(({ name }) => name === named);
  if (rogue === undefined || primary === undefined || rest.length > 1) return checkOnePrimary(list, topology, observed);
  const host = observed.pooler.console?.host ?? observed.pooler.agent?.route?.host;
  const good = list.require('A3', host === primary.internal.host, {
    says: `clients are sent to ${primary.name}, and ${rogue.name} is the one too many`,
    refusal: `${rogue.name} may be the node that clients write to`,
    measured: `${writable.map(({ name, sql }) => `${name} on timeline ${sql?.timeline}`).join(' and ')} are writable; the pooler sends clients to ${host ?? 'an unknown node'}`,
    limit: `to ${primary.internal.host}`,
    next: clusterStatus(observed.cluster),
  });
  return good ? primary : undefined;
}

/** A2 and E4: the named node, or the only one that does not follow the primary. */
function chooseNode(
  list: Checklist,
  topology: ClusterTopology,
  observed: ObservedCluster,
  primary: AnsweringNode,
  named: string | undefined,
): ObservedNode | 'none' | undefined {
  const says = 'it is clear which node is to be a standby again';
  const command = `veloz-ha postgres rejoin --cluster ${observed.cluster}`;
  const away = presentNodes(observed).filter((node) => node !== primary && !follows(primary, node));
  if (named === undefined) {
    if (away.length === 0) {
      list.skip('A2', says, 'every standby streams from the primary');
      return 'none';
    }
    const one = list.require('A2', away.length === 1, {
      says,
      refusal: 'more than one node could be meant',
      measured: `${away.map(({ name }) => name).join(', ')} do not stream from ${primary.name}`,
      limit: 'one at a time',
      next: `${command} ${away[0]?.name}`,
    });
    if (!one) return undefined;
  }
  const node = named === undefined ? away[0] : observed.nodes.find(({ name }) => name === named);
  const others = observed.nodes.filter((other) => other !== primary).map(({ name }) => name);
  if (named !== undefined) {
    const good = list.require('A2', node !== undefined && node !== primary, {
      says,
      refusal: node === undefined ? `${named} is no node of this cluster` : `${named} is the primary itself`,
      measured: node === undefined ? 'the topology has no such node' : `${named} takes writes, and no other node does`,
      limit: `one of ${others.join(', ')}`,
      next: node === undefined ? command : `veloz-ha postgres switchover --cluster ${observed.cluster}`,
    });
    if (!good) return undefined;
  }
  if (node === undefined) return undefined;
  return checkContainer(list, topology, node) ? node : undefined;
}

/** E4: there is a container to work in. Whether it runs does not matter: the run starts it, fenced. */
export function checkContainer(list: Checklist, topology: ClusterTopology, node: ObservedNode): boolean {
  const { container } = node;
  return list.require('E4', container.exists, {
    says: `${node.name} has a container`,
    refusal: `${node.name} has no container`,
    measured: container.error ?? `its container is ${container.status}`,
    limit: 'a container, running or not',
    next: container.error === undefined ? makeContainer(topology, node.name) : `docker inspect ${node.name}`,
  });
}

/** A4: its data is this cluster's, where that can be told before it is stopped. */
export function checkSameSystemAs(list: Checklist, primary: AnsweringNode, node: ObservedNode): void {
  const says = `${node.name} belongs to the database system of ${primary.name}`;
  const its = node.sql?.systemIdentifier ?? node.agent?.systemIdentifier;
  // A control file that was overwritten with zeros reads as system 0.
  if (its == null || its === '0')
    return list.skip('A4', says, 'it does not answer, or has no data; it is compared before anything is touched');
  list.require('A4', its === primary.sql.systemIdentifier, {
    says,
    refusal: `${node.name} holds the data of another database system, which would be gone`,
    measured: `${its} on ${node.name}, ${primary.sql.systemIdentifier} on ${primary.name}`,
    limit: 'one system identifier',
    next:
      node.sql === null
        ? `docker exec ${node.name} veloz-agent observe`
        : psql(node.name, 'SELECT system_identifier FROM pg_control_system()'),
  });
}
