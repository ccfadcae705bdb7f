import type { LoadResult } from './order-load';
import { spread } from './summary';

/** One fault or move of the active engine under load. Times are milliseconds; null: it did not come to that. */
export interface EngineBenchRun extends LoadResult {
  kind: 'planned' | 'kill' | 'freeze' | 'postgres';
  source: string;
  target: string;
  /** `planned`: for how long new requests waited at HAProxy; `postgres`: at PgBouncer. */
  heldMs: number | null;
  /** From the fault until the other engine was active. */
  activeAfterMs: number | null;
  /** `freeze`: orders that the woken engine wrote in its old epoch. */
  staleWrites: number | null;
  /** `planned`: milliseconds of each step, and of each sub-step as `<step>.<sub-step>`. */
  steps: Record<string, number>;
}

/** Sums runs of one kind up. */
export function summariseEngines(runs: readonly EngineBenchRun[]) {
  const sum = (of: (run: EngineBenchRun) => number) => runs.reduce((total, run) => total + of(run), 0);
  const over = (of: (run: EngineBenchRun) => number | null) =>
    spread(runs.map(of).filter((value) => value !== null)) ?? null;
  return {
    runs: runs.length,
    attempts: sum((run) => run.attempts),
    acknowledged: sum((run) => run.acknowledged),
    failed: sum((run) => run.failed),
    lost: sum((run) => run.lost),
    duplicates: sum((run) => run.duplicates),
    staleWrites: sum((run) => run.staleWrites ?? 0),
    gapMs: over((run) => run.gapMs),
    slowestMs: over((run) => run.slowestMs),
    heldMs: over((run) => run.heldMs),
    activeAfterMs: over((run) => run.activeAfterMs),
  };
}
