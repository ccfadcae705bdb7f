/** Median, least and greatest of a list of numbers. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** @returns undefined for an empty list */
export function spread(values: readonly number[]): Spread | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [min, max, upper, lower] = [sorted[0], sorted.at(-1), sorted[middle], sorted[Math.max(0, middle - 1)]];
  if (min === undefined || max === undefined || upper === undefined || lower === undefined) return undefined;
  const median = sorted.length % 2 === 1 ? upper : (lower + upper) / 2;
  return { median: Math.round(median), min: Math.round(min), max: Math.round(max) };
}

/** One measured switchover. */
export interface SwitchoverBenchRun {
  kind: 'workflow' | 'bare';
  gapMs: number;
  acknowledged: number;
  failed: number;
  lost: number;
  heldMs: number | null;
  /** Milliseconds from the start until a synchronous standby had confirmed again. */
  protectedAgainMs: number;
  totalMs: number;
  /** Milliseconds of each step, and of each sub-step of the hold as `move.<sub-step>`. */
  steps: Record<string, number>;
  failures?: string[];
}

/** Sums one kind of runs up. */
export function summarise(runs: readonly SwitchoverBenchRun[]) {
  const sum = (of: (run: SwitchoverBenchRun) => number) => runs.reduce((total, run) => total + of(run), 0);
  return {
    runs: runs.length,
    acknowledged: sum((run) => run.acknowledged),
    failed: sum((run) => run.failed),
    lost: sum((run) => run.lost),
    gapMs: spread(runs.map((run) => run.gapMs)),
    protectedAgainMs: spread(runs.map((run) => run.protectedAgainMs)),
    totalMs: spread(runs.map((run) => run.totalMs)),
  };
}
