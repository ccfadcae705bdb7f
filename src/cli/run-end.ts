import {
  ApplicationFailure,
  CancelledFailure,
  TerminatedFailure,
  TimeoutFailure,
  WorkflowFailedError,
} from '@temporalio/client';
import { exitCodeOf, type FailureType } from '../failures';
import { exitCodeOfOutcome } from '../report/outcome';
import type { Report } from '../workflows/run-state';

/** How a run ended, as the server tells it. */
export type RunEnd =
  /** It left its report, whatever the outcome. */
  | { kind: 'report'; report: Report; exitCode: number }
  /** It was terminated, timed out, or broke in a way that left no report. */
  | { kind: 'no report'; type: FailureType; says: string };

const failureTypes: Readonly<Record<FailureType, true>> = {
  Refused: true,
  Busy: true,
  BadInput: true,
  RolledBack: true,
  Aborted: true,
  Rejected: true,
  NotApproved: true,
  Incomplete: true,
  Failed: true,
  Unreachable: true,
  Unhealthy: true,
  SetUp: true,
};

/** The end of a run that completed. */
export function endOfResult(result: unknown): RunEnd {
  if (isReport(result)) return { kind: 'report', report: result, exitCode: exitCodeOfOutcome(result.outcome) };
  return {
    kind: 'no report',
    type: 'Failed',
    says: 'it completed, but its result is no report: it is not a run of a runbook',
  };
}

/**
 * The end of a run that failed: its report travels as the first detail of its failure.
 * @throws the error itself when it does not say that the run has ended
 */
export function endOfFailure(error: unknown): RunEnd {
  if (!(error instanceof WorkflowFailedError)) throw error;
  let cause: unknown = error.cause;
  let first: ApplicationFailure | undefined;
  while (cause instanceof Error) {
    if (cause instanceof ApplicationFailure) {
      first ??= cause;
      const report = cause.details?.[0];
      if (isReport(report)) {
        return {
          kind: 'report',
          report,
          exitCode: isFailureType(cause.type) ? exitCodeOf(cause.type) : exitCodeOfOutcome(report.outcome),
        };
      }
    }
    cause = cause.cause;
  }
  if (first !== undefined)
    return { kind: 'no report', type: isFailureType(first.type) ? first.type : 'Failed', says: first.message };
  if (error.cause instanceof TerminatedFailure) {
    return {
      kind: 'no report',
      type: 'Incomplete',
      says: `it was terminated (${error.cause.message}): nothing was put back or cleaned up`,
    };
  }
  if (error.cause instanceof CancelledFailure) {
    return { kind: 'no report', type: 'Aborted', says: 'it was cancelled and left no report' };
  }
  if (error.cause instanceof TimeoutFailure) {
    return {
      kind: 'no report',
      type: 'Incomplete',
      says: 'it ran into its time limit: nothing was put back or cleaned up',
    };
  }
  return { kind: 'no report', type: 'Failed', says: error.cause?.message ?? error.message };
}

function isFailureType(type: string | null | undefined): type is FailureType {
  return type != null && Object.hasOwn(failureTypes, type);
}

function isReport(value: unknown): value is Report {
  return (
    typeof value === 'object' &&
    value !== null &&
    (value as Partial<Report>).version === 1 &&
    typeof (value as Partial<Report>).outcome === 'string' &&
    Array.isArray((value as Partial<Report>).steps)
  );
}
