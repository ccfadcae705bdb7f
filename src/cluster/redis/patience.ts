import { formatMs } from '../duration';
import type { SentinelState } from './observed';

/** What the image of Redis sets Sentinels to, in milliseconds, unless the variable says otherwise. */
const USUAL = [
  ['down-after-milliseconds', 'downAfterMs', 5000, 'VELOZ_REDIS_DOWN_AFTER_MS'],
  ['failover-timeout', 'failoverTimeoutMs', 60_000, 'VELOZ_REDIS_FAILOVER_TIMEOUT_MS'],
] as const;
/** The image may be told otherwise, within this factor. */
const FACTOR = 2;

/** In words. */
export interface Impatience {
  refusal: string;
  measured: string;
  limit: string;
  /** The next command. */
  next: string;
}

/**
 * What keeps a Sentinel from failing over in the time that is promised, or has it do so where nothing is wrong: what somebody said by
 * `SENTINEL SET`, which it keeps until its container is started again; or what the file of the stack says, which a restart does not change.
 * undefined where all is well, or it does not say. Pure.
 * @param others the other Sentinels that answer: where they say the same, it may be the file
 */
export function impatienceOf(
  { name, state }: { name: string; state: SentinelState },
  others: readonly { state: SentinelState }[],
): Impatience | undefined {
  const off = USUAL.flatMap(([setting, key, usual, variable]) => {
    const value = state[key];
    const shared = others.length > 0 && others.every((other) => other.state[key] === value);
    return value === undefined || (value >= usual / FACTOR && value <= usual * FACTOR)
      ? []
      : [{ setting, value, usual, variable, shared }];
  });
  if (off.length === 0) return undefined;
  const late = off.some(({ value, usual }) => value > usual);
  const file = off.filter(({ shared }) => shared).map(({ variable }) => variable);
  return {
    refusal: late
      ? `${name} would fail over late, or not at all`
      : `${name} would fail over where nothing is wrong, or give up too soon`,
    measured: off.map(({ setting, value }) => `its ${setting} is ${formatMs(value)}`).join(', '),
    limit: `${off
      .map(
        ({ usual, variable }) =>
          `${formatMs(usual / FACTOR)} to ${formatMs(usual * FACTOR)}; the image sets ${formatMs(usual)}, or what ${variable} of the compose file says`,
      )
      .join(', ')}${file.length === 0 ? '' : '; a restart takes back only what somebody said by SENTINEL SET'}`,
    next: file.length === 0 ? `docker restart ${name}` : `docker exec ${name} printenv ${file.join(' ')}`,
  };
}
