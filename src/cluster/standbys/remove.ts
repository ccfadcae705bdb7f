import { clusterStatus } from '../commands';
import { answers, replicationRowOf, type ObservedCluster, type ObservedNode } from '../observed';
import type { StandbyChoice } from '../rejoin/choose';
import { Checklist } from '../switchover/checklist';
import { checkOnePrimary } from '../switchover/identity';
import { slotName, type ClusterTopology } from '../topology';
import { followers } from './following';

/** The standby to remove, and whether that can be done. Pure. */
export function chooseRemoval(
  topology: ClusterTopology,
  observed: ObservedCluster,
  wish: { node?: string },
): StandbyChoice {
  const list = new Checklist();
  const choice: StandbyChoice = { checks: list.checks, others: [] };
  const primary = checkOnePrimary(list, topology, observed);
  if (!answers(primary)) return choice;
  choice.primary = primary.name;
  const streaming = followers(primary, observed).map(({ name }) => name);
  choice.others = streaming;

  const candidates = observed.nodes.filter((node) => node !== primary && node.container.exists);
  const node = observed.nodes.find(({ name }) => name === wish.node);
  const good = list.require('A2', node !== undefined && node !== primary, {
    says: 'the node to remove is a standby',
    refusal:
      wish.node === undefined
        ? 'the request names no node'
        : node === undefined
          ? `${wish.node} is no node of this cluster`
          : `${node.name} is the primary`,
    measured:
      wish.node === undefined
        ? 'removing needs a name'
        : node === undefined
          ? 'the topology has no such node'
          : node === primary
            ? 'it takes writes'
            : node.name,
    limit: `one of ${candidates.map(({ name }) => name).join(', ')}`,
    next:
      node !== undefined && node === primary
        ? `veloz-ha postgres switchover --cluster ${observed.cluster}`
        : removeCommand(observed, candidates.find((candidate) => candidate.optional) ?? candidates[0]),
  });
  if (!good || node === undefined) return choice;
  choice.node = node.name;
  choice.others = streaming.filter((name) => name !== node.name);

  if (isGone(node, replicationRowOf(primary, slotName(node.name)) !== undefined) && !hasSlot(primary, node)) {
    choice.alreadyDone = `${node.name} is no standby of ${primary.name} any more`;
    return choice;
  }
  list.require('B2', choice.others.length > 0, {
    says: 'another standby is left that confirms commits',
    refusal: `without ${node.name} no standby would be left: commits would wait for ever, or could be lost`,
    measured: choice.others.length === 0 ? 'no other standby streams' : `${choice.others.join(', ')} streams`,
    limit: 'at least 1 other standby',
    next: `veloz-ha postgres add-standby --cluster ${observed.cluster}`,
  });
  return choice;
}

const hasSlot = (primary: ObservedNode, node: ObservedNode): boolean =>
  primary.sql?.slots.some((slot) => slot.name === slotName(node.name)) === true;

/** Nothing of the node serves any more, and nothing will start it again. */
function isGone(node: ObservedNode, connected: boolean): boolean {
  if (connected || node.sql !== null) return false;
  return !node.container.exists || node.agent?.desired === 'fenced';
}

const removeCommand = (observed: ObservedCluster, node: ObservedNode | undefined): string =>
  node === undefined
    ? clusterStatus(observed.cluster)
    : `veloz-ha postgres remove-standby --cluster ${observed.cluster} ${node.name}`;
