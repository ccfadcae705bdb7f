import type { Lsn } from '../lsn';

/** The answer of one PostgreSQL node to the guard's own question, over its held-open session. */
export interface NodeAnswer {
  name: string;
  /** Answered within the probe's limit. */
  answered: boolean;
  /** Milliseconds that the answer took, or after which it was given up. */
  ms: number;
  /** Why there was no answer: "connection reset", "no answer within 200 ms". */
  problem?: string;
  /** The following are absent without an answer. */
  inRecovery?: boolean;
  timeline?: number;
  /** Primary: write position; standby: received position. */
  lsn?: Lsn;
  /** Primary: up to where its WAL is on its own disk, by its own word. */
  flushed?: Lsn;
  /** Standby: the end of the last record that it has replayed. */
  replayed?: Lsn;
  /** Primary: what the guard's own write waits for there: `IO WalSync` (type and event), or `nothing`. Asked for only while it hangs. */
  writeWaitsFor?: string;
  systemIdentifier?: string;
  /** Primary: `synchronous_standby_names`. */
  names?: string;
  /** Primary: nodes that stream from it, named by their slots as nodes, and whether commits wait for them. */
  standbys?: {
    node: string;
    syncState: string;
    state: string;
    /** The walsender's process; another one is another connection. */ pid?: number;
    /** What it has confirmed to be on its disk. */ flush?: Lsn;
  }[];
  /** Primary: why some of its commits are on no standby that is known, each in half a sentence (B4); absent where all are. */
  weak?: string[];
  /** Primary: its checkpointer is at rest, so that it has taken every reload before. Absent where nobody asked. */
  takesReloads?: boolean;
  /** Standby: the state of its WAL receiver, null when none runs. */
  receiver?: string | null;
  replayPaused?: boolean;
}

/** Docker's word on a node's container. `unknown`: the engine gave no answer. */
export type ContainerWord = 'running' | 'paused' | 'restarting' | 'exited' | 'created' | 'dead' | 'absent' | 'unknown';

/** Everything that one round of probes said about the primary. Independent ways, each with its own limit. */
export interface Round {
  /** Milliseconds since the epoch at which the round began. */
  at: number;
  /** How much later than planned the round began, in milliseconds: what the observer itself was stalled for. */
  lateMs: number;
  /** The node that the guard takes for the primary. */
  primary: string;
  /** The primary's own answer by SQL. */
  sql: NodeAnswer;
  /** Every other node's answer by SQL. */
  others: NodeAnswer[];
  /** The following are asked only once something is suspicious; absent before. */
  container?: ContainerWord;
  /** When that container ended, in milliseconds since the epoch by Docker's clock; absent where it has not, or nobody knows. */
  endedAt?: number;
  /** The primary's agent, which is reached through Docker and so also while the network is cut. */
  agent?: {
    answered: boolean;
    postgres?: 'running' | 'starting' | 'stopping' | 'stopped';
    /** When the server was started, or ended; milliseconds since the epoch by the node's clock. */
    sinceMs?: number;
    desired?: 'up' | 'held' | 'fenced';
    freeDiskBytes?: number;
    problem?: string;
  };
  /** Who else can reach the primary's PostgreSQL over the network, asked by their agents (I2). */
  witnesses?: { node: string; sees: boolean; answered: boolean; problem?: string }[];
  /** A write of the guard's own that is not on the primary's disk; absent while it is no older than a moment. */
  write?: HangingWrite;
  /** The pooler can't reach the primary; absent while it can, and where nobody knows. */
  clientPath?: CutPath;
}

/** A write that the guard asked a primary for, and that is not on the primary's disk. */
export interface HangingWrite {
  /** For how long it has hung while a wakeful observer looked and no other WAL reached the disk, in milliseconds. */
  hangsMs: number;
  /** What it waits for, by the server's own word over another session: `IO WalSync`; absent where the server does not tell. */
  waitsFor?: string;
}

/** How clients' only way to the primary looks from the pooler's own place in the network. */
export interface CutPath {
  pooler: string;
  /** From the first question that did not reach the primary to the end of the newest one, in milliseconds. */
  cutMs: number;
  /** How many questions in a row did not reach it. */
  times: number;
  /** Why the newest one did not. */
  problem?: string;
  /** The standbys that it was asked about then, and those of them that it reached. */
  asked: string[];
  reaches: string[];
  /**
   * What became of a query that was sent through the pool since: `answered`, `silent` (PgBouncer took it and nobody answers), or
   * `unknown`, where that could not be tried.
   */
  through: 'answered' | 'silent' | 'unknown';
}

/** One line of the evidence on which a verdict rests; it stands in the report. */
export interface Signal {
  /** Milliseconds since the epoch. */
  at: number;
  /** Which way: `sql`, `write`, `docker`, `agent`, `witness <node>`, `receiver <node>`, `pooler <node>`, `through the pool`. */
  source: string;
  says: string;
  /** Does it speak for a failure, against one, or for neither? */
  speaks: 'for' | 'against' | 'neither';
}

/** How the primary failed, once that is certain. */
export type FailureKind =
  /** Its container, or its PostgreSQL, is gone. */
  | 'dead'
  /** PostgreSQL ended and did not come back within the restart budget. */
  | 'crashed'
  /** It runs and answers nobody. */
  | 'hung'
  /** It runs, and nobody can reach it over the network. */
  | 'isolated'
  /** It answers, and can't write: its disk is full, or takes no writes any more. */
  | 'unwritable'
  /** It is well, and the pooler can't reach it, which is clients' only way. */
  | 'unreachable';

/** What the rounds so far mean. Pure outcome; the guard acts on it. */
export type Verdict =
  | { state: 'healthy'; says: string }
  /** Something is odd: look harder. `hold`: clients may be held meanwhile, because the primary is gone or restarts. */
  | { state: 'suspect'; says: string; hold: boolean; signals: Signal[] }
  /** The observer is cut off or was stalled itself; the primary is seen by others (I2), or its WAL advances (I4). */
  | { state: 'observer in doubt'; says: string; signals: Signal[] }
  | { state: 'failed'; kind: FailureKind; says: string; signals: Signal[]; since: number };
