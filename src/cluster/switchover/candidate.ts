import { logs, psql, sqlText } from '../commands';
import { checkRights } from '../control-path';
import type { AnsweringNode, ObservedNode } from '../observed';
import { notLower } from '../readiness/settings';
import { formatSize } from '../size';
import { isNodesSlot, slotName, type ClusterTopology } from '../topology';
import type { Checklist } from './checklist';
import { checkClients } from './clients';
import { RELOAD, type Pair } from './replication';

/** C1–C10: the target can be the primary, and the old primary and the others can follow it. */
export function checkCandidate(
  list: Checklist,
  topology: ClusterTopology,
  { source, standby: target }: Pair,
  others: readonly ObservedNode[],
): void {
  checkRoomForFollowers(list, topology, target, [source, ...others]);
  checkSettings(list, source, target, others);
  checkConnectBack(list, source, target);
  checkFitness(list, source, target);
  checkDirectories(list, [source, target]);
  checkRights(list, topology, source, [source, target]);
  checkDisk(list, topology, [source, target]);
  checkClients(list, source, target);
}

/** C1 and C2: a walsender and a slot for each node that will follow the target and does not do so yet. */
function checkRoomForFollowers(
  list: Checklist,
  topology: ClusterTopology,
  target: AnsweringNode,
  followers: readonly ObservedNode[],
): void {
  const { walSenders, replicationSlots, replication, slots } = target.sql;
  const starting = followers.filter((node) => !replication.some((row) => row.slot === slotName(node.name)));
  const freeSenders = walSenders.max - walSenders.used;
  const strangers = walSenders.used - (followers.length - starting.length);
  list.require('C1', freeSenders >= starting.length, {
    says: `${target.name} has free walsenders for its standbys`,
    refusal: `${target.name} has too few free walsenders for its standbys`,
    measured: `${freeSenders} of ${walSenders.max} free`,
    limit: `at least ${starting.length}`,
    next:
      strangers > 0
        ? psql(target.name, 'SELECT pid, application_name, client_addr, state FROM pg_stat_replication')
        : restartWith(target.name, 'max_wal_senders', Math.max(10, followers.length)),
  });
  const without = followers.filter((node) => !slots.some((slot) => slot.name === slotName(node.name)));
  const freeSlots = replicationSlots.max - replicationSlots.used;
  const stale = slots.find(
    (slot) =>
      !slot.active &&
      slot.type === 'physical' &&
      isNodesSlot(topology, slot.name) &&
      !followers.some((node) => slotName(node.name) === slot.name),
  );
  list.require('C2', freeSlots >= without.length, {
    says: `${target.name} has free replication slots for its standbys`,
    refusal: `${target.name} has too few free replication slots for its standbys`,
    measured: `${freeSlots} of ${replicationSlots.max} free`,
    limit: `at least ${without.length}`,
    next:
      stale === undefined
        ? restartWith(target.name, 'max_replication_slots', Math.max(10, replicationSlots.used + without.length))
        : psql(target.name, `SELECT pg_drop_replication_slot(${sqlText(stale.name)})`),
  });
}

/** Changes a setting that only a restart applies. Restarting a standby disturbs no client for longer than it takes. */
function restartWith(node: string, setting: string, value: string | number): string {
  return `${psql(node, `ALTER SYSTEM SET ${setting} = ${value}`)} && docker restart ${node}`;
}

/** C3: the nodes that will follow the target have settings with which they can. */
function checkSettings(
  list: Checklist,
  source: AnsweringNode,
  target: AnsweringNode,
  others: readonly ObservedNode[],
): void {
  const lower = [source, ...others].flatMap((node) =>
    notLower
      .filter((name) => Number(node.sql?.settings[name]) < Number(target.sql.settings[name]))
      .map((name) => ({ node: node.name, name, value: node.sql?.settings[name] })),
  );
  const names = [...new Set(lower.map(({ name }) => name))];
  list.require('C3', lower.length === 0, {
    says: `the old primary can be a standby of ${target.name} with its settings`,
    refusal: `${lower[0]?.node} could not start as a standby of ${target.name}`,
    measured:
      lower.length === 0
        ? 'no setting is lower'
        : lower
            .map(
              ({ node, name, value }) =>
                `${name} is ${value} on ${node}, ${target.sql.settings[name]} on ${target.name}`,
            )
            .join('; '),
    limit: `not lower than on ${target.name}`,
    // The target takes the primary's values: it is the one whose restart no client sees.
    next: `${psql(target.name, ...names.map((name) => `ALTER SYSTEM SET ${name} = ${source.sql.settings[name]}`))} && docker restart ${target.name}`,
  });
}

/** Measured where nobody tried to connect. */
export const NOT_TRIED = 'it was not tried';

/** C4: tried inside the old primary, as its own WAL receiver would connect. */
function checkConnectBack(list: Checklist, source: ObservedNode, target: ObservedNode): void {
  const back = target.connectBack;
  list.require('C4', back?.ok === true, {
    says: `${source.name} can open a replication connection to ${target.name}`,
    refusal: `${source.name} can't open a replication connection to ${target.name}`,
    measured:
      back === undefined
        ? NOT_TRIED
        : back.ok
          ? 'IDENTIFY_SYSTEM answered'
          : (back.error ?? '').trim() || 'it was refused',
    limit: 'IDENTIFY_SYSTEM answers',
    next: logs(target.name),
  });
}

/** C5 and C6: a node that fails later can be rewound, and the target can be followed. */
function checkFitness(list: Checklist, source: AnsweringNode, target: AnsweringNode): void {
  const { full_page_writes: pages, wal_log_hints: hints, data_checksums: checksums } = source.sql.settings;
  const rewindable = pages === 'on' && (hints === 'on' || checksums === 'on');
  list.advise('C5', rewindable, {
    says: 'a rewind would be possible if it came to that',
    refusal: `a failed ${source.name} would need a full copy, because it can't be rewound`,
    measured: `full_page_writes ${pages}, wal_log_hints ${hints}, data_checksums ${checksums}`,
    limit: 'full_page_writes on, and wal_log_hints or data_checksums on',
    next:
      pages === 'on'
        ? psql(source.name, 'ALTER SYSTEM SET wal_log_hints = on')
        : psql(source.name, 'ALTER SYSTEM SET full_page_writes = on', RELOAD),
  });
  const { wal_level: level, hot_standby: hot } = target.sql.settings;
  list.require('C6', level !== 'minimal' && hot === 'on', {
    says: `${target.name} is fit to be followed`,
    refusal: `no standby could follow ${target.name}`,
    measured: `wal_level ${level}, hot_standby ${hot}`,
    limit: 'wal_level replica or logical, hot_standby on',
    next:
      level === 'minimal'
        ? restartWith(target.name, 'wal_level', "'replica'")
        : restartWith(target.name, 'hot_standby', 'on'),
  });
}

/** C7: a directory that others can read, or that belongs to somebody else, is not the one that the server was given. */
function checkDirectories(list: Checklist, nodes: readonly ObservedNode[]): void {
  const directories = nodes.flatMap(({ name, agent }) => (agent === null ? [] : [{ name, ...agent.dataDirectory }]));
  const wrong = directories.find(({ owner, mode }) => owner !== 'postgres' || !/^0?7[05]0$/.test(mode));
  list.require('C7', wrong === undefined, {
    says: 'the data directories are private and owned by postgres',
    refusal: `the data directory of ${wrong?.name} is not private to postgres`,
    measured: directories.map(({ name, path, owner, mode }) => `${path} on ${name}: ${owner} ${mode}`).join('; '),
    limit: 'owner postgres, mode 0700 or 0750',
    next: `docker exec -u root ${wrong?.name} sh -c 'chown postgres: ${wrong?.path} && chmod 0700 ${wrong?.path}'`,
  });
}

/** C9: room for WAL while a standby is away. */
export function checkDisk(list: Checklist, topology: ClusterTopology, nodes: readonly ObservedNode[]): void {
  const limit = topology.limits.freeDiskBytes;
  const disks = nodes.flatMap(({ name, agent }) =>
    agent === null ? [] : [{ name, path: agent.dataDirectory.path, free: agent.freeDiskBytes }],
  );
  const fullest = disks.reduce(
    (least, disk) => (disk.free < least.free ? disk : least),
    disks[0] ?? { name: '', path: '', free: 0 },
  );
  list.require('C9', fullest.free >= limit, {
    says: 'the nodes have disk space',
    refusal: `the disk of ${fullest.name} is nearly full`,
    measured: `${formatSize(fullest.free)} free on ${fullest.name}`,
    limit: `at least ${formatSize(limit)}, limits.freeDiskBytes`,
    next: `docker exec ${fullest.name} df -h ${fullest.path}`,
  });
}
