import { randomUUID } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/common';
import type { Activities, RedisMoveResult } from '../../src/activities';
import { keepBeating } from '../../src/activities/context';
import type { ObservedRedis } from '../../src/cluster/redis/observed';
import { lockWorkflowId } from '../../src/workflows/messages';
import type { Report } from '../../src/workflows/run-state';
import {
  healthy,
  killed,
  MASTER,
  picture,
  redisTopology,
  replica,
  REPLICA,
  sentinel,
  SENTINELS,
  sentinelsNaming,
} from '../cluster/redis/picture';
import { clusterTopology } from '../cluster/support/picture';
import { WorkflowServer } from './support/server';

/** The runbook of Redis on a real server, with activities that do nothing. */
describe('redisFailover holds the lock of Redis', () => {
  let server: WorkflowServer;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('../../src/workflows'));
  });
  afterAll(() => server.close());

  /** Whether somebody holds it, once whoever lets go has had a moment for that. */
  const isHeld = async (): Promise<boolean> => {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const lock = await server.client.getHandle(lockWorkflowId('veloz', 'redis')).describe();
    return lock.status.name === 'RUNNING';
  };
  const moved: RedisMoveResult = { heldMs: 5, dropped: 0, subSteps: [] };

  /** Runs it on what is seen, and tells in which activities the lock was held. */
  async function run(seen: ObservedRedis, does: Partial<Activities> = {}): Promise<Record<string, boolean>> {
    const held: Record<string, boolean> = {};
    const noting =
      <Result>(name: string, result: Result) =>
      async (): Promise<Result> => {
        const stopBeating = keepBeating(() => name);
        held[name] = await isHeld().finally(stopBeating);
        return result;
      };
    const activities: Partial<Activities> = {
      describeCluster: () =>
        Promise.resolve({ name: 'veloz', topology: { ...clusterTopology(), redis: redisTopology() } }),
      observeRedis: () => Promise.resolve(seen),
      heldLocks: () => Promise.resolve([]),
      lockHolder: () => Promise.resolve(undefined),
      moveMaster: noting('move', moved),
      putBackMaster: () => Promise.resolve(true),
      takeOverMaster: noting('take over', moved),
      returnRedisNode: noting('return', 'started'),
      mendRedis: noting('mend', 'mended'),
      verifyRedis: noting('verify', { detail: 'proven', soakedMs: 0 }),
      ...does,
    };
    await server.withWorker(activities, async (taskQueue) => {
      const handle = await server.client.start('redisFailover', {
        taskQueue,
        workflowId: `redisFailover/${randomUUID()}`,
        args: [{ approval: 'given', soak: '0s', startedBy: 'ada' }],
      });
      const report = (await handle.result().catch((error: unknown) => error)) as Report;
      held.completed = report.outcome === 'completed';
    });
    return held;
  }

  test('while it moves the master, and not while it proves that', async () => {
    expect(await run(healthy())).toEqual({ move: true, verify: false, completed: true });
  });

  test('while a replica takes over, and not while it has the old master come back and proves it all', async () => {
    const dead = picture(
      [killed(MASTER), replica(REPLICA, MASTER, {}, { up: false, downMs: 1000 })],
      sentinelsNaming(MASTER, 1000),
    );
    const expected = { 'take over': true, return: false, verify: false, completed: true };
    expect(await run(dead)).toEqual(expected);
  });

  test('while it mends, and not while it proves that', async () => {
    const [one, two, three] = SENTINELS;
    const word = picture(healthy().nodes, [sentinel(one, MASTER), sentinel(two, MASTER), sentinel(three, REPLICA)]);
    expect(await run(word)).toEqual({ mend: true, verify: false, completed: true });
  });

  test('and not in its last look where it was put back: the next one may begin', async () => {
    let looks = 0;
    let heldLast: boolean | undefined;
    const held = await run(healthy(), {
      observeRedis: async () => {
        if (++looks > 1) heldLast = await isHeld();
        return healthy();
      },
      moveMaster: () => {
        throw ApplicationFailure.nonRetryable('L2: it is behind', 'RolledBack');
      },
    });
    expect([heldLast, held.completed]).toEqual([false, false]);
  });
});
