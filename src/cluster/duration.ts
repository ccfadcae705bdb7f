/** A length of time as people write it: `'5s'`, `'200ms'`, `'15m'`. Inside the program lengths are numbers named `…Ms`. */
export type Duration = string;

/** Milliseconds of each unit. */
const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Milliseconds of a duration such as `'1.5s'`.
 * @throws RangeError when the text is no duration, is negative, or is longer than a week
 */
export function durationMs(text: Duration): number {
  const [, number, unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*$/.exec(text) ?? [];
  const value = Number(number) * (units[unit] ?? NaN);
  if (!Number.isFinite(value) || value > 7 * 86_400_000) {
    throw new RangeError(
      `"${text}" is not a duration: expected a number and a unit (ms, s, m, h, d), such as 500ms or 5s`,
    );
  }
  return Math.round(value);
}

/** The agents arm nothing for longer than this, in milliseconds, so that nothing can be held for ever. */
export const LONGEST_HOLD_MS = 600_000;

/**
 * Milliseconds of a duration that an agent will be asked to keep: how long to hold, to wait for PAUSE, to wait for a stop.
 * @throws RangeError when the text is no duration, or not from 1 ms to 10 minutes
 */
export function holdMs(text: Duration): number {
  const value = durationMs(text);
  if (value < 1 || value > LONGEST_HOLD_MS) throw new RangeError(`"${text}" is out of range: expected 1ms to 10m`);
  return value;
}

/** Milliseconds in the shortest form that keeps what matters: `87 ms`, `2.3 s`, `4 min 05 s`. */
export function formatMs(value: number): string {
  // The limits are where rounding would carry: 999.6 ms are 1.00 s.
  if (value < 999.5) return `${Math.round(value)} ms`;
  if (value < 59_950) return `${(value / 1000).toFixed(value < 9_995 ? 2 : 1)} s`;
  const seconds = Math.round(value / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}
