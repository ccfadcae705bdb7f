import { ApplicationFailure, CancelledFailure, TerminatedFailure, WorkflowFailedError } from '@temporalio/client';
import { RetryState } from '@temporalio/common';
import { endOfFailure, endOfResult } from '../../src/cli/run-end';
import { completed, refused } from '../report/made-up';

const failed = (cause: Error) => new WorkflowFailedError('failed', cause, RetryState.NON_RETRYABLE_FAILURE);

test('a run that completed leaves its report as its result', () => {
  expect(endOfResult(completed)).toEqual({ kind: 'report', report: completed, exitCode: 0 });
});

test.each([
  ['Refused', 3],
  ['Busy', 4],
  ['Incomplete', 5],
  ['Aborted', 6],
  ['Rejected', 6],
  ['NotApproved', 6],
  ['RolledBack', 1],
  ['Failed', 1],
  ['BadInput', 2],
])('a run that failed carries its report in the failure; its type decides the exit code: %s → %d', (type, exitCode) => {
  const cause = ApplicationFailure.create({ type, message: 'x', nonRetryable: true, details: [refused] });
  expect(endOfFailure(failed(cause))).toEqual({ kind: 'report', report: refused, exitCode });
});

test('an unknown type falls back to the report’s own outcome', () => {
  const cause = ApplicationFailure.create({ type: 'TypeError', message: 'x', details: [refused] });
  expect(endOfFailure(failed(cause))).toMatchObject({ exitCode: 3 });
});

test('without a report the cause is told', () => {
  expect(endOfFailure(failed(ApplicationFailure.create({ type: 'BadInput', message: 'unknown key' })))).toEqual({
    kind: 'no report',
    type: 'BadInput',
    says: 'unknown key',
  });
  expect(endOfFailure(failed(new TerminatedFailure('by hand')))).toMatchObject({ type: 'Incomplete' });
  expect(endOfFailure(failed(new CancelledFailure('x')))).toMatchObject({ type: 'Aborted' });
  expect(endOfResult({ hello: 1 })).toMatchObject({ kind: 'no report', type: 'Failed' });
});

test('an error that does not say that the run has ended is no end', () => {
  expect(() => endOfFailure(new Error('connection lost'))).toThrow('connection lost');
});
