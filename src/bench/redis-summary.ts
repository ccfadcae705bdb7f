import type { RedisWindow } from './redis-writers';
import { spread } from './summary';

/** One move or death of the master under load. Times are milliseconds; null: it did not come to that. */
export interface RedisBenchRun extends RedisWindow {
  kind: 'planned' | 'kill' | 'bare';
  /** The master before. */
  source: string;
  /** The master afterwards. */
  target: string;
  /** `planned`: for how long writes were held, as the run reports it. */
  heldMs: number | null;
  /** `kill` with a guard: from the kill until it started its failover. */
  detectMs: number | null;
  /** From the beginning until every node and every Sentinel was as it should be. */
  wholeAfterMs: number;
  /** By a run: milliseconds of each step, and of each sub-step as `<step>.<sub-step>`. */
  steps: Record<string, number>;
}

/**
 * Sums runs of one kind up. `lost` is what may not be lost: of planned moves every acknowledged write, of a killed master those
 * that a replica had confirmed (`WAIT 1`). Both are told apart as well: replication to a replica is asynchronous, so a master that
 * dies, or a bare `SENTINEL FAILOVER`, may take along what it alone had acknowledged.
 */
export function summariseRedis(runs: readonly RedisBenchRun[]) {
  const sum = (of: (run: RedisBenchRun) => number) => runs.reduce((total, run) => total + of(run), 0);
  const over = (of: (run: RedisBenchRun) => number | null) =>
    spread(runs.map(of).filter((value) => value !== null)) ?? null;
  const [lostWaited, lostUnwaited] = [sum((run) => run.lostWaited), sum((run) => run.lostUnwaited)];
  return {
    runs: runs.length,
    attempts: sum((run) => run.attempts),
    acknowledged: sum((run) => run.acknowledged),
    acknowledgedWaited: sum((run) => run.acknowledgedWaited),
    failed: sum((run) => run.failed),
    lost: runs.some(({ kind }) => kind === 'kill') ? lostWaited : lostWaited + lostUnwaited,
    lostWaited,
    lostUnwaited,
    duplicates: sum((run) => run.duplicatesWaited + run.duplicatesUnwaited),
    duplicatesWaited: sum((run) => run.duplicatesWaited),
    duplicatesUnwaited: sum((run) => run.duplicatesUnwaited),
    resent: sum((run) => run.resent),
    recreated: sum((run) => run.recreated),
    gapMs: over((run) => run.gapMs),
    gapWaitedMs: over((run) => run.gapWaitedMs),
    slowestMs: over((run) => run.slowestMs),
    heldMs: over((run) => run.heldMs),
    detectMs: over((run) => run.detectMs),
    wholeAfterMs: over((run) => run.wholeAfterMs),
  };
}
