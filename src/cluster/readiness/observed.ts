/** A setting as it stands in a node's files, which may differ from what its server runs with. */
export interface SettingInFile {
  name: string;
  value: string;
  file: string;
  line: number;
}

/** A setting that stands in a node's files, or was taken out of them, and is not in force: the next reload brings it. */
export interface SleepingSetting extends SettingInFile {
  /** What is in force. `file` is empty and `line` 0 of one that was taken out of the files; `value` is the default then. */
  now: string;
}

/** A line of a file of access that PostgreSQL can't read. */
export interface AccessMistake {
  /** Empty where the server does not tell (PostgreSQL 15). */
  file: string;
  line: number;
  error: string;
}

/** What lies in a data directory and `user`, as whom the server runs, may not read. `more`: how many beside those that are named. */
export interface UnreadableFiles {
  user: string;
  files: { path: string; mode: string; owner: string }[];
  more: number;
}

/** Links below a data directory, which a server follows and no copy does. `more`: how many beside those that are named. */
export interface LeftOut {
  /** `setting`: it is no part of the data, and the server's settings name what it leads to (`leadsTo`), without which a copy would not start. */
  links: { path: string; target: string; setting?: string; leadsTo?: string }[];
  more: number;
}

/** What a node's agent knows of its server's next start, and of what lies on its disk (docs/agent-protocol.md). */
export interface AgentReadiness {
  /** Milliseconds since the epoch. */
  at: number;
  /** A start that was tried without being made; null where the server does not run as it should. */
  start: {
    /** null: it could not be tried. */
    ok: boolean | null;
    problem: string | null;
    /** The setting that is probably wrong. */
    setting: SettingInFile | null;
    /** What in the data directory a start would end at; null where there is nothing. Absent from an agent that is older. */
    leftover?: string | null;
    ms: number;
    /** The shortest of the last trials with the same files; null where none ended well. Absent from an agent that is older. */
    shortestMs?: number | null;
    ageMs: number;
  } | null;
  /** Values at the next start of settings that are compared between nodes, where the files name them. */
  next: Record<string, string>;
  /** Settings of a restore, and settings that the agent's own file says, left in other files. */
  leftovers: SettingInFile[];
  /** Files in the data directory that would change what a start does, `pg_wal/*.history` of a timeline that a primary never had included. */
  signals: string[];
  /**
   * Directories outside of the data directory that hold a part of the databases. `own`: on the node's own volume, where a copy replaces them as
   * it does the data directory; absent from an agent that is older, whose copies can't replace any.
   */
  tablespaces: { oid: string; path: string; there: boolean; own?: boolean }[];
  /** Tables, indexes and sequences of which no WAL is written: a promotion empties them. Absent from an agent that is older. */
  unlogged?: number;
  /** What `pg_hba.conf` and `pg_ident.conf` say now; null where it is not known, absent from an agent that is older. */
  access?: {
    errors: AccessMistake[];
    identErrors: AccessMistake[];
    /** Who of another node would be refused after the next start, and why. */
    refused: { role: string; database: string; from: string; why: string }[];
    /** Clients of the pooler, where they would be refused; null where they would not, or where it is not known. Absent from an older agent. */
    clients?: { role: string; database: string; from: string; why: string } | null;
  } | null;
  /**
   * Could the agent open a session as the superuser over its socket? `ok` is null where it is not known. null while the server does not
   * run, absent from an agent that is older.
   */
  own?: { ok: boolean | null; problem: string | null; socketDir: string } | null;
  /**
   * Whether this node could begin to replicate from each other node now, tried as the replication role. `ok` is null where the other gave
   * no answer. Absent from an agent that is older.
   */
  replication?: { host: string; port: number; ok: boolean | null; problem: string | null }[];
  /**
   * What the files say of settings with which a session begins and that are not the default, in one unit: `{statement_timeout: "60000ms"}`.
   * Settings of extensions and applications stand as a digest. null where it is not known, absent from an agent that is older.
   */
  sessionDefaults?: Record<string, string> | null;
  /**
   * What the files say of settings of the server that are not the default and of which nobody learns before a move that they are another
   * node's: `{archive_mode: "on"}`. Commands stand as a digest. Absent from an agent that is older.
   */
  serverSettings?: Record<string, string>;
  /**
   * Settings above a session's level that the next reload changes, those that may hold a password as a digest. null where it is not known,
   * absent from an agent that is older.
   */
  sleeping?: SleepingSetting[] | null;
  /** How many replication origins have progress in the running server. null where it is not known, absent from an agent that is older. */
  origins?: number | null;
  /**
   * Libraries that functions of the databases name and that the node's container lacks, and databases that could not be asked. null where
   * nothing is known, absent from an agent that is older.
   */
  libraries?: { missing: { database: string; library: string }[]; unasked: string[] } | null;
  /** Where a copy of the node would end. null where it is not known, absent from an agent that is older. */
  unreadable?: UnreadableFiles | null;
  /** What a copy of the node would leave out. null where it is not known, absent from an agent that is older. */
  leftOut?: LeftOut | null;
  /**
   * Databases of the server whose directory is not there: they were left out of a copy. `more`: how many beside those that are named. null where
   * it is not known, absent from an agent that is older.
   */
  lacking?: { databases: { oid: string; name: string }[]; more: number } | null;
  /** Where `pg_wal` really is, if it is a link. */
  walOutside: string | null;
  archive: {
    ready: number;
    /** The median of the last files, in milliseconds (an older agent: the longest); null when none was archived lately. */
    fileMs: number | null;
    /** For how long the present file has taken already; null when none waits. */
    presentMs: number | null;
    /**
     * For how long the command that archives has been in force, in milliseconds; `fileMs` counts since then. null where it is not known,
     * absent from an agent that is older.
     */
    setAgeMs?: number | null;
    /** The files name another command, which the next reload takes over. null and absent as for `setAgeMs`. */
    sleeps?: boolean | null;
  };
}

/** A slot, whoever's it is. */
export interface SlotReadiness {
  name: string;
  type: 'physical' | 'logical';
  active: boolean;
  /** `reserved`, `extended`, `unreserved`, `lost`; null when it retains nothing. */
  walStatus: string | null;
  /** Bytes that may still be written before it is lost; null without a limit. */
  safeBytes: number | null;
  /** Why the server invalidated it; null while it did not (PostgreSQL 17). */
  invalidation: string | null;
  retainedBytes: number;
  database: string | null;
  plugin: string | null;
  /** Standbys are to keep a copy of it that survives a failover (PostgreSQL 17). Whether one does, only the standby tells. */
  failover: boolean;
  /** On a standby: it is such a copy. Absent from a worker that is older. */
  synced?: boolean;
  /** A copy that is not whole yet, which a promotion drops, or a session's own. Absent from a worker that is older. */
  temporary?: boolean;
}

/** Somebody who receives WAL. */
export interface SenderReadiness {
  pid: number;
  application: string;
  user: string;
  slot: string | null;
  slotType: 'physical' | 'logical' | null;
  state: string;
  /** Bytes that it has not confirmed. */
  behindBytes: number | null;
  /** Since it last said something, in milliseconds. */
  replyAgeMs: number | null;
}

/** What PostgreSQL itself knows of its readiness. */
export interface SqlReadiness {
  inRecovery: boolean;
  /** Settings that were changed and wait for a restart. */
  pendingRestart: string[];
  /** The defaults that a setting falls back to. */
  defaults: Record<string, string>;
  settings: Record<string, string>;
  /** Standby: how its replay goes. */
  replay: {
    /** `not paused`, `pause requested`, `paused`. */
    pauseState: string;
    /** What its startup process waits for: `RecoveryConflictSnapshot` is a reader that is in the way. */
    waitsFor: string | null;
    behindBytes: number;
  } | null;
  /** The oldest transaction of a client, with its snapshot. */
  oldestReader: { pid: number; user: string; application: string; ageMs: number } | null;
  slots: SlotReadiness[];
  senders: SenderReadiness[];
  /** Roles as which others receive WAL. Absent from a worker that is older. */
  replicationRoles?: {
    name: string;
    canLogin: boolean;
    canReplicate: boolean;
    /** Ordinary sessions that it may open, -1: any number. Absent from a worker that is older. */
    connectionLimit?: number;
    /** Until its password ends, in milliseconds, negative where it did; null where it does not. */
    validForMs: number | null;
  }[];
  /** Roles and databases with a `default_transaction_read_only` of their own, which no file changes. Absent from a worker that is older. */
  readOnlySettings?: { role: string | null; database: string | null }[];
  checksumFailures: { database: string; count: number }[];
  archiver: {
    mode: string;
    lastArchivedAgeMs: number | null;
    lastFailedAgeMs: number | null;
    lastFailedFile: string | null;
  };
}

/** Whether a node would do what a later step needs, asked in every way that knows. A way that gave no answer says why. */
export interface NodeReadiness {
  agent: AgentReadiness | null;
  agentError?: string;
  sql: SqlReadiness | null;
  sqlError?: string;
}
