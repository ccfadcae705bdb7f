import type { DuringRun } from './during';

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

/** One measured fault, and what the guard made of it. Times are lengths in milliseconds; null: it did not come to that. */
export interface FailoverBenchRun {
  kind: 'failover';
  fault: string;
  /** The node that the fault was injected into, which was the primary. */
  node: string;
  /** The primary afterwards: the same node where its PostgreSQL came back in place. */
  primaryAfter: string;
  /** Longest time between two acknowledged commits of all writers together. */
  gapMs: number;
  acknowledged: number;
  failed: number;
  failedPerClientMax: number;
  /** Acknowledged rows that are not there afterwards: of the writers, and of the direct writers. */
  lost: number;
  /** Acknowledgements of direct writers by a node whose successor had acknowledged already. */
  dualWriteMoments: number;
  /** Rows that direct writers had acknowledged. */
  directlyAcknowledged: number;
  /** From the fault until the first sign of it. */
  firstSignMs: number | null;
  /** From the first sign until it was certain. */
  detectMs: number | null;
  fenceMs: number | null;
  promoteMs: number | null;
  routeMs: number | null;
  /** From the fault until a synchronous standby confirmed on the new primary, and the ledger said so. */
  protectedAgainMs: number | null;
  /** From the fault until the failover's run, or the restart in place, had ended. */
  totalMs: number;
  /** How the guard named the failure; null without a failover. */
  failure: string | null;
  /** How the run ended; null without a failover. */
  outcome: string | null;
  /** How the old primary came back: `none`, `rewind`, `copy`; null without a failover. */
  rejoin: string | null;
  /** From the fault until the bench mended it, for a fault that only a person can mend. */
  healedAfterMs: number | null;
  /** The guard did not come to an end by itself, and the bench had to rejoin the node. */
  helped: boolean;
  /** Milliseconds of each step of the failover, and of each sub-step as `<step>.<sub-step>`; empty without a failover. */
  steps: Record<string, number>;
  failures?: string[];
  /** The runbook that was under way; absent where none was started. */
  during?: DuringRun;
}

/** Sums faults of one kind up. A time that no run has is null. `underWay` counts the faults that came into the middle of a runbook. */
export function summariseFailovers(runs: readonly FailoverBenchRun[]) {
  const sum = (of: (run: FailoverBenchRun) => number) => runs.reduce((total, run) => total + of(run), 0);
  const over = (of: (run: FailoverBenchRun) => number | null) =>
    spread(runs.map(of).filter((value) => value !== null)) ?? null;
  return {
    runs: runs.length,
    acknowledged: sum((run) => run.acknowledged),
    failed: sum((run) => run.failed),
    failedPerClientMax: Math.max(0, ...runs.map((run) => run.failedPerClientMax)),
    lost: sum((run) => run.lost),
    dualWriteMoments: sum((run) => run.dualWriteMoments),
    helped: sum((run) => Number(run.helped)),
    ...(runs.some(({ during }) => during !== undefined)
      ? { underWay: sum(({ during }) => Number(during?.underWay === true)) }
      : {}),
    gapMs: over((run) => run.gapMs),
    firstSignMs: over((run) => run.firstSignMs),
    detectMs: over((run) => run.detectMs),
    fenceMs: over((run) => run.fenceMs),
    promoteMs: over((run) => run.promoteMs),
    routeMs: over((run) => run.routeMs),
    protectedAgainMs: over((run) => run.protectedAgainMs),
    totalMs: over((run) => run.totalMs),
  };
}

/** One way in which a node came back, or one base backup alone. Times are lengths in milliseconds. */
export interface RejoinBenchRun {
  kind: 'rewind' | 'copy' | 'pg_basebackup';
  node: string;
  /** As `rejoin` reports it: until the node streamed, caught up. Of a base backup: the whole program. */
  ms: number;
  /** From the kill, or from the start of the run, until the ledger said protected. */
  protectedAgainMs: number | null;
  bytes: number | null;
  /** `rejoin`'s own word; a rewind that turned into a copy shows here. */
  method: string | null;
  /** Milliseconds of each step of the run. */
  steps: Record<string, number>;
}

/** Sums up: each kind by itself, and how much a copy costs beside a base backup alone. */
export function summariseRejoins(runs: readonly RejoinBenchRun[]) {
  const of = (kind: RejoinBenchRun['kind']) => {
    const these = runs.filter((run) => run.kind === kind);
    return {
      runs: these.length,
      ms: spread(these.map((run) => run.ms)) ?? null,
      protectedAgainMs: spread(these.flatMap((run) => run.protectedAgainMs ?? [])) ?? null,
    };
  };
  const [rewind, copy, pgBasebackup] = [of('rewind'), of('copy'), of('pg_basebackup')];
  const ratio =
    copy.ms === null || pgBasebackup.ms === null
      ? null
      : Math.round((copy.ms.median / pgBasebackup.ms.median) * 100) / 100;
  return { rewind, copy, pgBasebackup, ratio };
}
