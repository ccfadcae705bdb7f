import type { ActivityOptions } from '@temporalio/workflow';

/** One stretch of watching; then a new one, so that a guard which nobody disturbs writes some thirty events an hour. */
export const STRETCH_MS = 10 * 60_000;
/** The longest wait after an attempt that did not end well. */
export const MAX_BACKOFF_MS = 10 * 60_000;

/** How a stretch of watching runs. */
export const watching = {
  startToCloseTimeout: STRETCH_MS + 120_000,
  // A dead worker's watch goes on at another one within this time.
  heartbeatTimeout: '2s',
  retry: { initialInterval: '50ms', backoffCoefficient: 1.5, maximumInterval: '2s' },
} as const satisfies ActivityOptions;

/** How long a stretch may last that is to end at the first of these times, in milliseconds. */
export function stretchMs(now: number, wakes: readonly (number | null | undefined)[]): number {
  return Math.max(200, Math.min(STRETCH_MS, ...wakes.filter((at) => at != null).map((at) => at - now)));
}
