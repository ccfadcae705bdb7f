import { barredSays } from '../../cluster/redis/barred';
import type { RedisRound } from '../../cluster/redis/watch';

/** Tells of a master that lets nobody new in, and answers those who are connected, once two looks in a row saw it. */
export class BarredMaster {
  private says: string | undefined;
  private looks = 0;

  /** What a round has just shown. One without a look at everything tells nothing. */
  see({ picture, answer, master }: RedisRound): void {
    if (picture === undefined || master === null) return;
    this.says = barredSays(picture, answer, master);
    this.looks = this.says === undefined ? 0 : this.looks + 1;
  }

  /** Why, in a sentence without full stop, with the next command; undefined where it lets in whoever comes. */
  get trouble(): string | undefined {
    return this.looks > 1 ? this.says : undefined;
  }

  /** One look saw it, which may have been the look's own fault. */
  get pending(): boolean {
    return this.looks === 1;
  }
}
