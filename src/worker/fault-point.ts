import { closeSync, openSync } from 'node:fs';

/** What `VELOZ_HA_TEST_FAULTS` has to say for `VELOZ_HA_DIE_AT` to count: no worker that serves a cluster has it by mistake. */
export const TEST_FAULTS = 'yes-end-this-worker';

/**
 * Ends this process, as a machine's death would, at a named point of a runbook: `VELOZ_HA_DIE_AT=hold:stop`. Points are
 * `before:<activity>`, `after:<activity>` and `hold:<sub-step>` (before it). `VELOZ_HA_DIE_ONCE` names a file that is created by
 * the first process that dies, so that of several workers only one does; drills and the tests of every point use it.
 * With `VELOZ_HA_DIE_BY=SIGSTOP` it stands still there instead, until somebody has it go on (SIGCONT).
 * It does nothing without `VELOZ_HA_TEST_FAULTS=yes-end-this-worker` beside it.
 * @param warn told about a variable that does nothing
 */
export function faultPointFromEnvironment(
  environment: NodeJS.ProcessEnv,
  warn: (sentence: string) => void,
): ((point: string) => void) | undefined {
  const at = environment.VELOZ_HA_DIE_AT;
  if (at === undefined || at === '') return undefined;
  if (environment.VELOZ_HA_TEST_FAULTS !== TEST_FAULTS) {
    warn(
      `VELOZ_HA_DIE_AT=${at} is ignored: this worker ends itself at no point of a runbook without VELOZ_HA_TEST_FAULTS=${TEST_FAULTS}. Take the variable out of its environment`,
    );
    return undefined;
  }
  warn(`This worker ends itself at ${at} (VELOZ_HA_DIE_AT): it must not serve a cluster that somebody needs`);
  const once = environment.VELOZ_HA_DIE_ONCE;
  const signal = environment.VELOZ_HA_DIE_BY === 'SIGSTOP' ? 'SIGSTOP' : 'SIGKILL';
  return (point) => {
    if (point !== at) return;
    if (once !== undefined && once !== '') {
      try {
        closeSync(openSync(once, 'wx'));
      } catch {
        return;
      }
    }
    process.kill(process.pid, signal);
  };
}
