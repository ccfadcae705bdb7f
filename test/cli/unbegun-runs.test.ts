import { readFileSync } from 'node:fs';
import { Client, Connection } from '@temporalio/client';
import { listRuns } from '../../src/cli/runs-list';
import { runbooks, schedulesOfRunbooks } from '../../src/cli/unbegun-runs';
import type { TemporalClient } from '../../src/systems/temporal';
import { TASK_QUEUE } from '../../src/workflows/messages';
import { WorkflowServer } from '../workflows/support/server';

test('every workflow that is a runbook is known as one', () => {
  const index = readFileSync(require.resolve('../../src/workflows/index.ts'), 'utf8');
  const exported = [...index.matchAll(/export \{ ([^}]+) \}/g)].flatMap(([, names = '']) => names.split(', '));
  expect(exported.filter((name) => !['clusterLock', 'handoverProbe'].includes(name)).sort()).toEqual(
    [...runbooks].sort(),
  );
});

describe('before any worker has begun them', () => {
  let server: WorkflowServer;
  let temporal: TemporalClient;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('../../src/workflows'));
    const connection = await Connection.connect({ address: server.address });
    const namespace = 'default';
    temporal = { connection, namespace, address: server.address, client: new Client({ connection, namespace }) };
  });
  afterAll(async () => {
    await temporal.connection.close();
    await server.close();
  });

  test('open runs are listed with the cluster of their input', async () => {
    const { workflow } = temporal.client;
    const start = (workflowId: string, type: string, args: unknown[]) =>
      workflow.start(type, { taskQueue: TASK_QUEUE, workflowId, args });
    await start('x1', 'switchover', [{ approval: 'given' }]);
    await start('x2', 'repair', [{ cluster: 'other' }]);
    await start('x3', 'redisFailover', []);
    await start('lock', 'clusterLock', []);
    await workflow.start('switchover', { taskQueue: 'not ours', workflowId: 'x4', args: [] });
    const list = async () => {
      const rows = await listRuns(temporal, { limit: 100, openOnly: true, guards: true });
      return rows.map(({ workflowId, runbook, cluster, phase }) => [workflowId, runbook, cluster, phase]).sort();
    };
    const all = [
      ['x1', 'switchover', '', 'not begun'],
      ['x2', 'repair', 'other', 'not begun'],
      ['x3', 'redisFailover', '', 'not begun'],
    ];
    // What was started is found a moment later.
    for (let tries = 0; tries < 100 && (await list()).length < all.length; tries++)
      await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await list()).toEqual(all);
    expect(await listRuns(temporal, { limit: 100, openOnly: true })).toEqual([]);
  });

  test('schedules that start a runbook are named, unless they are paused', async () => {
    const { schedule } = temporal.client;
    const create = (scheduleId: string, workflowType: string, paused = false) =>
      schedule.create({
        scheduleId,
        spec: { intervals: [{ every: '30 days' }] },
        action: { type: 'startWorkflow', workflowType, taskQueue: TASK_QUEUE },
        state: { paused },
      });
    await create('drill', 'switchover');
    await create('rest', 'repair', true);
    await create('another', 'report');
    let found: Awaited<ReturnType<typeof schedulesOfRunbooks>> = [];
    for (let tries = 0; tries < 100 && found.length === 0; tries++) {
      found = await schedulesOfRunbooks(temporal);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(found).toEqual([{ id: 'drill', starts: 'switchover' }]);
  });
});
