import { psql } from '../commands';
import { formatMs } from '../duration';
import { rejoinCommand } from '../failover/commands';
import type { AnsweringNode } from '../observed';
import { formatSize } from '../size';
import type { Checklist } from '../switchover/checklist';
import { isNodesSlot, slotName, type ClusterTopology } from '../topology';
import type { SlotReadiness } from './observed';
import type { Weight } from './start';

/** A slot that may lose its WAL after this many bytes more is told while there is time. */
const NEARLY_LOST_BYTES = 256 * 1024 * 1024;
/** A receiver that has said nothing for this long gets nothing in the time of a stop, in milliseconds. */
const SILENT_RECEIVER_MS = 10_000;

/** M4: the primary still keeps the WAL that each of its standbys needs. */
export function checkSlots(
  list: Checklist,
  cluster: string,
  topology: ClusterTopology,
  primary: AnsweringNode,
  standbys: readonly AnsweringNode[],
  weigh: (node: AnsweringNode) => Weight,
): void {
  for (const slot of primary.readiness?.sql?.slots ?? []) {
    const node = standbys.find(({ name }) => slotName(name) === slot.name);
    if (node === undefined || !isNodesSlot(topology, slot.name)) continue;
    const says = `${primary.name} keeps the WAL that ${node.name} needs`;
    if (slot.invalidation !== null || slot.walStatus === 'lost')
      list[weigh(node)]('M4', false, {
        says,
        refusal: `${primary.name} has thrown away WAL that ${node.name} needs: its slot is lost`,
        measured: `slot ${slot.name} is ${slot.walStatus ?? 'invalid'}${slot.invalidation === null ? '' : `, because of ${slot.invalidation}`}`,
        limit: 'a slot that is kept',
        next: rejoinCommand(cluster, node.name),
      });
    else if (slot.safeBytes !== null && slot.safeBytes < NEARLY_LOST_BYTES)
      list.advise('M4', false, {
        says,
        refusal: `${primary.name} will soon throw away WAL that ${node.name} needs`,
        measured: `${formatSize(Math.max(0, slot.safeBytes))} may be written before slot ${slot.name} is lost; it keeps ${formatSize(slot.retainedBytes)}`,
        limit: `at least ${formatSize(NEARLY_LOST_BYTES)}; max_slot_wal_keep_size`,
        next: psql(node.name, 'SELECT * FROM pg_stat_wal_receiver'),
      });
  }
}

/** M5: no page of the node failed its checksum. A primary with broken pages is best moved away from. */
export function checkChecksums(
  list: Checklist,
  cluster: string,
  node: AnsweringNode,
  isPrimary: boolean,
  weight: Weight,
): void {
  const failures = node.readiness?.sql?.checksumFailures ?? [];
  if (failures.length === 0) return;
  list[isPrimary ? 'advise' : weight]('M5', false, {
    says: `no page of ${node.name} failed its checksum`,
    refusal: `pages of ${node.name} failed their checksum: its disk is not to be trusted`,
    measured: failures.map(({ database, count }) => `${count} in ${database}`).join(', '),
    limit: 'none since its statistics began',
    next: isPrimary
      ? psql(node.name, 'SELECT datname, checksum_failures, checksum_last_failure FROM pg_stat_database')
      : `${rejoinCommand(cluster, node.name)} --method copy`,
  });
}

/** Without either of them a power cut, or a container that is killed with its machine, leaves pages that nobody can trust. */
const keepsPages = ['fsync', 'full_page_writes'] as const;

/** M5: the node keeps its pages whole over a crash. Of the primary C5 tells `full_page_writes`. Told, since it may be meant for a while. */
export function checkPagesKept(list: Checklist, { name, sql }: AnsweringNode, isPrimary: boolean): void {
  const off = keepsPages.filter(
    (setting) => sql.settings[setting] === 'off' && !(isPrimary && setting === 'full_page_writes'),
  );
  if (off.length === 0) return;
  list.advise('M5', false, {
    says: `${name} keeps its pages whole over a crash`,
    refusal: `a crash of the machine of ${name} could break its pages`,
    measured: `${off.join(' and ')} ${off.length === 1 ? 'is' : 'are'} off`,
    limit: 'fsync and full_page_writes on',
    next: psql(name, ...off.map((setting) => `ALTER SYSTEM SET ${setting} = on`), 'SELECT pg_reload_conf()'),
  });
}

/** Unlogged relations in words: "1 unlogged table, index or sequence". */
export const unloggedText = (count: number): string =>
  `${count} unlogged ${count === 1 ? 'table, index or sequence' : 'tables, indexes and sequences'}`;

/** The check of {@link tellOthers} that names the slots in its `measured`. */
export const NO_SLOT_LEFT = 'no logical slot would be left behind';

/**
 * Logical slots of others that would stay on the node that was the primary. One counts as kept only where the other node has a copy that
 * is whole: `failover` alone is a wish, and no standby need have followed it.
 * @param copies slots of each node that may be promoted, or was; of one that said nothing, nothing is known, and it is left out
 */
export function slotsLeftBehind(
  topology: ClusterTopology,
  slots: readonly SlotReadiness[],
  copies: readonly (readonly SlotReadiness[])[],
): SlotReadiness[] {
  const isKept = (name: string) =>
    copies.every((there) =>
      there.some(
        (copy) => copy.name === name && copy.type === 'logical' && copy.temporary !== true && copy.invalidation == null,
      ),
    );
  return slots.filter(
    ({ type, failover, temporary, name }) =>
      type === 'logical' && temporary !== true && !isNodesSlot(topology, name) && !(failover && isKept(name)),
  );
}

/** The same in words: "warehouse in veloz, audit in veloz". */
export const slotsText = (slots: readonly SlotReadiness[]): string =>
  slots.map(({ name, database }) => `${name}${database === null ? '' : ` in ${database}`}`).join(', ');

/** M6: what belongs to others, and what a stop or a promotion means for it. Told, never in the way. */
export function tellOthers(
  list: Checklist,
  topology: ClusterTopology,
  primary: AnsweringNode,
  candidates: readonly AnsweringNode[],
): void {
  const seen = primary.readiness?.sql;
  if (seen == null) return;
  for (const { pid, application, user, slot, behindBytes, replyAgeMs } of seen.senders) {
    if (slot !== null && isNodesSlot(topology, slot)) continue;
    const behind = behindBytes ?? 0;
    const silent = (replyAgeMs ?? 0) >= SILENT_RECEIVER_MS;
    if (behind === 0 || (!silent && behind <= topology.limits.flushLagBytes)) continue;
    list.advise('M6', false, {
      says: 'nobody else holds a stop up',
      refusal: `a receiver that is no node of the cluster would be cut off by a stop of ${primary.name}, which waits for nobody else`,
      measured: `${application === '' ? `pid ${pid}` : application} of ${user} lacks ${formatSize(behind)}${silent ? ` and has said nothing for ${formatMs(replyAgeMs ?? 0)}` : ''}`,
      limit: silent
        ? `an answer within ${formatMs(SILENT_RECEIVER_MS)}`
        : `at most ${formatSize(topology.limits.flushLagBytes)}, limits.flushLagBytes`,
      next: psql(primary.name, `SELECT pg_terminate_backend(${pid})`),
    });
  }
  const unlogged = primary.readiness?.agent?.unlogged ?? 0;
  if (unlogged > 0)
    list.advise('M6', false, {
      says: 'no table would be emptied',
      refusal: 'unlogged tables are empty after a switchover or failover: no WAL is written of them',
      measured: `${unloggedText(unlogged)} on ${primary.name}`,
      limit: 'none; ALTER TABLE … SET LOGGED keeps a table',
      next: `docker exec ${primary.name} psql -U postgres -c "SELECT oid::regclass FROM pg_class WHERE relpersistence = 'u'"`,
    });
  const copies = candidates.flatMap(({ readiness }) => {
    const slots = readiness?.sql?.slots;
    // A copy that a standby has not synced is its own.
    return slots === undefined ? [] : [slots.filter(({ synced }) => synced !== false)];
  });
  const left = slotsLeftBehind(topology, seen.slots, copies);
  if (left.length > 0)
    list.advise('M6', false, {
      says: NO_SLOT_LEFT,
      refusal: 'logical slots stay behind at a switchover or failover: their subscribers have to begin anew',
      measured: slotsText(left),
      limit:
        'slots with failover = true, of which each standby that may be promoted has a synced copy (sync_replication_slots)',
      next: psql(primary.name, 'SELECT slot_name, database, plugin, failover, synced FROM pg_replication_slots'),
    });
}
