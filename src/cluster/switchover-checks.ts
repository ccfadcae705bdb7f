import type { Check } from './check';
import { formatMs } from './duration';
import { lsnDistance } from './lsn';
import {
  presentNodes,
  primaries,
  replicationRowOf,
  standbys,
  type ObservedCluster,
  type ObservedNode,
} from './observed';
import { internalEndpoint, slotName, type ClusterTopology, type Protection } from './topology';

/** What the decision needs to know of a request. */
export interface SwitchoverWish {
  target?: string;
  expectedPrimary?: string;
  protection?: Protection;
  pauseLimitMs: number;
}

/** What the checks come to. */
export interface SwitchoverDecision {
  checks: Check[];
  /** The primary now; absent when there is not exactly one. */
  source?: string;
  /** The node to promote; absent when none qualifies. */
  target?: string;
  /** Other standbys, which follow the target. */
  others: string[];
  protection: Protection;
  /** The named target is the primary already: nothing to do. */
  alreadyDone: boolean;
}

const mib = (bytes: number) =>
  bytes < 1024 * 1024 ? `${Math.round(bytes / 1024)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
/** Settings that a standby must not have lower than its primary had (PostgreSQL, "Hot Standby", administrator's overview). */
const notLower = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
];

class Checklist {
  readonly checks: Check[] = [];
  /** Adds a check that refuses (or warns) unless `good`. Returns `good`. */
  add(
    id: string,
    says: string,
    good: boolean,
    measured: string,
    rest: { limit?: string; next?: string; warn?: boolean } = {},
  ): boolean {
    const { limit, next, warn } = rest;
    const result = good ? 'ok' : warn === true ? 'warn' : 'refuse';
    this.checks.push({
      id,
      says,
      result,
      measured,
      ...(limit === undefined ? {} : { limit }),
      ...(good || next === undefined ? {} : { next }),
    });
    return good;
  }
  skip(id: string, says: string, why: string): void {
    this.checks.push({ id, says, result: 'skip', measured: why });
  }
}

/**
 * Holds an observed cluster against the safety checklist (A–F) for a planned switchover, and chooses the target.
 * Pure: the same picture gives the same decision.
 */
export function decideSwitchover(
  topology: ClusterTopology,
  observed: ObservedCluster,
  wish: SwitchoverWish,
): SwitchoverDecision {
  const list = new Checklist();
  const protection = wish.protection ?? topology.protection;
  const nodes = presentNodes(observed);
  const decision: SwitchoverDecision = { checks: list.checks, others: [], protection, alreadyDone: false };

  if (!checkSystems(list, observed, nodes)) return decision;
  const source = checkIdentity(list, nodes, observed, wish);
  if (source === undefined) return decision;
  decision.source = source.name;

  if (wish.target === source.name) {
    decision.alreadyDone = true;
    decision.target = source.name;
    return decision;
  }
  const target = chooseTarget(list, observed, source, wish);
  if (target === undefined) return decision;
  decision.target = target.name;
  decision.others = standbys(observed)
    .filter((node) => node !== target && node.sql?.receiver !== null)
    .map((node) => node.name);

  checkReplication(list, topology, source, target);
  checkCandidate(list, topology, source, target);
  checkStoppable(list, topology, source, wish);
  checkTraffic(list, topology, observed, source, wish);
  return decision;
}

/** E4: everything that will be needed answers, before the first step. */
function checkSystems(list: Checklist, observed: ObservedCluster, nodes: ObservedNode[]): boolean {
  const says = 'every system that will be needed answers';
  const silent: string[] = [];
  if (!observed.docker.ok) {
    list.add('E4', says, false, `the Docker engine does not answer: ${observed.docker.error ?? 'no reason given'}`, {
      next: "docker version, and give the worker access to the engine's socket",
    });
    return false;
  }
  for (const node of nodes) {
    if (!node.container.running) silent.push(`${node.name}: its container is ${node.container.status}`);
    else if (node.agent === null) silent.push(`${node.name}: ${node.agentError ?? 'its agent does not answer'}`);
    else if (node.agent.desired !== 'up')
      silent.push(`${node.name}: it is ${node.agent.desired} by ${node.agent.claimedBy ?? 'an earlier run'}`);
    else if (node.agent.startGuard !== null) silent.push(`${node.name}: ${node.agent.startGuard}`);
    else if (node.sql === null)
      silent.push(`${node.name}: PostgreSQL does not answer: ${node.sqlError ?? 'no reason given'}`);
  }
  const pooler = observed.pooler;
  if (pooler.agent === null) silent.push(`${pooler.name}: ${pooler.agentError ?? 'its agent does not answer'}`);
  else if (pooler.console === null)
    silent.push(`${pooler.name}: its console does not answer: ${pooler.consoleError ?? 'no reason given'}`);
  const first = silent[0]?.split(':')[0] ?? '';
  return list.add(
    'E4',
    says,
    silent.length === 0,
    silent.length === 0 ? `Docker, ${nodes.length} PostgreSQL nodes, PgBouncer and their agents` : silent.join('; '),
    {
      next: `docker logs --tail 20 ${first}, then start it: docker start ${first}`,
    },
  );
}

/** A1, A3–A6. */
function checkIdentity(
  list: Checklist,
  nodes: ObservedNode[],
  observed: ObservedCluster,
  wish: SwitchoverWish,
): ObservedNode | undefined {
  const writable = primaries(observed);
  const one = list.add(
    'A3',
    'exactly one node is writable',
    writable.length === 1,
    writable.length === 0
      ? 'no node is'
      : writable.map((node) => node.name).join(' and ') + (writable.length === 1 ? ' is' : ' are'),
    {
      limit: 'exactly 1',
      next:
        writable.length > 1
          ? `stop the one that is not in charge at once: docker stop ${writable[1]?.name}`
          : 'veloz-ha postgres status',
    },
  );
  const source = writable[0];
  if (!one || source === undefined) return undefined;
  const expected = wish.expectedPrimary;
  const known = expected === undefined || observed.nodes.some((node) => node.name === expected);
  const asExpected = list.add(
    'A1',
    'the primary is the one that the request expects',
    expected === undefined || expected === source.name,
    expected === undefined
      ? `${source.name} (the request names none)`
      : known
        ? `${source.name} is primary, the request expects ${expected}`
        : `the topology has no node ${expected}; ${source.name} is primary`,
    { next: `ask again with expectedPrimary ${source.name}, or without it` },
  );
  if (!asExpected) return undefined;
  const identifiers = new Set(nodes.map((node) => node.sql?.systemIdentifier));
  list.add('A4', 'all nodes belong to one database cluster', identifiers.size === 1, [...identifiers].join(', '), {
    limit: 'one system identifier',
    next: 'take the foreign node out of the topology',
  });
  const versions = new Set(nodes.map((node) => Math.floor((node.sql?.versionNum ?? 0) / 10000)));
  list.add(
    'A5',
    'all nodes run the same, supported major version',
    versions.size === 1 && Math.min(...versions) >= 15,
    `PostgreSQL ${[...versions].join(', ')}`,
    { limit: 'one version, 15 or later', next: 'bring all nodes to one major version' },
  );
  return source;
}

/** A2, A6, A7: the named standby, or the best one. */
function chooseTarget(
  list: Checklist,
  observed: ObservedCluster,
  source: ObservedNode,
  wish: SwitchoverWish,
): ObservedNode | undefined {
  const says = 'the target is a standby that may be promoted';
  if (wish.target !== undefined) {
    const named = observed.nodes.find((node) => node.name === wish.target);
    const names = observed.nodes.map((node) => node.name).join(', ');
    if (
      !list.add(
        'A2',
        says,
        named?.sql?.inRecovery === true,
        named === undefined
          ? `the topology has no node ${wish.target}`
          : named.sql === null
            ? `${named.name} is ${named.container.status}`
            : `${named.name} is ${named.sql.inRecovery ? 'a standby' : 'writable'}`,
        { next: `name one of ${names}` },
      )
    )
      return undefined;
    if (named === undefined) return undefined;
    list.add(
      'A7',
      'the target is not excluded from promotion',
      named.promotable,
      named.promotable ? `${named.name} is promotable` : `${named.name} has promotable: false in the topology`,
      { next: 'name another target' },
    );
    return named;
  }
  const candidates = standbys(observed).filter((node) => node.promotable);
  const rank = (node: ObservedNode): number => {
    const row = replicationRowOf(source, slotName(node.name));
    if (row === undefined || row.state !== 'streaming') return 3;
    return row.syncState === 'sync' || row.syncState === 'quorum' ? 0 : row.syncState === 'potential' ? 1 : 2;
  };
  // Rank first, then the topology's own order, so that the choice does not flip between two equal standbys.
  const best = [...candidates].sort((a, b) => rank(a) - rank(b))[0];
  const excluded = standbys(observed).length - candidates.length;
  list.add(
    'A2',
    says,
    best !== undefined,
    best === undefined
      ? `there is no standby that answers${excluded > 0 ? ` and may be promoted (${excluded} excluded by promotable: false)` : ''}`
      : `${best.name}`,
    {
      limit: 'at least 1',
      next: 'start a standby: veloz-ha stack up',
    },
  );
  return best;
}

/** A6, B1–B8. */
function checkReplication(
  list: Checklist,
  topology: ClusterTopology,
  source: ObservedNode,
  target: ObservedNode,
): void {
  const primary = source.sql;
  const standby = target.sql;
  if (primary === null || standby === null) return;
  const { limits } = topology;
  const row = replicationRowOf(source, slotName(target.name));
  const logs = `docker logs --tail 20 ${target.name}`;

  list.add(
    'A6',
    'both are on one timeline',
    primary.timeline === standby.timeline,
    `primary ${primary.timeline}, target ${standby.timeline}`,
    { limit: 'the same', next: `rejoin the standby: ${logs}` },
  );
  const receiver = standby.receiver;
  list.add(
    'B1',
    'the target streams from this very primary, and both say so',
    row?.state === 'streaming' && receiver?.status === 'streaming' && receiver.senderHost === source.internal.host,
    row === undefined
      ? `the primary has no walsender for slot ${slotName(target.name)}; the target's receiver ${receiver === null ? 'does not run' : `reads from ${receiver.senderHost}`}`
      : `primary: ${row.state}, target: ${receiver === null ? 'no receiver' : `${receiver.status} from ${receiver.senderHost}`}`,
    { limit: `streaming from ${source.internal.host}`, next: logs },
  );
  const syncState = row?.syncState ?? 'absent';
  list.add(
    'B2',
    'the target is a synchronous standby',
    syncState === 'sync' || syncState === 'quorum',
    `sync_state is ${syncState}, synchronous_standby_names is '${primary.settings.synchronous_standby_names ?? ''}'`,
    {
      limit: 'sync or quorum',
      next: `docker exec ${source.name} psql -U postgres -c "ALTER SYSTEM SET synchronous_standby_names = '${topology.postgres.synchronousStandbyNames}'" -c "SELECT pg_reload_conf()"`,
    },
  );
  const weak = [
    ...(['off', 'local'].includes(primary.settings.synchronous_commit ?? '')
      ? [`the server: ${primary.settings.synchronous_commit}`]
      : []),
    ...primary.weakSyncCommit.map((entry) => `role ${entry.role} in ${entry.database}: ${entry.value}`),
  ];
  list.add(
    'B4',
    'synchronous_commit is nowhere off or local',
    weak.length === 0,
    weak.length === 0 ? `${primary.settings.synchronous_commit ?? 'on'} everywhere` : weak.join('; '),
    {
      limit: 'on or stronger',
      next: 'ALTER ROLE … RESET synchronous_commit (and ALTER DATABASE …), or accept that such commits can be lost',
    },
  );
  const flushLag =
    row?.sentLsn != null && row.flushLsn !== null
      ? Math.max(lsnDistance(primary.lsn, row.flushLsn), lsnDistance(row.sentLsn, row.flushLsn), 0)
      : undefined;
  list.add(
    'B5',
    'the target has nearly all that the primary wrote',
    flushLag !== undefined && flushLag <= limits.flushLagBytes,
    flushLag === undefined ? 'unknown: it is not streaming' : `${mib(flushLag)} behind`,
    {
      limit: `at most ${mib(limits.flushLagBytes)} (limits.flushLagBytes)`,
      next: 'wait until it has caught up: veloz-ha postgres status',
    },
  );
  const replayLag = standby.replayLsn === null ? undefined : Math.max(lsnDistance(standby.lsn, standby.replayLsn), 0);
  list.add(
    'B6',
    'the target has replayed nearly all that it received',
    replayLag !== undefined && replayLag <= limits.replayLagBytes,
    replayLag === undefined ? 'unknown: nothing replayed yet' : `${mib(replayLag)} not replayed`,
    {
      limit: `at most ${mib(limits.replayLagBytes)} (limits.replayLagBytes)`,
      next: 'wait, or end the query on the standby that holds replay up',
    },
  );
  const delay = standby.settings.recovery_min_apply_delay ?? '0';
  list.add(
    'B7',
    'replay on the target is neither paused nor delayed',
    !standby.replayPaused && delay === '0',
    standby.replayPaused
      ? 'replay is paused'
      : delay === '0'
        ? 'replaying at once'
        : `recovery_min_apply_delay is ${delay} ms`,
    {
      limit: 'not paused, no delay',
      next: `docker exec ${target.name} psql -U postgres -c "SELECT pg_wal_replay_resume()"`,
    },
  );
  const { count, oldestMs } = primary.syncRepWaiters;
  list.add(
    'B8',
    'no commit is stuck waiting for a synchronous standby',
    count === 0 || oldestMs < 1000,
    count === 0 ? 'none waits' : `${count} wait, the oldest for ${formatMs(oldestMs)}`,
    { limit: 'none for longer than 1 s', next: logs },
  );
}

/** C1–C9. */
function checkCandidate(list: Checklist, topology: ClusterTopology, source: ObservedNode, target: ObservedNode): void {
  const primary = source.sql;
  const standby = target.sql;
  if (primary === null || standby === null || source.agent === null || target.agent === null) return;
  const { limits } = topology;
  const senders = standby.walSenders.max - standby.walSenders.used;
  const needed = Math.max(1, presentCount(topology, primary));
  list.add(
    'C1',
    'the target has free walsenders for its standbys',
    senders >= needed,
    `${senders} of ${standby.walSenders.max} free`,
    { limit: `at least ${needed}`, next: `raise max_wal_senders on ${target.name} and restart it` },
  );
  const slots = standby.replicationSlots.max - standby.replicationSlots.used;
  const has = standby.slots.some((slot) => slot.name === slotName(source.name));
  list.add(
    'C2',
    'the target has a free replication slot',
    has || slots >= 1,
    has ? `slot ${slotName(source.name)} exists` : `${slots} of ${standby.replicationSlots.max} free`,
    { limit: 'at least 1', next: `drop a stale slot on ${target.name}, or raise max_replication_slots` },
  );
  const lower = notLower.filter((name) => Number(primary.settings[name]) < Number(standby.settings[name]));
  list.add(
    'C3',
    'the old primary can be a standby of the target with its settings',
    lower.length === 0,
    lower.length === 0
      ? 'no setting is lower'
      : lower
          .map(
            (name) =>
              `${name}: ${primary.settings[name]} on ${source.name}, ${standby.settings[name]} on ${target.name}`,
          )
          .join('; '),
    { limit: 'not lower than on the target', next: `raise them on ${source.name}` },
  );
  const back = target.connectBack;
  list.add(
    'C4',
    'the old primary can open a replication connection to the target',
    back?.ok === true,
    back === undefined
      ? 'it could not be tried'
      : back.ok
        ? `${source.name} → ${target.name}: IDENTIFY_SYSTEM answered`
        : `${source.name} → ${target.name}: ${back.error ?? 'refused'}`,
    {
      next: `check pg_hba.conf and the replication password on ${target.name}`,
    },
  );
  const { settings } = primary;
  const rewindable =
    settings.full_page_writes === 'on' && (settings.wal_log_hints === 'on' || settings.data_checksums === 'on');
  list.add(
    'C5',
    'a rewind would be possible if it came to that',
    rewindable,
    `full_page_writes ${settings.full_page_writes}, wal_log_hints ${settings.wal_log_hints}, data_checksums ${settings.data_checksums}`,
    { warn: true, next: 'without it a failed node needs a full copy' },
  );
  list.add(
    'C6',
    'the target is fit to be followed',
    standby.settings.wal_level !== 'minimal' &&
      standby.settings.hot_standby === 'on' &&
      Number(standby.settings.max_wal_senders) > 0,
    `wal_level ${standby.settings.wal_level}, hot_standby ${standby.settings.hot_standby}, max_wal_senders ${standby.settings.max_wal_senders}`,
    { next: `correct postgresql.conf of ${target.name}` },
  );
  const directories = [source, target].map((node) => ({ name: node.name, ...node.agent?.dataDirectory }));
  list.add(
    'C7',
    'the data directories are real, private and owned by postgres',
    directories.every((directory) => directory.owner === 'postgres' && /^0?7[05]0$/.test(directory.mode ?? '')),
    directories.map((directory) => `${directory.name}: ${directory.owner} ${directory.mode}`).join('; '),
    { limit: 'postgres, 0700 or 0750', next: 'correct owner and mode' },
  );
  const missing = [source, target].flatMap((node) =>
    (node.sql?.missingRights ?? []).map((right) => `${node.name}: ${right}`),
  );
  list.add(
    'C8',
    'the control role has the rights that it needs',
    missing.length === 0,
    missing.length === 0 ? `role ${topology.postgres.control.user}` : `it can't ${missing.join('; ')}`,
    { next: `grant them to ${topology.postgres.control.user}` },
  );
  const free = Math.min(source.agent.freeDiskBytes, target.agent.freeDiskBytes);
  list.add('C9', 'both nodes have disk space', free >= limits.freeDiskBytes, `${mib(free)} free on the fuller one`, {
    limit: `at least ${mib(limits.freeDiskBytes)} (limits.freeDiskBytes)`,
    next: 'free space',
  });
}

/** Standbys that will want a walsender of the new primary. */
function presentCount(_topology: ClusterTopology, primary: NonNullable<ObservedNode['sql']>): number {
  return primary.replication.length;
}

/** D1–D3, D5. D4 is measured by the checkpoint step itself. */
function checkStoppable(list: Checklist, topology: ClusterTopology, source: ObservedNode, wish: SwitchoverWish): void {
  const primary = source.sql;
  if (primary === null || source.agent === null) return;
  const { limits } = topology;
  if (primary.archiver.mode === 'off') list.skip('D1', 'the WAL archive has no backlog', 'archive_mode is off');
  else
    list.add(
      'D1',
      'the WAL archive has no backlog',
      source.agent.archiveReady <= limits.archiveBacklog && !primary.archiver.failing,
      `${source.agent.archiveReady} segments wait${primary.archiver.failing ? ', and the archiver fails' : ''}`,
      {
        limit: `at most ${limits.archiveBacklog}, not failing`,
        next: `SELECT * FROM pg_stat_archiver on ${source.name}`,
      },
    );
  list.add('D2', 'no base backup runs', primary.baseBackups === 0, `${primary.baseBackups} running`, {
    limit: 'none',
    next: 'wait for it, or end it',
  });
  const old = primary.openTransactions.filter((transaction) => transaction.ageMs > limits.transactionAge);
  const first = old[0];
  list.add(
    'D3',
    'no transaction is open for long',
    old.length === 0,
    first === undefined
      ? `${primary.openTransactions.length} open for more than 250 ms`
      : `${old.length} open, the oldest for ${formatMs(first.ageMs)} (pid ${first.pid}, ${first.user}, ${first.state})`,
    {
      limit: `${formatMs(limits.transactionAge)} (limits.transactionAge); PAUSE waits at most ${formatMs(wish.pauseLimitMs)}`,
      next:
        first === undefined
          ? undefined
          : `end it: docker exec ${source.name} psql -U postgres -c "SELECT pg_terminate_backend(${first.pid})"`,
    },
  );
  list.add(
    'D3p',
    'no prepared transaction is open',
    primary.preparedTransactions === 0,
    `${primary.preparedTransactions} prepared`,
    { limit: 'none', warn: true, next: 'they survive the switchover; whoever prepared them must end them' },
  );
  list.add(
    'D5',
    'nothing restarts the old primary behind our back',
    true,
    `its agent keeps it down across restarts (restart policy ${source.container.restartPolicy} stays as it is)`,
  );
}

/** F1, F4. */
function checkTraffic(
  list: Checklist,
  topology: ClusterTopology,
  observed: ObservedCluster,
  source: ObservedNode,
  _wish: SwitchoverWish,
): void {
  const { console: seen, agent } = observed.pooler;
  if (seen === null || agent === null) return;
  list.add('F1', 'the pooler pools transactions', seen.poolMode === 'transaction', `pool_mode is ${seen.poolMode}`, {
    limit: 'transaction',
    next: `set pool_mode = transaction in ${observed.pooler.name} (PAUSE would wait for sessions for ever)`,
  });
  list.add(
    'F2',
    'nobody holds clients already',
    !seen.paused && agent.holdRun === null,
    agent.holdRun !== null
      ? `${agent.holdRun} holds them, for at most ${formatMs(agent.holdRemainingMs ?? 0)} more`
      : seen.paused
        ? 'the database is paused by hand'
        : 'clients go through',
    { next: `docker exec ${observed.pooler.name} veloz-agent observe` },
  );
  const route = agent.route;
  const expected = topology.postgres.nodes.find((node) => node.name === source.name);
  const wanted = expected === undefined ? undefined : internalEndpoint(expected);
  list.add(
    'F4',
    'the pooler sends clients to the primary',
    route !== null && wanted !== undefined && route.host === wanted.host && route.port === wanted.port,
    route === null ? 'no route' : `${route.host}:${route.port}`,
    { limit: wanted === undefined ? undefined : `${wanted.host}:${wanted.port}`, next: 'veloz-ha postgres status' },
  );
}
