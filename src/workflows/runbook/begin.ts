import { ActivityFailure, ApplicationFailure, sleep } from '@temporalio/workflow';
import type { ClusterDescription } from '../../activities';
import { watchRun } from '../../cluster/commands';
import type { Report } from '../run-state';
import { act, reading } from './activity-options';
import type { Run } from './run';

/**
 * The request, or the end of the run.
 * @param start the command that starts this runbook
 * @throws ApplicationFailure `BadInput`
 */
export function requestOf<Request>(parsed: { request: Request } | { mistake: string }, start: string): Request {
  if ('request' in parsed) return parsed.request;
  throw ApplicationFailure.nonRetryable(
    `${parsed.mistake}. Nothing was changed. Next: ${start} --help, or start it again with an empty form`,
    'BadInput',
  );
}

/** @throws ApplicationFailure `BadInput`, as the run's own failure and not as one of its activity */
export async function describeCluster(requested: string | undefined): Promise<ClusterDescription> {
  try {
    return await act(reading, 'Read the topology').describeCluster(requested);
  } catch (error) {
    const cause = error instanceof ActivityFailure ? error.cause : undefined;
    if (cause instanceof ApplicationFailure && cause.type === 'BadInput')
      throw ApplicationFailure.nonRetryable(cause.message, 'BadInput');
    throw error;
  }
}

/** How often a lock is tried again whose holder has ended. */
const ENDED_TRIES = 3;

/**
 * Takes the lock of the cluster.
 * @param start the command that starts this runbook again
 * @param tries how often it is tried, a second apart, before the run ends
 * @returns the report of a run that ends because another one holds it (thrown by `run.end`), or undefined
 */
export async function lockOrEnd(run: Run, start: string, tries = 1): Promise<Report | undefined> {
  const { cluster } = run.state;
  let holder: string | undefined;
  for (let left = tries, ended = ENDED_TRIES; ;) {
    if (await run.lock()) return undefined;
    if (--left > 0) {
      run.changed('Waiting for the lock of the cluster: another run holds it');
      await sleep('1s', { summary: 'Waiting for the lock of the cluster' });
      continue;
    }
    holder = await act(reading, 'Ask who holds the lock').lockHolder(cluster);
    // The run before this one has ended, and its lock ends a moment later.
    if (holder !== undefined || --ended < 0) break;
  }
  const next =
    holder === undefined
      ? { command: start, why: 'starts it again: whoever held the lock has ended' }
      : { command: watchRun(holder), why: 'follows the run that holds the lock' };
  return run.end(
    'busy',
    `E1: cluster ${cluster} is locked: ${holder === undefined ? 'a run that has ended this moment held it' : `run ${holder} holds it`} (limit: one run at a time). Nothing was changed. Next: ${next.command}`,
    { next: [next] },
  );
}
