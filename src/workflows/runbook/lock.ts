import { CancellationScope, ParentClosePolicy, startChild } from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { LockName } from '../../cluster/locks';
import { clusterLock } from '../cluster-lock';
import { lockWorkflowId } from '../messages';
import type { RunState } from '../run-state';

/** One lock of a cluster, as a run holds it: until it lets go, or ends in whatever way. */
export class Lock {
  private holding: CancellationScope | undefined;
  /** The end of the child that this run has let go of: the server has one of an id at a time, and that may still be this one. */
  private ending: Promise<unknown> | undefined;

  constructor(
    private readonly state: RunState,
    private readonly name: LockName,
    /** Called when it was ended by somebody else while this run held it, such as in the Web UI. */
    private readonly onLost: () => void = () => undefined,
  ) {}

  /** This run holds it. */
  get held(): boolean {
    return this.holding !== undefined;
  }

  /** @returns false when another run holds it */
  async take(): Promise<boolean> {
    const { cluster, runbook, workflowId, runId } = this.state;
    if (this.ending !== undefined) await this.ending;
    this.ending = undefined;
    // Of its own, so that it can be let go of before the end, in a run that people can't cancel.
    const holding = new CancellationScope();
    try {
      const child = await holding.run(() =>
        startChild(clusterLock, {
          workflowId: lockWorkflowId(cluster, this.name),
          parentClosePolicy: ParentClosePolicy.TERMINATE,
          staticSummary: `Lock ${this.name} of cluster ${cluster}: held by ${workflowId}`,
          args: [{ cluster, runbook, holder: workflowId, holderRunId: runId }],
        }),
      );
      this.holding = holding;
      this.ending = child
        .result()
        .catch(() => undefined)
        .then(() => {
          if (this.holding === holding) this.onLost();
        });
      return true;
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
      throw error;
    }
  }

  /** Lets go of it, if it is held. Resolves when it is free. */
  async release(): Promise<void> {
    this.holding?.cancel();
    this.holding = undefined;
    await this.ending;
  }
}
