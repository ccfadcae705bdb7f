import type { NodeAnswer } from '../../cluster/guard/signals';
import type { Lsn } from '../../cluster/lsn';
import { slotName } from '../../cluster/topology';
import type { PostgresSession } from '../../systems/postgres';
import { isWeak, serverCommit } from '../../systems/synchronous-commit';
import type { ClusterAccess } from '../deps';

/** What the guard asks of a node several times a second: one row, whatever the node's role. */
const question = (waiting = '') => `
SELECT r.recovering AS "inRecovery",
  CASE WHEN r.recovering
    THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()))
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline,
  (CASE WHEN r.recovering THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
    ELSE pg_current_wal_lsn() END)::text AS lsn,
  CASE WHEN NOT r.recovering THEN pg_current_wal_flush_lsn()::text END AS flushed,
  CASE WHEN r.recovering THEN pg_last_wal_replay_lsn()::text END AS replayed,
  (SELECT system_identifier::text FROM pg_control_system()) AS "systemIdentifier",
  CASE WHEN NOT r.recovering THEN current_setting('synchronous_standby_names') END AS names,
  CASE WHEN NOT r.recovering THEN (SELECT coalesce(json_agg(json_build_object('slot', s.slot_name,
      'syncState', a.sync_state, 'state', a.state, 'pid', a.pid, 'flush', a.flush_lsn::text)), '[]')
    FROM pg_stat_replication a JOIN pg_replication_slots s ON s.active_pid = a.pid) END AS standbys,
  CASE WHEN NOT r.recovering THEN
    array(SELECT 'synchronous_commit is ' || v.value || ' for the whole server' FROM (${serverCommit}) v
      WHERE ${isWeak('v.value')})
    || array(SELECT format('synchronous_commit is %s for %s in %s', lower(split_part(c.entry, '=', 2)),
        coalesce(o.rolname, 'every role'), coalesce(d.datname, 'every database'))
      FROM pg_db_role_setting x LEFT JOIN pg_roles o ON o.oid = x.setrole LEFT JOIN pg_database d ON d.oid = x.setdatabase,
        unnest(x.setconfig) AS c(entry)
      WHERE split_part(c.entry, '=', 1) = 'synchronous_commit'
        AND ${isWeak("split_part(c.entry, '=', 2)")}
        -- The control role's sessions set their own.
        AND o.rolname IS DISTINCT FROM current_user)
    -- One that is only next in the list confirms from the moment in which the one before it ends.
    || array(SELECT format('%s, which has no slot, %s commits', a.application_name,
        CASE a.sync_state WHEN 'potential' THEN 'may confirm' ELSE 'confirms' END) FROM pg_stat_replication a
      WHERE a.sync_state IN ('sync', 'quorum', 'potential') AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = a.pid))
    END AS weak,
  CASE WHEN NOT r.recovering THEN (SELECT coalesce(wait_event IN ('CheckpointerMain', 'CheckpointWriteDelay'), false)
    FROM pg_stat_get_activity(NULL) WHERE backend_type = 'checkpointer') END AS "takesReloads",
  (SELECT status FROM pg_stat_wal_receiver WHERE pid IS NOT NULL) AS receiver,
  CASE WHEN r.recovering THEN pg_is_wal_replay_paused() ELSE false END AS "replayPaused"${waiting}
FROM (SELECT pg_is_in_recovery() AS recovering) r`;

/** The question as it is asked while all is well. */
const usual = question();

/** What a backend waits for that has answered, or is not there: its answer was lost on the way. */
export const ITS_CLIENT = 'its client';

/**
 * The question with one more: what a backend of the guard's own waits for. Asked only while it hangs: all backends are looked through. Its
 * state is no sign where `track_activities` is off, since it is `disabled` then whatever the backend does; what it waits for always shows.
 */
const withWait = (pid: number) =>
  question(`,
  coalesce((SELECT CASE WHEN a.state IS NULL OR a.state LIKE 'idle%' OR a.wait_event = 'ClientRead' THEN '${ITS_CLIENT}'
    ELSE coalesce(a.wait_event_type || ' ' || a.wait_event, 'nothing') END
    FROM pg_stat_get_activity(${Math.trunc(pid)}) a), '${ITS_CLIENT}') AS "writeWaitsFor"`);

interface Row extends Record<string, unknown> {
  inRecovery: boolean;
  timeline: number;
  lsn: Lsn | null;
  flushed?: Lsn | null;
  replayed?: Lsn | null;
  writeWaitsFor?: string | null;
  systemIdentifier: string;
  names: string | null;
  standbys: { slot: string; syncState: string; state: string; pid?: number; flush?: Lsn | null }[] | null;
  weak: string[] | null;
  takesReloads?: boolean | null;
  receiver: string | null;
  replayPaused: boolean;
}

/**
 * A held-open session with one node that is asked again and again. It never throws: silence is an answer too. A session that ends
 * tells so at once, which is the first sign of a dead server.
 */
export class NodeProbe {
  private session: PostgresSession | undefined;
  private opening: Promise<PostgresSession> | undefined;
  private closed = false;

  constructor(
    private readonly access: ClusterAccess,
    readonly name: string,
    /** How long a node may take to answer, in milliseconds. */
    private readonly limitMs: number,
    /** A session ended that nobody had closed. */
    private readonly onDrop: () => void,
  ) {}

  /** @param writer process id of the guard's own write there, while that hangs */
  async ask(writer?: number): Promise<NodeAnswer> {
    const began = performance.now();
    const ms = () => Math.round((performance.now() - began) * 10) / 10;
    try {
      const [row] = await withinLimit(this.query(writer), this.limitMs);
      if (row === undefined) throw new Error('the node returned no row');
      return {
        name: this.name,
        answered: true,
        ms: ms(),
        inRecovery: row.inRecovery,
        timeline: row.timeline,
        ...(row.lsn === null ? {} : { lsn: row.lsn }),
        ...(row.flushed == null ? {} : { flushed: row.flushed }),
        ...(row.replayed == null ? {} : { replayed: row.replayed }),
        ...(row.writeWaitsFor == null ? {} : { writeWaitsFor: row.writeWaitsFor }),
        systemIdentifier: row.systemIdentifier,
        ...(row.names === null ? {} : { names: row.names }),
        ...(row.standbys === null ? {} : { standbys: row.standbys.map((standby) => this.named(standby)) }),
        ...(row.weak === null || row.weak.length === 0 ? {} : { weak: row.weak }),
        ...(row.takesReloads == null ? {} : { takesReloads: row.takesReloads }),
        receiver: row.receiver,
        replayPaused: row.replayPaused,
      };
    } catch (error) {
      const problem = messageOf(error);
      // A session that is late is given up: what it still answers would belong to an earlier question.
      this.drop();
      return { name: this.name, answered: false, ms: ms(), problem };
    }
  }

  /** Gives the session away, if there is one: whoever takes it closes it. */
  take(): PostgresSession | undefined {
    const { session } = this;
    this.session = undefined;
    return session;
  }

  close(): void {
    this.closed = true;
    this.drop();
  }

  private async query(writer?: number): Promise<Row[]> {
    if (this.session === undefined) {
      // One attempt at a time: a dead address swallows connects, and they would pile up.
      this.opening ??= this.open().finally(() => (this.opening = undefined));
      const session = await this.opening;
      if (this.closed) {
        session.close();
        throw new Error('closed');
      }
      this.session = session;
    }
    return writer === undefined
      ? this.session.query<Row>(usual, [], { repeated: true })
      : this.session.query<Row>(withWait(writer));
  }

  private async open(): Promise<PostgresSession> {
    const opened: { session?: PostgresSession } = {};
    const onEnd = () => this.ended(opened.session);
    opened.session = await this.access.sql(this.name, 10_000, { connectLimitMs: this.limitMs, onEnd });
    return opened.session;
  }

  private ended(session: PostgresSession | undefined): void {
    // One that was given up may end after the next one was opened: that is no news.
    if (this.session === undefined || this.session !== session) return;
    this.session = undefined;
    this.onDrop();
  }

  private drop(): void {
    const { session } = this;
    this.session = undefined;
    session?.close();
  }

  /** Slots are named after their nodes. */
  private named({
    slot,
    syncState,
    state,
    pid,
    flush,
  }: {
    slot: string;
    syncState: string;
    state: string;
    pid?: number;
    flush?: Lsn | null;
  }) {
    const node = this.access.topology.postgres.nodes.find(({ name }) => slotName(name) === slot);
    return {
      node: node?.name ?? slot,
      syncState,
      state,
      ...(pid === undefined ? {} : { pid }),
      ...(flush == null ? {} : { flush }),
    };
  }
}

/** The message of an error, also of one that lists several attempts. */
export function messageOf(error: unknown): string {
  const first = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  return first instanceof Error ? first.message : String(first);
}

/** Rejects with a sentence when `promise` takes longer than `limitMs`. */
export function withinLimit<T>(promise: Promise<T>, limitMs: number): Promise<T> {
  // Whoever gave up does not care how it ended.
  promise.catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${limitMs} ms`)), limitMs);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}
