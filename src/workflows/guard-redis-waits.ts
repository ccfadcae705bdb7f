import { patched } from '@temporalio/workflow';
import { formatMs } from '../cluster/duration';
import type { GuardPolicy } from '../cluster/guard/policy';
import type { GuardEvent, GuardState, RedisGuardKnowledge, RedisGuardState } from './guard-messages';
import { MAX_BACKOFF_MS } from './guard-watching';

/** Another run holds the lock of Redis: it is tried again after this time, in milliseconds. */
export const BUSY_MS = 2000;

/** What the back-offs of Redis are kept in, and told by. */
export interface RedisWaitsHost {
  readonly state: GuardState & { redis: RedisGuardState };
  readonly policy: GuardPolicy;
  readonly known: RedisGuardKnowledge;
  note(kind: GuardEvent['kind'], says: string, run?: string): void;
}

/** The back-offs after attempts at Redis that did not end well. Each fault waits for itself: one that is new is tried at once. */
export class RedisWaits {
  constructor(private readonly host: RedisWaitsHost) {}

  private get redis(): RedisGuardState {
    return this.host.state.redis;
  }

  /** Of these faults one at least waits for no back-off. */
  letActOn(faults: readonly string[]): boolean {
    const { waits, backoffUntil } = this.redis;
    if (waits === undefined) return backoffUntil === undefined;
    return faults.some((fault) => (waits[fault]?.until ?? 0) <= Date.now());
  }

  /** When the next of them is over. One that is over goes on to count how often in a row its fault was tried in vain. */
  next(now: number): void {
    const untils = Object.values(this.redis.waits ?? {}).flatMap(({ until }) => (until > now ? [until] : []));
    if (untils.length === 0) delete this.redis.backoffUntil;
    else this.redis.backoffUntil = Math.min(...untils);
  }

  /** These faults were mended. */
  end(faults: readonly string[]): void {
    const { redis } = this;
    for (const fault of faults) delete redis.waits?.[fault];
    if (redis.waits !== undefined) this.next(Date.now());
  }

  /** Whatever was in vain has lost its reason. */
  drop(): void {
    delete this.redis.backoffUntil;
    delete this.redis.waits;
  }

  /** An attempt at these faults did not end well, and is not tried again before the back-off, which is told. */
  backOff(faults: readonly string[], says: string, run?: string): void {
    this.wait(faults, 1, says, run);
    this.host.known.failures += 1;
  }

  /** @param failed 1 where the attempt did not end well, 0 where it only found the lock taken */
  wait(faults: readonly string[], failed: 0 | 1, says: string, run?: string): void {
    const { redis, host } = this;
    const now = Date.now();
    const after = (failures: number) =>
      failed === 0 ? BUSY_MS : Math.min(MAX_BACKOFF_MS, host.policy.backoff * 2 ** failures);
    if (faults.length > 0 && patched('redis-backoff-by-fault')) {
      const waits = (redis.waits ??= {});
      for (const fault of faults) {
        const failures = waits[fault]?.failures ?? 0;
        waits[fault] = { until: now + after(failures), failures: failures + failed };
      }
      this.next(now);
    } else {
      delete redis.waits;
      redis.backoffUntil = now + after(host.known.failures);
    }
    const own = faults.flatMap((fault) => redis.waits?.[fault]?.until ?? []);
    const ms = (own.length > 0 ? Math.min(...own) : (redis.backoffUntil ?? now)) - now;
    const what = own.length > 0 ? 'It is not' : 'Nothing is';
    host.note('redis run', `${says}. ${what} tried again before ${formatMs(ms)} have passed`, run);
  }
}
