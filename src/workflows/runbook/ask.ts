import { problemSentence, type Check } from '../../cluster/check';
import { durationMs, formatMs } from '../../cluster/duration';
import { tierName } from '../../cluster/maintenance/sides';
import type { Report } from '../run-state';
import { lockOrEnd, type LockWish } from './begin';
import type { Run } from './run';

/** What a person is asked, and what the run says when it ends without an approval. */
export interface Question {
  /** What would be done, as a question: "Move the primary from a to b?". */
  asks: string;
  /** How long the request wants to wait, as a duration; undefined for what the topology says. */
  approvalTimeout: string | undefined;
  /** What the topology says, in milliseconds. */
  usualMs: number;
  /** The command that starts this runbook again, for this cluster. */
  again: string;
  /** How the lock is taken again that the run let go of while it waited. */
  lock?: LockWish;
  /** What else the report of a run that ends here tells. */
  rest?: Partial<Report>;
}

/**
 * Waits until a person approves. The run lets go of its lock meanwhile, so that nobody waits for a person's answer, and takes it again
 * before it looks once more.
 * @returns the report of a run that ends because nobody did, or because another run holds the lock by then (thrown by `run.end` where the outcome is a failure), or undefined
 */
export async function approvedOrEnd(run: Run, question: Question): Promise<Report | undefined> {
  const { asks, approvalTimeout, usualMs, again, lock, rest = {} } = question;
  const timeoutMs = approvalTimeout === undefined ? usualMs : durationMs(approvalTimeout);
  const letGo = run.locksByTier && run.holdsLock;
  // Free before anybody is asked: an answer must not meet the end of the lock in one task.
  if (letGo) await run.unlock();
  const answer = await run.approval(timeoutMs, `${asks} Waiting for approval`);
  const { by, why } = run.state.approval;
  switch (answer) {
    case 'approved':
      if (!letGo) return undefined;
      run.enter('checking', `Approved; taking the lock of ${tierName[run.tier]} again`);
      return lockOrEnd(run, again, lock);
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
