import { WorkflowFailedError, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { WatchRequest } from '../../src/activities';
import { emptyJournal } from '../../src/activities/failover/journal';
import { parseFailoverInput } from '../../src/workflows/failover-input';
import { guardWorkflowId, type GuardEvent, type GuardState } from '../../src/workflows/guard-messages';
import { PRIMARY, STANDBY } from '../cluster/support/picture';
import { dead, deadAndActed, GuardedCluster, protectedLedger, refused, seen } from './support/guarded-cluster';
import { inputQuery } from './support/guard-workflows';
import { eventually, WorkflowServer } from './support/server';

const mode = (cluster: GuardedCluster, wanted: string) =>
  cluster.handle.executeUpdate('setMode', { args: [{ mode: wanted }] });
const kinds = ({ events }: GuardState): string[] => events.map(({ kind }) => kind);
const event = ({ events }: GuardState, kind: GuardEvent['kind']) => events.findLast((each) => each.kind === kind);

/** The guard as a workflow on a real server; what it sees is scripted, and what it starts is a stand-in. */
describe('guard', () => {
  let server: WorkflowServer;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('./support/guard-workflows'));
  });
  afterAll(() => server.close());

  describe('begins', () => {
    test('with what the topology says, knowing nothing, and explains itself', async () => {
      const cluster = new GuardedCluster(server, { mode: 'approve' });
      await cluster.guarded(async () => {
        expect(await cluster.state()).toMatchObject({
          version: 1,
          cluster: cluster.name,
          workflowId: guardWorkflowId(cluster.name),
          mode: 'approve',
          ledger: { state: 'unknown', primary: null, epoch: 0 },
          waitsFor: 'A primary that it can tell for certain.',
          events: [{ kind: 'started', says: 'started by the Web UI or an API client, mode approve' }],
        });
        expect(cluster.asked).toEqual([
          expect.objectContaining({
            mayHold: false,
            known: expect.objectContaining({ failed: false, splitBrain: false, standbyLost: false }) as unknown,
          }),
        ]);
      });
    });

    test('in the mode that it is asked for', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.guarded(
        async () => {
          expect(await cluster.state()).toMatchObject({
            mode: 'off',
            waitsFor: `A mode: veloz-ha guard mode auto --cluster ${cluster.name}`,
          });
          expect(event(await cluster.state(), 'started')?.says).toBe('started by ada, mode off');
        },
        { mode: 'off', startedBy: 'ada' },
      );
    });

    test.each([
      [{ speed: 'fast' }, /unknown key speed.*Known keys: cluster, mode, startedBy. Next: veloz-ha guard start/],
      [{ mode: 'manual' }, /mode: expected auto, approve or off, got manual/],
    ])('not with %j', async (input, says) => {
      const cluster = new GuardedCluster(server);
      const failure = await server.withWorker(cluster.activities(), (taskQueue) =>
        server.client
          .execute('guard', { taskQueue, workflowId: guardWorkflowId(cluster.name), args: [input] })
          .then(() => undefined, causeOf),
      );
      expect(failure).toMatchObject({ type: 'BadInput', message: expect.stringMatching(says) as unknown });
    });

    test('not under another id: a second guard of a cluster would act beside the first', async () => {
      const cluster = new GuardedCluster(server);
      const failure = await server.withWorker(cluster.activities(), (taskQueue) =>
        server.client
          .execute('guard', { taskQueue, workflowId: `typed-by-hand-${cluster.name}`, args: [] })
          .then(() => undefined, causeOf),
      );
      expect(failure).toMatchObject({ type: 'BadInput', message: expect.stringContaining('guard/') as unknown });
    });
  });

  describe('when workers of another version take it over', () => {
    test('whose code goes another way, it stays open and stuck, and goes on when the right code is back', async () => {
      const cluster = new GuardedCluster(server);
      const tomorrow = await server.bundle(require.resolve('./support/guard-of-tomorrow'));
      const queue = await server.withWorker(cluster.activities(), async (taskQueue) => {
        const workflowId = guardWorkflowId(cluster.name);
        await server.client.start('guard', { taskQueue, workflowId, args: [] });
        await cluster.watches();
        return taskQueue;
      });
      try {
        const broken = async () => {
          await cluster.sees(seen('ledger', { ledger: protectedLedger() }));
          let task: unknown;
          await eventually(
            'a workflow task that fails',
            async () => {
              const { raw, status } = await cluster.handle.describe();
              expect(status.name).toBe('RUNNING');
              task = { pending: raw.pendingWorkflowTask, activities: raw.pendingActivities };
              return (raw.pendingWorkflowTask?.attempt ?? 1) > 1 ? true : undefined;
            },
            () => task,
          );
        };
        await server.withWorker(cluster.activities(), broken, queue, tomorrow);
        await server.withWorker(
          cluster.activities(),
          async () => {
            await cluster.watches(({ ledger }) => ledger.state === 'protected');
            expect(await cluster.state()).toMatchObject({ ledger: { state: 'protected' } });
          },
          queue,
        );
      } finally {
        await cluster.handle.terminate();
      }
    });

    test('it begins its history anew before, with all that it knows', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const { runId } = await cluster.state();
        const said = await cluster.handle.executeUpdate('handOver', { args: [{ by: 'ada', why: 'upgrade' }] });
        expect(said).toBe('the guard begins its history anew: stop the workers, install, start them');
        const state = await cluster.until('a new history', (each) => each.runId !== runId);
        expect(state.ledger).toMatchObject({ state: 'protected', primary: PRIMARY });
        expect(event(state, 'handed over')?.says).toBe('to the next version, by ada: upgrade');
        const { historyLength } = await cluster.handle.describe();
        expect(historyLength).toBeLessThan(30);
      });
    });

    test('while a failover goes on, it waits for its end', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const { runId } = await cluster.state();
        await cluster.sees(dead());
        const run = await cluster.run();
        expect(await cluster.handle.executeUpdate('handOver', { args: [] })).toContain(`once ${run.id} has ended`);
        expect((await cluster.state()).runId).toBe(runId);
        await run.end({});
        await cluster.until('a new history', (each) => each.runId !== runId);
      });
    });
  });

  test('keeps the ledger, hands it to each stretch, and may hold clients once it says protected', async () => {
    const cluster = new GuardedCluster(server);
    await cluster.guarded(async () => {
      await cluster.sees(seen('ledger', { ledger: protectedLedger({ state: 'degraded', why: 'not yet' }) }));
      const between = await cluster.watches(({ ledger }) => ledger.state === 'degraded');
      expect(between.mayHold).toBe(false);
      await cluster.sees(seen('ledger', { ledger: protectedLedger() }));
      const request = await cluster.watches(({ ledger }) => ledger.state === 'protected');
      expect(request.mayHold).toBe(true);
      expect(request.incidentRun).toMatch(new RegExp(`^failover-${cluster.name}-\\d{12}-[0-9a-f]{4}/[0-9a-f-]{36}$`));
      const state = await cluster.state();
      expect(state.ledger).toMatchObject({ state: 'protected', primary: PRIMARY });
      expect(state.next).toContain('failover at once');
      expect(event(state, 'ledger')?.says).toContain('protected: ');
    });
  });

  test('what stays odd is seen, and told once', async () => {
    const cluster = new GuardedCluster(server);
    await cluster.protected(async () => {
      await cluster.sees(seen('sees', { state: 'observer in doubt', sees: 'others see it' }));
      const { known } = await cluster.watches((request) => request.known.sees === 'observer in doubt');
      expect(known).toMatchObject({ failed: false });
      expect(await cluster.state()).toMatchObject({ sees: 'others see it' });
      expect(event(await cluster.state(), 'in doubt')?.says).toBe('others see it');
    });
  });

  describe('when the primary has failed', () => {
    test('in auto it starts one failover: under the run that holds clients, with the ledger of before, approved', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const { incidentRun } = await cluster.watches();
        const found = dead();
        await cluster.sees(found);
        const { id, input, end } = await cluster.run();
        expect(incidentRun.startsWith(`${id}/`)).toBe(true);
        expect(input).toMatchObject({
          cluster: cluster.name,
          approval: 'given',
          startedBy: `guard of ${cluster.name}`,
          expectedPrimary: PRIMARY,
          incident: {
            run: incidentRun,
            kind: 'dead',
            since: found.failure?.since,
            decidedAt: found.failure?.decidedAt,
            lastLsn: '0/5000000',
            says: found.sees,
            signals: found.signals,
            ledger: { state: 'protected', primary: PRIMARY, epoch: 1 },
          },
        });
        // While it acts it goes on watching, starts nothing else, and takes no clients from the run.
        const { mayHold, known } = await cluster.watches((request) => request.known.failed);
        expect({ mayHold, failed: known.failed }).toEqual({ mayHold: false, failed: true });
        await cluster.sees(dead());
        await cluster.sees(seen('ledger', { ledger: protectedLedger({ primary: STANDBY, epoch: 2 }) }));
        expect((await cluster.state()).waitsFor).toBe(`The end of failover ${id}.`);
        await end({ says: `${STANDBY} is the primary now` });
        await cluster.sees(seen('healthy', { sees: `${STANDBY} answered` }));
        const state = await cluster.until('all being well', ({ sees }) => sees === `${STANDBY} answered`);
        expect(state.acting).toBeUndefined();
        expect(state.backoffUntil).toBeUndefined();
        expect(state.events.filter(({ run }) => run !== undefined)).toEqual([
          expect.objectContaining({ kind: 'failover', says: `failover started: ${id}`, run: id }),
          expect.objectContaining({ kind: 'failover', says: `failover ended: ${STANDBY} is the primary now`, run: id }),
        ]);
      });
    });

    test('the next failure is acted on beside a failover that copies or watches, and its end disturbs nobody', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await cluster.sees(dead());
        const first = await cluster.run();
        const ledger = protectedLedger({ primary: STANDBY, synchronous: [PRIMARY], epoch: 2 });
        await cluster.sees(seen('ledger', { ledger }), ({ known }) => known.failed);
        await cluster.sees(seen('healthy'), (request) => request.ledger.primary === STANDBY);
        await cluster.sees(dead(), ({ known }) => !known.failed);
        const next = await cluster.until('the next failover', ({ acting }) => acting?.workflowId !== first.id);
        await first.end({ type: 'Incomplete', says: 'A1: another primary' });
        const state = await cluster.until(
          'the end of the first',
          (now) => event(now, 'failover')?.says.includes('A1: another primary') === true,
        );
        expect(state.acting).toEqual(next.acting);
        expect(state.backoffUntil).toBeUndefined();
        const { input } = await cluster.run();
        expect(input).toMatchObject({ expectedPrimary: STANDBY, approval: 'given' });
      });
    });

    test('a new primary that fails before anybody saw it well has failed on its own: that is told, and acted on at once', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await cluster.sees(dead());
        const first = await cluster.run();
        const ledger = protectedLedger({ primary: STANDBY, synchronous: [PRIMARY], epoch: 2, timeline: 4 });
        await cluster.sees(seen('ledger', { ledger }), ({ known }) => known.failed);
        await cluster.sees(dead(), (request) => request.ledger.primary === STANDBY && !request.known.failed);
        await cluster.until('the next failover', ({ acting }) => acting?.workflowId !== first.id);
        expect((await cluster.run()).input).toMatchObject({ expectedPrimary: STANDBY, approval: 'given' });
        const state = await cluster.state();
        expect(event(state, 'primary back')?.says).toBe(`${STANDBY} takes writes, on timeline 4`);
        expect(kinds(state).filter((kind) => kind === 'primary failed')).toHaveLength(2);
        await first.end({ type: 'Incomplete', says: 'A1: another primary' });
      });
    });

    test('while the ledger knows no other primary, the end of its failover does not make its failure news again', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await cluster.sees(dead());
        const first = await cluster.run();
        await cluster.watches(({ known }) => known.failed);
        const stretches = cluster.asked.length;
        // The one that it promoted was lost before the watch saw it.
        await first.end({ type: 'Incomplete', says: 'it promoted, and lost it' });
        await cluster.watches(() => cluster.asked.length > stretches);
        const after = cluster.asked.slice(stretches);
        expect(after.map(({ known, mayAct, ledger }) => [known.failed, mayAct, ledger.primary])).toEqual(
          after.map(() => [true, undefined, PRIMARY]),
        );
        const state = await cluster.state();
        expect(state.acting).toBeUndefined();
        expect(state.backoffUntil).toBeUndefined();
        expect(state).toMatchObject({
          waitsFor: `A node that takes writes: ${PRIMARY} has failed, and nobody is known in its place.`,
          next: expect.stringContaining(`It does not fail ${PRIMARY} over once more`) as unknown,
        });
        // It is back, and fails on its own.
        const ledger = protectedLedger({ primary: STANDBY, synchronous: [PRIMARY], epoch: 2, timeline: 4 });
        await cluster.sees(seen('ledger', { ledger }), ({ known }) => known.failed);
        await cluster.sees(dead(), (request) => request.ledger.primary === STANDBY && !request.known.failed);
        expect((await cluster.run()).input).toMatchObject({ expectedPrimary: STANDBY, approval: 'given' });
      });
    });

    test('what was seen of the one before is not shown of the next', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await cluster.sees(dead());
        await cluster.run();
        const ledger = protectedLedger({ primary: STANDBY, synchronous: [PRIMARY], epoch: 2, timeline: 4 });
        // The round that finds it was about the one before.
        await cluster.sees(dead({ why: 'ledger', ledger }), ({ known }) => known.failed);
        await cluster.watches((request) => request.ledger.primary === STANDBY);
        expect(await cluster.state()).toMatchObject({
          sees: `${STANDBY} takes writes, on timeline 4`,
          signals: [],
        });
      });
    });

    test('what was in vain for one primary keeps nothing waiting that the next one needs', async () => {
      const cluster = new GuardedCluster(server, { backoff: '1m' });
      await cluster.protected(async () => {
        await cluster.sees(dead());
        await (await cluster.run()).end({ type: 'Refused', says: 'I7: unknown' });
        await cluster.until('the back-off', ({ backoffUntil }) => backoffUntil !== undefined);
        // A person has promoted another one.
        const ledger = protectedLedger({ primary: STANDBY, synchronous: [PRIMARY], epoch: 2 });
        await cluster.sees(seen('ledger', { ledger }), ({ known }) => known.failed);
        await cluster.sees(dead(), ({ known, mayHold }) => !known.failed && mayHold);
        expect((await cluster.run()).input).toMatchObject({ expectedPrimary: STANDBY });
      });
    });

    test('in approve the failover is to ask, and clients are not held', async () => {
      const cluster = new GuardedCluster(server, { mode: 'approve' });
      await cluster.protected(async () => {
        expect((await cluster.watches()).mayHold).toBe(false);
        await cluster.sees(dead());
        const { id, input } = await cluster.run();
        expect(input).toMatchObject({ approval: 'required', incident: { kind: 'dead' } });
        expect((await cluster.state()).waitsFor).toBe(`A person: veloz-ha approve ${id}`);
      });
    });

    test('in approve a primary that is well again takes the question back, and nothing is waited for', async () => {
      const cluster = new GuardedCluster(server, { mode: 'approve' });
      await cluster.protected(async () => {
        await cluster.sees(dead());
        const { handle, id } = await cluster.run();
        await cluster.sees(seen('healthy'), ({ known }) => known.failed);
        await expect(handle.result()).rejects.toThrow(/cancelled/i);
        const state = await cluster.until('nothing acting', ({ acting }) => acting === undefined);
        expect(state.backoffUntil).toBeUndefined();
        expect(kinds(state)).toContain('primary back');
        expect(state.events.at(-1)).toMatchObject({ kind: 'failover', run: id });
        // The next failure is asked about at once.
        await cluster.sees(dead());
        expect((await cluster.run()).id).not.toBe(id);
      });
    });

    test('in approve a failover that was approved is not disturbed by the new primary being well', async () => {
      const cluster = new GuardedCluster(server, { mode: 'approve' });
      await cluster.protected(async () => {
        await cluster.sees(dead());
        const { end } = await cluster.run();
        const ledger = protectedLedger({ primary: STANDBY, epoch: 2, state: 'degraded' });
        await cluster.sees(seen('ledger', { ledger }), ({ known }) => known.failed);
        await cluster.sees(seen('healthy'), (request) => request.ledger.primary === STANDBY);
        await cluster.watches(({ known }) => !known.failed);
        await end({ says: 'failed over' });
        expect(event(await cluster.state(), 'failover')?.says).toBe('failover ended: failed over');
      });
    });

    test('a question that waits is withdrawn when the mode becomes auto, and it fails over', async () => {
      const cluster = new GuardedCluster(server, { mode: 'approve' });
      await cluster.protected(async () => {
        await cluster.sees(dead());
        const { handle, id } = await cluster.run();
        await cluster.handle.executeUpdate('setMode', { args: [{ mode: 'auto' }] });
        await expect(handle.result()).rejects.toThrow(/cancelled/i);
        await cluster.until('nothing acting', ({ acting }) => acting === undefined);
        await cluster.sees(dead(), ({ mayHold }) => mayHold);
        const next = await cluster.run();
        expect(next.id).not.toBe(id);
        expect(next.input).toMatchObject({ approval: 'given' });
      });
    });

    test.each([
      ['off', async (cluster: GuardedCluster) => cluster.handle.executeUpdate('setMode', { args: [{ mode: 'off' }] })],
      [
        'maintenance mode',
        async (cluster: GuardedCluster) => cluster.handle.executeUpdate('maintenance', { args: [{ on: true }] }),
      ],
    ])('in %s it sees that and touches nothing', async (_what, quieten) => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await quieten(cluster);
        await cluster.sees(dead(), ({ mayHold }) => !mayHold);
        const request = await cluster.watches(({ known }) => known.failed);
        expect(request.mayHold).toBe(false);
        const state = await cluster.state();
        expect(kinds(state)).toContain('primary failed');
        expect(kinds(state)).not.toContain('failover');
        expect(state.acting).toBeUndefined();
      });
    });

    test('after a failover that did not end well it waits, each time twice as long, and tries again', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const waits: number[] = [];
        for (let tries = 0; tries < 3; tries++) {
          await cluster.sees(dead(), ({ known }) => !known.failed);
          const { end, id } = await cluster.run();
          await end({ type: 'Refused', says: 'I7: the ledger does not say protected' });
          const state = await cluster.until('the back-off', ({ backoffUntil }) => backoffUntil !== undefined);
          const said = event(state, 'backoff');
          expect(said).toMatchObject({ run: id, says: expect.stringContaining('I7: the ledger') as unknown });
          waits.push((state.backoffUntil ?? 0) - (said?.at ?? 0));
          expect(state.waitsFor).toContain('because an attempt did not end well');
          // The one that is told to end goes on until its next heartbeat.
          const { mayHold, forMs } = await cluster.watches((request) => request.known.failed && request.forMs < 60_000);
          expect(mayHold).toBe(false);
          expect(forMs).toBeLessThanOrEqual(Math.max(200, waits.at(-1) ?? 0));
        }
        expect(waits).toEqual([1000, 2000, 4000]);
        // All being well, the next failure is the first again.
        await cluster.sees(seen('healthy'), ({ known }) => known.failed);
        await cluster.watches(({ known }) => !known.failed);
        expect((await cluster.state()).backoffUntil).toBeUndefined();
        await cluster.sees(dead());
        await (await cluster.run()).end({ type: 'Refused', says: 'again' });
        const state = await cluster.until('the back-off', ({ backoffUntil }) => backoffUntil !== undefined);
        expect((state.backoffUntil ?? 0) - (event(state, 'backoff')?.at ?? 0)).toBe(1000);
      });
    });

    test('a failover that was refused because the primary is well again keeps nothing waiting', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await cluster.sees(dead());
        const { end } = await cluster.run();
        await cluster.sees(seen('healthy'), ({ known }) => known.failed);
        await cluster.watches(({ known }) => !known.failed);
        await end({ type: 'Refused', says: 'I8: it is a primary that takes writes' });
        const state = await cluster.until('its end', ({ acting }) => acting === undefined);
        expect(state.backoffUntil).toBeUndefined();
        expect(kinds(state)).not.toContain('backoff');
        // The next failure is another one.
        await cluster.sees(dead(), ({ mayHold }) => mayHold);
        await cluster.run();
      });
    });

    test('within the back-off of a failover commits go on without a lost standby all the same, and wait for it again', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await cluster.sees(dead());
        await (await cluster.run()).end({ type: 'Refused', says: 'I7: unknown' });
        await cluster.until('the back-off', ({ backoffUntil }) => backoffUntil !== undefined);
        await cluster.sees(
          seen('standby lost', { standbyLostSince: Date.now() - 10_000 }),
          ({ known }) => known.failed,
        );
        await cluster.until('the relaxing', (each) => kinds(each).includes('relaxed'));
        await cluster.sees(seen('standby back'));
        await cluster.until('the restoring', (each) => kinds(each).includes('restored'));
        expect(cluster.did).toEqual([`relax ${PRIMARY}`, `restore ${PRIMARY}`]);
      });
    });

    test('a failover that can’t be started is tried again later', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const { incidentRun } = await cluster.watches();
        const [workflowId = ''] = incidentRun.split('/');
        await server.withWorker({}, async (taskQueue) => {
          const other = await server.client.start('failover', { taskQueue, workflowId, args: [{}] });
          await cluster.sees(dead());
          const state = await cluster.until('the back-off', ({ backoffUntil }) => backoffUntil !== undefined);
          expect(event(state, 'backoff')?.says).toMatch(/^the failover could not be started: .*already/i);
          await other.terminate();
        });
      });
    });

    test('the failover goes on when the guard is cancelled, or stopped', async () => {
      for (const how of ['cancel', 'stop'] as const) {
        const cluster = new GuardedCluster(server);
        await cluster.protected(async () => {
          await cluster.sees(dead());
          const { handle } = await cluster.run();
          if (how === 'cancel') {
            await cluster.handle.cancel();
            await expect(cluster.handle.result()).rejects.toThrow(/cancelled/i);
          } else {
            await cluster.handle.executeUpdate('stop', { args: [{ by: 'ada' }] });
            await cluster.handle.result();
          }
          const { status } = await handle.describe();
          expect(status.name).toBe('RUNNING');
          const { events } = await handle.fetchHistory();
          expect((events ?? []).filter((each) => each.workflowExecutionCancelRequestedEventAttributes != null)).toEqual(
            [],
          );
        });
      }
    });
  });

  describe('has its watch act at once', () => {
    test('in auto and while the ledger says protected, at the first failure only', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.guarded(async () => {
        expect((await cluster.watches()).mayAct).toBeUndefined();
        await cluster.sees(seen('ledger', { ledger: protectedLedger({ state: 'degraded', why: 'not yet' }) }));
        expect((await cluster.watches(({ ledger }) => ledger.state === 'degraded')).mayAct).toBeUndefined();
        await cluster.sees(seen('ledger', { ledger: protectedLedger() }));
        expect((await cluster.watches(({ ledger }) => ledger.state === 'protected')).mayAct).toBe(true);
        await cluster.sees(dead());
        await cluster.run();
        expect((await cluster.watches(({ known }) => known.failed)).mayAct).toBeUndefined();
      });
    });

    test.each([
      ['approve', async (cluster: GuardedCluster) => mode(cluster, 'approve')],
      ['off', async (cluster: GuardedCluster) => mode(cluster, 'off')],
      [
        'maintenance',
        (cluster: GuardedCluster) => cluster.handle.executeUpdate('maintenance', { args: [{ on: true }] }),
      ],
    ])('not in %s', async (_what, quieten) => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await quieten(cluster);
        expect((await cluster.watches(({ mayHold }) => !mayHold)).mayAct).toBeUndefined();
      });
    });

    test('and starts the run that goes on with it, under the same run, with what was done', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const { incidentRun } = await cluster.watches();
        const found = deadAndActed();
        await cluster.sees(found);
        const { id, input } = await cluster.run();
        expect(incidentRun.startsWith(`${id}/`)).toBe(true);
        expect(input).toMatchObject({
          approval: 'given',
          expectedPrimary: PRIMARY,
          incident: {
            run: incidentRun,
            ledger: { state: 'protected', primary: PRIMARY },
            journal: found.failure?.acted?.journal,
          },
        });
        expect(parseFailoverInput(input)).toHaveProperty('request');
        const said = (await cluster.state()).events.filter(({ run }) => run === id).map(({ says }) => says);
        expect(said).toEqual(['a standby was promoted at once, and clients go on with it', `failover started: ${id}`]);
      });
    });

    test('and has finished what it began, and tells why it did not come to its end', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const found = deadAndActed({ began: 'fence', marks: { ...emptyJournal().marks, fencedAt: Date.now() } });
        const problem = `${STANDBY} gives no answer`;
        await cluster.sees({
          ...found,
          failure: { ...found.failure, acted: { ...found.failure?.acted, problem } } as typeof found.failure,
        });
        const { id, input } = await cluster.run();
        expect(input).toMatchObject({ incident: { journal: { began: 'fence' } } });
        const said = (await cluster.state()).events.find(({ run }) => run === id)?.says;
        expect(said).toBe(`the fence was begun at once, and nobody was promoted: ${problem}`);
      });
    });

    test.each([
      ['off', async (cluster: GuardedCluster) => mode(cluster, 'off')],
      ['approve', async (cluster: GuardedCluster) => mode(cluster, 'approve')],
      [
        'maintenance',
        (cluster: GuardedCluster) => cluster.handle.executeUpdate('maintenance', { args: [{ on: true }] }),
      ],
    ])('and what it did is told and finished, although it is in %s by then', async (_what, quieten) => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        cluster.actsOn = true;
        await quieten(cluster);
        // It was told to end, and is waited for.
        await new Promise((resolve) => setTimeout(resolve, 500));
        const stretches = cluster.asked.length;
        expect((await cluster.state()).acting).toBeUndefined();
        cluster.comesTo(deadAndActed());
        const { input } = await cluster.run();
        expect(input).toMatchObject({ approval: 'given', incident: { journal: { began: 'promotion' } } });
        expect(cluster.asked.slice(stretches).every(({ mayAct }) => mayAct === undefined)).toBe(true);
      });
    });

    test('and in off what it has only found is told, and nothing follows', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        cluster.actsOn = true;
        await mode(cluster, 'off');
        cluster.comesTo(dead());
        await cluster.watches(({ known }) => known.failed);
        const state = await cluster.state();
        expect(kinds(state)).toContain('primary failed');
        expect(state.acting).toBeUndefined();
      });
    });

    test.each(['stop', 'cancel'] as const)('and what it did is finished after a %s of the guard', async (how) => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const { incidentRun } = await cluster.watches();
        const [id = ''] = incidentRun.split('/');
        cluster.actsOn = true;
        if (how === 'stop') await cluster.handle.executeUpdate('stop', { args: [{ by: 'ada' }] });
        else await cluster.handle.cancel();
        await new Promise((resolve) => setTimeout(resolve, 500));
        expect((await cluster.handle.describe()).status.name).toBe('RUNNING');
        cluster.comesTo(deadAndActed());
        await cluster.handle.result().catch(() => undefined);
        expect((await cluster.handle.describe()).status.name).toBe(how === 'stop' ? 'COMPLETED' : 'CANCELLED');
        const run = server.client.getHandle(id);
        expect(await run.query(inputQuery)).toMatchObject({ incident: { journal: { began: 'promotion' } } });
        await run.terminate();
      });
    });

    test('a watch that only watches ends soon when people say something', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const began = Date.now();
        await mode(cluster, 'off');
        await cluster.watches(({ mayHold }) => !mayHold);
        expect(Date.now() - began).toBeLessThan(3000);
        await cluster.handle.executeUpdate('stop', { args: [] });
        await cluster.handle.result();
      });
    });

    test('a watch whose worker dies while it is told to end does not end the guard', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        cluster.actsOn = true;
        cluster.falls = true;
        await mode(cluster, 'off');
        cluster.actsOn = false;
        // No heartbeat comes any more, and no other attempt is made of what was told to end.
        await cluster.watches(({ mayHold }) => !mayHold);
        expect((await cluster.handle.describe()).status.name).toBe('RUNNING');
      });
    });
  });

  describe('is told by people', () => {
    /** Updates that stand in the history. A busy server writes down a task for one that was refused, and nothing else of it. */
    const updatesOf = async ({ handle }: GuardedCluster) =>
      ((await handle.fetchHistory()).events ?? []).filter(
        (event) => event.workflowExecutionUpdateAcceptedEventAttributes != null,
      ).length;
    const refusal = async (update: Promise<unknown>) =>
      update.then(
        () => 'accepted',
        (error: unknown) => (error instanceof WorkflowUpdateFailedError ? (error.cause?.message ?? '') : String(error)),
      );

    test('another mode, which stands in its events with who and why', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const says = await cluster.handle.executeUpdate('setMode', {
          args: [{ mode: 'off', by: 'ada', why: 'a rebuild' }],
        });
        expect(says).toBe('the mode is off now');
        await cluster.watches(({ mayHold }) => !mayHold);
        const state = await cluster.state();
        expect(state.mode).toBe('off');
        expect(event(state, 'mode')?.says).toBe('auto → off, by ada: a rebuild');
        const { searchAttributes } = await cluster.handle.describe();
        expect(searchAttributes).toMatchObject({ VelozPhase: ['off'], VelozRunbook: ['guard'] });
        expect(await cluster.handle.executeUpdate('setMode', { args: [{ mode: 'off' }] })).toBe(
          'the mode is off already',
        );
      });
    });

    test('maintenance mode, which ends by itself; then it acts on what it finds', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        expect(
          await cluster.handle.executeUpdate('maintenance', { args: [{ on: true, for: '1500ms', by: 'ada' }] }),
        ).toBe('maintenance mode is on for 1500ms');
        const { forMs } = await cluster.watches(({ mayHold }) => !mayHold);
        expect(forMs).toBeLessThanOrEqual(1500);
        const { maintenance } = await cluster.state();
        expect(maintenance).toMatchObject({ by: 'ada' });
        expect((maintenance?.until ?? 0) - (maintenance?.since ?? 0)).toBe(1500);
        await cluster.sees(dead(), ({ mayHold }) => !mayHold);
        await cluster.until('the end of maintenance mode', (state) => state.maintenance === undefined);
        expect(event(await cluster.state(), 'maintenance')?.says).toBe('maintenance mode is over: its time is up');
        await cluster.sees(dead(), ({ mayHold }) => mayHold);
        await cluster.run();
      });
    });

    test('maintenance mode without an end, until it is switched off', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await cluster.handle.executeUpdate('maintenance', { args: [{ on: true }] });
        expect((await cluster.state()).maintenance).toMatchObject({ until: null, by: 'somebody who gave no name' });
        await cluster.watches(({ mayHold }) => !mayHold);
        expect(await cluster.handle.executeUpdate('maintenance', { args: [{ on: false }] })).toBe(
          'maintenance mode is off',
        );
        await cluster.watches(({ mayHold }) => mayHold);
        expect(await cluster.handle.executeUpdate('maintenance', { args: [{ on: false }] })).toBe(
          'maintenance mode was off already',
        );
      });
    });

    test('what it can’t do is refused, in a sentence, and leaves no history', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const before = await updatesOf(cluster);
        expect(await refusal(cluster.handle.executeUpdate('setMode', { args: [{ mode: 'manual' }] }))).toContain(
          'expected auto, approve or off, got manual. Next: ',
        );
        expect(await refusal(cluster.handle.executeUpdate('setMode', { args: [] }))).toContain('expected auto');
        expect(await refusal(cluster.handle.executeUpdate('maintenance', { args: [] }))).toContain('on: expected true');
        expect(await refusal(cluster.handle.executeUpdate('maintenance', { args: [{ on: 'yes' }] }))).toContain(
          'on: expected true or false',
        );
        expect(
          await refusal(cluster.handle.executeUpdate('maintenance', { args: [{ on: true, for: 'an hour' }] })),
        ).toContain('"an hour" is not a duration');
        expect(await updatesOf(cluster)).toBe(before);
        expect(await cluster.state()).toMatchObject({ mode: 'auto' });
        expect((await cluster.state()).maintenance).toBeUndefined();
      });
    });

    test('to end, and its state is its result', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        expect(await cluster.handle.executeUpdate('stop', { args: [{ by: 'ada', why: 'enough' }] })).toContain('ends');
        const state = (await cluster.handle.result()) as GuardState;
        expect(state.ledger.state).toBe('protected');
        expect(state.events.at(-1)?.says).toBe('stopped by ada: enough');
      });
    });
  });

  describe('when no standby confirms', () => {
    const lost = () => seen('standby lost', { standbyLostSince: Date.now() - 10_000 });
    const ledgerIs = (state: string) => (request: WatchRequest) => request.ledger.state === state;

    test("what one stretch has counted is handed to the next, which may be another worker's", async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const counted = { standbys: { positions: { [STANDBY]: { flush: '0/5', behindMs: 900 } }, lostMs: 900 } };
        await cluster.sees(seen('sees', { sees: 'something odd', counted }));
        await cluster.watches((request) => request.counted?.standbys?.lostMs === 900);
        await cluster.sees(seen('sees', { sees: 'all is well' }));
        await cluster.watches((request) => request.counted === undefined);
        // Of another primary nothing of it is so.
        const { ledger } = await cluster.state();
        await cluster.sees(seen('ledger', { counted, ledger: { ...ledger, primary: STANDBY } }));
        await cluster.watches((request) => request.ledger.primary === STANDBY && request.counted === undefined);
      });
    });

    test('the ledger says degraded before commits are let go on; they wait again once one is back', async () => {
      const cluster = new GuardedCluster(server);
      let ledgerThen: GuardState['ledger'] | undefined;
      cluster.acts.relax = async () => {
        ledgerThen = (await cluster.state()).ledger;
        return 'commits wait for no standby';
      };
      await cluster.protected(async () => {
        await cluster.sees(lost());
        await cluster.watches(ledgerIs('degraded'));
        expect(ledgerThen).toMatchObject({ state: 'degraded', synchronous: [], names: '', primary: PRIMARY });
        expect(ledgerThen?.why).toMatch(/^no standby has confirmed since \d{4}-.*: commits go on without one$/);
        expect(cluster.did).toEqual([`relax ${PRIMARY}`]);
        await cluster.sees(seen('standby back'));
        const state = await cluster.until('the restoring', (each) => kinds(each).includes('restored'));
        expect(cluster.did).toEqual([`relax ${PRIMARY}`, `restore ${PRIMARY}`]);
        expect(kinds(state).slice(-3)).toEqual(['standby lost', 'relaxed', 'restored']);
        await cluster.watches(({ known }) => !known.standbyLost);
      });
    });

    test('a loss after a run has had commits wait again is another one, also where the ledger is never protected', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await cluster.sees(lost());
        await cluster.watches(({ known, ledger }) => known.standbyLost && ledger.names === '');
        const why = 'some commits wait for no standby that is known: role loader';
        const ledger = protectedLedger({ state: 'degraded', why });
        await cluster.sees(seen('ledger', { ledger }), ({ known }) => known.standbyLost);
        await cluster.sees(lost(), ({ known }) => !known.standbyLost);
        await cluster.until('the second', (each) => kinds(each).filter((kind) => kind === 'relaxed').length === 2);
        expect(cluster.did).toEqual([`relax ${PRIMARY}`, `relax ${PRIMARY}`]);
      });
    });

    test('names that could not be emptied wait for their back-off, although the ledger shows them again', async () => {
      const cluster = new GuardedCluster(server, { backoff: '1m' });
      cluster.acts.relax = () => Promise.reject(ApplicationFailure.nonRetryable('no answer', 'Unreachable'));
      await cluster.protected(async () => {
        await cluster.sees(lost());
        await cluster.until('the back-off', ({ namesBackoffUntil }) => namesBackoffUntil !== undefined);
        const ledger = protectedLedger({ state: 'degraded', why: 'no standby confirms, and commits wait' });
        await cluster.sees(seen('ledger', { ledger }), (request) => request.ledger.names === '');
        const { known } = await cluster.watches((request) => request.ledger.names !== '');
        expect(known).toMatchObject({ standbyLost: true, commitsWait: true });
      });
    });

    test('of another primary it is news, whatever was told of the one before', async () => {
      const cluster = new GuardedCluster(server, { onStandbyLost: 'block' });
      await cluster.protected(async () => {
        await cluster.sees(lost());
        const ledger = protectedLedger({ state: 'degraded', primary: STANDBY, epoch: 2 });
        await cluster.sees(seen('ledger', { ledger }), ({ known }) => known.standbyLost);
        await cluster.watches((request) => request.ledger.primary === STANDBY && !request.known.standbyLost);
      });
    });

    test('where relaxing was refused nothing was relaxed: the ledger is as before, and it is tried again later', async () => {
      const cluster = new GuardedCluster(server);
      cluster.acts.relax = () => Promise.reject(refused('E2: run x holds the lock'));
      await cluster.protected(async () => {
        await cluster.sees(lost());
        const state = await cluster.until('the back-off', ({ namesBackoffUntil }) => namesBackoffUntil !== undefined);
        expect(event(state, 'backoff')?.says).toContain('could not be relaxed: E2: run x holds the lock');
        expect(state.ledger).toMatchObject({ state: 'protected', synchronous: [STANDBY] });
        // Protected, and commits wait: an operator is told which, why, and when it is tried again.
        expect(state.namesFailed).toMatchObject({ what: 'relax', says: 'E2: run x holds the lock' });
        await cluster.until('it being said', ({ waitsFor }) =>
          /^\d{4}-.*Z, because commits wait for a standby.*: E2: run x holds the lock\.$/.test(waitsFor),
        );
        // It is still lost, within the back-off and after it; a failover would not wait for that.
        expect(state.backoffUntil).toBeUndefined();
        cluster.acts.relax = () => Promise.resolve('relaxed now');
        await cluster.sees(seen('quiet'), ({ known }) => known.standbyLost);
        await cluster.sees(lost(), ({ known }) => !known.standbyLost);
        await cluster.until('the relaxing', (each) => event(each, 'relaxed')?.says === 'relaxed now');
        await cluster.watches(ledgerIs('degraded'));
        expect((await cluster.state()).namesFailed).toBeUndefined();
      });
    });

    test('where a standby confirms again by then nothing is to be told, and all is watched as before', async () => {
      const cluster = new GuardedCluster(server);
      cluster.acts.relax = () =>
        Promise.reject(
          ApplicationFailure.create({
            type: 'Refused',
            message: 'a standby confirms again',
            nonRetryable: true,
            details: [{ confirmsAgain: true }],
          }),
        );
      await cluster.protected(async () => {
        await cluster.sees(lost());
        await cluster.watches(({ known, ledger }) => !known.standbyLost && ledger.state === 'protected');
        const state = await cluster.state();
        expect(state.namesFailed).toBeUndefined();
        expect(state.namesBackoffUntil).toBeUndefined();
        expect(kinds(state)).toContain('standby lost');
      });
    });

    test('what was refused is told no longer than commits wait', async () => {
      const cluster = new GuardedCluster(server);
      cluster.acts.relax = () => Promise.reject(refused('A3: it may be a primary'));
      await cluster.protected(async () => {
        await cluster.sees(lost(), ({ known }) => known.commitsWait !== true);
        await cluster.until('the back-off', ({ namesBackoffUntil }) => namesBackoffUntil !== undefined);
        await cluster.sees(seen('commits go on'), ({ known }) => known.commitsWait === true);
        await cluster.watches(({ known }) => known.commitsWait !== true && !known.standbyLost);
        const state = await cluster.state();
        expect(state.namesFailed).toBeUndefined();
        expect(state.namesBackoffUntil).toBeUndefined();
        expect(kinds(state).at(-1)).toBe('commits go on');
      });
    });

    test('what was refused is told until a whole look finds nothing to relax', async () => {
      const cluster = new GuardedCluster(server, { standbyLostAfter: '1s' });
      cluster.acts.relax = () => Promise.reject(refused('A3: it may be a primary'));
      await cluster.protected(async () => {
        await cluster.sees(lost());
        await cluster.until('the back-off', ({ namesBackoffUntil }) => namesBackoffUntil !== undefined);
        // A run holds the lock: commits wait still.
        const again = ({ known, forMs }: { known: { standbyLost: boolean }; forMs: number }) =>
          !known.standbyLost && forMs <= 6000;
        await cluster.sees(seen('quiet', { standbyLost: { forMs: 9000, proven: false, says: 'lost' } }), again);
        expect((await cluster.state()).namesFailed).toBeDefined();
        await cluster.sees(seen('quiet'), again);
        await cluster.until('nothing being told', ({ namesFailed }) => namesFailed === undefined);
      });
    });

    test('where nobody knows whether it was relaxed the ledger says degraded', async () => {
      const cluster = new GuardedCluster(server);
      cluster.acts.relax = () => Promise.reject(ApplicationFailure.nonRetryable('no answer', 'Unreachable'));
      await cluster.protected(async () => {
        await cluster.sees(lost());
        const state = await cluster.until('the back-off', ({ namesBackoffUntil }) => namesBackoffUntil !== undefined);
        expect(state.ledger.state).toBe('degraded');
      });
    });

    test('that is only told where commits are to block', async () => {
      const cluster = new GuardedCluster(server, { onStandbyLost: 'block' });
      await cluster.protected(async () => {
        await cluster.sees(lost());
        const { ledger } = await cluster.watches(({ known }) => known.standbyLost);
        expect(ledger.state).toBe('protected');
        expect(cluster.did).toEqual([]);
        expect(event(await cluster.state(), 'standby lost')?.says).toContain('commits wait');
        // It is over once they go on, and the next loss is told again.
        await cluster.sees(seen('commits go on'), ({ known }) => known.commitsWait === true);
        await cluster.sees(lost(), ({ known }) => !known.standbyLost && known.commitsWait !== true);
        const state = await cluster.until('the next loss', (each) => kinds(each).at(-1) === 'standby lost');
        expect(kinds(state).slice(-3)).toEqual(['standby lost', 'commits go on', 'standby lost']);
      });
    });

    test('in maintenance mode that is told once, and acted upon when it is over', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await cluster.handle.executeUpdate('maintenance', { args: [{ on: true }] });
        await cluster.sees(lost(), ({ mayHold }) => !mayHold);
        await cluster.watches(({ known }) => known.standbyLost);
        expect(cluster.did).toEqual([]);
        await cluster.handle.executeUpdate('maintenance', { args: [{ on: false }] });
        await cluster.sees(lost(), ({ known, mayHold }) => mayHold && !known.standbyLost);
        await cluster.until('the relaxing', (each) => kinds(each).includes('relaxed'));
        expect(cluster.did).toEqual([`relax ${PRIMARY}`]);
      });
    });

    test('a standby that is back while nothing may be changed does not have it ask again and again', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await cluster.handle.executeUpdate('setMode', { args: [{ mode: 'off' }] });
        await cluster.sees(seen('standby back'), ({ mayHold }) => !mayHold);
        await cluster.watches(({ known }) => known.standbyBack);
        expect(cluster.did).toEqual([]);
        await cluster.handle.executeUpdate('setMode', { args: [{ mode: 'auto' }] });
        await cluster.sees(seen('standby back'), ({ known }) => !known.standbyBack);
        await cluster.until('the restoring', (each) => kinds(each).includes('restored'));
      });
    });
  });

  describe('when two nodes are writable', () => {
    const rogue = (fence = [STANDBY]) =>
      seen('split brain', {
        sees: 'two nodes are writable',
        splitBrain: { says: `${STANDBY} takes writes beside ${PRIMARY}`, fence, keep: PRIMARY } as never,
      });

    test('the one that the ledger does not name is fenced, and then made a standby again', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await cluster.sees(rogue());
        const { id, input, end } = await cluster.run('rejoin');
        expect(cluster.did).toEqual([`fence ${STANDBY}, keep ${PRIMARY}`]);
        expect(id).toContain(`rejoin-${cluster.name}-`);
        expect(input).toMatchObject({ cluster: cluster.name, node: STANDBY, approval: 'given' });
        const state = await cluster.state();
        expect(kinds(state).slice(-3)).toEqual(['split brain', 'fenced', 'failover']);
        await end({ says: 'it follows' });
        expect(event(await cluster.state(), 'failover')?.says).toBe('rejoin ended: it follows');
      });
    });

    test('a rejoin that did not end well keeps no failover waiting', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        await cluster.sees(rogue());
        await (await cluster.run('rejoin')).end({ type: 'Failed', says: 'its container was killed' });
        const state = await cluster.until('the end', ({ acting }) => acting === undefined);
        expect(event(state, 'failover')?.says).toContain('did not end well: its container was killed');
        expect(state.backoffUntil).toBeUndefined();
        await cluster.sees(dead());
        expect((await cluster.run()).id).toContain('failover');
      });
    });

    test('every one of several is fenced before the first is made a standby again', async () => {
      const cluster = new GuardedCluster(server);
      const acting: (string | undefined)[] = [];
      cluster.acts.fence = async (node) => {
        acting.push((await cluster.state()).acting?.workflowId);
        return `${node} was fenced`;
      };
      await cluster.protected(async () => {
        await cluster.sees(rogue([STANDBY, 'third']));
        const first = await cluster.run('rejoin');
        expect(acting).toEqual([undefined, undefined]);
        expect(first.input).toMatchObject({ node: STANDBY });
        await first.end({ says: 'it follows' });
        const second = await cluster.run('rejoin');
        expect(second.input).toMatchObject({ node: 'third' });
      });
    });

    test('where nobody is to be kept, or people do the work, it only tells', async () => {
      const cluster = new GuardedCluster(server);
      await cluster.protected(async () => {
        const unknown = rogue();
        await cluster.sees({
          ...unknown,
          splitBrain: { says: 'nobody can tell which', fence: [], keep: null } as never,
        });
        await cluster.watches(({ known }) => known.splitBrain);
        expect(cluster.did).toEqual([]);
        expect(event(await cluster.state(), 'split brain')?.says).toBe('nobody can tell which');
      });
    });

    test('a fence that did not work is tried again after the back-off, which keeps no failover waiting', async () => {
      const cluster = new GuardedCluster(server);
      cluster.acts.fence = () => Promise.reject(refused('H2: it can’t be fenced'));
      await cluster.protected(async () => {
        await cluster.sees(rogue());
        const state = await cluster.until('the back-off', (each) => kinds(each).includes('backoff'));
        expect(event(state, 'backoff')?.says).toContain('H2: it can’t be fenced');
        expect(state.backoffUntil).toBeUndefined();
        await cluster.watches(({ known, mayHold }) => mayHold && known.splitBrain);
        cluster.acts.fence = (node) => Promise.resolve(`${node} was fenced`);
        await cluster.sees(rogue(), ({ known, mayHold }) => mayHold && !known.splitBrain);
        expect((await cluster.run('rejoin')).input).toMatchObject({ node: STANDBY });
      });
    });

    test('a split brain that ended with another primary makes nobody wait longer for the next fence', async () => {
      const cluster = new GuardedCluster(server);
      cluster.acts.fence = () => Promise.reject(refused('H2: it can’t be fenced'));
      await cluster.protected(async () => {
        await cluster.sees(rogue());
        await cluster.watches(({ known }) => known.splitBrain);
        const ledger = protectedLedger({ epoch: 2, timeline: 4 });
        // Its time to be fenced again has come.
        await cluster.sees(seen('ledger', { ledger }), ({ known }) => !known.splitBrain);
        await cluster.sees(rogue(), (request) => request.ledger.epoch === 2 && !request.known.splitBrain);
        const twice = ({ events }: GuardState) => events.filter(({ kind }) => kind === 'backoff');
        const state = await cluster.until('the second back-off', (each) => twice(each).length === 2);
        expect(twice(state).map(({ says }) => /after (.*)$/.exec(says)?.[1])).toEqual(['1.00 s', '1.00 s']);
      });
    });
  });

  test('begins its history anew and keeps all that it knows', async () => {
    const cluster = new GuardedCluster(server);
    await cluster.protected(async () => {
      await cluster.handle.executeUpdate('setMode', { args: [{ mode: 'approve' }] });
      const { runId, startedAt } = await cluster.state();
      await cluster.sees(seen('split brain', { splitBrain: { says: 'two', fence: [], keep: null } as never }));
      for (let round = 0; (await cluster.state()).runId === runId; round++) {
        if (round > 200) throw new Error('its history grows and grows');
        await cluster.sees(seen('ledger', { ledger: protectedLedger({ why: `round ${round}` }) }), (request) =>
          round === 0 ? request.known.splitBrain : request.ledger.why === `round ${round - 1}`,
        );
        await cluster.watches(({ ledger }) => ledger.why === `round ${round}`);
      }
      const { known } = await cluster.watches();
      const state = await cluster.state();
      expect(state).toMatchObject({ mode: 'approve', startedAt, ledger: { state: 'protected', primary: PRIMARY } });
      expect(state.events).toHaveLength(50);
      // The same news is not told again.
      expect(known.splitBrain).toBe(true);
      await cluster.sees(dead());
      expect((await cluster.run()).input).toMatchObject({ approval: 'required' });
    });
  });
});

/** What a workflow ended with. */
function causeOf(error: unknown): unknown {
  return error instanceof WorkflowFailedError ? error.cause : error;
}
