import { psql, sqlText } from '../commands';
import type { AnsweringNode, ObservedNode } from '../observed';
import { readableWords, wholeWords } from '../readiness/copies';
import { formatSize } from '../size';
import { checkDisk } from '../switchover/candidate';
import type { Checklist } from '../switchover/checklist';
import { isNodesSlot, slotName, type ClusterTopology } from '../topology';

/** A copy takes this much more than the databases: WAL that is written meanwhile (C9). */
export const COPY_MARGIN = 1.1;

/** C1 and C2: the primary has a walsender and a slot for one more standby, unless it has them already. */
export function checkRoomFor(list: Checklist, topology: ClusterTopology, primary: AnsweringNode, node: string): void {
  const { walSenders, replicationSlots, replication, slots } = primary.sql;
  const connected = replication.some((row) => row.slot === slotName(node));
  const freeSenders = walSenders.max - walSenders.used;
  list.require('C1', connected || freeSenders >= 1, {
    says: `${primary.name} has a free walsender for ${node}`,
    refusal: `${primary.name} has no free walsender for ${node}`,
    measured: connected ? 'it is connected' : `${freeSenders} of ${walSenders.max} free`,
    limit: 'at least 1',
    next: psql(primary.name, 'SELECT pid, application_name, client_addr, state FROM pg_stat_replication'),
  });
  const there = slots.some((slot) => slot.name === slotName(node));
  const freeSlots = replicationSlots.max - replicationSlots.used;
  const stale = slots.find(
    (slot) =>
      !slot.active && slot.type === 'physical' && isNodesSlot(topology, slot.name) && slot.name !== slotName(node),
  );
  list.require('C2', there || freeSlots >= 1, {
    says: `${primary.name} has a replication slot for ${node}`,
    refusal: `${primary.name} has no free replication slot for ${node}`,
    measured: there ? 'it is there' : `${freeSlots} of ${replicationSlots.max} free`,
    limit: 'at least 1',
    next:
      stale === undefined
        ? psql(primary.name, 'SELECT slot_name, active, restart_lsn FROM pg_replication_slots')
        : psql(primary.name, `SELECT pg_drop_replication_slot(${sqlText(stale.name)})`),
  });
}

/** C7: a directory that is not the server's own must not be written to. */
export function checkDirectory(list: Checklist, node: ObservedNode): void {
  const says = `the data directory of ${node.name} is private and owned by postgres`;
  if (node.agent === null) return list.skip('C7', says, 'its agent does not answer yet; the agent looks at its start');
  const { path, owner, mode } = node.agent.dataDirectory;
  if (!owner) return list.skip('C7', says, 'there is none');
  list.require('C7', owner === 'postgres' && /^0?7[05]0$/.test(mode), {
    says,
    refusal: `the data directory of ${node.name} is not private to postgres`,
    measured: `${path}: ${owner} ${mode}`,
    limit: 'owner postgres, mode 0700 or 0750',
    next: `docker exec -u root ${node.name} sh -c 'chown postgres: ${path} && chmod 0700 ${path}'`,
  });
}

/** A copy that will be made, or that only may become one. */
export type Copying = 'certain' | 'possible';

/** M7 and M12: a copy of the primary would be whole, and come to its end. One that will be made is refused else. */
export function checkCopyable(list: Checklist, { name, readiness }: AnsweringNode, copy: Copying): void {
  const { leftOut, unreadable } = readiness?.agent ?? {};
  const weight = copy === 'certain' ? 'require' : 'advise';
  if (leftOut != null && leftOut.links.length > 0) list[weight]('M7', false, wholeWords(name, leftOut));
  if (unreadable != null && unreadable.files.length > 0) list[weight]('M12', false, readableWords(name, unreadable));
}

/**
 * C9: room for WAL on the primary, and on the node for a copy of all databases beside what it has.
 * @param copy one that will be made refuses without room
 */
export function checkSpace(
  list: Checklist,
  topology: ClusterTopology,
  primary: AnsweringNode,
  node: ObservedNode,
  copy: Copying,
): void {
  checkDisk(list, topology, [primary, node]);
  const says = `${node.name} has room for a full copy`;
  if (node.agent === null)
    return list.skip('C9', says, 'its agent does not answer yet; it is asked before a copy begins');
  const { databaseBytes } = primary.sql;
  if (databaseBytes === undefined)
    return list.skip('C9', says, `${primary.name} did not tell the size of its databases in time`);
  const needed = Math.ceil(databaseBytes * COPY_MARGIN);
  const free = node.agent.freeDiskBytes;
  const words = {
    says,
    refusal: `${node.name} has no room for a full copy`,
    measured: `${formatSize(free)} free`,
    limit: `at least ${formatSize(needed)}, the databases of ${primary.name} and a tenth`,
    next: `docker exec ${node.name} df -h ${node.agent.dataDirectory.path}`,
  };
  if (copy === 'certain') list.require('C9', free >= needed, words);
  else list.advise('C9', free >= needed, words);
}
