import type { Recorder } from './recorder';

const given = { approval: 'given', soak: '0s', startedBy: 'recorder' } as const;

/** Runs of the engines, one of each way that they can go on a healthy stack; the engines are as before afterwards. */
export async function recordEngines(recorder: Recorder): Promise<void> {
  await recorder.run('engineSwitchover', 'engine-planned', { mode: 'plan' });
  const approved = await recorder.start('engineSwitchover', 'engine-completed', { soak: '0s' });
  await recorder.asks(approved);
  await recorder.decide(approved, 'approve');
  await recorder.save('engine-completed', approved);
  const rejected = await recorder.start('engineSwitchover', 'engine-rejected');
  await recorder.asks(rejected);
  await recorder.decide(rejected, 'reject');
  await recorder.save('engine-rejected', rejected);
  await recorder.run('engineSwitchover', 'engine-refused', { ...given, target: 'nobody' });
  const { primaryBefore: node } = (await approved.result()) as { primaryBefore: string };
  await recorder.run('engineDrain', 'engine-drained', { ...given, node });
  await recorder.run('engineReady', 'engine-readied', { ...given, node });
  await recorder.run('engineSwitchover', 'engine-back', { ...given, target: node });
}
