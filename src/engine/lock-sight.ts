import type { LockLook } from './lock';

/** What the looks at the lock tell together: what was seen on another connection proves nothing. */
export class LockSight {
  private lastHeldOn: number | undefined;
  private seenPresent: { instance: string; connection: number; absentSince: number | undefined } | undefined;

  /** The connection on which the lock was last seen to be held. */
  get heldOn(): number | undefined {
    return this.lastHeldOn;
  }

  /** Called with each look. */
  see({ holder, connection }: LockLook): void {
    if (holder !== undefined) this.lastHeldOn = connection;
  }

  /** For how long the holder's connection has been gone, where it was seen on this very connection before. */
  absentMs({ holder, holderPresent, connection }: LockLook): number {
    const now = performance.now();
    if (holder === undefined || holder.instance === '') {
      this.seenPresent = undefined;
      return 0;
    }
    const seen = this.seenPresent;
    if (holderPresent) {
      this.seenPresent = { instance: holder.instance, connection, absentSince: undefined };
      return 0;
    }
    if (seen === undefined || seen.instance !== holder.instance || seen.connection !== connection) return 0;
    seen.absentSince ??= now;
    return now - seen.absentSince;
  }

  /** The holder is this engine now. */
  forgetHolder(): void {
    this.seenPresent = undefined;
  }
}
