import { formatMs } from '../duration';
import type { SentinelState } from './observed';

/** What the image of Redis sets Sentinels to, in milliseconds (VELOZ_REDIS_DOWN_AFTER_MS, VELOZ_REDIS_FAILOVER_TIMEOUT_MS). */
const USUAL = [
  ['down-after-milliseconds', 'downAfterMs', 5000],
  ['failover-timeout', 'failoverTimeoutMs', 60_000],
] as const;
/** The image may be told otherwise, within this factor. */
const FACTOR = 2;

/** In words. */
export interface Impatience {
  refusal: string;
  measured: string;
  limit: string;
}

/**
 * What keeps a Sentinel from failing over in the time that is promised, or has it do so where nothing is wrong: what somebody said by
 * `SENTINEL SET`, which it keeps until its container is started again. undefined where all is well, or it does not say. Pure.
 */
export function impatienceOf(name: string, state: SentinelState): Impatience | undefined {
  const off = USUAL.flatMap(([setting, key, usual]) => {
    const value = state[key];
    return value === undefined || (value >= usual / FACTOR && value <= usual * FACTOR)
      ? []
      : [{ setting, value, usual }];
  });
  if (off.length === 0) return undefined;
  const late = off.some(({ value, usual }) => value > usual);
  return {
    refusal: late
      ? `${name} would fail over late, or not at all`
      : `${name} would fail over where nothing is wrong, or give up too soon`,
    measured: off.map(({ setting, value }) => `its ${setting} is ${formatMs(value)}`).join(', '),
    limit: off
      .map(
        ({ usual }) => `${formatMs(usual / FACTOR)} to ${formatMs(usual * FACTOR)}; the image sets ${formatMs(usual)}`,
      )
      .join(', '),
  };
}
