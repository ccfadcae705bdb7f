/**
 * Every way in which a run or a command can end badly, in one closed list. The type is what Temporal shows as the
 * failure's type and what the CLI turns into its exit code.
 */
export type FailureType =
  /** A check measured something outside its limit, or the request contradicts what is. Nothing was changed. Not retryable. */
  | 'Refused'
  /** Another run holds the cluster's lock. Nothing was changed. Not retryable. */
  | 'Busy'
  /** The input is wrong: unknown keys, impossible values, unknown cluster. Nothing was changed. Not retryable. */
  | 'BadInput'
  /** The run failed before the point of no return and everything it had changed was put back. */
  | 'RolledBack'
  /** A person aborted the run before the point of no return; everything it had changed was put back. */
  | 'Aborted'
  /** A person rejected the run. Nothing was changed. */
  | 'Rejected'
  /** Nobody approved the run in time. Nothing was changed. */
  | 'NotApproved'
  /** The run passed the point of no return and could not finish; the message says what to run. */
  | 'Incomplete'
  /** The run failed and could not put everything back; the message says what to run. */
  | 'Failed'
  /** Temporal, or every worker of the queue, is out of reach. */
  | 'Unreachable'
  /** The cluster is not as it should be (exit code of `status`). */
  | 'Unhealthy'
  /** A set-up command (docker, compose, temporal) failed. */
  | 'SetUp';

/** Exit codes of the CLI, as documented in docs/cli.md. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  busy: 4,
  incomplete: 5,
  aborted: 6,
  unreachable: 7,
  unhealthy: 8,
  interrupted: 130,
} as const;

/** The exit code of a failure. */
export function exitCodeOf(type: FailureType): number {
  switch (type) {
    case 'BadInput':
      return exitCodes.usage;
    case 'Refused':
      return exitCodes.refused;
    case 'Busy':
      return exitCodes.busy;
    case 'Incomplete':
      return exitCodes.incomplete;
    case 'Aborted':
    case 'Rejected':
    case 'NotApproved':
      return exitCodes.aborted;
    case 'Unreachable':
      return exitCodes.unreachable;
    case 'Unhealthy':
      return exitCodes.unhealthy;
    case 'RolledBack':
    case 'Failed':
    case 'SetUp':
      return exitCodes.failed;
  }
}
