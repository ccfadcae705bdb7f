import type { Logger } from 'pino';
import { decideStandby, isConfirmed } from './decide';
import { Drain } from './drain';
import { EPOCH_FRESH_MS, EpochWatch } from './epoch-watch';
import type { Lock, LockLook, LockValue } from './lock';
import { LockSight } from './lock-sight';
import { isActive, rivalOf } from './rival';
import type { EngineTimes } from './settings';
import { Standing, type Role } from './standing';
import { StepDown, type StepDownRequest, type StepDownResult } from './step-down';
import type { EpochRow, Store } from './store';
import { Turns } from './turns';

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** After a failed attempt to become active, others may try for this long. */
const BACK_OFF_MS = 300;

/**
 * Holds the lock or waits for it, and knows which of the two. One loop, so that no two decisions overlap; whoever wants
 * something else of it asks, and the loop is woken.
 */
export class Leader {
  private readonly standing: Standing;
  private readonly epochs: EpochWatch;
  private readonly sight = new LockSight();
  private readonly turns = new Turns();
  private readonly handover: StepDown;
  private readonly draining: Drain;
  private lockConfirmedAt = -Infinity;
  private supersededBy: EpochRow | undefined;
  private settled = false;
  private backOffUntil = -Infinity;
  private inFlight = 0;

  constructor(
    private readonly node: string,
    private readonly url: string,
    private readonly times: EngineTimes,
    private readonly lock: Lock,
    private readonly store: Store,
    private readonly log: Logger,
  ) {
    this.standing = new Standing(node, log);
    this.epochs = new EpochWatch(node, store);
    this.draining = new Drain(lock);
    this.handover = new StepDown(
      node,
      times,
      lock,
      this.standing,
      () => this.inFlight,
      () => this.wake(),
      log,
    );
  }

  /** Starts to compete for the lock. */
  start(): void {
    this.turns.start(() => this.turn());
  }

  /** Ends the loop; the lock is let go by {@link stepDown}, or ends by itself. */
  stop(): Promise<void> {
    return this.turns.stop();
  }

  get role(): Role {
    return this.standing.role;
  }

  /** The epoch that counts, as far as this engine knows; 0 where it knows of none. */
  get epoch(): number {
    return this.standing.epoch;
  }

  get drained(): boolean {
    return this.draining.on;
  }

  /** Why it is what it is. */
  get why(): string {
    return this.standing.why;
  }

  /** Numbers for `/health` and `/metrics`. */
  get inFlightOrders(): number {
    return this.inFlight;
  }

  /** Whether this engine takes up orders now, and is known to be the one that may. */
  get ready(): boolean {
    const now = performance.now();
    return (
      this.role === 'active' &&
      !this.drained &&
      isConfirmed({
        lockAgeMs: now - this.lockConfirmedAt,
        lockTtlMs: this.times.lockTtlMs,
        epochAgeMs: this.epochs.ageMs(now),
        epochFreshMs: EPOCH_FRESH_MS,
      })
    );
  }

  /** The engine that is active, where it is another one. */
  get activeElsewhere(): EpochRow | undefined {
    const { role, other } = this.standing;
    return role === 'standby' && (other?.epoch ?? 0) > 0 ? other : undefined;
  }

  /** Looks at once instead of at the next turn. */
  wake(): void {
    this.turns.wake();
  }

  /** Calls back at each change of the role, and of who is active elsewhere, until what it returns is called. */
  onChange(listener: () => void): () => void {
    return this.standing.onChange(listener);
  }

  /** Resolves at such a change, or after `limitMs`. */
  changed(limitMs: number): Promise<void> {
    return this.standing.changed(limitMs);
  }

  /**
   * Takes up an order: the epoch to write it with, and what to call when it has ended; undefined while this engine takes
   * up none. A step-down waits for what was taken up.
   */
  begin(): { epoch: number; end: () => void } | undefined {
    if (this.role !== 'active') return undefined;
    this.inFlight += 1;
    return { epoch: this.standing.ownEpoch, end: () => void (this.inFlight -= 1) };
  }

  /** PostgreSQL has said that the epoch of an order is over. */
  superseded(epoch: number, allowed: EpochRow): void {
    const { standing } = this;
    if (!standing.servesIn(epoch)) return;
    this.supersededBy = allowed;
    standing.other = allowed;
    standing.become('standby', `PostgreSQL says that the epoch is ${allowed.epoch}, of ${allowed.node}`);
    void this.lock.release().catch(() => undefined);
  }

  /** @returns after how many milliseconds the next one is due */
  private async turn(): Promise<number> {
    try {
      if (this.standing.serves) {
        await this.keep();
        if (this.role === 'active') return this.times.renewMs;
      } else {
        await this.seek();
      }
    } catch (error) {
      this.log.debug({ error: (error as Error).message }, 'a look failed');
    }
    return this.times.pollMs;
  }

  /** A turn of an active engine: its lock, and now and then its epoch. */
  private async keep(): Promise<void> {
    const { standing } = this;
    const epoch = standing.ownEpoch;
    const began = performance.now();
    let redisAnswered = true;
    try {
      const answer = await this.lock.renew(epoch);
      if (answer === 'mine') {
        this.lockConfirmedAt = began;
      } else if (answer === 'lost') {
        // It ended, or Redis forgot it in a failover. Another one may have had it meanwhile: PostgreSQL knows.
        await this.confirmEpoch(epoch);
        if (standing.servesIn(epoch) && this.role === 'active' && (await this.lock.retake(epoch)))
          this.log.warn('the lock was gone; it was taken again in the same epoch');
      } else {
        this.yieldTo(answer, epoch);
        return;
      }
    } catch {
      redisAnswered = false;
    }
    if (!standing.servesIn(epoch)) return;
    if (!redisAnswered || this.epochs.due) {
      // Not awaited where Redis is there: a held PostgreSQL must not keep the lock from being renewed.
      const confirmed = this.confirmEpoch(epoch).catch(() => undefined);
      if (!redisAnswered) await Promise.race([confirmed, sleep(this.times.renewMs)]);
    }
  }

  private confirmEpoch(epoch: number): Promise<void> {
    return this.epochs.confirm(epoch, (allowed) => this.superseded(epoch, allowed));
  }

  /** Another engine has the lock: it is about to have a later epoch. */
  private yieldTo(holder: LockValue, epoch: number): void {
    const { standing } = this;
    if (!standing.servesIn(epoch)) return;
    standing.other = holder.epoch > 0 ? holder : undefined;
    this.settled = true;
    standing.become('standby', `${holder.node} holds the lock`);
  }

  /** A turn of a standby. */
  private async seek(): Promise<void> {
    const { standing } = this;
    let look: LockLook;
    try {
      look = await this.lock.look();
    } catch (error) {
      // A silent Redis is no reason to think the same of PostgreSQL. Whom that names is of use only beside a lock.
      this.epochs.hear(() => undefined);
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
      holderAbsentMs: this.sight.absentMs(look),
      absentLimitMs: this.times.absentMs,
      settled: this.settled,
    });
    standing.why = move.why;
    if (look.holder !== undefined && look.holder.node !== this.node) this.settled = true;
    const hearWhoIsActive = () =>
      this.epochs.hear((row) => {
        if (this.role === 'standby' && row.node !== this.node && row.epoch >= (standing.other?.epoch ?? 0))
          standing.other = row;
      });
    if (!move.take) {
      hearWhoIsActive();
      return;
    }
    const { node, supersededBy } = this;
    const rival = rivalOf({ node, look, supersededBy, heldOn: this.sight.heldOn, other: standing.other });
    if (rival !== undefined && (await isActive(rival))) {
      // Orders are passed on to whom PostgreSQL names, and its answers are a part of this engine's health.
      hearWhoIsActive();
      standing.why = `${rival.node} is active in epoch ${rival.epoch} and answers, though this Redis knows no lock of it`;
      return;
    }
    if (!(await this.lock.take())) return;
    await this.takeOver(move.why);
  }

  private heed(look: LockLook): void {
    const { holder } = look;
    this.sight.see(look);
    if (holder !== undefined && holder.instance !== this.lock.instance && holder.epoch > 0)
      this.standing.other = holder;
    this.draining.see(look);
  }

  /** Has the lock: takes the next epoch, renewing the lock while PostgreSQL takes its time. */
  private async takeOver(why: string): Promise<void> {
    const { standing } = this;
    const began = performance.now();
    this.settled = true;
    standing.become('taking', why);
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
        standing.become('standby', 'the lock was lost while PostgreSQL gave the epoch');
        return;
      }
      standing.ownEpoch = epoch;
      standing.other = undefined;
      this.supersededBy = undefined;
      this.sight.forgetHolder();
      this.lockConfirmedAt = answer === 'mine' ? performance.now() : -Infinity;
      this.epochs.gained();
      standing.become('active', why);
      this.log.info({ epoch, tookMs: Math.round(performance.now() - began) }, `epoch ${epoch}`);
    } catch (error) {
      clearInterval(renewing);
      this.backOffUntil = performance.now() + BACK_OFF_MS;
      standing.become('standby', `PostgreSQL gave no epoch: ${(error as Error).message}`);
      await this.lock.release().catch(() => undefined);
    }
  }

  /** Neither takes the lock nor reports ready until {@link undrain}; hands over first where it is active. */
  drain(run: string): Promise<StepDownResult | undefined> {
    return this.draining.begin(run, () => (this.role === 'standby' ? undefined : this.stepDown({ run })));
  }

  /** Competes again. */
  async undrain(): Promise<void> {
    await this.draining.end();
    this.wake();
  }

  /**
   * Ends this engine's turn: takes up no more orders, finishes those in flight, lets the lock go to `to` (or to anyone
   * else), and waits until another engine is active.
   * @throws StepDownRefused where it could not let go; it is active as before then
   */
  stepDown(request: StepDownRequest): Promise<StepDownResult> {
    return this.handover.ask(request);
  }
}
