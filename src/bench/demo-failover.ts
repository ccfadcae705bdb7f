import { setTimeout as sleep } from 'node:timers/promises';
import { connectTemporal } from '../systems/temporal';
import { TASK_QUEUE } from '../workflows/messages';
import { begin, bringUp, clientsSaw, must, startClients, typed, veloz, yours } from './demo-parts';
import { failoversSince, Guarded } from './guarded';
import { docker } from './shell';
import { loadTarget } from './target';

/** The guard's own words are shown for this long before the fault, and after it has acted. */
const SHOW_BEFORE_MS = 2500;
const SHOW_AFTER_MS = 1500;
/** Transactions in flight at the kill fail, and so may an attempt to connect anew. */
const FAILED_PER_CLIENT = 3;

/** The primary's container is killed under load; the guard does the rest. Leaves everything running. */
export async function demoFailover(): Promise<number> {
  const began = Date.now();
  await bringUp();
  await must('guard', 'start');
  const temporal = await connectTemporal();
  try {
    const guarded = await Guarded.start(temporal.client, TASK_QUEUE, loadTarget().name);
    const primary = await guarded.calm();
    const writers = await startClients({ attemptLimitMs: 5000 });

    process.stdout.write(`\nNow the primary's container dies. This is all that happens to it:\n`);
    typed(`docker kill ${primary}`);
    const watching = begin('guard', 'watch');
    await sleep(SHOW_BEFORE_MS);
    const killedAt = Date.now();
    await docker('kill', primary);
    const started = (state: Parameters<typeof failoversSince>[0]) => failoversSince(state, killedAt).length > 0;
    const state = await guarded.until('the guard failing over', started, 30_000).finally(async () => {
      await sleep(SHOW_AFTER_MS);
      watching.child.kill('SIGINT');
      await watching.ended;
    });
    const [run = ''] = failoversSince(state, killedAt);
    const code = await veloz('watch', run);
    const seen = await writers.endWindow();
    await writers.stop();
    const primaryNow = (await guarded.state()).ledger.primary ?? primary;

    const { good, lines } = clientsSaw(seen, code === 0, FAILED_PER_CLIENT);
    process.stdout.write(
      [
        ...lines,
        ...yours(began, [
          [`bin/veloz-ha show ${run}`, 'this report again, with the evidence and every step'],
          ['bin/veloz-ha guard status', 'what the guard sees, and what it will do next'],
          [`docker pause ${primaryNow}`, 'another one: the new primary hangs'],
          ['bin/veloz-ha postgres switchover', 'move the primary back, with a plan and a question first'],
          ['bin/veloz-ha guard stop', 'nothing fails over by itself any more'],
          ['bin/veloz-ha stack down', 'take it down again; also: worker stop, temporal stop'],
        ]),
      ].join('\n'),
    );
    return code !== 0 ? code : good ? 0 : 1;
  } finally {
    await temporal.connection.close();
  }
}
