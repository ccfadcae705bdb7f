import { answers, type AnsweringNode, type ObservedCluster, type ObservedNode } from '../observed';
import { checkContainer, checkSameSystemAs, type StandbyChoice } from '../rejoin/choose';
import { Checklist } from '../switchover/checklist';
import { checkOnePrimary } from '../switchover/identity';
import { isSynchronous } from '../switchover/replication';
import { replicationRowOf } from '../observed';
import { isExpectedNames } from '../synchronous-names';
import { slotName, type ClusterTopology } from '../topology';
import { followers, follows } from './following';
import { checkCopyable, checkDirectory, checkRoomFor, checkSpace } from './room';

/**
 * The node to add as a standby, and whether that can be done. Pure. Without a name: the topology's first that does not follow the
 * primary, optional ones before others. `copiesAnything` is as for a rejoin.
 */
export function chooseAddition(
  topology: ClusterTopology,
  observed: ObservedCluster,
  wish: { node?: string; copiesAnything?: boolean },
): StandbyChoice {
  const list = new Checklist();
  const choice: StandbyChoice = { checks: list.checks, others: [] };
  const primary = checkOnePrimary(list, topology, observed);
  if (!answers(primary)) return choice;
  choice.primary = primary.name;
  const streaming = followers(primary, observed);
  choice.others = streaming.map(({ name }) => name);

  const candidates = observed.nodes.filter((node) => node !== primary);
  const node =
    wish.node === undefined ? defaultOf(primary, candidates) : candidates.find(({ name }) => name === wish.node);
  const good = list.require('A2', node !== undefined, {
    says: 'the node to add is one of the topology, and not the primary',
    refusal: wish.node === primary.name ? `${wish.node} is the primary` : `${wish.node} is no node of this cluster`,
    measured: node?.name ?? (wish.node === primary.name ? 'it takes writes' : 'the topology has no such node'),
    limit: `one of ${candidates.map(({ name }) => name).join(', ')}`,
    next: `veloz-ha postgres add-standby --cluster ${observed.cluster}`,
  });
  if (!good || node === undefined) return choice;
  choice.node = node.name;
  choice.others = choice.others.filter((name) => name !== node.name);
  if (!checkContainer(list, topology, node)) return choice;
  checkSameSystemAs(list, primary, node);
  if (follows(primary, node)) {
    const names = primary.sql.settings.synchronous_standby_names ?? '';
    const row = replicationRowOf(primary, slotName(node.name));
    if (isExpectedNames(topology, names, streaming.length) && isSynchronous(row?.syncState)) {
      choice.alreadyDone = `${node.name} is a standby of ${primary.name} already, and ${row?.syncState}`;
    }
    return choice;
  }
  checkRoomFor(list, topology, primary, node.name);
  checkDirectory(list, node);
  checkSpace(list, topology, primary, node, 'possible');
  if (wish.copiesAnything !== true) checkCopyable(list, primary, isEmpty(node) ? 'certain' : 'possible');
  return choice;
}

/** Its agent answers, and it has no data: all of it will be copied. */
const isEmpty = ({ agent, sql }: ObservedNode): boolean =>
  sql === null && agent !== null && agent.systemIdentifier === null;

/** Who is meant by nobody: one that does not follow yet, and has a container rather than none. */
function defaultOf(primary: AnsweringNode, candidates: readonly ObservedNode[]): ObservedNode | undefined {
  const away = candidates.filter((node) => !follows(primary, node));
  const pool = away.length > 0 ? away : candidates;
  return (
    pool.find((node) => node.optional && node.container.exists) ??
    pool.find((node) => node.optional) ??
    pool.find((node) => node.container.exists) ??
    pool[0]
  );
}
