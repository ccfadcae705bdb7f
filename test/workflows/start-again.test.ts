import { WorkflowFailedError } from '@temporalio/client';
import { lockWorkflowId } from '../../src/workflows/messages';
import { faultOf } from '../docs/command-lines';
import { redisTopology } from '../cluster/redis/picture';
import { clusterTopology } from '../cluster/support/picture';
import { WorkflowServer } from './support/server';

let server: WorkflowServer;
beforeAll(async () => {
  server = await WorkflowServer.start(require.resolve('../../src/workflows'));
});
afterAll(() => server.close());

const CLUSTER = 'berlin';
const topology = { ...clusterTopology(), redis: redisTopology() };

/** Whoever held the lock has ended this moment: the run ends as busy, and says how it is started again. */
describe('the command that starts a run again', () => {
  test.each([
    ['switchover', 'postgres', {}, 'postgres switchover --cluster berlin'],
    ['rejoin', 'postgres', {}, 'postgres rejoin --cluster berlin'],
    ['rejoin', 'postgres', { node: 'a-node' }, 'postgres rejoin --cluster berlin a-node'],
    ['addStandby', 'postgres', {}, 'postgres add-standby --cluster berlin'],
    ['removeStandby', 'postgres', { node: 'a-node' }, 'postgres remove-standby --cluster berlin a-node'],
    ['repair', 'postgres', {}, 'repair --cluster berlin'],
    ['redisFailover', 'redis', {}, 'redis failover --cluster berlin'],
    ['engineSwitchover', 'engine', {}, 'engine switchover --cluster berlin'],
    ['engineDrain', 'engine', { node: 'an-engine' }, 'engine drain an-engine --cluster berlin'],
    ['engineReady', 'engine', { node: 'an-engine' }, 'engine ready an-engine --cluster berlin'],
  ] as const)('of %s names the cluster, and the node where it has one', async (workflow, lock, input, typed) => {
    const activities = {
      describeCluster: () => Promise.resolve({ name: CLUSTER, topology }),
      lockHolder: () => Promise.resolve(undefined),
    };
    await server.withWorker(activities, async (taskQueue) => {
      const held = await server.client.start('clusterLock', {
        taskQueue,
        workflowId: lockWorkflowId(CLUSTER, lock),
        args: [{}],
      });
      const ended = await server.client
        .execute(workflow, { taskQueue, workflowId: `${workflow}/${typed}`, args: [{ ...input, approval: 'given' }] })
        .then(
          () => 'it went on',
          (error: unknown) => (error instanceof WorkflowFailedError ? (error.cause?.message ?? '') : String(error)),
        );
      await held.terminate();
      const command = ended.split('. Next: ')[1] ?? ended;
      expect(command).toBe(`veloz-ha ${typed}`);
      expect(faultOf(command)).toBeUndefined();
    });
  });
});
