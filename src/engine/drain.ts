import type { Lock, LockLook } from './lock';

/** Whether this engine is kept out. Redis keeps it too, so that a restart does not end it. */
export class Drain {
  private by: string | undefined;
  private looked = false;

  constructor(private readonly lock: Lock) {}

  get on(): boolean {
    return this.by !== undefined;
  }

  /** What was drained before a restart stays so. Later looks may be older than what this process was told itself. */
  see(look: LockLook): void {
    if (!this.looked && look.drained && !this.on) {
      this.by = 'an earlier process';
      void this.lock.standForIt(false).catch(() => undefined);
    }
    this.looked = true;
  }

  /**
   * Keeps this engine out, and lets it hand over what it has.
   * @returns what `handOver` does
   * @throws Error when Redis does not answer, or what `handOver` throws; it is as it was before then
   */
  async begin<T>(run: string, handOver: () => T | Promise<T>): Promise<T> {
    const before = this.by;
    this.by = run;
    try {
      await this.lock.setDrained(run);
      return await handOver();
    } catch (error) {
      this.by = before;
      if (before === undefined) await this.lock.setDrained(undefined).catch(() => undefined);
      throw error;
    }
  }

  /** Lets this engine compete again. @throws Error when Redis does not answer */
  async end(): Promise<void> {
    await this.lock.setDrained(undefined);
    this.by = undefined;
  }
}
