import type { Logger } from 'pino';
import { decideStandby, isConfirmed } from './decide';
import type { Heir, Lock, LockLook, LockValue } from './lock';
import type { EngineTimes } from './settings';
import type { EpochRow, Store } from './store';

/** What an engine is. `taking`: it has the lock and no epoch yet. `leaving`: it finishes what it has accepted. */
export type Role = 'standby' | 'taking' | 'active' | 'leaving';

/** What came of a step-down. */
export interface StepDownResult {
  /** `handed over`: another engine is active. `released`: nobody was named, or it has not shown up yet. `unchanged`: it was no active one. */
  outcome: 'handed over' | 'released' | 'unchanged';
  run: string;
  node: string;
  /** The engine that is active now, where one is. */
  active: { node: string; epoch: number } | null;
  /** The epoch that ended. */
  epoch: number | null;
  /** From the moment when no order was taken up any more until another engine was seen to be active. */
  heldMs: number;
}

/** A step-down that was not carried out: the engine goes on as before. */
export class StepDownRefused extends Error {
  constructor(
    readonly status: 409 | 422 | 503,
    what: string,
  ) {
    super(what);
    this.name = 'StepDownRefused';
  }
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** PostgreSQL is asked for the epoch this often. */
const EPOCH_EVERY_MS = 1000;
/** An answer about the epoch counts for this long where Redis does not answer. */
const EPOCH_FRESH_MS = 3 * EPOCH_EVERY_MS;
/** After a failed attempt to become active, others may try for this long. */
const BACK_OFF_MS = 300;
/** How long an engine that may be active is given to say so. */
const PEER_LIMIT_MS = 400;

/**
 * Holds the lock or waits for it, and knows which of the two. One loop, so that no two decisions overlap; whoever wants
 * something else of it asks, and the loop is woken.
 */
export class Leader {
  private current: Role = 'standby';
  /** The epoch in which this engine may accept orders; meaningful while active or leaving. */
  private ownEpoch = 0;
  private lockConfirmedAt = -Infinity;
  private epochConfirmedAt = -Infinity;
  private epochAskedAt = -Infinity;
  /** The engine that is active as far as this one has heard. */
  private known: EpochRow | undefined;
  private supersededBy: EpochRow | undefined;
  private settled = false;
  private looked = false;
  private drainedBy: string | undefined;
  /** The connection on which the lock was last seen to be held. */
  private heldOn: number | undefined;
  private seenPresent: { instance: string; connection: number; absentSince: number | undefined } | undefined;
  private backOffUntil = -Infinity;
  private inFlight = 0;
  private stepDownInProgress: { run: string; result: Promise<StepDownResult> } | undefined;
  private readonly waiters = new Set<() => void>();
  private wakeUp: (() => void) | undefined;
  private awake = false;
  private stopping = false;
  private loop: Promise<void> | undefined;
  private sentence = 'it has just started';

  constructor(
    private readonly node: string,
    private readonly url: string,
    private readonly times: EngineTimes,
    private readonly lock: Lock,
    private readonly store: Store,
    private readonly log: Logger,
  ) {}

  /** Starts to compete for the lock. */
  start(): void {
    this.loop = this.run();
  }

  /** Ends the loop; the lock is let go by {@link stepDown}, or ends by itself. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.wake();
    await this.loop;
  }

  get role(): Role {
    return this.current;
  }

  /** The epoch that counts, as far as this engine knows; 0 where it knows of none. */
  get epoch(): number {
    return this.current === 'active' || this.current === 'leaving' ? this.ownEpoch : (this.other?.epoch ?? 0);
  }

  get drained(): boolean {
    return this.drainedBy !== undefined;
  }

  /** Why it is what it is. */
  get why(): string {
    return this.sentence;
  }

  /** Whether this engine takes up orders now, and is known to be the one that may. */
  get ready(): boolean {
    const now = performance.now();
    return (
      this.current === 'active' &&
      !this.drained &&
      isConfirmed({
        lockAgeMs: now - this.lockConfirmedAt,
        lockTtlMs: this.times.lockTtlMs,
        epochAgeMs: now - this.epochConfirmedAt,
        epochFreshMs: EPOCH_FRESH_MS,
      })
    );
  }

  /** The engine that is active, where it is another one. */
  get activeElsewhere(): EpochRow | undefined {
    return this.current === 'standby' && (this.other?.epoch ?? 0) > 0 ? this.other : undefined;
  }

  /** Looks at once instead of at the next turn. */
  wake(): void {
    this.awake = true;
    this.wakeUp?.();
  }

  /** Calls back at each change of the role, and of who is active elsewhere, until what it returns is called. */
  onChange(listener: () => void): () => void {
    this.waiters.add(listener);
    return () => void this.waiters.delete(listener);
  }

  /** Resolves at such a change, or after `limitMs`. */
  changed(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        stop();
        resolve();
      };
      const timer = setTimeout(done, Math.max(0, limitMs));
      const stop = this.onChange(done);
    });
  }

  /**
   * Takes up an order: the epoch to write it with, and what to call when it has ended; undefined while this engine takes
   * up none. A step-down waits for what was taken up.
   */
  begin(): { epoch: number; end: () => void } | undefined {
    if (this.current !== 'active') return undefined;
    this.inFlight += 1;
    return { epoch: this.ownEpoch, end: () => void (this.inFlight -= 1) };
  }

  /** PostgreSQL has said that the epoch of an order is over. */
  superseded(epoch: number, allowed: EpochRow): void {
    if (epoch !== this.ownEpoch || (this.current !== 'active' && this.current !== 'leaving')) return;
    this.supersededBy = allowed;
    this.other = allowed;
    this.become('standby', `PostgreSQL says that the epoch is ${allowed.epoch}, of ${allowed.node}`);
    void this.lock.release().catch(() => undefined);
  }

  private get other(): EpochRow | undefined {
    return this.known;
  }

  /** Who waits for an active engine goes on at once where there is a new one. */
  private set other(row: EpochRow | undefined) {
    const before = this.known;
    this.known = row;
    if (row !== undefined && (before?.epoch !== row.epoch || before.node !== row.node)) this.tell();
  }

  private tell(): void {
    for (const waiter of [...this.waiters]) waiter();
  }

  private become(role: Role, why: string): void {
    this.sentence = why;
    if (role === this.current) return;
    this.log.info({ from: this.current, to: role, epoch: this.ownEpoch }, `${this.node} is ${role}: ${why}`);
    this.current = role;
    this.tell();
  }

  private async run(): Promise<void> {
    while (!this.stopping) {
      const began = performance.now();
      this.awake = false;
      let everyMs = this.times.pollMs;
      try {
        if (this.current === 'active' || this.current === 'leaving') {
          await this.keep();
          if (this.current === 'active') everyMs = this.times.renewMs;
        } else {
          await this.seek();
        }
      } catch (error) {
        this.log.debug({ error: (error as Error).message }, 'a look failed');
      }
      await this.pause(Math.max(10, everyMs - (performance.now() - began)));
    }
  }

  private async pause(ms: number): Promise<void> {
    if (this.awake || this.stopping) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wakeUp = undefined;
  }

  /** A turn of an active engine: its lock, and now and then its epoch. */
  private async keep(): Promise<void> {
    const epoch = this.ownEpoch;
    const began = performance.now();
    let redisAnswered = true;
    try {
      const answer = await this.lock.renew(epoch);
      if (answer === 'mine') {
        this.lockConfirmedAt = began;
      } else if (answer === 'lost') {
        // It ended, or Redis forgot it in a failover. Another one may have had it meanwhile: PostgreSQL knows.
        await this.confirmEpoch(epoch);
        if (this.isStill(epoch) && this.current === 'active' && (await this.lock.retake(epoch)))
          this.log.warn('the lock was gone; it was taken again in the same epoch');
      } else {
        this.yieldTo(answer, epoch);
        return;
      }
    } catch {
      redisAnswered = false;
    }
    if (!this.isStill(epoch)) return;
    if (!redisAnswered || performance.now() - this.epochAskedAt >= EPOCH_EVERY_MS) {
      // Not awaited where Redis is there: a held PostgreSQL must not keep the lock from being renewed.
      const confirmed = this.confirmEpoch(epoch).catch(() => undefined);
      if (!redisAnswered) await Promise.race([confirmed, sleep(this.times.renewMs)]);
    }
  }

  private isStill(epoch: number): boolean {
    return this.ownEpoch === epoch && (this.current === 'active' || this.current === 'leaving');
  }

  private async confirmEpoch(epoch: number): Promise<void> {
    const began = performance.now();
    this.epochAskedAt = began;
    const allowed = await this.store.epoch();
    if (allowed.epoch === epoch && allowed.node === this.node) this.epochConfirmedAt = began;
    else this.superseded(epoch, allowed);
  }

  /** Another engine has the lock: it is about to have a later epoch. */
  private yieldTo(holder: LockValue, epoch: number): void {
    if (!this.isStill(epoch)) return;
    this.other = holder.epoch > 0 ? holder : undefined;
    this.settled = true;
    this.become('standby', `${holder.node} holds the lock`);
  }

  /** A turn of a standby. */
  private async seek(): Promise<void> {
    let look: LockLook;
    try {
      look = await this.lock.look();
    } catch (error) {
      // A silent Redis is no reason to think the same of PostgreSQL. Whom that names is of use only beside a lock.
      this.askEpochNowAndThen(() => undefined);
      throw error;
    }
    this.heed(look);
    if (performance.now() < this.backOffUntil) return;
    const move = decideStandby({
      node: this.node,
      instance: this.lock.instance,
      drained: this.drained,
      holder: look.holder,
      heir: look.heir,
      holderAbsentMs: this.absentMs(look),
      absentLimitMs: this.times.absentMs,
      settled: this.settled,
    });
    this.sentence = move.why;
    if (look.holder !== undefined && look.holder.node !== this.node) this.settled = true;
    const hearWhoIsActive = () =>
      this.askEpochNowAndThen((row) => {
        if (this.current === 'standby' && row.node !== this.node && row.epoch >= (this.other?.epoch ?? 0))
          this.other = row;
      });
    if (!move.take) {
      hearWhoIsActive();
      return;
    }
    const rival = this.rival(look);
    if (rival !== undefined && (await isActive(rival))) {
      // Orders are passed on to whom PostgreSQL names, and its answers are a part of this engine's health.
      hearWhoIsActive();
      this.sentence = `${rival.node} is active in epoch ${rival.epoch} and answers, though this Redis knows no lock of it`;
      return;
    }
    if (!(await this.lock.take())) return;
    await this.takeOver(move.why);
  }

  /**
   * Who may be active although nobody holds the lock here: who had it on a Redis before this one, which may have got lost
   * when Redis failed over, or whom PostgreSQL has put before this engine. A lock that ended in full view needs no question.
   */
  private rival(look: LockLook): EpochRow | undefined {
    if (look.heir !== undefined) return undefined;
    if (this.supersededBy !== undefined) return this.supersededBy;
    return this.heldOn !== look.connection && this.other?.node !== this.node ? this.other : undefined;
  }

  /** So that the health of a standby includes its way to PostgreSQL. */
  private askEpochNowAndThen(heed: (row: EpochRow) => void): void {
    const now = performance.now();
    if (now - this.epochAskedAt < EPOCH_EVERY_MS) return;
    this.epochAskedAt = now;
    void this.store.epoch().then(heed, () => undefined);
  }

  private heed(look: LockLook): void {
    const { holder } = look;
    if (holder !== undefined) this.heldOn = look.connection;
    if (holder !== undefined && holder.instance !== this.lock.instance && holder.epoch > 0) this.other = holder;
    // What was drained before a restart stays so. Later looks may be older than what this process was told itself.
    if (!this.looked && look.drained && this.drainedBy === undefined) {
      this.drainedBy = 'an earlier process';
      void this.lock.standForIt(false).catch(() => undefined);
    }
    this.looked = true;
  }

  /** For how long the holder's connection has been gone, where it was seen on this very connection before. */
  private absentMs(look: LockLook): number {
    const { holder, connection } = look;
    const now = performance.now();
    if (holder === undefined || holder.instance === '') {
      this.seenPresent = undefined;
      return 0;
    }
    const seen = this.seenPresent;
    if (look.holderPresent) {
      this.seenPresent = { instance: holder.instance, connection, absentSince: undefined };
      return 0;
    }
    if (seen === undefined || seen.instance !== holder.instance || seen.connection !== connection) return 0;
    seen.absentSince ??= now;
    return now - seen.absentSince;
  }

  /** Has the lock: takes the next epoch, renewing the lock while PostgreSQL takes its time. */
  private async takeOver(why: string): Promise<void> {
    const began = performance.now();
    this.settled = true;
    this.become('taking', why);
    let lost: LockValue | 'lost' | undefined;
    const renewing = setInterval(() => {
      void this.lock.renew(0).then(
        (answer) => {
          if (answer !== 'mine') lost = answer;
        },
        () => undefined,
      );
    }, this.times.renewMs);
    try {
      const epoch = await this.store.claim(this.node, this.url);
      clearInterval(renewing);
      const answer = lost ?? (await this.lock.renew(epoch).catch(() => undefined));
      if (answer !== undefined && answer !== 'mine') {
        // Its epoch may be the current one now; the holder finds that out at its first order, and takes the next one.
        this.backOffUntil = performance.now() + BACK_OFF_MS;
        this.become('standby', 'the lock was lost while PostgreSQL gave the epoch');
        return;
      }
      this.ownEpoch = epoch;
      this.other = undefined;
      this.supersededBy = undefined;
      this.seenPresent = undefined;
      this.lockConfirmedAt = answer === 'mine' ? performance.now() : -Infinity;
      this.epochConfirmedAt = performance.now();
      this.epochAskedAt = performance.now();
      this.become('active', why);
      this.log.info({ epoch, tookMs: Math.round(performance.now() - began) }, `epoch ${epoch}`);
    } catch (error) {
      clearInterval(renewing);
      this.backOffUntil = performance.now() + BACK_OFF_MS;
      this.become('standby', `PostgreSQL gave no epoch: ${(error as Error).message}`);
      await this.lock.release().catch(() => undefined);
    }
  }

  /** Neither takes the lock nor reports ready until {@link undrain}; hands over first where it is active. */
  async drain(run: string): Promise<StepDownResult | undefined> {
    const before = this.drainedBy;
    this.drainedBy = run;
    try {
      await this.lock.setDrained(run);
      return this.current === 'standby' ? undefined : await this.stepDown({ run });
    } catch (error) {
      this.drainedBy = before;
      if (before === undefined) await this.lock.setDrained(undefined).catch(() => undefined);
      throw error;
    }
  }

  /** Competes again. */
  async undrain(): Promise<void> {
    await this.lock.setDrained(undefined);
    this.drainedBy = undefined;
    this.wake();
  }

  /**
   * Ends this engine's turn: takes up no more orders, finishes those in flight, lets the lock go to `to` (or to anyone
   * else), and waits until another engine is active.
   * @throws StepDownRefused where it could not let go; it is active as before then
   */
  stepDown(request: { run: string; to?: string }): Promise<StepDownResult> {
    if (this.stepDownInProgress !== undefined) return this.stepDownInProgress.result;
    const result = this.handOver(request).finally(() => (this.stepDownInProgress = undefined));
    this.stepDownInProgress = { run: request.run, result };
    return result;
  }

  private async handOver({ run, to }: { run: string; to?: string }): Promise<StepDownResult> {
    if (this.current === 'taking') await this.changed(this.times.handoverMs);
    const unchanged = (): StepDownResult => ({
      outcome: 'unchanged',
      run,
      node: this.node,
      active: this.other === undefined ? null : { node: this.other.node, epoch: this.other.epoch },
      epoch: null,
      heldMs: 0,
    });
    if (this.current !== 'active') return unchanged();
    if (to === this.node) throw new StepDownRefused(422, `${to} is active already: it can not hand over to itself`);
    const others = await this.lock.otherCandidates().catch((error: Error) => {
      throw new StepDownRefused(503, `Redis did not say who could take over (${error.message}): it goes on as before`);
    });
    if (to === undefined ? others.length === 0 : !others.includes(to))
      throw new StepDownRefused(
        409,
        `${to ?? 'no other engine'} can not take over: connected to the Redis master and not drained are ${others.join(', ') || 'no others'}`,
      );
    const epoch = this.ownEpoch;
    const began = performance.now();
    if (!this.isStill(epoch)) return unchanged();
    this.become('leaving', `step-down of run ${run}`);
    while (this.inFlight > 0 && performance.now() - began < this.times.handoverMs) await sleep(2);
    if (!this.isStill(epoch)) return unchanged();
    if (this.inFlight > 0) {
      const left = this.inFlight;
      this.become('active', 'its orders did not end, so it goes on');
      throw new StepDownRefused(
        503,
        `${left} orders in flight did not end within ${this.times.handoverMs} ms (PostgreSQL held or out of reach): it goes on as the active engine`,
      );
    }
    const heir: Heir = to === undefined ? { not: this.node } : { to };
    try {
      await this.lock.release(heir, 2000);
    } catch (error) {
      this.become('active', 'Redis did not answer, so it goes on');
      throw new StepDownRefused(
        503,
        `the lock could not be let go (${(error as Error).message}): it goes on as the active engine`,
      );
    }
    this.other = undefined;
    this.become('standby', `handed over by run ${run}`);
    const active = await this.newActive(epoch, began + this.times.handoverMs * 2);
    if (active?.node === this.node)
      throw new StepDownRefused(
        503,
        `${to ?? 'no other engine'} did not take over in time: ${this.node} is active again, in epoch ${active.epoch}`,
      );
    const heldMs = Math.round(performance.now() - began);
    this.log.info({ run, epoch, heldMs, active }, 'stepped down');
    return {
      outcome: active === null ? 'released' : 'handed over',
      run,
      node: this.node,
      active,
      epoch,
      heldMs,
    };
  }

  private async newActive(after: number, until: number): Promise<{ node: string; epoch: number } | null> {
    for (;;) {
      this.wake();
      const other = this.other;
      if (other !== undefined && other.epoch > after) return { node: other.node, epoch: other.epoch };
      if (this.current === 'active') return { node: this.node, epoch: this.ownEpoch };
      if (performance.now() > until) return null;
      await sleep(10);
    }
  }

  /** Numbers for `/health` and `/metrics`. */
  get inFlightOrders(): number {
    return this.inFlight;
  }
}

/** Whether an engine answers that it is active in this epoch or a later one, and takes orders. */
async function isActive({ url, epoch, node }: EpochRow): Promise<boolean> {
  if (url === '') return false;
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(PEER_LIMIT_MS) });
    const body = (await response.json()) as { node?: string; ready?: boolean; epoch?: number };
    return body.node === node && body.ready === true && (body.epoch ?? 0) >= epoch;
  } catch {
    return false;
  }
}
