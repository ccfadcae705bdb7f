import { confirms } from '../../cluster/guard/heard';
import type { GuardPolicy } from '../../cluster/guard/policy';
import { isWritable } from '../../cluster/guard/rounds';
import type { HangingWrite, NodeAnswer } from '../../cluster/guard/signals';
import type { Lsn } from '../../cluster/lsn';
import type { PostgresSession } from '../../systems/postgres';
import { steadyMs } from '../clock';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { ITS_CLIENT, withinLimit } from './probe';

/**
 * A record in the WAL, flushed to the primary's own disk before the answer. It belongs to no transaction, so it commits nothing and
 * waits for no standby, and it has 64 bytes. The fourth argument came with PostgreSQL 17; on an older server the query fails, and this
 * sign is missing there.
 */
export const FLUSHED_WRITE = `SELECT pg_catalog.pg_logical_emit_message(false, 'veloz-ha', '', true)`;

/**
 * No write is asked for where WAL reached the disk by itself within this time, in milliseconds: a primary that is in use costs nothing.
 * An idle one is asked, since its disk may hang as well, and the next client would.
 */
const IDLE_MS = 1000;
/** A write that takes no longer is none that hangs, in milliseconds. */
const HANGS_AFTER_MS = 1000;
/** How long a new session may take to answer its first question, in milliseconds. */
const OPEN_LIMIT_MS = 1000;
/** How long a write may hang before its session is given up, in milliseconds: each new session would be one more that hangs. */
const KEPT_MS = 6 * 3_600_000;
/** After this time nobody comes back for a session that hangs, in milliseconds. */
const PARKED_MS = 60_000;

/** Watches whose write hung when their stretch ended: the next one goes on with the same session, instead of having one more hang. */
const parked = new WeakMap<ActivityDeps, Map<string, WriteWatch>>();

/**
 * Asks a primary now and then to write to its disk, over a session of its own that nobody waits for. Times are those in which this
 * program was awake and looked: what it slept through proves nothing.
 */
export class WriteWatch {
  private session: PostgresSession | undefined;
  private pid: number | undefined;
  /** The newest attempt to write; one that was given up changes nothing any more. */
  private attempt: object | undefined;
  /** The write that nobody has confirmed yet. */
  private askedAt: number | undefined;
  private flushed: Lsn | undefined;
  /** When WAL was last seen to have reached the disk, or counting began anew. */
  private movedAt: number;
  private lookedAt: number;
  private hangs = false;
  private owned = true;
  private closed = false;
  private readonly gapMs: number;

  private constructor(
    private readonly access: ClusterAccess,
    readonly primary: string,
    policy: GuardPolicy,
    private readonly now: () => number,
  ) {
    this.gapMs = Math.max(1000, 3 * (policy.probeInterval + policy.probeLimit));
    this.movedAt = this.lookedAt = now();
  }

  /** A new watch, or the one whose write still hangs since an earlier stretch on this worker. */
  static of(
    deps: ActivityDeps,
    access: ClusterAccess,
    primary: string,
    policy: GuardPolicy,
    now: () => number = steadyMs,
  ): WriteWatch {
    const key = `${access.name} ${primary}`;
    const before = parked.get(deps)?.get(key);
    if (before === undefined || before.closed) return new WriteWatch(access, primary, policy, now);
    parked.get(deps)?.delete(key);
    before.owned = true;
    return before;
  }

  /** The process on the primary whose write hangs; undefined while none does. */
  get backend(): number | undefined {
    return this.hangs ? this.pid : undefined;
  }

  /** Takes note of a round's answer, asks for a write where one is due, and tells of one that hangs. Never waits. */
  look(answer: NodeAnswer): HangingWrite | undefined {
    this.hangs = false;
    // Silence is judged by other signs; one that is a standby now has nothing to write.
    if (!isWritable(answer)) return undefined;
    const now = this.now();
    if (now - this.lookedAt > this.gapMs || answer.flushed !== this.flushed) this.movedAt = now;
    this.flushed = answer.flushed;
    this.lookedAt = now;
    if (this.askedAt === undefined) {
      if (this.attempt === undefined && now - this.movedAt >= IDLE_MS && !waitsForNobody(answer)) void this.write();
      return undefined;
    }
    const hangsMs = Math.round(now - Math.max(this.askedAt, this.movedAt));
    this.hangs = hangsMs >= HANGS_AFTER_MS;
    if (!this.hangs) return undefined;
    if (answer.writeWaitsFor === ITS_CLIENT) {
      // It was written, and the answer was lost: a network that was cut for a while does that. Nothing is left hanging there.
      this.giveUp();
      return undefined;
    }
    return { hangsMs, ...(answer.writeWaitsFor === undefined ? {} : { waitsFor: answer.writeWaitsFor }) };
  }

  /** Ends it, or keeps what hangs for the next stretch on this worker. */
  close(deps: ActivityDeps): void {
    this.owned = false;
    if (this.askedAt === undefined || deps.ending?.aborted === true) {
      this.end();
      return;
    }
    const watches = parked.get(deps) ?? new Map<string, WriteWatch>();
    parked.set(deps, watches);
    watches.set(`${this.access.name} ${this.primary}`, this);
    const end = () => {
      if (!this.owned) this.end();
    };
    setTimeout(end, PARKED_MS).unref();
    deps.ending?.addEventListener('abort', end, { once: true });
  }

  private end(): void {
    this.closed = true;
    this.giveUp();
  }

  private giveUp(): void {
    this.attempt = undefined;
    this.askedAt = undefined;
    this.hangs = false;
    this.movedAt = this.now();
    this.session?.close();
    this.session = undefined;
  }

  private async write(): Promise<void> {
    const attempt = {};
    this.attempt = attempt;
    const isOurs = () => this.attempt === attempt;
    try {
      this.session ??= await this.open(isOurs);
      if (!isOurs()) return;
      this.askedAt = this.now();
      await this.session.query(FLUSHED_WRITE);
      if (!isOurs()) return;
      this.attempt = undefined;
      this.askedAt = undefined;
      this.movedAt = this.now();
      if (!this.owned) this.end();
    } catch {
      // A server that refuses, or a session that broke or could not be had, says nothing about the disk.
      if (!isOurs()) return;
      if (this.owned) this.giveUp();
      else this.end();
    }
  }

  private async open(isOurs: () => boolean): Promise<PostgresSession> {
    const session = await this.access.sql(this.primary, KEPT_MS);
    try {
      // The watch may have ended meanwhile.
      if (!isOurs()) throw new Error('nobody asks any more');
      const [row] = await withinLimit(
        session.query<{ pid: number }>('SELECT pg_catalog.pg_backend_pid() AS pid'),
        OPEN_LIMIT_MS,
      );
      if (!isOurs()) throw new Error('nobody asks any more');
      this.pid = row?.pid;
      return session;
    } catch (error) {
      session.close();
      throw error;
    }
  }
}

/**
 * Names are set, and no standby confirms. A write of the guard's own would then be what no standby has, and a failover would have to take
 * it for an acknowledged commit (heard.ts).
 */
function waitsForNobody({ names, standbys }: NodeAnswer): boolean {
  return (names ?? '').trim() !== '' && standbys !== undefined && !standbys.some(confirms);
}
