import { TAKES_LOCK_MS } from '../../src/cluster/guard/mending';
import { HOLDS_UP_MS } from '../../src/cluster/guard/run-end';
import { guardWorkflowId, type GuardInput, type GuardState } from '../../src/workflows/guard-messages';
import { PRIMARY, STANDBY } from '../cluster/support/picture';
import { dead, GuardedCluster, protectedLedger, redisDead, redisSeen, seen } from './support/guarded-cluster';
import { WorkflowServer } from './support/server';

const HOUR = 3_600_000;

/** What a guard's history hands on to the next one. */
function carried(cluster: GuardedCluster, rest: Partial<GuardState>): GuardInput {
  const now = Date.now();
  return {
    carried: {
      version: 1,
      cluster: cluster.name,
      workflowId: guardWorkflowId(cluster.name),
      runId: 'an earlier one',
      mode: 'auto',
      ledger: protectedLedger(),
      sees: `${PRIMARY} answered in 1 ms`,
      waitsFor: '',
      next: '',
      signals: [],
      events: [],
      startedAt: now,
      ...rest,
    },
  };
}

const says = ({ events }: GuardState): string[] => events.map((event) => event.says);

/** Runs that go on while the guard's history does not. */
describe('a run that an earlier history of the guard started', () => {
  let server: WorkflowServer;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('./support/guard-workflows'));
  });
  afterAll(() => server.close());

  /** Starts a run as an earlier history did, and hands `body` what its state shows of it. */
  const started = (
    what: string,
    type: string,
    body: (acting: { workflowId: string; since: number; what: string }) => Promise<void>,
  ): Promise<void> =>
    server.withWorker({}, async (taskQueue) => {
      const workflowId = `${type}-earlier-${Date.now()}`;
      const run = await server.client.start(type, { taskQueue, workflowId, args: [{}] });
      try {
        await body({ workflowId, since: Date.now(), what });
      } finally {
        await run.terminate().catch(() => undefined);
      }
    });

  test('and that was terminated since: the guard hears of it, backs off, and fails over the next time', async () => {
    await started('failover', 'failover', async (acting) => {
      await server.client.getHandle(acting.workflowId).terminate();
      const cluster = new GuardedCluster(server);
      await cluster.guarded(
        async () => {
          const state = await cluster.until('nothing acting', (each) => each.acting === undefined);
          expect(says(state)).toEqual([
            'failover goes on, which an earlier history started',
            expect.stringMatching(/^failover .* did not end well: .*terminated/i),
          ]);
          await cluster.sees(dead(), ({ mayHold }) => mayHold);
          expect((await cluster.run()).input).toMatchObject({ expectedPrimary: PRIMARY });
        },
        carried(cluster, { acting }),
      );
    });
  });

  test('and whose end comes later: it is told as its own, and nothing is started beside it', async () => {
    await started('rejoin', 'rejoin', async (acting) => {
      const cluster = new GuardedCluster(server);
      const known = {
        failed: false,
        splitBrain: false,
        standbyLost: false,
        standbyBack: false,
        sees: 'healthy',
        failures: 0,
        toRejoin: [{ node: STANDBY, reason: 'it was fenced' }],
      };
      await cluster.guarded(
        async () => {
          await cluster.until('the run', (state) => says(state).some((each) => each.startsWith('rejoin goes on')));
          expect((await cluster.state()).acting?.workflowId).toBe(acting.workflowId);
          await server.client.getHandle(acting.workflowId).signal('end', { says: 'streaming again' });
          const next = await cluster.until(
            'the next rejoin',
            (state) => state.acting !== undefined && state.acting.workflowId !== acting.workflowId,
          );
          expect(says(next)).toContain('rejoin ended: streaming again');
          expect(next.acting?.what).toBe('rejoin');
          expect((await cluster.run('rejoin')).input).toMatchObject({ node: STANDBY, reason: 'it was fenced' });
        },
        { ...carried(cluster, { acting }), known },
      );
    });
  });

  test('and that Temporal does not know any more: the guard says so and goes on', async () => {
    const cluster = new GuardedCluster(server);
    await cluster.guarded(
      async () => {
        const state = await cluster.until('nothing acting', (each) => each.acting === undefined);
        expect(says(state).at(-1)).toContain('nobody can tell how it ended');
        // The primary is well: there is nothing to be tried again.
        expect(state.backoffUntil).toBeUndefined();
      },
      carried(cluster, { acting: { workflowId: 'failover-of-long-ago', since: Date.now() - HOUR, what: 'failover' } }),
    );
  });

  test('for Redis, and for what is left over, is heard as well', async () => {
    await started('redis failover', 'redisFailover', async (redis) => {
      await started('repair', 'repair', async (repair) => {
        const cluster = new GuardedCluster(server, {}, { redis: true });
        const node = {
          node: STANDBY,
          says: 'it is down',
          acts: true,
          attempts: 1,
        };
        await cluster.guarded(
          async () => {
            await server.client.getHandle(redis.workflowId).signal('end', { says: 'a replica took over' });
            await server.client.getHandle(repair.workflowId).signal('end', { type: 'Busy', says: 'taken' });
            const state = await cluster.until(
              'nothing acting',
              (each) => each.redis?.acting === undefined && each.mending?.acting === undefined,
            );
            expect(says(state)).toContain('redis failover ended: a replica took over');
            await cluster.seesRedis(redisDead());
            await cluster.run('redis failover');
            const request = await cluster.seesMembers(
              { why: 'due', leftOver: [], due: [STANDBY], byHand: [] },
              ({ mayAct }) => mayAct,
            );
            expect(request.known).toEqual([expect.objectContaining({ node: STANDBY, key: null }) as unknown]);
          },
          carried(cluster, {
            redis: {
              master: 'veloz-redis-1',
              movedFrom: null,
              sees: '',
              signals: [],
              acting: { ...redis, asks: false },
            },
            mending: { nodes: [node], acting: repair },
          }),
        );
      });
    });
  });

  test('for Redis, and that only waits by now: what else is left over is mended beside it', async () => {
    await started('redis failover', 'redisFailover', async (redis) => {
      const cluster = new GuardedCluster(server, {}, { redis: true });
      const [mended, other] = ['wrong word veloz-redis-sentinel-3', 'second master veloz-redis-replica'];
      const left = (fault: string) => redisSeen('left over', { sees: fault, faults: [fault] });
      const acting = { ...redis, asks: false, faults: [mended], since: Date.now() - TAKES_LOCK_MS + 6000 };
      await cluster.guarded(
        async () => {
          // It may not have taken its lock yet.
          await cluster.seesRedis(left(other));
          await cluster.watchesRedis(({ known }) => known.leftOver);
          expect((await cluster.state()).redis?.acting?.workflowId).toBe(redis.workflowId);
          // It has had the time for that. What it is at itself is not begun twice.
          await cluster.seesRedis(left(mended), ({ known }) => !known.leftOver);
          await cluster.watchesRedis(({ known }) => known.left?.[0] === mended);
          expect((await cluster.state()).redis?.acting?.workflowId).toBe(redis.workflowId);
          await cluster.seesRedis(left(other), ({ known }) => known.leftOver);
          await cluster.until('another run', (state) => state.redis?.acting?.workflowId !== redis.workflowId);
          expect((await cluster.run('redis failover')).input).toMatchObject({ only: 'repair', reason: other });
        },
        carried(cluster, {
          redis: { master: 'veloz-redis-master', movedFrom: null, sees: '', signals: [], acting },
        }),
      );
    });
  });

  test('in approve: the question is taken back when the primary is well again', async () => {
    await started('failover', 'failover', async (acting) => {
      const cluster = new GuardedCluster(server);
      await cluster.guarded(
        async () => {
          await cluster.until('the run', (state) => says(state).some((each) => each.startsWith('failover goes on')));
          await cluster.sees(seen('healthy'));
          const state = await cluster.until('nothing acting', (each) => each.acting === undefined);
          expect(says(state).at(-1)).toContain('withdrawn before anybody approved it');
        },
        carried(cluster, { mode: 'approve', acting: { ...acting, asks: { primary: PRIMARY } } }),
      );
    });
  });

  describe('holds a new history up', () => {
    const handOver = (cluster: GuardedCluster) => cluster.handle.executeUpdate<string, []>('handOver', { args: [] });

    test('not when it goes on for longer than the limit: it is handed on, and its end is heard there', async () => {
      await started('failover', 'failover', async (acting) => {
        const cluster = new GuardedCluster(server);
        const since = Date.now() - HOLDS_UP_MS - 1000;
        await cluster.guarded(
          async () => {
            const { runId } = await cluster.state();
            expect(await handOver(cluster)).toBe(
              'the guard begins its history anew: stop the workers, install, start them',
            );
            await cluster.until('a new history', (state) => state.runId !== runId);
            await cluster.watches();
            expect((await cluster.state()).acting?.workflowId).toBe(acting.workflowId);
            await server.client.getHandle(acting.workflowId).signal('end', { says: 'at last' });
            const state = await cluster.until('nothing acting', (each) => each.acting === undefined);
            expect(says(state).filter((each) => each === 'failover ended: at last')).toHaveLength(1);
          },
          carried(cluster, { acting: { ...acting, since } }),
        );
      });
    });

    test('before that it does, and the guard looks again when the limit is over', async () => {
      await started('failover', 'failover', async (acting) => {
        const cluster = new GuardedCluster(server);
        const since = Date.now() - HOLDS_UP_MS + 8000;
        await cluster.guarded(
          async () => {
            const { runId } = await cluster.state();
            expect(await handOver(cluster)).toContain(`once ${acting.workflowId} has ended`);
            expect((await cluster.state()).runId).toBe(runId);
            const next = await cluster.until('a new history', (state) => state.runId !== runId);
            expect(Date.now() - since).toBeGreaterThanOrEqual(HOLDS_UP_MS);
            expect(next.acting?.workflowId).toBe(acting.workflowId);
          },
          carried(cluster, { acting: { ...acting, since } }),
        );
      });
    });

    test('a rejoin that waits for the end of maintenance does not, and follows once it is over', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const splitBrain = { keep: PRIMARY, fence: [STANDBY], says: 'two nodes are writable' };
        cluster.acts.fence = async (node) => {
          await cluster.handle.executeUpdate('maintenance', { args: [{ on: true }] });
          return `${node} was fenced`;
        };
        await cluster.sees(seen('split brain', { splitBrain } as never));
        await cluster.until('the fence', (state) => says(state).includes(`${STANDBY} was fenced`));
        const { runId } = await cluster.state();
        const asked = cluster.asked.length;
        await handOver(cluster);
        await cluster.until('a new history', (state) => state.runId !== runId);
        await cluster.watches(() => cluster.asked.length > asked);
        await cluster.handle.executeUpdate('maintenance', { args: [{ on: false }] });
        expect((await cluster.run('rejoin')).input).toMatchObject({ node: STANDBY });
        expect(cluster.did).toEqual([`fence ${STANDBY}, keep ${PRIMARY}`]);
      });
    });
  });
});
