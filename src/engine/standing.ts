import type { Logger } from 'pino';
import type { EpochRow } from './store';

/** What an engine is. `taking`: it has the lock and no epoch yet. `leaving`: it finishes what it has accepted. */
export type Role = 'standby' | 'taking' | 'active' | 'leaving';

/** What an engine is, in which epoch, and who is active elsewhere as far as it has heard. Tells whoever waits for a change. */
export class Standing {
  private current: Role = 'standby';
  private known: EpochRow | undefined;
  private sentence = 'it has just started';
  private readonly waiters = new Set<() => void>();
  /** The epoch in which this engine may accept orders; meaningful while active or leaving. */
  ownEpoch = 0;

  constructor(
    private readonly node: string,
    private readonly log: Logger,
  ) {}

  get role(): Role {
    return this.current;
  }

  /** Why it is what it is. */
  get why(): string {
    return this.sentence;
  }

  /** The role stays, the reason is another one. */
  set why(sentence: string) {
    this.sentence = sentence;
  }

  /** The epoch that counts, as far as this engine knows; 0 where it knows of none. */
  get epoch(): number {
    return this.serves ? this.ownEpoch : (this.other?.epoch ?? 0);
  }

  /** Whether what this engine accepts, or has accepted and finishes, is written in its own epoch. */
  get serves(): boolean {
    return this.current === 'active' || this.current === 'leaving';
  }

  /** The same, in this very epoch. */
  servesIn(epoch: number): boolean {
    return this.ownEpoch === epoch && this.serves;
  }

  /** The engine that is active as far as this one has heard; it may be this one. */
  get other(): EpochRow | undefined {
    return this.known;
  }

  /** Who waits for an active engine goes on at once where there is a new one. */
  set other(row: EpochRow | undefined) {
    const before = this.known;
    this.known = row;
    if (row !== undefined && (before?.epoch !== row.epoch || before.node !== row.node)) this.tell();
  }

  become(role: Role, why: string): void {
    this.sentence = why;
    if (role === this.current) return;
    this.log.info({ from: this.current, to: role, epoch: this.ownEpoch }, `${this.node} is ${role}: ${why}`);
    this.current = role;
    this.tell();
  }

  private tell(): void {
    for (const waiter of [...this.waiters]) waiter();
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
}
