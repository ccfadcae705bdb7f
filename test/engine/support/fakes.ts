/* eslint-disable @typescript-eslint/require-await -- what a test answers at once is asked for as a promise */
import pino from 'pino';
import { Leader } from '../../../src/engine/leader';
import type { Heir, Lock, LockLook, LockValue } from '../../../src/engine/lock';
import type { EngineTimes } from '../../../src/engine/settings';
import { StoreUnavailable, type EpochRow, type Store } from '../../../src/engine/store';

export const silent = pino({ level: 'silent' });

/** Short enough for a test, long enough for a busy machine. */
export const times: EngineTimes = {
  lockTtlMs: 60_000,
  renewMs: 20,
  pollMs: 10,
  absentMs: 50,
  holdMs: 200,
  orderLimitMs: 2000,
  handoverMs: 400,
};

/** Waits for what comes about soon. @throws Error when it does not */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  const began = performance.now();
  while (!isSo()) {
    if (performance.now() - began > 10_000) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A Redis and a PostgreSQL for engines of one process: one lock, one epoch. */
export class World {
  holder: LockValue | undefined;
  heir: Heir | undefined;
  readonly drained = new Set<string>();
  readonly candidates = new Set<string>();
  redisAnswers = true;
  postgresAnswers = true;
  allowed: EpochRow = { epoch: 0, node: '', url: '' };
  /** How often each engine has asked PostgreSQL for the epoch. */
  readonly asked = new Map<string, number>();

  private redis(): void {
    if (!this.redisAnswers) throw new Error('Command timed out');
  }

  /** Starts an engine's leader. */
  leader(node: string): { leader: Leader; lock: FakeLock; stop: () => Promise<void> } {
    const lock = new FakeLock(this, node, () => this.redis());
    const leader = new Leader(node, '', times, lock as unknown as Lock, this.store(node), silent);
    this.candidates.add(node);
    leader.start();
    return { leader, lock, stop: () => leader.stop() };
  }

  private store(node: string): Store {
    const answer = <T>(give: () => T) =>
      this.postgresAnswers ? Promise.resolve(give()) : Promise.reject(new StoreUnavailable('no connection', false));
    return {
      answeredAt: performance.now(),
      epoch: () => {
        this.asked.set(node, (this.asked.get(node) ?? 0) + 1);
        return answer(() => ({ ...this.allowed }));
      },
      claim: (node: string, url: string) =>
        answer(() => (this.allowed = { epoch: this.allowed.epoch + 1, node, url }).epoch),
    } as unknown as Store;
  }
}

/** The lock's contract without a Redis. */
class FakeLock {
  readonly instance: string;
  private own = false;
  private seen: string | undefined;

  constructor(
    private readonly world: World,
    readonly node: string,
    private readonly ask: () => void,
  ) {
    this.instance = `process of ${node}`;
  }

  private value = (epoch: number): LockValue => ({ node: this.node, epoch, url: '', instance: this.instance });

  async look(): Promise<LockLook> {
    this.ask();
    const { holder, heir, drained } = this.world;
    this.seen = holder?.instance;
    return { holder, holderPresent: true, heir, drained: drained.has(this.node), connection: 1 };
  }

  async take(): Promise<boolean> {
    this.ask();
    if (this.world.holder?.instance !== this.seen) return false;
    return this.write(0);
  }

  async retake(epoch: number): Promise<boolean> {
    this.ask();
    return this.world.holder === undefined && this.write(epoch);
  }

  private write(epoch: number): boolean {
    this.world.holder = this.value(epoch);
    this.world.heir = undefined;
    return (this.own = true);
  }

  async renew(epoch: number): Promise<'mine' | 'lost' | LockValue> {
    this.ask();
    const { holder } = this.world;
    if (!this.own || holder === undefined) return 'lost';
    if (holder.instance !== this.instance) {
      this.own = false;
      return holder;
    }
    this.world.holder = this.value(epoch);
    return 'mine';
  }

  async release(heir?: Heir): Promise<boolean> {
    this.ask();
    this.own = false;
    if (this.world.holder?.instance !== this.instance) return false;
    this.world.holder = undefined;
    this.world.heir = heir;
    return true;
  }

  async otherCandidates(): Promise<string[]> {
    this.ask();
    return [...this.world.candidates].filter((name) => name !== this.node);
  }

  async standForIt(does: boolean): Promise<void> {
    if (does) this.world.candidates.add(this.node);
    else this.world.candidates.delete(this.node);
  }

  async setDrained(run: string | undefined): Promise<void> {
    this.ask();
    if (run === undefined) this.world.drained.delete(this.node);
    else this.world.drained.add(this.node);
    await this.standForIt(run === undefined);
  }
}
