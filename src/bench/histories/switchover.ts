import type { Recorder } from './recorder';

/** One of each way in which a switchover can end without a fault. Moves the primary once. */
export async function recordSwitchovers(recorder: Recorder): Promise<void> {
  const rejected = await recorder.start('switchover', 'rejected');
  await recorder.asks(rejected);
  await recorder.run('switchover', 'busy', { approval: 'given' });
  await recorder.decide(rejected, 'reject');
  await recorder.save('rejected', rejected);
  await recorder.run('switchover', 'planned', { mode: 'plan' });
  await recorder.run('switchover', 'bad-input', { nonsense: true });
  await recorder.run('switchover', 'refused', { expectedPrimary: 'nobody' });
  await recorder.run('switchover', 'not-approved-in-time', { approvalTimeout: '100ms' });
  const completed = await recorder.start('switchover', 'completed', { soak: '0s' });
  await recorder.asks(completed);
  await recorder.decide(completed, 'approve');
  await recorder.save('completed', completed);
}
