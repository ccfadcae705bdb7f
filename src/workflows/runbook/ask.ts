import { problemSentence, type Check } from '../../cluster/check';
import { durationMs, formatMs } from '../../cluster/duration';
import type { Report } from '../run-state';
import type { Run } from './run';

/** What a person is asked, and what the run says when it ends without an approval. */
export interface Question {
  /** What would be done, as a question: "Move the primary from a to b?". */
  asks: string;
  /** How long the request wants to wait, as a duration; undefined for what the topology says. */
  approvalTimeout: string | undefined;
  /** What the topology says, in milliseconds. */
  usualMs: number;
  /** The command that starts this runbook again. */
  again: string;
  /** What else the report of a run that ends here tells. */
  rest?: Partial<Report>;
}

/**
 * Waits until a person approves.
 * @returns the report of a run that ends because nobody did (thrown by `run.end` where the outcome is a failure), or undefined
 */
export async function approvedOrEnd(run: Run, question: Question): Promise<Report | undefined> {
  const { asks, approvalTimeout, usualMs, again, rest = {} } = question;
  const timeoutMs = approvalTimeout === undefined ? usualMs : durationMs(approvalTimeout);
  const answer = await run.approval(timeoutMs, `${asks} Waiting for approval`);
  const { by, why } = run.state.approval;
  switch (answer) {
    case 'approved':
      return undefined;
    case 'rejected':
      return run.end(
        'rejected',
        `Rejected by ${by ?? ''}${why === undefined ? '' : `: ${why}`}. Nothing was changed`,
        rest,
      );
    case 'expired':
      return run.end(
        'not approved in time',
        `Nobody approved within ${formatMs(timeoutMs)}. Nothing was changed. Next: ${again}`,
        { ...rest, next: [{ command: again, why: 'plans it anew' }] },
      );
    case 'aborted':
      return run.end('aborted', `${run.abortRequested() ?? 'aborted'}, before anything was changed`, rest);
  }
}

/** Puts the checks that warn into the report. */
export function warnOf(run: Run, checks: readonly Check[]): void {
  for (const check of checks)
    if (check.result === 'warn')
      run.warn(`${problemSentence(check)}.${check.next === undefined ? '' : ` Next: ${check.next}`}`);
}
