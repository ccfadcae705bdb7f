import { answers, presentNodes, primaries, type AnsweringNode, type ObservedCluster } from '../observed';
import type { ClusterTopology } from '../topology';
import type { Checklist } from '../switchover/checklist';
import { checkAccess } from './access';
import { checkDatabases, checkPlaces, checkReadable, checkWhole } from './copies';
import { checkChecksums, checkPagesKept, checkSlots, tellOthers } from './data';
import { checkLibraries } from './libraries';
import { checkOriginRoom } from './origins';
import { checkPathAgain, checkReplicationRole } from './replication-path';
import { checkServerSettings, checkSessionDefaults, checkSleepingDefaults, checkSleepingSettings } from './sessions';
import { checkDelay, checkLeftOvers, checkNextSettings, checkStartable, type Weight } from './start';

/** Who takes part in a planned move: what is wrong with anybody else only warns. */
export interface MoveScope {
  source: string;
  target: string;
}

/**
 * M: everything that a later step will need of the nodes, asked while all is well: could the primary be stopped and started
 * again, could a candidate be promoted now, and would the others follow. Without a scope every node counts. Pure.
 */
export function checkReadiness(
  list: Checklist,
  topology: ClusterTopology,
  observed: ObservedCluster,
  scope?: MoveScope,
): void {
  const nodes = presentNodes(observed).filter(answers);
  const weigh = ({ name }: AnsweringNode): Weight =>
    scope === undefined || name === scope.source || name === scope.target ? 'require' : 'advise';
  const primary = primaries(observed).find(answers);
  for (const node of nodes) {
    checkStartable(list, node, weigh(node));
    checkOriginRoom(list, node, node, weigh(node));
    checkLibraries(list, node, weigh(node), primary);
    checkAccess(list, node, weigh(node));
    checkLeftOvers(list, node, weigh(node));
    checkSleepingDefaults(list, topology, node, weigh(node));
    checkSleepingSettings(list, node, weigh(node));
    checkPlaces(list, node);
    checkReadable(list, node);
    checkDatabases(list, observed.cluster, node, node === primary, weigh(node));
    // No move copies anything, and one away from such a node may be what helps.
    checkWhole(list, observed.cluster, node, node === primary, scope === undefined ? 'require' : 'advise');
  }
  for (const node of nodes) {
    checkChecksums(list, observed.cluster, node, node === primary, weigh(node));
    checkPagesKept(list, node, node === primary);
  }
  if (primary === undefined) return;
  const isCandidate = ({ name, promotable }: AnsweringNode): boolean =>
    scope === undefined ? promotable : name === scope.target;
  tellOthers(
    list,
    topology,
    primary,
    nodes.filter((node) => node !== primary && isCandidate(node)),
  );
  for (const node of nodes) if (node === primary || node.promotable) checkDelay(list, node, weigh(node));
  const others = nodes.filter((node) => node !== primary);
  checkSlots(list, observed.cluster, topology, primary, others, weigh);
  checkReplicationRole(list, topology, primary);
  for (const standby of others) checkPathAgain(list, standby, primary);
  for (const standby of nodes.filter((node) => node !== primary)) {
    // Both ways: it follows the primary now, and the primary would follow it.
    checkNextSettings(list, [standby], primary, weigh(standby));
    checkOriginRoom(list, standby, primary, weigh(standby));
    if (!isCandidate(standby)) continue;
    checkNextSettings(list, [primary], standby, 'require');
    checkOriginRoom(list, primary, standby, 'require');
    checkSessionDefaults(list, primary, standby);
    checkServerSettings(list, primary, standby);
  }
}
