import ms from 'ms';

/** A length of time as people write it: `'5s'`, `'200ms'`, `'15m'`. Inside the program lengths are numbers named `…Ms`. */
export type Duration = string;

/**
 * Milliseconds of a duration such as `'1.5s'`.
 * @throws RangeError when the text is no duration, is negative, or is longer than a week
 */
export function durationMs(text: Duration): number {
  const value = /^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$/.test(text) ? ms(text.replace(/\s+/g, '') as ms.StringValue) : NaN;
  if (!Number.isFinite(value) || value < 0 || value > 7 * 86_400_000) {
    throw new RangeError(
      `"${text}" is not a duration: expected a number and a unit (ms, s, m, h, d), such as 500ms or 5s`,
    );
  }
  return Math.round(value);
}

/** Milliseconds in the shortest form that keeps what matters: `87 ms`, `2.3 s`, `4 min 05 s`. */
export function formatMs(value: number): string {
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(value / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}
