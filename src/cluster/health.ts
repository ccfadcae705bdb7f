import type { Check } from './check';
import { checkLetsIn } from './client-refusal';
import { psql, sqlText } from './commands';
import { checkControlPath } from './control-path';
import { answers, presentNodes, primaries, standbys, type AnsweringNode, type ObservedCluster } from './observed';
import { checkOtherGuards } from './other-guards';
import { findingKey, readinessFindings } from './readiness/findings';
import { checkSynchrony } from './readiness/synchrony';
import { formatSize } from './size';
import { Checklist } from './switchover/checklist';
import { checkDisk } from './switchover/candidate';
import { checkOnePrimary, checkSameSystem } from './switchover/identity';
import { checkCommits, checkFlushLag, checkReplay, checkStreaming } from './switchover/replication';
import { checkTransactions } from './switchover/stopping';
import { systemsNotReady, type NotReady } from './switchover/systems';
import { checkNoReplicationThrough, checkNotHeld, checkPoolMode, checkRoute } from './switchover/traffic';
import { isNodesSlot, slotName, type ClusterTopology } from './topology';

/** Checks that stop a switchover, but under which the cluster is still what it promises to be: worth knowing. */
const onlyWorthKnowing: ReadonlySet<string> = new Set(['B4', 'D3']);

/** Under which check of the safety checklist a system stands that can't be used. */
const idOf: Record<NotReady['kind'], string> = { silent: 'E4', taken: 'E2', guarded: 'J9' };

/**
 * What is not as it should be now, each with the command to run next: what refuses makes the cluster unhealthy, what warns is
 * worth knowing. The checks are those of a switchover, so that `status` tells beforehand what a switchover would refuse. Empty
 * when all is well. Pure.
 */
export function healthFindings(topology: ClusterTopology, observed: ObservedCluster): Check[] {
  const list = new Checklist();
  const writable = primaries(observed);
  const primary = writable.length === 1 ? writable[0] : undefined;

  checkOnePrimary(list, topology, observed);
  for (const { name, kind, why, next } of systemsNotReady(topology, observed)) {
    list.require(idOf[kind], false, {
      says: `${name} is ready`,
      refusal: `${name} is not ready`,
      measured: why,
      limit: 'it answers, and no run has stopped it',
      next,
    });
  }
  if (answers(primary)) checkPrimary(list, topology, observed, primary);
  for (const standby of standbys(observed))
    if (answers(standby))
      checkReplay(
        list,
        topology,
        standby,
        answers(primary) ? primary : undefined,
        // A delay on a node that is never promoted is meant (M3).
        standby.promotable ? 'require' : 'advise',
      );
  checkOtherGuards(list, observed);
  checkControlPath(list, topology, observed);
  checkPoolMode(list, observed.pooler);
  checkNoReplicationThrough(list, observed.pooler);
  checkNotHeld(list, topology, observed);
  if (primary !== undefined) {
    checkRoute(list, primary, observed.pooler);
    checkLetsIn(list, primary);
  }
  checkLeftovers(list, topology, observed, primary?.name);

  const found = new Set(list.checks.map(findingKey));
  const ahead = readinessFindings(topology, observed).filter((check) => !found.has(findingKey(check)));
  return [...list.checks, ...ahead]
    .filter((check) => check.result === 'refuse' || check.result === 'warn')
    .map((check) => (onlyWorthKnowing.has(check.id) ? { ...check, result: 'warn' } : check));
}

/** The primary and those who follow it: one system, streaming, caught up, synchronous. */
function checkPrimary(
  list: Checklist,
  topology: ClusterTopology,
  observed: ObservedCluster,
  source: AnsweringNode,
): void {
  const followers = standbys(observed).filter(answers);
  checkSameSystem(list, observed, source);
  for (const standby of followers) {
    const pair = { cluster: observed.cluster, source, standby };
    // A standby that does not stream is behind and not synchronous as well: that is one finding, and not three.
    if (checkStreaming(list, pair)) checkFlushLag(list, topology, pair);
  }
  checkSynchrony(list, topology, source, followers);
  checkCommits(
    list,
    source,
    followers.map((node) => node.name),
  );
  // One look tells of no transaction that hides its age how long it is open: that some do is told.
  checkTransactions(list, topology, source, topology.limits.pause, 'one look');
}

/** C9, J10 and K6: what fills the disk one day, or keeps a node down after a reboot. */
function checkLeftovers(
  list: Checklist,
  topology: ClusterTopology,
  observed: ObservedCluster,
  primary: string | undefined,
): void {
  const nodes = presentNodes(observed);
  for (const node of nodes.filter(({ agent }) => agent !== null)) checkDisk(list, topology, [node]);
  for (const node of nodes.filter(answers)) {
    // The primary keeps WAL for a standby that is away; that the standby is away is a finding of its own.
    const wanted = nodes
      .filter(({ name }) => node.name === primary && name !== primary)
      .map(({ name }) => slotName(name));
    for (const slot of node.sql.slots) {
      const ours = slot.type === 'physical' && isNodesSlot(topology, slot.name);
      list.advise('J10', slot.active || slot.retainedBytes === 0 || wanted.includes(slot.name), {
        says: `no unused slot of ${node.name} retains WAL`,
        refusal: ours
          ? `slot ${slot.name} of ${node.name} is not used by anybody and retains WAL`
          : `slot ${slot.name} of ${node.name}, which is no node's of this cluster, is not used now and retains WAL`,
        measured: `${formatSize(slot.retainedBytes)} retained`,
        limit: 'none',
        // What is somebody else's is told and never proposed to be dropped: its backup or its subscription would end with it.
        next: ours
          ? psql(node.name, `SELECT pg_drop_replication_slot('${slot.name}')`)
          : psql(node.name, `SELECT * FROM pg_replication_slots WHERE slot_name = ${sqlText(slot.name)}`),
      });
    }
  }
  for (const { name, container } of nodes.filter((node) => node.container.exists)) {
    list.advise('K6', !['', 'no'].includes(container.restartPolicy), {
      says: `${name} comes back after a crash or a reboot`,
      refusal: `${name} stays down after a crash or a reboot`,
      measured: `its restart policy is '${container.restartPolicy || 'no'}'`,
      limit: 'unless-stopped, always or on-failure',
      next: `docker update --restart unless-stopped ${name}`,
    });
  }
}
