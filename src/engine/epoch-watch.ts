import type { EpochRow, Store } from './store';

/** PostgreSQL is asked for the epoch this often. */
const EPOCH_EVERY_MS = 1000;
/** An answer about the epoch counts for this long where Redis does not answer. */
export const EPOCH_FRESH_MS = 3 * EPOCH_EVERY_MS;

/** Asks PostgreSQL now and then whose epoch it is, and knows when it last said that it is this engine's. */
export class EpochWatch {
  private confirmedAt = -Infinity;
  private askedAt = -Infinity;

  constructor(
    private readonly node: string,
    private readonly store: Store,
  ) {}

  /** Milliseconds since PostgreSQL last said that this engine's epoch is the one. */
  ageMs(now: number): number {
    return now - this.confirmedAt;
  }

  get due(): boolean {
    return performance.now() - this.askedAt >= EPOCH_EVERY_MS;
  }

  /**
   * Asks whether this engine may still write in this epoch.
   * @param over called with whoever may, where it is another one
   * @throws Error when PostgreSQL does not answer
   */
  async confirm(epoch: number, over: (allowed: EpochRow) => void): Promise<void> {
    const began = performance.now();
    this.askedAt = began;
    const allowed = await this.store.epoch();
    if (allowed.epoch === epoch && allowed.node === this.node) this.confirmedAt = began;
    else over(allowed);
  }

  /** Asks a standby's question, so that its health includes its way to PostgreSQL. Waits for nothing; an answer that fails is not heard. */
  hear(heed: (row: EpochRow) => void): void {
    if (!this.due) return;
    this.askedAt = performance.now();
    void this.store.epoch().then(heed, () => undefined);
  }

  /** PostgreSQL has just given this engine its epoch. */
  gained(): void {
    this.confirmedAt = performance.now();
    this.askedAt = performance.now();
  }
}
