import { CancellationScope, setWorkflowOptions } from '@temporalio/workflow';
import { conductRedisRun } from './redis-conduct';
import { parseRedisFailoverInput, type RedisFailoverInput } from './redis-input';
import { requestOf } from './runbook/begin';
import { Run } from './runbook/run';
import type { Report } from './run-state';

/**
 * Moves the Redis master to a replica: planned where it answers, so that no acknowledged write is lost; forced where it does not; and
 * where an earlier failover left something, mends that and moves nothing. Started with nothing (an empty form of the Web UI) it plans
 * for the default cluster and waits for approval.
 *
 * Ends with a {@link Report} as its result, or fails with the report in the failure's details and the outcome as its type.
 */
export async function redisFailover(input: RedisFailoverInput = {}): Promise<Report> {
  const request = requestOf(parseRedisFailoverInput(input), 'veloz-ha redis failover');
  const run = new Run('redis-failover', request, 'redis');
  // Cancellation is an abort: asked for between steps, never in the middle of one.
  return CancellationScope.nonCancellable(() => conductRedisRun(run, request));
}
setWorkflowOptions({ failureExceptionTypes: [Error] }, redisFailover);
