import type { Duplex } from 'node:stream';
import type { Lsn } from '../cluster/lsn';
import type { AgentReadiness, LeftOut, UnreadableFiles } from '../cluster/readiness/observed';
import type { Endpoint } from '../cluster/topology';
import type { DockerClient } from './docker';

/** Who changes a node: one attempt of one run. An older attempt is refused by the agent (docs/agent-protocol.md). */
export interface Token {
  run: string;
  attempt: number;
}

/** What `pg_controldata` says. */
export interface ControlData {
  /** "in production", "shut down", "in archive recovery", … */
  state: string;
  timeline: number;
  checkpointLsn: Lsn;
  checkpointTimeline: number;
  systemIdentifier: string;
  checksums: boolean;
}

/** What the agent of a PostgreSQL container sees. */
export interface PostgresObservation {
  agent: number;
  node: string;
  postgres: { state: 'running' | 'starting' | 'stopping' | 'stopped'; pid: number | null; sinceMs: number };
  desired: 'up' | 'held' | 'fenced';
  token: Token | null;
  deadman: { inMs: number } | null;
  control: ControlData | null;
  signals: { standby: boolean };
  upstream: Endpoint | null;
  disk: { freeBytes: number; totalBytes: number };
  dataDirectory: { path: string; owner: string; mode: string };
  archiveReady: number;
  startGuard: string | null;
  /** The run that last asked for this node's promotion; kept until it is started as a standby. */
  promotion: { run: string; atMs: number } | null;
  /** The run whose promotion this node refuses for good, because its source's dead-man switch asked so. */
  revoked: string | null;
  /** The rewind or copy that runs now, or the last one. */
  job: AgentJob | null;
  /** Who fenced the node for good, and whether it was a primary then; null when it is not fenced for good. */
  fencedBy: { run: string | null; wasPrimary: boolean; atMs: number | null } | null;
  /** How often PostgreSQL ended by itself since the agent started, and when last. */
  crashes: { count: number; lastAtMs: number | null; lastExitCode: number | null };
  /** What the agent last put right by itself in the server that runs, e.g. a process that it woke. Absent from an older agent. */
  lastCorrection?: { at: number; did: string } | null;
}

/** A rewind or a copy: it runs in the agent, so that no worker's death interrupts it. */
export interface AgentJob {
  kind: 'rewind' | 'copy';
  run: string;
  /** `interrupted`: the container ended in its middle; begin anew, with a copy when it was a rewind. */
  state: 'running' | 'done' | 'failed' | 'interrupted';
  /** What it does now: "keeping evidence", "pg_rewind", "pg_basebackup", "putting the copy in place". */
  phase: string;
  doneBytes: number;
  totalBytes: number | null;
  startedAtMs: number;
  endedAtMs: number | null;
  /** Why it failed; null otherwise. */
  error: string | null;
  /** Folder on the node's volume that keeps what will be lost; null when nothing is. */
  quarantine: string | null;
  /** The local WAL that is none of the upstream's; null when there is none, or it could not be read. */
  lost: {
    fromLsn: Lsn | null;
    toLsn: Lsn | null;
    bytes: number;
    commits: number;
    /** False: it could not be read to its end. */
    complete?: boolean;
    /** False: its segments are not in the folder. */
    kept?: boolean;
  } | null;
}

/** How a stopped node's data stands to its upstream's history (J2). */
export interface Comparison {
  upstream: { systemIdentifier: string; timeline: number; writable: boolean; lsn: Lsn };
  /** The upstream's timeline history: each former timeline and the LSN at which it was left. */
  history: { timeline: number; endLsn: Lsn }[];
  local: {
    systemIdentifier: string | null;
    /** null: there is no readable data directory. */
    timeline: number | null;
    state: string | null;
    /** It was itself a primary when it last ran, and is no copy that was never started. Absent in the answer of an older agent. */
    wasPrimary?: boolean;
    checkpointLsn: Lsn | null;
    /** The end of the WAL that is readable here, found by reading it; null when that failed. */
    walEnd: Lsn | null;
    checksums: boolean;
    /** A rewind was begun here and did not end: only a copy helps. */
    rewindBegun: boolean;
    dataBytes: number;
  };
}

/** What is in the way of a full copy of another node. What the upstream's agent did not tell is null. */
export interface CopyCheck {
  leftOut: LeftOut | null;
  unreadable: UnreadableFiles | null;
  /** Tablespaces of the upstream of which no copy can be made here, each with half a sentence why. */
  tablespaces: { oid: string; path: string; problem: string }[];
}

/** Where the WAL of a node ends. */
export interface WalEnd {
  timeline: number;
  lsn: Lsn | null;
  systemIdentifier: string;
  /** What its control file says, as {@link ControlData.state}. */
  state: string;
}

/** What a PostgreSQL node looks like from a container's own place in the network. */
export interface PeerAnswer {
  host: string;
  port: number;
  writable: boolean;
  standby: boolean;
  /** A server answered at all, if only to say that it starts. */
  speaks: boolean;
  timeline: number | null;
  systemIdentifier: string | null;
  problem: string | null;
  ms: number;
}

/** How a client that PgBouncer would send to a node fares there. */
export interface ClientAnswer {
  host: string;
  port: number;
  /** null: nobody answered in time. */
  ok: boolean | null;
  /** SQLSTATE of a refusal. */
  code: string | null;
  /** Transactions are read-only unless they say otherwise (`default_transaction_read_only`); null where nobody was let in. */
  readOnly: boolean | null;
  problem: string | null;
}

/** What SHOW STATE of PgBouncer says of all of it, where it is not active: no client gets a server, whatever its database. */
export type Halted = 'paused' | 'suspended';

/** What the agent of the PgBouncer container sees. */
export interface PoolerObservation {
  agent: number;
  node: string;
  pgbouncer: { state: string; pid: number | null; sinceMs: number };
  route: Endpoint | null;
  /** What PgBouncer was given for the route's host: its address, or a name without one. An agent that is older says null for the name. */
  routeAddress: string | null;
  paused: boolean;
  /** Somebody did that to all of PgBouncer (`PAUSE` without a database, `SUSPEND`); `paused` is true then. An agent that is older does not say. */
  halted?: Halted | null;
  hold: { state: 'pausing' | 'holding'; sinceMs: number; remainingMs: number; token: Token } | null;
  lastExpiry: { at: number; run: string; did: string } | null;
  token: Token | null;
}

/** The commands of a PostgreSQL agent: arguments and results. */
interface PostgresCommands {
  /** Answers as soon as the volume has less than `belowBytes` free, or else after `waitMs` (10 s at most). */
  watchDisk: [{ belowBytes: number; waitMs: number }, { freeBytes: number }];
  observe: [Record<never, never>, PostgresObservation];
  /** Tries a start without making it: up to 10 s where a library hangs, else some 30 ms. */
  /** `keptMs`: how old an answer may be that found logins and files of access well. An agent that is older asks anew. */
  readiness: [{ start?: false; pooler?: string; keptMs?: number }, AgentReadiness];
  /**
   * Where the WAL ends that lies on the node: of a standby that is on this timeline and has replayed up to `fromLsn` (of a primary that
   * runs, which writes on meanwhile, it is a lower bound), or, without arguments, of a server that does not run. `lsn` is null where it could not be read.
   */
  walEnd: [{ timeline?: number; fromLsn?: Lsn }, WalEnd];
  claim: [{ token: Token }, unknown];
  /** `strangers`: walsenders that are no node's, which are cut off when they hold the stop up; an agent that is older leaves them. */
  stop: [
    { token: Token; limitMs: number; deadmanMs: number; peers: Endpoint[]; strangers?: number[] },
    { already: boolean; ms: number; control: ControlData },
  ];
  fence: [{ token: Token; upstream: Endpoint; deadmanMs: number }, { already: boolean }];
  /** Fences a node that may still run: ends its server at once. For good: only `start`, `rewind` or `copy` of a run ends it. */
  fenceNow: [{ token: Token; upstream: Endpoint }, { already: boolean; ms: number; control: ControlData | null }];
  /** `briefly`: only whether a server speaks there, without a login. An agent that is older logs in all the same. */
  ask: [{ addresses: Endpoint[]; limitMs: number; briefly?: boolean }, { answers: PeerAnswer[] }];
  compare: [{ upstream: Endpoint }, Comparison];
  /** Changes nothing; an agent that is older refuses it. */
  checkCopy: [{ upstream: Endpoint }, CopyCheck];
  /** Only on a stopped node that is held or fenced. Answers at once; `observe.job` tells the rest. */
  rewind: [
    { token: Token; upstream: Endpoint; divergedAt: Lsn; divergedTimeline: number },
    { already: boolean; job: AgentJob },
  ];
  copy: [
    { token: Token; upstream: Endpoint; divergedAt?: Lsn; divergedTimeline?: number },
    { already: boolean; job: AgentJob },
  ];
  /** Removes the data directory that a copy replaced. */
  discard: [{ token: Token }, { already: boolean; freedBytes: number }];
  /** `endsStop`: a primary that is still stopping is ended at once first; an agent that is older starts it when it has ended. */
  start: [
    { token: Token; as: 'primary' | 'standby'; upstream?: Endpoint; endsStop?: boolean },
    { already: boolean; pid: number },
  ];
  promote: [{ token: Token }, { already: boolean }];
  /** Ends readers that hold replay up, for `limitMs` (10 s at most). Answers at once; an agent that is older refuses it. */
  clearReplay: [{ token: Token; limitMs: number }, unknown];
  follow: [{ token: Token; upstream: Endpoint }, { already: boolean }];
  extend: [{ token: Token; deadmanMs: number }, { deadmanInMs: number }];
  forget: [{ token: Token }, unknown];
}

/** The commands of the PgBouncer agent. */
interface PoolerCommands {
  observe: [Record<never, never>, PoolerObservation];
  claim: [{ token: Token }, unknown];
  hold: [
    { token: Token; pauseLimitMs: number; limitMs: number; candidates: Endpoint[]; wait?: boolean },
    { already: boolean; pauseMs: number | null; remainingMs: number },
  ];
  /** `briefly`: only whether a server speaks there, without a login. An agent that is older logs in all the same. */
  ask: [{ addresses: Endpoint[]; limitMs: number; briefly?: boolean }, { answers: PeerAnswer[] }];
  /** Logs in to each node as PgBouncer's user, in its database. An agent that is older refuses it. */
  tryClient: [{ addresses: Endpoint[]; keptMs?: number }, { user: string; database: string; answers: ClientAnswer[] }];
  /** While clients are held: ends the clients whose transaction hangs on a dead server, so that PAUSE can end. */
  drop: [{ token: Token }, { dropped: number }];
  route: [{ token: Token } & Endpoint, { already: boolean; ms: number }];
  release: [{ token: Token }, { already: boolean; heldMs: number | null }];
  forget: [{ token: Token }, unknown];
}

/** An agent said no, or could not be asked. */
export class AgentError extends Error {
  constructor(
    /** `Superseded`, `Busy`, `PauseTimeout`, … of the protocol; `Unreachable` when there was no answer. */
    readonly type: string,
    readonly node: string,
    message: string,
    readonly details?: Record<string, unknown>,
  ) {
    super(`${node}: ${message}`);
    this.name = 'AgentError';
  }
}

/** A held-open session with one agent. */
export interface AgentSession<Commands> {
  readonly node: string;
  /**
   * Sends a command and awaits its answer.
   * @param limitMs how long to wait for the answer, in milliseconds; the command may still be carried out afterwards
   * @throws AgentError
   */
  call<Name extends keyof Commands & string>(
    name: Name,
    args: Commands[Name] extends [infer Args, unknown] ? Args : never,
    limitMs?: number,
  ): Promise<Commands[Name] extends [unknown, infer Result] ? Result : never>;
  close(): void;
}

/** A session with the agent of a PostgreSQL container. */
export type PostgresAgent = AgentSession<PostgresCommands>;
/** A session with the agent of the PgBouncer container. */
export type PoolerAgent = AgentSession<PoolerCommands>;

interface Answer {
  id: number;
  ok: boolean;
  result?: unknown;
  error?: { type: string; message: string; details?: Record<string, unknown> };
}

/** Opens a session with the agent in a container: one `docker exec` (some 50 ms), then about a millisecond a command. */
async function openSession<Commands>(docker: DockerClient, node: string): Promise<AgentSession<Commands>> {
  let stream: Duplex;
  try {
    stream = await docker.open(node, ['veloz-agent', 'session']);
  } catch (error) {
    throw new AgentError('Unreachable', node, `the agent can't be reached: ${(error as Error).message}`);
  }
  const waiting = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (error: AgentError) => void; timer: NodeJS.Timeout }
  >();
  let nextId = 1;
  let ended: string | undefined;
  let buffered = '';
  let stderr = '';

  const end = (why: string) => {
    if (ended !== undefined) return;
    ended = why;
    for (const { reject, timer } of waiting.values()) {
      clearTimeout(timer);
      reject(new AgentError('Unreachable', node, `the session with the agent ended: ${why}`));
    }
    waiting.clear();
  };
  docker.demux(
    stream,
    (chunk) => {
      buffered += chunk.toString('utf8');
      let newline: number;
      while ((newline = buffered.indexOf('\n')) >= 0) {
        const line = buffered.slice(0, newline);
        buffered = buffered.slice(newline + 1);
        if (line.trim() === '') continue;
        let answer: Answer;
        try {
          answer = JSON.parse(line) as Answer;
        } catch {
          end(`it answered with something that is no JSON: ${line.slice(0, 200)}`);
          return;
        }
        const waiter = waiting.get(answer.id);
        if (waiter === undefined) continue;
        waiting.delete(answer.id);
        clearTimeout(waiter.timer);
        if (answer.ok) waiter.resolve(answer.result);
        else
          waiter.reject(
            new AgentError(
              answer.error?.type ?? 'Unknown',
              node,
              answer.error?.message ?? 'no message',
              answer.error?.details,
            ),
          );
      }
    },
    (chunk) => (stderr = (stderr + chunk.toString('utf8')).slice(-500)),
  );
  stream.once('end', () => end(stderr.trim() || 'closed by the container'));
  stream.once('close', () => end(stderr.trim() || 'closed by the container'));
  stream.once('error', (error) => end(error.message));

  return {
    node,
    call(name, args, limitMs = 3000) {
      return new Promise((resolve, reject) => {
        if (ended !== undefined)
          return reject(new AgentError('Unreachable', node, `the session with the agent ended: ${ended}`));
        const id = nextId++;
        const timer = setTimeout(() => {
          waiting.delete(id);
          reject(new AgentError('Unreachable', node, `no answer to "${name}" within ${limitMs} ms`));
        }, limitMs);
        waiting.set(id, { resolve: resolve as (value: unknown) => void, reject, timer });
        stream.write(`${JSON.stringify({ id, do: name, ...(args as object) })}\n`);
      });
    },
    close() {
      end('closed by us');
      stream.end();
      stream.destroy();
    },
  };
}

/** Opens a session with the agent of a PostgreSQL container. @throws AgentError of type `Unreachable` */
export function openPostgresAgent(docker: DockerClient, node: string): Promise<PostgresAgent> {
  return openSession<PostgresCommands>(docker, node);
}

/** Opens a session with the agent of the PgBouncer container. @throws AgentError of type `Unreachable` */
export function openPoolerAgent(docker: DockerClient, node: string): Promise<PoolerAgent> {
  return openSession<PoolerCommands>(docker, node);
}
