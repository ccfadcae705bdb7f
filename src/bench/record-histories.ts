import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import { packageRoot } from '../cli/paths';
import { statusQuery, type Decision } from '../workflows/messages';
import type { SwitchoverInput } from '../workflows/switchover-input';
import { Stand } from './stand';

/**
 * Records one real history of each way that a switchover can end, for the replay test: run it when the workflow changed on
 * purpose, and no run of the old code is open any more. Needs the stack; moves its primary once.
 */
async function record(): Promise<void> {
  const folder = join(packageRoot, 'test', 'histories');
  mkdirSync(folder, { recursive: true });
  const stand = await Stand.start(`veloz-ha-record-${process.pid}`);
  try {
    await stand.startWorker();
    const connection = await Connection.connect({ address: stand.address });
    const client = new Client({ connection });
    const start = (name: string, input?: SwitchoverInput | { nonsense: true }) =>
      client.workflow.start('switchover', {
        taskQueue: stand.taskQueue,
        workflowId: `recorded/${name}`,
        args: input === undefined ? [] : [input],
      });
    const save = async (name: string, handle: WorkflowHandle) => {
      await handle.result().catch(() => undefined);
      const history = await handle.fetchHistory();
      writeFileSync(join(folder, `${name}.json`), `${historyToJSON(history).replaceAll(`${packageRoot}/`, './')}\n`);
      process.stderr.write(`recorded ${name}: ${history.events?.length} events\n`);
    };
    const waiting = async (handle: WorkflowHandle) => {
      while ((await handle.query(statusQuery)).phase !== 'awaiting approval') await sleep(50);
    };

    const rejected = await start('rejected');
    await waiting(rejected);
    const busy = await start('busy', { approval: 'given' });
    await save('busy', busy);
    await rejected.executeUpdate<string, [Decision]>('reject', { args: [{ by: 'recorder' }] });
    await save('rejected', rejected);
    await save('planned', await start('planned', { mode: 'plan' }));
    await save('bad-input', await start('bad-input', { nonsense: true }));
    await save('refused', await start('refused', { expectedPrimary: 'nobody' }));
    await save('not-approved-in-time', await start('not-approved-in-time', { approvalTimeout: '100ms' }));
    const completed = await start('completed', { soak: '0s' });
    await waiting(completed);
    await completed.executeUpdate<string, [Decision]>('approve', {
      args: [{ by: 'recorder', why: 'for the replay test' }],
    });
    await save('completed', completed);
    await connection.close();
  } finally {
    await stand.close();
  }
}

record().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
