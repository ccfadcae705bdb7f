import type { Client } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { MockActivityEnvironment } from '@temporalio/testing';

const { WORKFLOW_EXECUTION_STATUS_RUNNING } = temporal.api.enums.v1.WorkflowExecutionStatus;

/** An attempt of an activity on a server that says which attempt goes on, each time that it is asked. */
export class Attempt {
  /** How often the server was asked. */
  asked = 0;

  /** @param current the attempt that goes on by the server's word */
  constructor(
    readonly number: number,
    readonly current: () => number,
  ) {}

  run<Result>(body: () => Promise<Result>): Promise<Result> {
    const client = {
      // The environment takes a client that it can have follow its cancellation.
      withAbortSignal: (_signal: AbortSignal, inside: () => unknown) => inside(),
      options: { namespace: 'default' },
      workflowService: {
        describeWorkflowExecution: () => {
          this.asked += 1;
          return Promise.resolve({
            workflowExecutionInfo: { status: WORKFLOW_EXECUTION_STATUS_RUNNING },
            pendingActivities: [{ activityId: '7', attempt: this.current() }],
          });
        },
      },
    } as unknown as Client;
    const info = { activityId: '7', attempt: this.number, workflowExecution: { workflowId: 'w', runId: 'r' } };
    return new MockActivityEnvironment(info, { client }).run<[], Result, () => Promise<Result>>(body);
  }
}

/** An attempt whose worker stood still for so long that another one goes on. */
export const overtaken = (): Attempt => new Attempt(1, () => 2);

/** Stands still as a frozen worker does: nothing of this process goes on meanwhile. */
export function standStill(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
