import { logs, psql } from '../commands';
import { answers, replicationRowOf, standbys, type AnsweringNode, type ObservedCluster } from '../observed';
import type { Checklist } from '../switchover/checklist';
import { checkStuck, isSynchronous, setSynchronousNames } from '../switchover/replication';
import { isExpectedNames, standbysNeeded, synchronousNamesFor } from '../synchronous-names';
import { slotName, type ClusterTopology } from '../topology';

/**
 * B2 and B8, as the guard tells them while a standby streams: names that are not the topology's, or that ask for more standbys than
 * confirm, and commits that are stuck. Empty names, and a standby that is away, are the ledger's matter.
 */
export function checkWaits(
  list: Checklist,
  topology: ClusterTopology,
  observed: ObservedCluster,
  source: AnsweringNode,
): void {
  const followers = standbys(observed).filter(answers);
  const nodes = followers.map(({ name }) => name);
  // What waits for an unknown time may be on its way: one look can't tell.
  checkStuck(list, source, nodes, { weight: 'advise', before: [] });
  const streams = nodes.some((name) => replicationRowOf(source, slotName(name))?.state === 'streaming');
  if (streams && (source.sql.settings.synchronous_standby_names ?? '').trim() !== '')
    checkSynchrony(list, topology, source, followers);
}

/** B2: some standby has every acknowledged commit, and the names are those of the topology. */
export function checkSynchrony(
  list: Checklist,
  topology: ClusterTopology,
  source: AnsweringNode,
  followers: readonly AnsweringNode[],
): void {
  const names = source.sql.settings.synchronous_standby_names ?? '';
  const rows = followers.map(({ name }) => ({ name, row: replicationRowOf(source, slotName(name)) }));
  const streaming = rows.filter(({ row }) => row?.state === 'streaming').length;
  const wanted = synchronousNamesFor(topology, streaming);
  const expected = isExpectedNames(topology, names, streaming);
  const inStep = rows.filter(({ row }) => row?.state === 'streaming' && isSynchronous(row.syncState));
  const states = rows.map(({ name, row }) => `${name} is ${row?.syncState ?? 'not streaming'}`);
  const words = {
    says: 'a standby is synchronous',
    measured: `${states.length === 0 ? 'no standby answers' : states.join(', ')}; synchronous_standby_names is '${names}'`,
    limit: `'${wanted}', and at least 1 sync or quorum`,
    // Names that nobody who streams answers to would have every commit wait: the standby comes first.
    next: rows.some(({ row }) => row?.state === 'streaming')
      ? expected
        ? logs(followers[0]?.name ?? source.name)
        : setSynchronousNames(source.name, wanted)
      : followers[0] === undefined
        ? 'veloz-ha stack up'
        : logs(followers[0].name),
  };
  if (inStep.length === 0) {
    list.require('B2', false, {
      ...words,
      refusal:
        names === ''
          ? 'commits wait for no standby: the loss of the primary would lose acknowledged commits'
          : 'no standby is synchronous: commits wait for ever',
    });
    return;
  }
  const needed = standbysNeeded(names);
  if (inStep.length < needed) {
    list.require('B2', false, {
      ...words,
      refusal: `commits wait for ${needed} standbys, of which ${inStep.length} ${inStep.length === 1 ? 'confirms' : 'confirm'}: they wait for ever`,
      limit: `'${wanted}', and at least ${needed} sync or quorum`,
    });
    return;
  }
  const asConfigured = names === topology.postgres.synchronousStandbyNames;
  list.advise('B2', expected, {
    ...words,
    refusal: asConfigured
      ? `only one of ${streaming} standbys confirms commits, and may be the target of a switchover`
      : 'synchronous_standby_names is not what the topology says',
  });
  for (const { name, row } of rows) {
    list.advise('B2', row?.state !== 'streaming' || row.syncState !== 'async', {
      says: `${name} can be synchronous`,
      refusal: `${name} can't become synchronous`,
      measured: `sync_state is ${row?.syncState}, its application_name is '${row?.applicationName}'`,
      limit: `a name in '${topology.postgres.synchronousStandbyNames}'`,
      next: psql(name, 'SHOW primary_conninfo'),
    });
  }
}
