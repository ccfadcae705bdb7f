import type { WorkflowHandle } from '@temporalio/client';
import { setTimeout as sleep } from 'node:timers/promises';
import { statusQuery } from '../../workflows/messages';
import type { Recorder } from './recorder';

const given = { approval: 'given', soak: '0s', startedBy: 'recorder' } as const;

/** Maintenances of side 1: planned, rejected, moved away and back, and twice held and finished, there and back. */
export async function recordMaintenance(recorder: Recorder): Promise<void> {
  await recorder.run('maintenance', 'maintenance-planned', { side: 1, mode: 'plan' });
  const rejected = await recorder.start('maintenance', 'maintenance-rejected', { side: 1 });
  await recorder.asks(rejected);
  await recorder.decide(rejected, 'reject');
  await recorder.save('maintenance-rejected', rejected);
  const moved = await recorder.start('maintenance', 'maintenance-completed', { ...given, side: 1 });
  await held(moved);
  await moved.executeUpdate('moveBack', { args: [{ by: 'recorder' }] });
  await recorder.save('maintenance-completed', moved);
  for (const [side, name] of [
    [1, 'maintenance-finished'],
    [2, 'maintenance-finished-back'],
  ] as const) {
    const finished = await recorder.start('maintenance', name, { ...given, side });
    await held(finished);
    await finished.executeUpdate('finish', { args: [{ by: 'recorder' }] });
    await recorder.save(name, finished);
  }
}

async function held(run: WorkflowHandle): Promise<void> {
  for (;;) {
    const { phase, says } = await run.query(statusQuery);
    if (phase === 'held') return;
    if (phase === 'ended') throw new Error(`the maintenance ended before it was held: ${says}`);
    await sleep(50);
  }
}
