import { bringUp, clientsSaw, startClients, veloz, yours } from './demo-parts';

/** A planned switchover under load, with what its clients lived through. Leaves everything running. */
export async function demoSwitchover(): Promise<number> {
  const began = Date.now();
  await bringUp();
  const writers = await startClients();
  const code = await veloz('postgres', 'switchover', '--yes', '--reason', 'demo');
  const seen = await writers.endWindow();
  await writers.stop();

  const { good, lines } = clientsSaw(seen, code === 0, 0);
  process.stdout.write(
    [
      ...lines,
      ...yours(began, [
        ['bin/veloz-ha status', 'the whole picture'],
        ['bin/veloz-ha postgres switchover', 'move the primary back, with a plan and a question first'],
        ['npm run demo -- failover', 'kill the primary, and see what the guard does'],
        ['http://localhost:8233', 'Temporal: Start Workflow, queue veloz-ha, type switchover, no input'],
        ['bin/veloz-ha stack down', 'take it down again; also: worker stop, temporal stop'],
      ]),
    ].join('\n'),
  );
  return code !== 0 ? code : good ? 0 : 1;
}
