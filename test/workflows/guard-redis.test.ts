import type { GuardEvent, GuardState } from '../../src/workflows/guard-messages';
import { PRIMARY } from '../cluster/support/picture';
import { MASTER, REPLICA } from '../cluster/redis/picture';
import { dead, GuardedCluster, redisDead, redisSeen, seen } from './support/guarded-cluster';
import { LONG_HISTORY, WorkflowServer } from './support/server';

const kinds = ({ events }: GuardState): string[] => events.map(({ kind }) => kind);
const event = ({ events }: GuardState, kind: GuardEvent['kind']) => events.findLast((each) => each.kind === kind);

/** The guard of a cluster with Redis: what it sees is scripted, and what it starts is a stand-in. */
describe('guard, of Redis', () => {
  let server: WorkflowServer;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('./support/guard-workflows'));
  });
  afterAll(() => server.close());

  const withRedis = (policy: ConstructorParameters<typeof GuardedCluster>[1] = {}) =>
    new GuardedCluster(server, policy, { redis: true });
  /** Runs `body` once the guard knows the primary and the master. */
  const watching = (cluster: GuardedCluster, body: () => Promise<void>): Promise<void> =>
    cluster.protected(async () => {
      await cluster.seesRedis(redisSeen('master', { sees: `${MASTER} is the master` }));
      await cluster.watchesRedis(({ master }) => master === MASTER);
      await body();
    });

  test('a cluster without Redis has no such watch', async () => {
    const cluster = new GuardedCluster(server);
    await cluster.protected(async () => {
      expect(cluster.askedRedis).toEqual([]);
      expect((await cluster.state()).redis).toBeUndefined();
    });
  });

  test('learns who is the master, and watches that one beside PostgreSQL', async () => {
    const cluster = withRedis();
    await watching(cluster, async () => {
      const request = await cluster.watchesRedis(({ postgresPrimary }) => postgresPrimary !== undefined);
      expect(request).toMatchObject({
        cluster: cluster.name,
        master: MASTER,
        movedFrom: null,
        known: { failed: false, leftOver: false, sees: 'healthy' },
      });
      const state = await cluster.state();
      expect(state.redis).toMatchObject({
        master: MASTER,
        next: `When ${MASTER} is killed, or answers nobody for 2.50 s, a replica takes over.`,
      });
      expect(event(state, 'redis moved')?.says).toBe(`${MASTER} is the master`);
    });
  });

  test('has killed nodes started in auto alone, and tells what was started', async () => {
    const cluster = withRedis();
    await watching(cluster, async () => {
      await cluster.watchesRedis(({ mayStart }) => mayStart === true);
      const says = `${REPLICA} was started again: its container is exited, exit code 137`;
      await cluster.seesRedis(redisSeen('sees', { started: [says] }));
      const state = await cluster.until('what was started', (each) => event(each, 'redis run') !== undefined);
      expect(event(state, 'redis run')?.says).toBe(says);
      await cluster.handle.executeUpdate('setMode', { args: [{ mode: 'approve' }] });
      await cluster.watchesRedis(({ mayStart }) => mayStart === false);
    });
  });

  test('tells what is wrong beside a master that is well for as long as it is so', async () => {
    const cluster = withRedis();
    await watching(cluster, async () => {
      const sees = `${REPLICA} ends each time that Docker starts it: nobody could take over. Next: docker logs --tail 20 ${REPLICA}`;
      await cluster.seesRedis(redisSeen('sees', { state: 'suspect', key: 'trouble', sees }));
      const state = await cluster.until('the trouble', (each) => each.redis?.trouble !== undefined);
      expect(state.redis).toMatchObject({ trouble: sees, sees });
      expect(event(state, 'redis doubt')?.says).toBe(sees);
      // A stretch that was over before it had looked.
      await cluster.seesRedis(redisSeen('quiet', { key: 'trouble' }), ({ known }) => known.sees === 'trouble');
      await cluster.watchesRedis(({ known }) => known.sees === 'trouble');
      expect((await cluster.state()).redis?.trouble).toBe(sees);
      await cluster.seesRedis(redisSeen('sees', { key: 'healthy' }));
      await cluster.until('no trouble', (each) => each.redis !== undefined && each.redis.trouble === undefined);
    });
  });

  test('remembers a replica that the topology does not have, and tells what the Sentinels’ failover may have lost', async () => {
    const cluster = withRedis();
    await watching(cluster, async () => {
      const seen = { master: MASTER, at: 1, strangers: ['10.0.0.9:6379'] };
      await cluster.seesRedis(redisSeen('quiet', { seen }));
      await cluster.watchesRedis((request) => request.seen?.at === 1);
      expect((await cluster.state()).redis?.seen).toEqual(seen);
      await cluster.seesRedis(redisSeen('master', { master: REPLICA, sees: `${REPLICA} is the master now` }));
      const state = await cluster.until('the move', (each) => each.redis?.master === REPLICA);
      expect(event(state, 'redis moved')?.says).toBe(
        `${REPLICA} is the master now; no run moved it. Writes acknowledged with WAIT 1 may be lost: 10.0.0.9:6379, which the topology does not have, was a replica of ${MASTER}`,
      );
    });
  });

  describe('when the master has failed', () => {
    test('in auto it starts one failover, and follows its end', async () => {
      const cluster = withRedis();
      await watching(cluster, async () => {
        const found = redisDead();
        await cluster.seesRedis(found);
        const { id, input, end } = await cluster.run('redis failover');
        expect(id).toMatch(new RegExp(`^redis-failover-${cluster.name}-\\d{12}-[0-9a-f]{4}$`));
        expect(input).toEqual({
          cluster: cluster.name,
          mode: 'run',
          approval: 'given',
          only: 'repair',
          expectedMaster: MASTER,
          soak: '0s',
          leaveStopped: true,
          startedBy: `guard of ${cluster.name}`,
          reason: found.sees,
        });
        await cluster.seesRedis(redisDead(), ({ known }) => known.failed);
        const moved = redisSeen('master', {
          state: 'moved',
          master: REPLICA,
          sees: `${REPLICA} is the master`,
          by: id,
        });
        await cluster.seesRedis(moved, ({ known }) => known.failed);
        const after = await cluster.watchesRedis(({ master }) => master === REPLICA);
        expect(after).toMatchObject({ movedFrom: MASTER, known: { failed: false } });
        await end({ says: `${REPLICA} took over` });
        await cluster.seesRedis(redisSeen('healthy', { master: REPLICA }), ({ movedFrom }) => movedFrom === MASTER);
        await cluster.watchesRedis(({ movedFrom }) => movedFrom === null);
        const state = await cluster.state();
        expect(state.redis?.acting).toBeUndefined();
        expect(state.events.filter(({ run }) => run !== undefined)).toEqual([
          expect.objectContaining({ kind: 'redis run', says: `redis failover started: ${id}` }),
          expect.objectContaining({ kind: 'redis moved', says: `${REPLICA} is the master` }),
          expect.objectContaining({ kind: 'redis run', says: `redis failover ended: ${REPLICA} took over` }),
        ]);
        // PostgreSQL's guard was not disturbed by any of it.
        expect(state.ledger.state).toBe('protected');
        expect(state.acting).toBeUndefined();
      });
    });

    test('PostgreSQL is failed over beside it, and what becomes of Redis is none of its business', async () => {
      const cluster = withRedis();
      await watching(cluster, async () => {
        await cluster.seesRedis(redisDead());
        const redis = await cluster.run('redis failover');
        await cluster.sees(dead());
        const postgres = await cluster.run();
        expect(postgres.input).toMatchObject({ expectedPrimary: PRIMARY });
        await redis.end({ type: 'Refused', says: 'I2: it answers' });
        const state = await cluster.until('the wait', (each) => each.redis?.backoffUntil !== undefined);
        expect(event(state, 'redis run')?.says).toContain('I2: it answers. It is not tried again before');
        // A wait of Redis is none of PostgreSQL.
        expect(state.backoffUntil).toBeUndefined();
        await postgres.end({ says: 'failed over' });
      });
    });

    test('a failover of PostgreSQL that is under way does not keep Redis waiting', async () => {
      const cluster = withRedis();
      await watching(cluster, async () => {
        await cluster.sees(dead());
        const postgres = await cluster.run();
        await cluster.seesRedis(redisDead());
        expect((await cluster.run('redis failover')).input).toMatchObject({ expectedMaster: MASTER });
        expect((await cluster.state()).acting?.workflowId).toBe(postgres.id);
      });
    });

    test('a failover that found the lock taken is tried again soon', async () => {
      const cluster = withRedis({ backoff: '10m' });
      await watching(cluster, async () => {
        await cluster.seesRedis(redisDead());
        await (await cluster.run('redis failover')).end({ type: 'Busy', says: 'E1: locked' });
        const { forMs } = await cluster.watchesRedis(({ known }) => !known.failed);
        expect(forMs).toBeLessThanOrEqual(2000);
        await cluster.seesRedis(redisDead(), ({ forMs: left }) => left > 2000);
        await cluster.run('redis failover');
      });
    });

    test('a failure that is told again while its failover takes the lock has no second one started', async () => {
      const cluster = withRedis({ backoff: '10m' });
      await watching(cluster, async () => {
        await cluster.seesRedis(redisDead());
        const first = await cluster.run('redis failover');
        // Everything is told anew then.
        await cluster.handle.executeUpdate('setMode', { args: [{ mode: 'approve' }] });
        await cluster.handle.executeUpdate('setMode', { args: [{ mode: 'auto' }] });
        await cluster.seesRedis(redisDead(), ({ known }) => !known.failed);
        await cluster.watchesRedis(({ known }) => known.failed);
        expect((await cluster.state()).redis?.acting).toMatchObject({ workflowId: first.id });
        // It did not come to anything: it is told once more, and waits as it should.
        await first.end({ type: 'Refused', says: `${MASTER} is not the master` });
        await cluster.watchesRedis(({ known }) => !known.failed);
      });
    });

    test('a new master that fails is failed over beside the run that only brings the old one back', async () => {
      const cluster = withRedis({ backoff: '10m' });
      await watching(cluster, async () => {
        await cluster.seesRedis(redisDead());
        const first = await cluster.run('redis failover');
        const moved = { state: 'moved', master: REPLICA, sees: `${REPLICA} is the master`, by: first.id } as const;
        await cluster.seesRedis(redisSeen('master', moved), ({ known }) => known.failed);
        await cluster.seesRedis(redisDead({ master: REPLICA }), ({ master }) => master === REPLICA);
        await cluster.until('another run', ({ redis }) => ![undefined, first.id].includes(redis?.acting?.workflowId));
        const second = await cluster.run('redis failover');
        expect(second.input).toMatchObject({ expectedMaster: REPLICA, only: 'repair', approval: 'given' });
        // What the first one comes to neither ends the second one, nor has anything wait.
        await first.handle.signal('end', { type: 'Incomplete', says: `${MASTER} does not start` });
        const says = `redis failover did not end well: ${MASTER} does not start`;
        const state = await cluster.until('its end', ({ events }) => events.some((each) => each.says === says));
        expect(state.redis?.acting?.workflowId).toBe(second.id);
        expect(state.redis?.backoffUntil).toBeUndefined();
        await second.end({ says: `${REPLICA} is the master` });
        expect((await cluster.state()).redis?.acting).toBeUndefined();
      });
    });

    test('in approve a person is asked about it once, and then about the next master that fails', async () => {
      const cluster = withRedis({ mode: 'approve' });
      await watching(cluster, async () => {
        await cluster.seesRedis(redisDead());
        const first = await cluster.run('redis failover');
        await cluster.seesRedis(redisDead(), ({ known }) => known.failed);
        await cluster.watchesRedis(({ known }) => known.failed);
        expect((await cluster.state()).redis?.acting).toMatchObject({ workflowId: first.id, about: MASTER });
        await cluster.seesRedis(redisSeen('master', { state: 'moved', master: REPLICA }), ({ known }) => known.failed);
        await cluster.until('nothing acting', ({ redis }) => redis?.acting === undefined);
        await cluster.seesRedis(redisDead({ master: REPLICA }), ({ master }) => master === REPLICA);
        await cluster.run('redis failover');
        expect((await cluster.state()).redis?.acting).toMatchObject({ asks: true, about: REPLICA });
      });
    });

    test.each([
      ['off', (cluster: GuardedCluster) => cluster.handle.executeUpdate('setMode', { args: [{ mode: 'off' }] })],
      [
        'maintenance',
        (cluster: GuardedCluster) => cluster.handle.executeUpdate('maintenance', { args: [{ on: true }] }),
      ],
    ])('in %s it tells, and touches nothing', async (_what, quieten) => {
      const cluster = withRedis();
      await watching(cluster, async () => {
        await quieten(cluster);
        await cluster.until('the word', ({ redis }) => redis?.next?.includes('changes nothing') === true);
        await cluster.seesRedis(redisDead());
        await cluster.watchesRedis(({ known }) => known.failed);
        const state = await cluster.state();
        expect(event(state, 'redis failed')?.says).toContain('is dead');
        expect(kinds(state)).not.toContain('redis run');
      });
    });

    test('in approve it asks, and takes the question back when the Sentinels moved it', async () => {
      const cluster = withRedis({ mode: 'approve' });
      await watching(cluster, async () => {
        await cluster.seesRedis(redisDead());
        const { id, input, handle } = await cluster.run('redis failover');
        expect(input).toMatchObject({ approval: 'required' });
        expect((await cluster.state()).redis?.next).toContain(`veloz-ha approve ${id}`);
        await cluster.seesRedis(redisSeen('master', { state: 'moved', master: REPLICA }), ({ known }) => known.failed);
        await expect(handle.result()).rejects.toThrow(/cancelled/i);
        const state = await cluster.until('nothing acting', ({ redis }) => redis?.acting === undefined);
        expect(state.redis?.backoffUntil).toBeUndefined();
        expect(event(state, 'redis run')?.says).toContain('withdrawn before anybody approved it');
      });
    });

    test('in approve the question gives way to that about PostgreSQL', async () => {
      const cluster = withRedis({ mode: 'approve' });
      await watching(cluster, async () => {
        await cluster.seesRedis(redisDead());
        const { handle } = await cluster.run('redis failover');
        await cluster.sees(seen('sees', { state: 'failed', sees: 'dead' }));
        await expect(handle.result()).rejects.toThrow(/cancelled/i);
        await cluster.until('nothing acting', ({ redis }) => redis?.acting === undefined);
      });
    });

    test('the failover goes on when the guard is stopped', async () => {
      const cluster = withRedis();
      await watching(cluster, async () => {
        await cluster.seesRedis(redisDead());
        const { handle } = await cluster.run('redis failover');
        await cluster.handle.executeUpdate('stop', { args: [{ by: 'ada' }] });
        await cluster.handle.result();
        expect((await handle.describe()).status.name).toBe('RUNNING');
      });
    });
  });

  test('what an earlier failover left is mended in auto, once', async () => {
    const cluster = withRedis();
    const leftOver = redisSeen('left over', { sees: `something is left over: the container ${REPLICA} does not run` });
    await watching(cluster, async () => {
      await cluster.seesRedis(leftOver);
      const { input, end } = await cluster.run('redis failover');
      expect(input).toMatchObject({ only: 'repair', approval: 'given', reason: leftOver.sees });
      expect(input).not.toHaveProperty('expectedMaster');
      await cluster.watchesRedis(({ known }) => known.leftOver);
      await end({ says: 'mended' });
    });
  });

  test('a node that hung is tried again at once when it has ended, however long the back-off is', async () => {
    const cluster = withRedis({ backoff: '10m' });
    const hangs = `a run that could not end ${MASTER} took it off its Docker networks`;
    await watching(cluster, async () => {
      await cluster.seesRedis(redisSeen('left over', { sees: hangs, hanging: [MASTER] }));
      await (await cluster.run('redis failover')).end({ type: 'Refused', says: `L1: ${MASTER} still hangs` });
      await cluster.watchesRedis(({ known }) => !known.leftOver && known.hanging?.[0] === MASTER);
      // It hangs on: the back-off counts.
      await cluster.seesRedis(redisSeen('left over', { sees: hangs, hanging: [MASTER] }));
      await cluster.watchesRedis(({ known }) => known.leftOver);
      expect((await cluster.state()).redis?.acting).toBeUndefined();
      await cluster.seesRedis(redisSeen('left over', { sees: `the container ${MASTER} does not run`, hanging: [] }));
      await cluster.run('redis failover');
      expect((await cluster.watchesRedis(({ known }) => known.leftOver)).known.hanging).toBeUndefined();
    });
  });

  const BLIND = 'wrong word veloz-redis-sentinel-3';
  const blind = redisSeen('left over', { sees: 'veloz-redis-sentinel-3 gets no answer', faults: [BLIND] });
  /** Runs `body` once a run for a Sentinel that can't be mended has ended, and the back-off of it is long. */
  const inVain = async (body: (cluster: GuardedCluster) => Promise<void>) => {
    const cluster = withRedis({ backoff: '10m' });
    await watching(cluster, async () => {
      await cluster.seesRedis(blind);
      await (await cluster.run('redis failover')).end({ type: 'Failed', says: 'L3: no answer' });
      await cluster.until('the wait', ({ redis }) => redis?.backoffUntil !== undefined && redis.acting === undefined);
      await body(cluster);
    });
  };

  test('a fault that can not be mended waits for itself, and keeps no failover of a failed master waiting', async () => {
    await inVain(async (cluster) => {
      await cluster.seesRedis(blind, ({ known }) => !known.leftOver);
      await cluster.watchesRedis(({ known }) => known.leftOver && known.left?.[0] === BLIND);
      expect((await cluster.state()).redis?.acting).toBeUndefined();
      await cluster.seesRedis(redisDead(), ({ known }) => known.leftOver);
      expect((await cluster.run('redis failover')).input).toMatchObject({ expectedMaster: MASTER });
    });
  });

  test('nor a second master, nor a master whose disk takes no writes', async () => {
    await inVain(async (cluster) => {
      expect((await cluster.watchesRedis(({ known }) => !known.leftOver)).mayMove).toBe(true);
      const second = `second master ${REPLICA}`;
      const faults = [second, BLIND];
      const sees = `${REPLICA} is a master beside ${MASTER}`;
      await cluster.seesRedis(redisSeen('left over', { sees, faults }));
      const { input, end } = await cluster.run('redis failover');
      expect(input).toMatchObject({ only: 'repair', reason: sees });
      await end({ type: 'Failed', says: 'L3: no answer' });
      const { redis } = await cluster.until('both waiting', (state) => state.redis?.waits?.[second] !== undefined);
      expect(redis?.waits).toMatchObject({ [second]: { failures: 1 }, [BLIND]: { failures: 2 } });
      await cluster.seesRedis(redisSeen('left over', { sees, faults }), ({ known }) => !known.leftOver);
      await cluster.watchesRedis(({ known }) => known.leftOver);
      expect((await cluster.state()).redis?.acting).toBeUndefined();
    });
  });

  test('what an earlier failover left is only told in approve: nobody waits for it', async () => {
    const cluster = withRedis({ mode: 'approve' });
    await watching(cluster, async () => {
      await cluster.seesRedis(redisSeen('left over', { sees: 'something is left over' }));
      await cluster.watchesRedis(({ known }) => known.leftOver);
      const state = await cluster.state();
      expect(event(state, 'redis doubt')?.says).toBe('something is left over');
      expect(kinds(state)).not.toContain('redis run');
    });
  });

  test('a master whose disk takes no writes is moved away in auto, and after a move that went well not again at once', async () => {
    const cluster = withRedis({ backoff: '1s' });
    const sees = `${MASTER}, the master, takes no writes (MISCONF). Next: veloz-ha redis failover`;
    const refuses = redisSeen('refuses', { state: 'suspect', key: 'trouble', sees, heir: REPLICA });
    await watching(cluster, async () => {
      await cluster.seesRedis(refuses, ({ mayMove }) => mayMove === true);
      const first = await cluster.run('redis failover');
      expect(first.input).toMatchObject({ expectedMaster: MASTER, target: REPLICA, approval: 'given', reason: sees });
      expect(first.input).not.toHaveProperty('only');
      await cluster.watchesRedis(({ mayMove }) => mayMove === false);
      await first.end({ type: 'Refused', says: 'L1: it is behind' });
      // After the back-off.
      await cluster.seesRedis(refuses, ({ mayMove }) => mayMove === true);
      const second = await cluster.run('redis failover');
      await second.end({ says: `${REPLICA} is the master now` });
      await cluster.until('its end', ({ redis }) => redis?.acting === undefined);
      expect((await cluster.watchesRedis()).mayMove).toBe(false);
      await cluster.handle.executeUpdate('setMode', { args: [{ mode: 'approve' }] });
      expect((await cluster.watchesRedis()).mayMove).toBe(false);
      expect(event(await cluster.state(), 'redis doubt')?.says).toBe(sees);
    });
  });

  test('begins its history anew and keeps what it knows of Redis', async () => {
    const cluster = withRedis();
    await watching(cluster, async () => {
      const { runId } = await cluster.state();
      for (let round = 0; (await cluster.state()).runId === runId; round++) {
        if (round > LONG_HISTORY) throw new Error('its history grows and grows');
        await cluster.seesRedis(redisSeen('sees', { key: `odd ${round}`, state: 'suspect', sees: `odd ${round}` }));
        await cluster.sees(seen('sees', { state: 'suspect' }));
        // What is seen at the moment at which the history begins anew is seen again by the next stretch.
        await cluster.until(
          'news of Redis being known, or a new history',
          (state) => state.runId !== runId || cluster.askedRedis.at(-1)?.known.sees === `odd ${round}`,
        );
      }
      const { master } = await cluster.watchesRedis();
      expect(master).toBe(MASTER);
      await cluster.seesRedis(redisDead());
      await cluster.run('redis failover');
    });
  });
});
