import { closeSync, openSync } from 'node:fs';

/**
 * Ends this process, as a machine's death would, at a named point of a runbook: `VELOZ_HA_DIE_AT=hold:stop`. Points are
 * `before:<activity>`, `after:<activity>` and `hold:<sub-step>` (before it). `VELOZ_HA_DIE_ONCE` names a file that is created by
 * the first process that dies, so that of several workers only one does; drills and the tests of every point use it.
 */
export function faultPointFromEnvironment(environment: NodeJS.ProcessEnv): ((point: string) => void) | undefined {
  const at = environment.VELOZ_HA_DIE_AT;
  if (at === undefined || at === '') return undefined;
  const once = environment.VELOZ_HA_DIE_ONCE;
  return (point) => {
    if (point !== at) return;
    if (once !== undefined && once !== '') {
      try {
        closeSync(openSync(once, 'wx'));
      } catch {
        return;
      }
    }
    process.kill(process.pid, 'SIGKILL');
  };
}
