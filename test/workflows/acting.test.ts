import { createActivities, type Activities } from '../../src/activities';
import { guardQuery, guardWorkflowId, type GuardState } from '../../src/workflows/guard-messages';
import type { Report } from '../../src/workflows/run-state';
import { ActingCluster, POOLER, PRIMARY, STANDBY } from '../activities/guard/support/acting-cluster';
import { FailingCluster } from './support/failing-cluster';
import { eventually, WorkflowServer } from './support/server';

let cluster: ActingCluster;
jest.mock('../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../src/systems/postgres'),
  connectPostgres: (...args: Parameters<ActingCluster['connect']>) => cluster.connect(...args),
}));

/** Guard, watch, failover and its critical section together, on a real server; what they act on is a play. */
describe('the guard of a cluster whose primary is killed', () => {
  let server: WorkflowServer;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('../../src/workflows'));
  });
  afterAll(() => server.close());
  beforeEach(() => {
    cluster = new ActingCluster();
  });

  const guard = () => server.client.getHandle(guardWorkflowId('veloz'));
  const until = (what: string, holds: (state: GuardState) => boolean): Promise<GuardState> => {
    let last: GuardState | undefined;
    return eventually(
      what,
      async () => {
        last = await guard()
          .query(guardQuery)
          .catch(() => undefined);
        return last !== undefined && holds(last) ? last : undefined;
      },
      () => last,
    );
  };

  /** What comes after the critical section is somebody else's test. */
  function activities(): Partial<Activities> {
    const after = new FailingCluster(server).activities();
    const real = createActivities(cluster.engine.deps);
    const watchMembers: Activities['watchMembers'] = async () => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      return { why: 'quiet', leftOver: [], due: [], byHand: [] };
    };
    return {
      ...after,
      watchCluster: (request) => real.watchCluster(request),
      failOver: (move) => real.failOver(move),
      undoFailOver: (move) => real.undoFailOver(move),
      describeCluster: (name) => real.describeCluster(name),
      watchMembers,
    };
  }

  /** Runs `body` beside a guard that protects the cluster. */
  const guarded = (body: () => Promise<void>): Promise<void> =>
    server.withWorker(activities(), async (taskQueue) => {
      await server.client.start('guard', { taskQueue, workflowId: guardWorkflowId('veloz'), args: [{ mode: 'auto' }] });
      try {
        await until('a protected cluster', ({ ledger }) => ledger.state === 'protected');
        // The stretch that may act begins a moment after that.
        await new Promise((resolve) => setTimeout(resolve, 700));
        await body();
      } finally {
        await guard()
          .terminate()
          .catch(() => undefined);
      }
    });

  test('the watch acts, and the run finds that done and reports it', async () => {
    await guarded(async () => {
      cluster.kill();
      const state = await until('a failover', (each) => each.acting !== undefined);
      const run = server.client.getHandle(state.acting?.workflowId ?? '');
      const report = (await run.result()) as Report;
      expect(report.outcome).toMatch(/^completed/);
      expect(report).toMatchObject({
        primaryBefore: PRIMARY,
        primaryAfter: STANDBY,
        timelineBefore: 3,
        failover: { lossBound: 0, fence: expect.stringContaining('the fence lies in its volume') as unknown },
      });
      const parts = report.steps[0]?.subSteps?.map(({ id }) => id) ?? [];
      expect(parts.slice(0, 8)).toEqual(['open', 'hold', 'look', 'fence', 'choose', 'promote', 'route', 'release']);
      expect(parts.slice(8)).toEqual(['open', 'confirm']);
      expect(cluster.did.filter((each) => each.includes(' promote '))).toEqual([`${STANDBY} promote 2`]);
      expect(cluster.did.filter((each) => each.startsWith(`${POOLER} hold`))).toHaveLength(1);
      expect({ route: cluster.route, hold: cluster.hold }).toEqual({ route: STANDBY, hold: undefined });
      const said = (await guard().query(guardQuery)).events.map(({ says }) => says);
      expect(said).toContain('a standby was promoted at once, and clients go on with it');
    });
  });

  test.each([
    ['the mode becomes off', () => guard().executeUpdate('setMode', { args: [{ mode: 'off' }] })],
    ['the guard is stopped', () => guard().executeUpdate('stop', { args: [{}] })],
    ['the guard is cancelled', () => guard().cancel()],
  ])('what the watch has begun is finished although %s in the middle of it', async (_what, say) => {
    cluster.promotionMs = 1200;
    let said: Promise<unknown> | undefined;
    cluster.before = (node, command) => {
      if (node === STANDBY && command === 'promote') said ??= say();
      return undefined;
    };
    await guarded(async () => {
      cluster.kill();
      const asked = await eventually('a promotion', () => cluster.promotions.get(STANDBY)?.run);
      await said;
      const [id = ''] = asked.split('/');
      const run = server.client.getHandle(id);
      await eventually('the run that follows', () => run.describe().catch(() => undefined));
      const report = (await run.result()) as Report;
      expect(report).toMatchObject({ primaryAfter: STANDBY, failover: { lossBound: 0 } });
      expect({ route: cluster.route, hold: cluster.hold }).toEqual({ route: STANDBY, hold: undefined });
    });
  });

  test('what people say before the fence begins counts: nothing is fenced, and clients go', async () => {
    let said: Promise<unknown> | undefined;
    const { answer } = cluster.servers;
    // The last look before the fence takes its time, and people say something meanwhile.
    cluster.servers.answer = async (node, sql) => {
      if (sql.includes('recovery_min_apply_delay')) {
        said ??= guard().executeUpdate('setMode', { args: [{ mode: 'off' }] });
        await new Promise((resolve) => setTimeout(resolve, 600));
      }
      return answer(node, sql);
    };
    await guarded(async () => {
      cluster.kill();
      const state = await until('the failure being told', ({ events }) =>
        events.some(({ kind }) => kind === 'primary failed'),
      );
      await said;
      expect(state.mode).toBe('off');
      expect(state.acting).toBeUndefined();
      expect(cluster.engine.did).toEqual([]);
      expect({ promotions: cluster.promotions.size, hold: cluster.hold }).toEqual({ promotions: 0, hold: undefined });
    });
  });

  test('a watch that only watches ends soon after people have said something', async () => {
    await guarded(async () => {
      await guard().executeUpdate('setMode', { args: [{ mode: 'off' }] });
      const began = performance.now();
      await guard().executeUpdate('stop', { args: [{}] });
      await guard().result();
      expect(performance.now() - began).toBeLessThan(3000);
    });
  });
});
