import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ActivityFailure,
  ApplicationFailure,
  ParentClosePolicy,
  proxyActivities,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import type { Tier } from '../../../src/cluster/maintenance/sides';
import { clusterLock } from '../../../src/workflows';
import { lockWorkflowId } from '../../../src/workflows/messages';

export { clusterLock, maintenance } from '../../../src/workflows';

/** Stands for what the runbook of a tier does: an activity of the test. */
export interface StandIns {
  conduct(workflow: string, workflowId: string, input: unknown): Promise<unknown>;
}

const { conduct } = proxyActivities<StandIns>({ startToCloseTimeout: '30s', retry: { maximumAttempts: 1 } });

/** As a runbook does, it holds the lock of its tier while it changes something, and for a moment longer. */
async function runbook(
  workflow: string,
  tier: Tier,
  input: { cluster: string; mode: 'plan' | 'run' },
): Promise<unknown> {
  const { workflowId, runId } = workflowInfo();
  const { cluster, mode } = input;
  if (mode === 'run')
    try {
      await startChild(clusterLock, {
        workflowId: lockWorkflowId(cluster, tier),
        parentClosePolicy: ParentClosePolicy.TERMINATE,
        args: [{ cluster, runbook: workflow, holder: workflowId, holderRunId: runId }],
      });
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      throw ApplicationFailure.nonRetryable('the lock is held', 'Busy');
    }
  try {
    return await conduct(workflow, workflowId, input);
  } catch (error) {
    throw error instanceof ActivityFailure && error.cause !== undefined ? error.cause : error;
  }
}
type Input = Parameters<typeof runbook>[2];
export const switchover = (input: Input) => runbook('switchover', 'postgres', input);
export const redisFailover = (input: Input) => runbook('redisFailover', 'redis', input);
export const engineSwitchover = (input: Input) => runbook('engineSwitchover', 'engine', input);
