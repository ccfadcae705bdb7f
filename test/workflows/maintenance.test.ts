import { WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { maintenanceLockId } from '../../src/workflows/maintenance-messages';
import { tiers } from '../../src/cluster/maintenance/sides';
import { lockWorkflowId } from '../../src/workflows/messages';
import { ENGINES, REDIS } from '../cluster/maintenance/tiers';
import { PRIMARY, STANDBY } from '../cluster/support/picture';
import { ended, MaintainedCluster } from './support/maintained-cluster';
import { WorkflowServer } from './support/server';

const AWAY = [`engine ${ENGINES[1]}`, `redis ${REDIS[1]}`, `postgres ${STANDBY}`];
const BACK = [`postgres ${PRIMARY}`, `redis ${REDIS[0]}`, `engine ${ENGINES[0]}`];

/** What an update was refused with. */
async function refusal(update: Promise<unknown>): Promise<string> {
  const error: unknown = await update.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof WorkflowUpdateFailedError)) throw new Error(`not refused: ${String(error)}`);
  return (error.cause as ApplicationFailure).message;
}

/** The maintenance as a workflow on a real server; the runbooks of the tiers are stand-ins. */
describe('maintenance', () => {
  let server: WorkflowServer;
  let cluster: MaintainedCluster;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('./support/maintenance-workflows'));
  });
  afterAll(() => server.close());
  beforeEach(() => {
    cluster = new MaintainedCluster(server);
  });

  test('moves away engine, Redis, PostgreSQL, holds, and moves back in reverse, never two at a time', async () => {
    const { report } = await cluster.run({ side: 1, startedBy: 'ada', reason: 'kernel' }, async (run) => {
      const state = await run.in('held');
      expect(cluster.asked.slice(0, 3).sort()).toEqual(AWAY.map((one) => `plan ${one}`).sort());
      expect(cluster.moved).toEqual(AWAY);
      expect(state.maintenance).toMatchObject({
        scope: 'side 1',
        away: [
          { tier: 'engine', from: ENGINES[0], to: ENGINES[1] },
          { tier: 'redis', from: REDIS[0], to: REDIS[1] },
          { tier: 'postgres', from: PRIMARY, to: STANDBY },
        ],
        heldSince: expect.any(Number) as number,
      });
      expect(state).toMatchObject({ startedBy: 'ada', says: expect.stringContaining('side 1 is clear') as string });
      expect(await run.moveBack({ by: 'bob', why: 'done' })).toBe(
        'moving back, one tier after the other: PostgreSQL, then Redis, then the engine',
      );
    });
    expect(cluster.moved).toEqual([...AWAY, ...BACK]);
    expect(cluster.most).toBe(1);
    expect(cluster.active).toEqual({ engine: ENGINES[0], redis: REDIS[0], postgres: PRIMARY });
    expect(report).toMatchObject({
      outcome: 'completed with warnings',
      warnings: ['Redis: a Sentinel was slow'],
      maintenance: { away: [] },
    });
    expect(report.says).toMatch(/^side 1 was cleared and held; everything is back where it was, after /);
    expect(report.steps.map(({ id, state }) => `${id} ${state}`)).toEqual(
      ['engine', 'redis', 'postgres', 'back-postgres', 'back-redis', 'back-engine'].map((id) => `${id} done`),
    );
    expect(cluster.inputs.every(({ approval, startedBy }) => approval === 'given' && startedBy === 'ada')).toBe(true);
    expect(cluster.inputs.find(({ mode, expectedPrimary }) => mode === 'run' && expectedPrimary === PRIMARY)).toEqual({
      cluster: cluster.name,
      mode: 'run',
      approval: 'given',
      target: STANDBY,
      expectedPrimary: PRIMARY,
      startedBy: 'ada',
      reason: `kernel (maintenance maintenance/${cluster.name}/test)`,
      soak: '0s',
    });
  });

  test('the runs of the tiers have ids of their own, in one maintenance and from one to the next', async () => {
    await cluster.run({ side: 1, back: 'never' });
    Object.assign(cluster.active, { engine: ENGINES[0], redis: REDIS[0], postgres: PRIMARY });
    await cluster.run({ side: 1, back: 'never' });
    expect(cluster.ids).toHaveLength(12);
    expect(new Set(cluster.ids).size).toBe(12);
    for (const id of cluster.ids)
      expect(id).toMatch(/^(switchover|redis-failover|engine-switchover)\/m\d+-\d+\/maintenance-[0-9a-f]{8}-\d+$/);
  });

  test('what is active elsewhere already stays there, and does not come over on the way back', async () => {
    cluster.active.redis = REDIS[1];
    await cluster.run({ side: 1 }, async (run) => {
      await run.in('held');
      await run.moveBack();
    });
    expect(cluster.moved).toEqual([AWAY[0], AWAY[2], BACK[0], BACK[2]]);
  });

  test('nodes by name: only what is active there is moved', async () => {
    await cluster.run({ nodes: [REDIS[0], PRIMARY], back: 'never' });
    expect(cluster.moved).toEqual([AWAY[1], AWAY[2]]);
  });

  test.each(tiers)('the lock of %s that is given back soon is waited for', async (tier) => {
    await cluster.run({ nodes: [REDIS[0]], back: 'never' }, async ({ taskQueue }) => {
      const args = [{ cluster: cluster.name, runbook: 'other', holder: 'other', holderRunId: '' }];
      const workflowId = lockWorkflowId(cluster.name, tier);
      const lock = await server.client.start('clusterLock', { taskQueue, workflowId, args });
      await new Promise((resolve) => setTimeout(resolve, 1500));
      expect(cluster.moved).toEqual([]);
      await lock.terminate();
    });
    expect(cluster.moved).toEqual([AWAY[1]]);
  });

  test('a side on which nothing is active is no work', async () => {
    const { report } = await cluster.run({ side: 2 });
    expect(report).toMatchObject({
      outcome: 'completed',
      says: 'Nothing that is active lives on side 2. Nothing was changed, and nothing is held',
    });
    expect(cluster.asked).toEqual([]);
  });

  test('a plan changes nothing, and takes no lock', async () => {
    const { report } = await cluster.run({ side: 1, mode: 'plan' });
    expect(cluster.moved).toEqual([]);
    expect(report).toMatchObject({
      outcome: 'planned',
      plan: { primary: 'side 1', expectedHoldMs: 900, holdLimitMs: 5000 },
      next: [{ command: `veloz-ha maintenance start --side 1 --cluster ${cluster.name}` }],
    });
    expect(report.plan?.steps.map(({ id, expectedMs }) => [id, expectedMs])).toEqual([
      ['engine', 1000],
      ['redis', 1000],
      ['postgres', 1000],
    ]);
  });

  test('a refusal of any plan comes before anything is moved', async () => {
    cluster.fails.set('plan postgres', () =>
      ended('Refused', 'refused', 'B5: it is behind: 12 MiB (limit: 10 MiB). Nothing was changed. Next: look here'),
    );
    const { type, report } = await cluster.run({ side: 1 });
    expect(type).toBe('Refused');
    expect(report.says).toBe(
      `PostgreSQL refuses to move from ${PRIMARY} to ${STANDBY}: B5: it is behind: 12 MiB (limit: 10 MiB). Nothing was changed. Next: look here`,
    );
    expect(cluster.moved).toEqual([]);
  });

  test('asks before anything is moved, and plans anew after the answer', async () => {
    const { report } = await cluster.run({ side: 1, approval: 'required', back: 'never' }, async (run) => {
      const { says } = await run.in('awaiting approval');
      expect(says).toContain('Move everything that is active away from side 1');
      expect(cluster.moved).toEqual([]);
      await run.approve({ by: 'ada' });
    });
    expect(cluster.asked.filter((one) => one.startsWith('plan'))).toHaveLength(6);
    expect(cluster.inputs.at(-1)?.startedBy).toBe('ada');
    expect(report.outcome).toBe('completed with warnings');
    expect(report.next.map(({ command }) => command)).toEqual([
      `veloz-ha postgres switchover --to ${PRIMARY} --cluster ${cluster.name}`,
      `veloz-ha redis failover --to ${REDIS[0]} --cluster ${cluster.name}`,
      `veloz-ha engine switchover --to ${ENGINES[0]} --cluster ${cluster.name}`,
    ]);
  });

  test('what was approved is what is done, or nothing', async () => {
    const { type, report } = await cluster.run({ side: 1, approval: 'required' }, async (run) => {
      await run.in('awaiting approval');
      cluster.active.redis = REDIS[1];
      await run.approve();
    });
    expect([type, report.says]).toEqual(['Refused', expect.stringContaining('What was approved is no more')]);
    expect(cluster.moved).toEqual([]);
  });

  describe('a failure', () => {
    test('of the first move ends the run as that move ended', async () => {
      cluster.fails.set('run engine', () => ended('RolledBack', 'rolled back', 'Step "move" failed. Next: see there'));
      const { type, report } = await cluster.run({ side: 1 });
      expect(type).toBe('RolledBack');
      expect(report.says).toContain('Moved away: nothing; not moved: the engine, Redis, PostgreSQL. Next: see there');
      expect(cluster.moved).toEqual([AWAY[0]]);
    });

    test('on the way stops there, says what was moved and what was not, and moves nothing back by itself', async () => {
      cluster.fails.set('run redis', () => ended('Refused', 'refused', 'L2: it is behind. Next: see there'));
      const { type, report } = await cluster.run({ side: 1 }, async (run) => {
        const { maintenance, steps } = await run.in('held');
        expect(maintenance?.trouble).toBe(
          `Move Redis from ${REDIS[0]} to ${REDIS[1]} failed: L2: it is behind. Moved away: the engine; not moved: Redis, PostgreSQL. Next: veloz-ha maintenance back --cluster ${cluster.name}, or veloz-ha maintenance finish --cluster ${cluster.name}; for the cause: see there`,
        );
        expect(steps.map(({ id, state }) => `${id} ${state}`)).toEqual(['engine done', 'redis failed']);
        await new Promise((resolve) => setTimeout(resolve, 300));
        expect(cluster.moved).toEqual(AWAY.slice(0, 2));
        await run.moveBack();
      });
      expect([type, report.outcome]).toEqual(['RolledBack', 'rolled back']);
      expect(cluster.moved).toEqual([...AWAY.slice(0, 2), BACK[2]]);
    });

    test('on the way that is left as it is ends incomplete', async () => {
      cluster.fails.set('run postgres', () =>
        ended('Incomplete', 'incomplete', 'promoted, but. Next: veloz-ha repair --cluster veloz'),
      );
      const { type, report } = await cluster.run({ side: 1 }, async (run) => {
        expect((await run.in('held')).maintenance?.trouble).toContain('PostgreSQL may be anywhere between');
        await run.finish();
      });
      expect([type, report.outcome]).toEqual(['Incomplete', 'incomplete']);
      expect(report.next.map(({ command }) => command)).toEqual([
        `veloz-ha redis failover --to ${REDIS[0]} --cluster ${cluster.name}`,
        `veloz-ha engine switchover --to ${ENGINES[0]} --cluster ${cluster.name}`,
      ]);
    });

    test('to move back leaves it held, and it can be asked again', async () => {
      const { report } = await cluster.run({ side: 1 }, async (run) => {
        await run.in('held');
        cluster.fails.set('plan redis', () => ended('Refused', 'refused', 'L1: no replica. Next: docker start it'));
        await run.moveBack();
        const refused = await run.in('held');
        expect(refused.maintenance?.trouble).toContain('L1: no replica');
        expect(refused.says).toContain(`docker start it, then veloz-ha maintenance back --cluster ${cluster.name}`);
        expect(cluster.moved).toEqual(AWAY);

        cluster.fails.clear();
        cluster.fails.set('run redis', () => ended('Busy', 'busy', 'E1: locked. Next: wait'));
        await run.moveBack();
        const stopped = await run.in('held');
        expect(stopped.maintenance?.trouble).toContain('Still away: the engine, Redis');
        expect(cluster.moved).toEqual([...AWAY, BACK[0], BACK[1]]);

        cluster.fails.clear();
        await run.moveBack();
      });
      expect(cluster.moved).toEqual([...AWAY, BACK[0], BACK[1], BACK[1], BACK[2]]);
      expect(report).toMatchObject({ outcome: 'completed with warnings', maintenance: { away: [] } });
    });
  });

  describe('while it is held', () => {
    test('finish ends it, and nothing is moved back', async () => {
      const { report } = await cluster.run({ side: 1 }, async (run) => {
        await run.in('held');
        await run.finish({ by: 'ada', why: 'it stays' });
        // A second wish comes too late, whatever it is.
        await expect(run.moveBack()).rejects.toThrow();
      });
      expect(cluster.moved).toEqual(AWAY);
      expect(report.outcome).toBe('completed with warnings');
      expect(report.says).toMatch(/^Finished by ada: it stays. side 1 stays clear; nothing was moved back/);
      expect(report.maintenance?.away).toHaveLength(3);
    });

    test('its time runs out: it ends, and nothing is moved back', async () => {
      const { report } = await cluster.run({ side: 1, hold: '300ms' });
      expect(cluster.moved).toEqual(AWAY);
      expect(report.warnings).toContain('the time for which it was to be held (300ms) is up: nothing was moved back');
    });

    test('cancelled, it ends, and nothing is moved back', async () => {
      const { report } = await cluster.run({ side: 1 }, async (run) => {
        await run.in('held');
        await run.cancel();
      });
      expect(cluster.moved).toEqual(AWAY);
      expect(report.warnings).toContain('it was cancelled while it was held: nothing was moved back');
    });

    test('what somebody else has moved back meanwhile is left alone', async () => {
      await cluster.run({ side: 1 }, async (run) => {
        await run.in('held');
        cluster.active.postgres = PRIMARY;
        await run.moveBack();
      });
      expect(cluster.moved).toEqual([...AWAY, BACK[1], BACK[2]]);
    });

    test('a second maintenance of the cluster is refused: two could clear both sides', async () => {
      await cluster.run({ side: 1 }, async (run) => {
        await run.in('held');
        const failure = await server.client
          .execute('maintenance', {
            taskQueue: run.taskQueue,
            workflowId: `typed-by-hand-${cluster.name}`,
            args: [{ cluster: cluster.name, side: 2, approval: 'given' }],
          })
          .then(
            () => undefined,
            (error: { cause?: unknown }) => error.cause,
          );
        expect(failure).toMatchObject({ type: 'Busy', message: expect.stringContaining('E1') as string });
        const lock = await server.client.getHandle(maintenanceLockId(cluster.name)).describe();
        expect(lock.parentExecution?.workflowId).toBe(`maintenance/${cluster.name}/test`);
        expect(await refusal(run.abort())).toContain('the maintenance is held');
        await run.finish();
      });
      expect(cluster.moved).toEqual(AWAY);
    });
  });

  test('moving back and finishing are refused until it is held', async () => {
    await cluster.run({ side: 1, approval: 'required' }, async (run) => {
      await run.in('awaiting approval');
      for (const wish of [run.moveBack(), run.finish()])
        expect(await refusal(wish)).toContain('the maintenance is awaiting approval');
      await run.abort();
    });
    expect(cluster.moved).toEqual([]);
  });

  test('an abort on the way lets the move end, and moves everything back', async () => {
    let says: Promise<string> | undefined;
    const { type, report } = await cluster.run({ side: 1 }, async (run) => {
      cluster.whileMoving = async (tier) => {
        if (tier === 'redis' && says === undefined) {
          says = run.abort({ by: 'ada' });
          await says;
        }
      };
      await run.in('ended').catch(() => undefined);
    });
    expect(await says).toContain('the move that is under way is finished');
    expect(cluster.moved).toEqual([AWAY[0], AWAY[1], BACK[1], BACK[2]]);
    expect([type, report.says]).toEqual(['Aborted', expect.stringMatching(/^aborted by ada; everything is back/)]);
  });

  test.each([
    [undefined, /nothing says what is to be cleared/],
    [{ side: 3 }, /side: expected 1 or 2/],
    [{ side: 1, nodes: ['a'] }, /both side and nodes/],
    [{ side: 1, sides: 1 }, /sides.*Known keys: cluster, mode/],
    [{ side: 1, back: 'never', hold: '1h' }, /hold is given, but back is never/],
  ])('not with %j', async (input, says) => {
    const { type, message } = await cluster.run(input);
    expect([type, message]).toEqual(['BadInput', expect.stringMatching(says)]);
  });
});
