import type { AnsweringNode, NodeSql, ObservedCluster, ObservedNode } from '../../../src/cluster/observed';
import type { AgentReadiness, SqlReadiness } from '../../../src/cluster/readiness/observed';
import { parseTopology, slotName, type ClusterTopology, type Topology } from '../../../src/cluster/topology';

export const PRIMARY = 'veloz-postgres-primary';
export const STANDBY = 'veloz-postgres-standby';
export const STANDBY_2 = 'veloz-postgres-standby-2';
export const POOLER = 'veloz-pgbouncer';

/** A topology file with one cluster of three PostgreSQL nodes, the third optional, as a document. */
export function topologyDocument() {
  return {
    version: 1,
    clusters: {
      veloz: {
        postgres: {
          control: { user: 'veloz_ha', passwordFrom: 'VELOZ_PG_HA_PASSWORD' },
          client: { user: 'veloz', passwordFrom: 'VELOZ_PG_PASSWORD' },
          nodes: [
            { name: PRIMARY, address: { host: '127.0.0.1', port: 15432 } },
            { name: STANDBY, address: { host: '127.0.0.1', port: 15433 } },
            { name: STANDBY_2, address: { host: '127.0.0.1', port: 15434 }, optional: true },
          ] as Record<string, unknown>[],
        },
        pgbouncer: {
          admin: { user: 'pgbouncer_admin', passwordFrom: 'VELOZ_PGBOUNCER_ADMIN_PASSWORD' },
          nodes: [{ name: POOLER, address: { host: '127.0.0.1', port: 6432 } }],
        },
      },
    } as Record<string, unknown>,
  };
}

/** The same, validated. */
export function topology(): Topology {
  const result = parseTopology(topologyDocument());
  if ('mistakes' in result) throw new Error(JSON.stringify(result.mistakes));
  return result.topology;
}

/** Its one cluster. */
export function clusterTopology(): ClusterTopology {
  const cluster = topology().clusters.veloz;
  if (cluster === undefined) throw new Error('the topology has no cluster veloz');
  return cluster;
}

const settings: Record<string, string> = {
  data_checksums: 'on',
  full_page_writes: 'on',
  hot_standby: 'on',
  max_connections: '100',
  max_locks_per_transaction: '64',
  max_prepared_transactions: '0',
  max_wal_senders: '10',
  max_worker_processes: '8',
  recovery_min_apply_delay: '0',
  synchronous_commit: 'on',
  synchronous_standby_names: 'veloz_standby',
  wal_level: 'replica',
  wal_log_hints: 'on',
};

function sql(rest: Partial<NodeSql>): NodeSql {
  return {
    inRecovery: true,
    versionNum: 170_012,
    systemIdentifier: '7711207839503429655',
    timeline: 3,
    lsn: '0/3000148',
    replayLsn: '0/3000148',
    replayPaused: false,
    receiver: null,
    replication: [],
    slots: [],
    walSenders: { used: 0, max: 10 },
    replicationSlots: { used: 0, max: 10 },
    settings: { ...settings },
    weakSyncCommit: [],
    syncRepWaiters: { count: 0, oldestMs: 0 },
    openTransactions: [],
    preparedTransactions: 0,
    baseBackups: 0,
    archiver: { mode: 'off', failing: false },
    missingRights: [],
    databaseBytes: 35_000_000,
    ...rest,
  };
}

function node(name: string, seen: NodeSql): ObservedNode {
  return {
    name,
    internal: { host: name, port: 5432 },
    promotable: true,
    optional: name === STANDBY_2,
    container: { exists: true, running: true, status: 'running', restartPolicy: 'unless-stopped' },
    agent: {
      postgresState: 'running',
      desired: 'up',
      claimedBy: null,
      deadmanInMs: null,
      controlState: seen.inRecovery ? 'in archive recovery' : 'in production',
      controlTimeline: seen.timeline,
      systemIdentifier: seen.systemIdentifier,
      checksums: true,
      standbySignal: seen.inRecovery,
      upstream: seen.inRecovery ? { host: PRIMARY, port: 5432 } : null,
      freeDiskBytes: 70 * 1024 ** 3,
      dataDirectory: { path: '/var/lib/postgresql/data', owner: 'postgres', mode: '0700' },
      archiveReady: 0,
      startGuard: null,
    },
    sql: seen,
    client: { ok: true, user: 'veloz', readOnly: false },
    readiness: { agent: agentReady(), sql: sqlReady(seen.inRecovery) },
    ...(seen.inRecovery ? { connectBack: { ok: true } } : {}),
  };
}

/** What the agent of a node says with which nothing is wrong. */
function agentReady(): AgentReadiness {
  return {
    at: 1_795_405_898_113,
    start: { ok: true, problem: null, setting: null, ms: 31, ageMs: 900 },
    next: { listen_addresses: '*', port: '5432', max_connections: '100', max_wal_senders: '10' },
    leftovers: [],
    signals: [],
    tablespaces: [],
    walOutside: null,
    archive: { ready: 0, fileMs: null, presentMs: null },
  };
}

/** What PostgreSQL says of itself when nothing is wrong. */
function sqlReady(inRecovery: boolean): SqlReadiness {
  const compared = { ...settings, port: '5432', listen_addresses: '*' };
  return {
    inRecovery,
    pendingRestart: [],
    defaults: { ...compared, listen_addresses: 'localhost' },
    settings: compared,
    replay: inRecovery ? { pauseState: 'not paused', waitsFor: null, behindBytes: 0 } : null,
    oldestReader: null,
    slots: [],
    senders: [],
    checksumFailures: [],
    archiver: { mode: 'off', lastArchivedAgeMs: null, lastFailedAgeMs: null, lastFailedFile: null },
  };
}

/** What a node of a picture says of its readiness. */
export function ready(seen: ObservedNode): { agent: AgentReadiness; sql: SqlReadiness } {
  const { agent, sql: said } = seen.readiness ?? {};
  if (agent == null || said == null) throw new Error(`${seen.name} says nothing of its readiness`);
  return { agent, sql: said };
}

/** The container of a node that was never started: the compose profile is not up. */
export function absent(seen: ObservedNode): void {
  seen.container = { exists: false, running: false, status: 'absent', restartPolicy: 'no' };
  seen.agent = null;
  seen.agentError = `${seen.name}: the agent can't be reached: (HTTP code 404) no such container - No such container: ${seen.name} `;
  seen.sql = null;
  seen.sqlError = 'connect ECONNREFUSED 127.0.0.1:15434';
  seen.readiness = { agent: null, agentError: seen.agentError, sql: null, sqlError: seen.sqlError };
  delete seen.connectBack;
}

/** The container of a node that was stopped. */
export function stopped(seen: ObservedNode): void {
  absent(seen);
  seen.container = { exists: true, running: false, status: 'exited', restartPolicy: 'unless-stopped' };
  seen.agentError = `${seen.name}: the agent can't be reached: (HTTP code 409) container is not running`;
}

/** A picture that tests take a small thing of and change. */
export interface Picture {
  topology: ClusterTopology;
  observed: ObservedCluster;
  /** A node of the picture, answering. */
  node(name: string): AnsweringNode;
}

/**
 * A cluster in which nothing is wrong: a primary, a synchronous standby, with `three` two of which any one confirms a commit, and a
 * pooler that leads to the primary.
 */
export function picture(options: { three?: boolean } = {}): Picture {
  const { three = false } = options;
  const names = three ? 'ANY 1 (veloz_standby)' : 'veloz_standby';
  const follows = (name: string) => ({
    applicationName: 'veloz_standby',
    slot: slotName(name),
    state: 'streaming',
    syncState: three ? ('quorum' as const) : ('sync' as const),
    sentLsn: '0/3000148',
    flushLsn: '0/3000148',
    replayLsn: '0/3000148',
  });
  const followers = three ? [STANDBY, STANDBY_2] : [STANDBY];
  const receiver = { status: 'streaming', senderHost: PRIMARY, timeline: 3, lastMessageAgeMs: 200 };
  const nodes = [
    node(
      PRIMARY,
      sql({
        inRecovery: false,
        replayLsn: null,
        replication: followers.map(follows),
        slots: followers.map((name) => ({
          name: slotName(name),
          type: 'physical',
          active: true,
          retainedBytes: 0,
        })),
        walSenders: { used: followers.length, max: 10 },
        replicationSlots: { used: followers.length, max: 10 },
        settings: { ...settings, synchronous_standby_names: names },
      }),
    ),
    node(STANDBY, sql({ receiver: { ...receiver } })),
    node(STANDBY_2, sql({ receiver: { ...receiver } })),
  ];
  const observed: ObservedCluster = {
    cluster: 'veloz',
    at: 1_795_405_898_113,
    docker: { ok: true },
    nodes,
    pooler: {
      name: POOLER,
      agent: {
        route: { host: PRIMARY, port: 5432 },
        paused: false,
        holdRun: null,
        holdRemainingMs: null,
        lastExpiry: null,
        claimedBy: null,
      },
      console: { poolMode: 'transaction', paused: false, host: PRIMARY, activeClients: 8, waitingClients: 0 },
    },
  };
  const find = (name: string): ObservedNode => {
    const found = nodes.find((candidate) => candidate.name === name);
    if (found === undefined) throw new Error(`the picture has no node ${name}`);
    return found;
  };
  if (!three) absent(find(STANDBY_2));
  return { topology: clusterTopology(), observed, node: (name) => find(name) as AnsweringNode };
}

/** The roles of primary and standby exchanged, as after a switchover. */
export function turned(seen: Picture): Picture {
  const [old, young] = [seen.node(PRIMARY), seen.node(STANDBY)];
  [old.sql, young.sql] = [young.sql, old.sql];
  [old.agent, young.agent] = [young.agent, old.agent];
  [old.readiness, young.readiness] = [young.readiness, old.readiness];
  old.sql.receiver = { status: 'streaming', senderHost: STANDBY, timeline: 3, lastMessageAgeMs: 200 };
  for (const row of young.sql.replication) if (row.slot === slotName(STANDBY)) row.slot = slotName(PRIMARY);
  for (const slot of young.sql.slots) if (slot.name === slotName(STANDBY)) slot.name = slotName(PRIMARY);
  old.connectBack = { ok: true };
  delete young.connectBack;
  const { pooler } = seen.observed;
  if (pooler.agent !== null) pooler.agent.route = { host: STANDBY, port: 5432 };
  if (pooler.console !== null) pooler.console.host = STANDBY;
  return seen;
}
