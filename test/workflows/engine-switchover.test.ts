import { randomUUID } from 'node:crypto';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { createActivities } from '../../src/activities';
import { lockWorkflowId, statusQuery } from '../../src/workflows/messages';
import type { Report, RunState } from '../../src/workflows/run-state';
import { FakeEngines, FIRST, SECOND } from '../activities/engine/fake-engines';
import { eventually, WorkflowServer } from './support/server';

/** The runbooks of the engines on a real server, with the real activities on engines that exist in memory. */
describe('the runbooks of the engines', () => {
  let server: WorkflowServer;
  let world: FakeEngines;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('../../src/workflows'));
  });
  afterAll(() => server.close());
  beforeEach(() => {
    world = new FakeEngines();
  });

  /** Runs to the end; the report is the result, or what the failure carries. */
  async function run(
    workflow: 'engineSwitchover' | 'engineDrain' | 'engineReady',
    input: object | undefined,
    meanwhile?: (workflowId: string) => Promise<void>,
    faultPoint?: (point: string) => void,
    activities: object = createActivities(world.deps(faultPoint === undefined ? {} : { faultPoint })),
  ): Promise<Report & { type?: string | undefined }> {
    return server.withWorker(activities, async (taskQueue) => {
      const workflowId = `${workflow}/${randomUUID()}`;
      const handle = await server.client.start(workflow, {
        taskQueue,
        workflowId,
        args: input === undefined ? [] : [input],
      });
      await meanwhile?.(workflowId);
      try {
        return (await handle.result()) as Report;
      } catch (error) {
        const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
        if (!(cause instanceof ApplicationFailure)) throw error;
        const [report] = (cause.details ?? []) as [Report?];
        return { ...(report ?? ({ says: cause.message } as Report)), type: cause.type ?? undefined };
      }
    });
  }

  const given = { approval: 'given', soak: '0s', startedBy: 'ada' };
  const waiting = (workflowId: string): Promise<RunState> =>
    eventually('waiting for approval', async () => {
      const state = await server.client
        .getHandle(workflowId)
        .query(statusQuery)
        .catch(() => undefined);
      return state?.phase === 'awaiting approval' ? state : undefined;
    });

  test('a switchover hands over, proves it, and reports epochs and the time for which requests waited', async () => {
    const report = await run('engineSwitchover', given);
    expect(report).toMatchObject({
      runbook: 'engine-switchover',
      outcome: 'completed',
      primaryBefore: FIRST,
      primaryAfter: SECOND,
      epochBefore: 7,
      epochAfter: 8,
      startedBy: 'ada',
      warnings: [],
    });
    expect(report.says).toMatch(
      /^veloz-engine-2 is the active engine now, in epoch 8; requests waited [^,;]+\. veloz-engine-1 is its hot standby$/,
    );
    expect(report.heldMs).toEqual(expect.any(Number));
    expect(report.steps.map(({ id, state }) => `${id} ${state}`)).toEqual(['hand over done', 'verify done']);
    expect(report.enginesBefore?.[0]).toMatchObject({ name: FIRST, role: 'active' });
    expect(report.enginesAfter?.[1]).toMatchObject({ name: SECOND, role: 'active', epoch: 8 });
    expect(world.holder).toBe(SECOND);
  });

  test('an empty form plans, waits for approval, and does nothing when it is rejected', async () => {
    const report = await run('engineSwitchover', undefined, async (workflowId) => {
      const state = await waiting(workflowId);
      expect(state.says).toBe(`Hand the orders from ${FIRST} to ${SECOND}? Waiting for approval`);
      expect(state.plan).toMatchObject({ primary: FIRST, target: SECOND, holdLimitMs: 2000 });
      await server.client.getHandle(workflowId).executeUpdate('reject', { args: [{ by: 'bob', why: 'not now' }] });
    });
    expect(report).toMatchObject({ type: 'Rejected', says: 'Rejected by bob: not now. Nothing was changed' });
    expect(world.changes).toEqual([]);
  });

  test('an approved plan that is no more the plan is refused', async () => {
    const report = await run('engineSwitchover', { soak: '0s' }, async (workflowId) => {
      await waiting(workflowId);
      world.kill(FIRST);
      await server.client.getHandle(workflowId).executeUpdate('approve', { args: [{ by: 'bob' }] });
    });
    expect(report).toMatchObject({ type: 'Refused', outcome: 'refused' });
    expect(report.says).toContain(`A1: ${FIRST} is not the active engine: ${SECOND} is`);
    expect(world.changes).toEqual([]);
  });

  test.each([
    ['before it has changed anything, and so nothing is changed', /observe|look/i, 'Aborted'],
    ['in the hand-over, and so it warns', /handover|switch/i, undefined],
  ])('a run hears that its lock was ended %s', async (_when, during, type) => {
    const activities = createActivities(world.deps());
    let ended = false;
    const called: string[] = [];
    const lock = server.client.getHandle(lockWorkflowId('veloz', 'engine'));
    /** Ends the lock while one of these activities is under way. */
    const ending = Object.fromEntries(
      Object.entries(activities).map(([name, act]) => [
        name,
        async (...args: unknown[]) => {
          called.push(name);
          if (!ended && during.test(name))
            ended = await lock.terminate('by hand').then(
              () => true,
              () => false,
            );
          return (act as (...args: unknown[]) => unknown)(...args);
        },
      ]),
    );
    const report = await run('engineSwitchover', given, undefined, undefined, ending);
    expect([called, ended]).toEqual([called, true]);
    expect(report.type).toBe(type);
    if (type === undefined) {
      expect(report.outcome).toBe('completed with warnings');
      expect(report.warnings.join()).toContain('its lock was ended by somebody');
    } else {
      expect(report.says).toContain('its lock was ended by somebody');
      expect(world.changes).toEqual([]);
    }
  });

  test('plan mode changes nothing', async () => {
    const report = await run('engineSwitchover', { ...given, mode: 'plan' });
    expect(report).toMatchObject({ outcome: 'planned', plan: { primary: FIRST, target: SECOND } });
    expect(report.next[0]?.command).toBe(`veloz-ha engine switchover --to ${SECOND} --cluster veloz`);
    expect(world.changes).toEqual([]);
  });

  test('asked for what is so already it succeeds and changes nothing', async () => {
    const report = await run('engineSwitchover', { ...given, target: FIRST });
    expect(report).toMatchObject({ outcome: 'completed', primaryAfter: FIRST });
    expect(report.says).toBe(`${FIRST} is the active engine already. Nothing was changed`);
    expect(world.changes).toEqual([]);
  });

  test('is refused when the other engine is gone, with the command that mends it', async () => {
    world.kill(SECOND);
    const report = await run('engineSwitchover', given);
    expect(report).toMatchObject({ type: 'Refused' });
    expect(report.says).toMatch(
      /^E4: veloz-engine-2 does not answer: .* Nothing was changed\. Next: docker start veloz-engine-2$/,
    );
  });

  test('is rolled back when the engine does not step down, and requests go on', async () => {
    world.sessions.set(FIRST, 2);
    const report = await run('engineSwitchover', given);
    expect(report).toMatchObject({ type: 'RolledBack', primaryAfter: FIRST });
    expect(report.says).toContain('2 requests in veloz-engine-1 did not end within 500 ms');
    expect(world.admin.get(FIRST)).toBe('ready');
    expect(world.holder).toBe(FIRST);
  });

  test.each(['handOverEngine', 'verifyEngines'])(
    'goes on when %s fails once before and once after it',
    async (name) => {
      const failed = new Set<string>();
      const report = await run('engineSwitchover', given, undefined, (point) => {
        if (!point.endsWith(`:${name}`) || failed.has(point)) return;
        failed.add(point);
        throw new Error(`no worker ${point}`);
      });
      expect(failed.size).toBe(2);
      expect(report).toMatchObject({ outcome: 'completed', primaryAfter: SECOND, epochAfter: 8 });
      expect(world.epoch).toBe(8);
    },
  );

  test('draining the active engine hands over first; readying it leaves it a standby', async () => {
    const drained = await run('engineDrain', { ...given, node: FIRST });
    expect(drained).toMatchObject({ runbook: 'engine-drain', outcome: 'completed', primaryAfter: SECOND });
    expect(drained.steps.map(({ id }) => id)).toEqual(['hand over', 'drain', 'verify']);
    expect(drained.says).toMatch(/veloz-engine-1 is out of service$/);
    expect(world.admin.get(FIRST)).toBe('drain');

    const refused = await run('engineSwitchover', given);
    expect(refused.says).toContain(`L5: ${FIRST} is drained`);
    expect(refused.says).toContain(`Next: veloz-ha engine ready ${FIRST} --cluster veloz`);

    const again = await run('engineDrain', { ...given, node: FIRST });
    expect(again.says).toBe(`${FIRST} is drained already. Nothing was changed`);

    const ready = await run('engineReady', { ...given, node: FIRST });
    expect(ready).toMatchObject({ outcome: 'completed', primaryAfter: SECOND });
    expect(ready.says).toBe(`${FIRST} is in service again; ${SECOND} takes orders as before`);
    expect(world.admin.get(FIRST)).toBe('ready');
    expect(world.epoch).toBe(8);
  });

  test('a planned run goes on beside no run of another tier, and names the one that is under way', async () => {
    world.lockHolder = (_cluster, lock) => Promise.resolve(lock === 'postgres' ? 'switchover/x' : undefined);
    const report = await run('engineSwitchover', given);
    expect(report).toMatchObject({ type: 'Busy', next: [{ command: 'veloz-ha watch switchover/x' }] });
    expect(report.says).toBe(
      'E1: PostgreSQL of cluster veloz is locked: run switchover/x holds it (limit: no planned run beside another run). Nothing was changed. Next: veloz-ha watch switchover/x',
    );
    world.lockHolder = (_cluster, lock) => Promise.resolve(lock?.startsWith('copy/') === true ? 'rejoin/x' : undefined);
    expect((await run('engineSwitchover', given)).says).toMatch(
      /^E1: \S+ of cluster veloz, whose data is copied, is locked: run rejoin\/x/,
    );
    expect(world.changes).toEqual([]);
  });

  test('its lock is that of the engine; a run of PostgreSQL that began meanwhile is told at the approval', async () => {
    const report = await run('engineSwitchover', { soak: '0s' }, async (workflowId) => {
      await waiting(workflowId);
      const lock = server.client.getHandle(lockWorkflowId('veloz', 'engine'));
      expect((await lock.describe()).status.name).not.toBe('RUNNING');
      await expect(server.client.getHandle(lockWorkflowId('veloz')).describe()).rejects.toThrow(/not found/);
      world.lockHolder = (_cluster, name) => Promise.resolve(name === 'postgres' ? 'failover/y' : undefined);
      await server.client.getHandle(workflowId).executeUpdate('approve', { args: [{ by: 'bob' }] });
    });
    expect(report).toMatchObject({ type: 'Busy' });
    expect(report.says).toContain('run failover/y holds it');
    expect(world.changes).toEqual([]);
  });

  test('draining a standby moves nothing', async () => {
    const report = await run('engineDrain', { ...given, node: SECOND });
    expect(report.steps.map(({ id }) => id)).toEqual(['drain', 'verify']);
    expect(report.says).toBe(`${SECOND} is out of service; ${FIRST} takes orders as before`);
    expect(report.heldMs).toBeUndefined();
  });

  test('has to be told which engine is to be drained', async () => {
    const report = await run('engineDrain', undefined);
    expect(report).toMatchObject({ type: 'Refused' });
    expect(report.says).toContain(`A1: the request names no engine: the engines are ${FIRST}, ${SECOND}`);
  });

  test('unknown keys and unknown engines are refused with what there is', async () => {
    const key = await run('engineSwitchover', { to: SECOND });
    expect(key).toMatchObject({ type: 'BadInput' });
    expect(key.says).toContain('Known keys: cluster, mode, approval');
    const engine = await run('engineSwitchover', { ...given, target: 'veloz-engine-3' });
    expect(engine.says).toContain(
      `A1: veloz-engine-3 is no engine of the cluster: the engines are ${FIRST}, ${SECOND}`,
    );
  });
});
