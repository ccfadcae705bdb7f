import { randomUUID } from 'node:crypto';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { createActivities } from '../../src/activities';
import type { RedisRemedy } from '../../src/activities/redis/mend';
import type { Report } from '../../src/workflows/run-state';
import { FakeRedis } from '../activities/redis/fake-redis';
import { MASTER, REPLICA, SENTINELS } from '../cluster/redis/picture';
import { WorkflowServer } from './support/server';

/** The runbook of Redis on a real server, on a Redis that exists in memory. */
describe('a repair of Redis that does not come to its end', () => {
  let server: WorkflowServer;
  let world: FakeRedis;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('../../src/workflows'));
  });
  afterAll(() => server.close());
  beforeEach(async () => {
    world = await FakeRedis.start();
    // A second master, and a Sentinel that was killed: two steps.
    world.alsoMaster = REPLICA;
    world.says = ['db0:keys=1,expires=0,avg_ttl=0'];
    await world.kill(SENTINELS[2]);
  });
  afterEach(() => world.close());

  /** Runs to the end, and returns the report that the failure carries. */
  const failed = (mendRedis: (remedy: RedisRemedy, workflowId: string) => Promise<string>): Promise<Report> => {
    const workflowId = `redis-failover/${randomUUID()}`;
    const activities = {
      ...createActivities(world.deps()),
      mendRedis: (remedy: RedisRemedy) => mendRedis(remedy, workflowId),
    };
    return server.withWorker(activities, async (taskQueue) => {
      const input = { approval: 'given', soak: '0s', startedBy: 'ada', only: 'repair' };
      const handle = await server.client.start('redisFailover', { taskQueue, workflowId, args: [input] });
      const error = await handle.result().then(
        () => undefined,
        (cause: unknown) => cause,
      );
      const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
      if (!(cause instanceof ApplicationFailure))
        throw new Error(`the run did not fail with a report: ${String(error)}`);
      return (cause.details?.[0] ?? {}) as Report;
    });
  };

  const stays = `What was mended before stays: "Make ${REPLICA} a replica of ${MASTER}; what only it had is gone then" (it follows)`;

  test('says what it has mended where it is aborted: nothing puts that back', async () => {
    const mended: string[] = [];
    const report = await failed(async ({ fault }, workflowId) => {
      mended.push(fault.kind);
      await server.client.getHandle(workflowId).executeUpdate('abort', { args: [{ by: 'bob' }] });
      return 'it follows';
    });
    expect(mended).toEqual(['second master']);
    expect(report).toMatchObject({ outcome: 'aborted', says: `aborted by bob. ${stays}` });
  });

  test('and where a later step fails, or the first one does', async () => {
    const report = await failed(({ fault }) =>
      fault.kind === 'second master'
        ? Promise.resolve('it follows')
        : Promise.reject(ApplicationFailure.nonRetryable('it hangs', 'Failed')),
    );
    expect(report.outcome).toBe('rolled back');
    expect(report.says).toContain(`failed: it hangs. ${stays}. Next: `);
    const first = await failed(() => Promise.reject(ApplicationFailure.nonRetryable('it hangs', 'Failed')));
    expect(first.says).toContain('failed: it hangs. Nothing was mended before. Next: ');
  });
});
