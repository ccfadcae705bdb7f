import { isNamed, type NamingLedger } from './guard/named-nodes';
import type { Lsn } from './lsn';
import type { OffNetworks } from './off-networks';
import type { NodeReadiness } from './readiness/observed';
import type { Endpoint } from './topology';

/** A standby as its upstream's `pg_stat_replication` shows it. */
export interface ReplicationRow {
  applicationName: string;
  /** The slot that it streams from, which is named after its node; null without a slot. */
  slot: string | null;
  state: string;
  syncState: 'sync' | 'quorum' | 'potential' | 'async';
  sentLsn: Lsn | null;
  flushLsn: Lsn | null;
  replayLsn: Lsn | null;
}

/** A session that can make PAUSE wait. */
export interface OpenTransaction {
  pid: number;
  user: string;
  application: string;
  state: string;
  ageMs: number;
}

/** An open transaction of a session with `track_activities` off, which hides since when it is open. */
export interface HiddenTransaction {
  /** Its virtual transaction: the same in two looks is the same transaction. */
  id: string;
  pid: number;
  user: string;
  application: string;
}

/** What PostgreSQL itself says when asked directly, not through the pooler. */
export interface NodeSql {
  inRecovery: boolean;
  versionNum: number;
  systemIdentifier: string;
  timeline: number;
  /** Primary: the write position. Standby: the end of what it has received and flushed. */
  lsn: Lsn;
  /** Standby: the end of what it has replayed. */
  replayLsn: Lsn | null;
  replayPaused: boolean;
  /** Standby: its WAL receiver, null when none runs. */
  receiver: { status: string; senderHost: string; timeline: number; lastMessageAgeMs: number } | null;
  replication: ReplicationRow[];
  slots: { name: string; type: string; active: boolean; retainedBytes: number }[];
  walSenders: { used: number; max: number };
  replicationSlots: { used: number; max: number };
  /** Values of the settings that the checks read. */
  settings: Record<string, string>;
  /** Roles or databases for which synchronous_commit is set to something weaker. */
  weakSyncCommit: { role: string; database: string; value: string }[];
  /** Commits that wait for a synchronous standby. */
  syncRepWaiters: {
    count: number;
    oldestMs: number;
    /** Those of sessions that hide since when they wait, each by its process and transaction. Absent where nobody asked. */
    ageless?: string[];
  };
  /** Transactions of ordinary clients that have been open for longer than a quarter of a second, oldest first. */
  openTransactions: OpenTransaction[];
  /** Transactions of ordinary clients whose age their sessions hide, however young. Absent where no session does, or nobody asked. */
  hiddenTransactions?: HiddenTransaction[] | null;
  /** Sessions of ordinary clients with `track_activities` off. Absent where nobody asked. */
  untrackedSessions?: number;
  preparedTransactions: number;
  baseBackups: number;
  archiver: { mode: string; failing: boolean };
  /** What the control role may not do, each as a sentence. */
  missingRights: string[];
  /** The session that was asked: its database, and what limits the sessions of the control role (-1: nothing). */
  control?: {
    database: string;
    connectionLimit: number;
    databaseConnectionLimit: number;
    /** Milliseconds until the role's password ends; null when it does not. */
    validForMs: number | null;
  };
  /** The size of all databases. Absent where nobody asked for it, or where it took too long to tell. */
  databaseBytes?: number;
}

/** One PostgreSQL node, asked by all ways in. A way that gave no answer carries its error instead. */
export interface ObservedNode {
  name: string;
  internal: Endpoint;
  promotable: boolean;
  optional: boolean;
  container: {
    exists: boolean;
    running: boolean;
    status: string;
    restartPolicy: string;
    error?: string;
    /** It is on no Docker network. Asked only of a node that does not answer. */
    offNetworks?: OffNetworks;
  };
  agent: {
    postgresState: string;
    desired: 'up' | 'held' | 'fenced';
    claimedBy: string | null;
    deadmanInMs: number | null;
    controlState: string | null;
    controlTimeline: number | null;
    systemIdentifier: string | null;
    checksums: boolean;
    standbySignal: boolean;
    upstream: Endpoint | null;
    freeDiskBytes: number;
    dataDirectory: { path: string; owner: string; mode: string };
    archiveReady: number;
    startGuard: string | null;
    /** What the agent last put right by itself, and when, in milliseconds since the epoch. Absent where it has not, or is an older one. */
    lastCorrection?: { at: number; did: string };
  } | null;
  agentError?: string;
  sql: NodeSql | null;
  sqlError?: string;
  /** Can the primary open a replication connection to this standby (C4)? Absent where it was not tried. */
  connectBack?: { ok: boolean; error?: string };
  /**
   * Would it let a client of the pooler in, and take its writes (C10)? `ok` is null where it gave no answer. Absent where nobody tried.
   */
  client?: { ok: boolean | null; user: string; code?: string; readOnly: boolean; error?: string };
  /** Could it be stopped, started, promoted, followed? Absent where nobody asked. */
  readiness?: NodeReadiness;
}

/** A node that answers SQL. */
export type AnsweringNode = ObservedNode & { sql: NodeSql };

/** Did the node answer when it was asked directly? */
export function answers(node: ObservedNode | undefined): node is AnsweringNode {
  return node?.sql != null;
}

/** The pooler, asked through its agent and its console. */
export interface ObservedPooler {
  name: string;
  agent: {
    route: Endpoint | null;
    paused: boolean;
    /** All of PgBouncer is paused or suspended. Absent in what an older agent or worker saw. */
    halted?: 'paused' | 'suspended' | null;
    holdRun: string | null;
    holdRemainingMs: number | null;
    lastExpiry: string | null;
    claimedBy: string | null;
  } | null;
  agentError?: string;
  /** Asked only where its agent is silent. Absent as well where Docker gave no answer, and in what an older worker saw. */
  container?: Pick<ObservedNode['container'], 'exists' | 'status' | 'running'>;
  console: {
    poolMode: string;
    paused: boolean;
    /** All of PgBouncer is paused or suspended. Absent in what an older worker saw. */
    halted?: 'paused' | 'suspended' | null;
    /** New clients are refused (DISABLE). Absent in what an older worker saw. */
    disabled?: boolean;
    host: string;
    activeClients: number;
    waitingClients: number;
    /** Its places and limits. Absent where nobody asked. */
    load?: { usedClients: number; maxClients: number; poolSize: number; waitedMs: number };
    /** After how many milliseconds a client that waits is disconnected, by setting; 0 is never. Absent in what an older worker saw. */
    disconnects?: Record<string, number>;
    /** Replication connections that go through it, for which PAUSE waits. Absent where there are none, or nobody asked. */
    replication?: { user: string; applicationName: string; serverPid: number; clientId: number | null }[];
  } | null;
  consoleError?: string;
}

/** Everything that the decisions of a runbook rest on, as it was at one moment. */
export interface ObservedCluster {
  cluster: string;
  /** Milliseconds since the epoch. */
  at: number;
  docker: { ok: boolean; error?: string };
  nodes: ObservedNode[];
  pooler: ObservedPooler;
}

/** It does not answer, and Docker says that it has no container: silence does not say so. */
export const hasNoContainer = ({ container, sql }: Pick<ObservedNode, 'container' | 'sql'>): boolean =>
  sql === null && !container.exists && container.error === undefined;

/**
 * Nodes that are there. An optional node without a container is not, unless the guard's ledger names it: it may have what nobody else has.
 * @param ledger absent or null where nothing of that follows, or there is no guard
 */
export function presentNodes({ nodes }: ObservedCluster, ledger: NamingLedger | null = null): ObservedNode[] {
  return nodes.filter((node) => !(node.optional && hasNoContainer(node)) || isNamed(ledger, node.name));
}

/** Nodes that take writes, asked directly. */
export function primaries(observed: ObservedCluster): ObservedNode[] {
  return observed.nodes.filter((node) => node.sql !== null && !node.sql.inRecovery);
}

/** Nodes that are in recovery. */
export function standbys(observed: ObservedCluster): ObservedNode[] {
  return observed.nodes.filter((node) => node.sql?.inRecovery === true);
}

/** A standby's row in the primary's `pg_stat_replication`, found by its slot. */
export function replicationRowOf(primary: ObservedNode, slot: string): ReplicationRow | undefined {
  return primary.sql?.replication.find((row) => row.slot === slot);
}

/** A node whose container runs, and of which neither the agent nor the server gives an answer. */
export const isSilent = (node: ObservedNode | undefined): boolean =>
  node?.container.running === true && node.agent === null && node.sql === null;
