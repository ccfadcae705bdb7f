import type { WorkflowHandle } from '@temporalio/client';
import { guardWorkflowId } from '../../workflows/guard-messages';
import { Guarded, isCalm } from '../guarded';
import { docker } from '../shell';
import type { Recorder } from './recorder';

const CLUSTER = 'veloz';
const LIMIT_MS = 120_000;

/**
 * A guard through its life, the failovers that it starts, and rejoins. Kills the primary twice, so that it ends where it began; the
 * second time a person says no, and yes when asked again.
 */
export async function recordGuard(recorder: Recorder): Promise<void> {
  const guarded = await Guarded.start(recorder.client, recorder.taskQueue, CLUSTER);
  const guard = recorder.client.workflow.getHandle(guardWorkflowId(CLUSTER));
  const failover = async (): Promise<WorkflowHandle> => {
    const { acting } = await guarded.until('a failover', (state) => state.acting?.what === 'failover', LIMIT_MS);
    return recorder.client.workflow.getHandle(acting?.workflowId ?? '');
  };

  const first = await guarded.calm();
  await recorder.run('failover', 'failover-refused', { approval: 'given' });
  await docker('kill', first);
  await recorder.save('failover-by-guard', await failover());
  const second = await guarded.calm();

  await guard.executeUpdate('maintenance', { args: [{ on: true, for: '1s', by: 'recorder' }] });
  await guarded.until('the end of maintenance mode', (state) => state.maintenance === undefined, LIMIT_MS);
  await guard.executeUpdate('setMode', { args: [{ mode: 'approve', by: 'recorder' }] });
  await docker('kill', second);
  const rejected = await failover();
  await recorder.asks(rejected);
  await recorder.decide(rejected, 'reject');
  await recorder.save('failover-rejected', rejected);
  await guarded.until('the rejection', (state) => state.acting === undefined, LIMIT_MS);
  const approved = await failover();
  await recorder.asks(approved);
  await recorder.decide(approved, 'approve');
  await recorder.save('failover-approved', approved);
  await guarded.until('the cluster being protected', isCalm, LIMIT_MS);

  await recorder.run('rejoin', 'rejoin-nothing-to-do', { node: second, approval: 'given', soak: '0s' });
  await recorder.run('rejoin', 'rejoin-refused', { node: first });
  await recorder.run('rejoin', 'rejoin-copied', { node: second, method: 'copy', approval: 'given', soak: '0s' });
  await guarded.calm();
  await guard.executeUpdate('stop', { args: [{ by: 'recorder' }] });
  await recorder.save('guard', guard);
}
