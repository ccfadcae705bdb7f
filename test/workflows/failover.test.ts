import type { FailoverMove, FailoverResult, RejoinLook } from '../../src/activities';
import type { Check } from '../../src/cluster/check';
import { failoverPlan } from '../../src/cluster/failover/plan';
import { copyLock, type LockName } from '../../src/cluster/locks';
import { lockWorkflowId } from '../../src/workflows/messages';
import { picture, stopped, turned } from '../cluster/support/picture';
import { FailingCluster, fails, PRIMARY, refusal, STANDBY, STANDBY_2 } from './support/failing-cluster';
import { acted, protectedLedger } from './support/guarded-cluster';
import { eventually, WorkflowServer } from './support/server';

const REJOIN = ['lookAtRejoin', 'startAsStandby', 'settleRejoin'];
const END = ['releaseNodes', 'observe'];
const DONE = ['failOver', 'recordPromotion', ...REJOIN, 'verifyMove', ...END];
const LOOKS = ['observe', 'readLedger'];

/** The failover as a workflow on a real server, with activities that do what the test says. */
describe('failover', () => {
  let server: WorkflowServer;
  let cluster: FailingCluster;
  beforeAll(async () => {
    server = await WorkflowServer.start(require.resolve('../../src/workflows'));
  });
  afterAll(() => server.close());
  beforeEach(() => {
    cluster = new FailingCluster(server);
  });

  describe('by the guard', () => {
    test('goes straight for the critical section, and reports what was seen, done and lost', async () => {
      const input = cluster.incident();
      const { report } = await cluster.run(input);
      expect(cluster.did).toEqual(['describeCluster', ...DONE]);
      expect(cluster.moved).toEqual({
        cluster: cluster.name,
        run: input.incident?.run,
        source: PRIMARY,
        candidates: [STANDBY, STANDBY_2],
        ledger: input.incident?.ledger,
        kind: 'dead',
        decidedAt: input.incident?.decidedAt,
        since: input.incident?.since,
        leavesStopped: true,
        lastLsn: '0/5000000',
        holdLimitMs: 5000,
      });
      expect(report).toMatchObject({
        outcome: 'completed',
        says: `${STANDBY} is the primary now: no acknowledged row was lost (${STANDBY} was heard). ${PRIMARY} is a standby again`,
        primaryBefore: PRIMARY,
        primaryAfter: STANDBY,
        timelineBefore: 3,
        timelineAfter: 4,
        failover: {
          kind: 'dead',
          says: `${PRIMARY} is dead`,
          signals: input.incident?.signals,
          ledger: { state: 'protected', epoch: 1 },
          detectMs: 46,
          fence: expect.stringContaining('its container is exited') as unknown,
          fenceMs: 90,
          promoteMs: 130,
          routeMs: 9,
          lossBound: 0,
        },
        rejoin: { node: PRIMARY, method: 'none', why: `${PRIMARY} streams from ${STANDBY}` },
        checks: [{ id: 'I7', result: 'ok' }],
        warnings: [],
      });
      expect(report.failover?.totalMs).toBeGreaterThanOrEqual(46);
      expect(report.heldMs).toBe(report.failover?.totalMs);
      expect(report.protectedAgainMs).toBeGreaterThanOrEqual(report.heldMs ?? Infinity);
      expect(report.steps.map(({ id, state }) => `${id} ${state}`)).toEqual(
        ['failover', 'record', 'look', 'data', 'start', 'protect', 'verify'].map((id) => `${id} done`),
      );
      expect(report.steps[0]).toMatchObject({ pointOfNoReturn: true, subSteps: [{ id: 'fence' }] });
    });

    test('leaves an old primary that was told to stop, behind its fence, with the command', async () => {
      const says = `${PRIMARY} was told to stop (its container is exited, exit code 0), and stays so`;
      const asked: unknown[] = [];
      cluster.can.lookAtRejoin = (request) => {
        asked.push(request.leavesStopped);
        return Promise.resolve({ state: 'left', says });
      };
      const { report } = await cluster.run(cluster.incident());
      expect(asked).toEqual([true]);
      expect(cluster.did).toEqual(['describeCluster', 'failOver', 'recordPromotion', 'lookAtRejoin', ...END]);
      expect(report).toMatchObject({
        outcome: 'completed',
        says: `${STANDBY} is the primary now: no acknowledged row was lost (${STANDBY} was heard). ${says}, fenced: once somebody starts it, it becomes a standby`,
        next: [{ command: `docker start ${PRIMARY}` }],
      });
      expect(report.rejoin).toBeUndefined();
    });

    test('hands the run on to what follows, and warnings into the report', async () => {
      cluster.result = { warnings: ['the third node does not follow yet'], others: [STANDBY_2] };
      const tokens: unknown[] = [];
      cluster.can.recordPromotion = (request) => {
        tokens.push(request);
        return Promise.resolve({ timeline: 4, epoch: null, detail: '', warnings: ['no epoch'] });
      };
      cluster.can.verifyMove = (request) => {
        tokens.push(request);
        return Promise.resolve({ detail: '', warnings: [], soakedMs: 0 });
      };
      const { report } = await cluster.run(cluster.incident());
      const run = cluster.moved?.run;
      expect(tokens).toMatchObject([
        { run, target: STANDBY },
        { run, source: PRIMARY, target: STANDBY, others: [STANDBY_2], timeline: 3 },
      ]);
      expect(report).toMatchObject({
        outcome: 'completed with warnings',
        warnings: ['the third node does not follow yet', 'no epoch'],
      });
    });

    test('goes on with what the watch did, and counts from there', async () => {
      const { journal } = acted() ?? {};
      const { report } = await cluster.run(cluster.incident({ journal }));
      expect(cluster.moved?.journal).toEqual(journal);
      expect(cluster.did).toEqual(['describeCluster', ...DONE]);
      expect(report.outcome).toBe('completed');
    });

    test('of which the watch saw the promotion through there is only forward, whoever gives no answer now', async () => {
      const moves: FailoverMove[] = [];
      cluster.can.failOver = (move) => {
        moves.push(move);
        return Promise.reject(fails(`${STANDBY}, which may have been asked to be promoted, does not answer`));
      };
      const { type, report } = await cluster.run(cluster.incident({ journal: acted()?.journal }));
      expect(type).toBe('Incomplete');
      expect(report).toMatchObject({ outcome: 'incomplete', failover: { lossBound: 0, fenceMs: 90, promoteMs: 60 } });
      expect(report.failover?.fence).toContain('the fence lies in its volume');
      expect(cluster.did).not.toContain('undoFailOver');
      expect(moves.map(({ afterUndo }) => afterUndo)).toEqual([undefined, true]);
    });

    test('in approve plans, asks, and counts from the answer', async () => {
      const { report } = await cluster.run({ ...cluster.incident(), approval: 'required' }, async (run) => {
        const { says } = await run.asks();
        expect(says).toBe(`Fail over from ${PRIMARY} to ${STANDBY}? Waiting for approval`);
        expect(cluster.did).toEqual(['describeCluster', 'planFailOver']);
        await new Promise((resolve) => setTimeout(resolve, 1500));
        await run.approve();
      });
      expect(cluster.did).toEqual(['describeCluster', 'planFailOver', ...LOOKS, ...DONE]);
      expect(report.outcome).toBe('completed');
      // The time that a person took to think is none that clients were held for.
      expect(report.heldMs).toBeLessThan(1500);
      expect(report.protectedAgainMs).toBeLessThan(1500);
    });

    test('whose question is taken back ends without having touched anything', async () => {
      const { type, report } = await cluster.run({ ...cluster.incident(), approval: 'required' }, async (run) => {
        await run.asks();
        await run.cancel();
      });
      expect(type).toBe('Aborted');
      expect(report.says).toContain('before anything was changed');
      expect(cluster.did).toEqual(['describeCluster', 'planFailOver']);
    });

    test('with a ledger that knows no primary looks for itself', async () => {
      const { type } = await cluster.run(
        cluster.incident({ ledger: protectedLedger({ primary: null, state: 'unknown' }) }),
      );
      expect(cluster.did.slice(0, 3)).toEqual(['describeCluster', 'observe', 'readLedger']);
      expect(type).toBeUndefined();
    });
  });

  describe('by a person', () => {
    test('started with an empty form looks, plans, asks, and goes on when it is approved', async () => {
      const { report } = await cluster.run(undefined, async (run) => {
        await run.asks();
        await run.approve();
      });
      // It is proven under the lock; what follows is only watched, and holds up nobody.
      const watched = ['failOver', 'recordPromotion', ...REJOIN, 'verifyMove', 'releaseNodes', 'verifyMove', 'observe'];
      expect(cluster.did).toEqual(['describeCluster', ...LOOKS, 'planFailOver', ...LOOKS, ...watched]);
      expect(cluster.soakedMs).toBe(3000);
      expect(cluster.moved?.run).toBe(`${report.workflowId}/${report.runId}`);
      expect(report).toMatchObject({
        outcome: 'completed',
        startedBy: 'the Web UI or an API client',
        failover: { kind: 'dead', detectMs: null, signals: [] },
      });
      expect(report.membersBefore?.find(({ name }) => name === PRIMARY)?.role).toBe('stopped');
    });

    test('is refused while a primary takes writes', async () => {
      cluster.seen.node(STANDBY).sql.inRecovery = false;
      const { type, message, report } = await cluster.run({ approval: 'given' });
      expect(type).toBe('Refused');
      expect(message).toBe(
        `I8: ${STANDBY} is a primary that takes writes: ${STANDBY} (limit: none). Nothing was changed. Next: veloz-ha postgres switchover --cluster ${cluster.name}`,
      );
      expect(report.checks).toMatchObject([{ id: 'I8', result: 'refuse' }]);
      expect(report.next).toMatchObject([{ command: `veloz-ha postgres switchover --cluster ${cluster.name}` }]);
      expect(cluster.did).toEqual(['describeCluster', 'observe', 'readLedger']);
    });

    test('is refused beside one that takes writes and belongs to another database system, which is told', async () => {
      cluster.ledger = { ...cluster.ledger, systemIdentifier: '77' } as typeof cluster.ledger;
      const foreign = cluster.seen.node(STANDBY).sql;
      Object.assign(foreign, { inRecovery: false, systemIdentifier: '99' });
      const { type, message } = await cluster.run({ approval: 'given' });
      expect(type).toBe('Refused');
      expect(message).toContain(`A4: ${STANDBY} takes writes, and belongs to another database system than the ledger`);
    });

    test('is done already where the wanted node is the primary', async () => {
      cluster.seen.node(STANDBY).sql.inRecovery = false;
      const { report } = await cluster.run({ approval: 'given', target: STANDBY });
      expect(report).toMatchObject({
        outcome: 'completed',
        says: `${STANDBY} is the primary already. Nothing was changed`,
      });
      expect(cluster.did).not.toContain('failOver');
    });

    test('is refused while two nodes are writable', async () => {
      cluster.seen = picture();
      cluster.seen.node(STANDBY).sql.inRecovery = false;
      const { message } = await cluster.run({ approval: 'given' });
      expect(message).toMatch(/^I8: two nodes are writable: .*Next: veloz-ha repair --cluster /);
    });

    test.each([
      [
        'nobody knows which node was the primary',
        {},
        undefined,
        // To name a node would be a guess, and whoever is named is fenced.
        /nobody knows which node was the primary.*no guard.*Next: veloz-ha repair --cluster \S+$/,
      ],
      [
        'it names a node that is none',
        { expectedPrimary: 'nobody' },
        undefined,
        /nobody is no node of this cluster.*Next: veloz-ha repair --cluster \S+$/,
      ],
      [
        'it names another node than the ledger',
        { expectedPrimary: STANDBY },
        protectedLedger(),
        new RegExp(`${STANDBY} was not the primary: the ledger names ${PRIMARY}.*--expected-primary ${PRIMARY}$`),
      ],
    ])('is refused when %s', async (_what, input, ledger, says) => {
      cluster.ledger = ledger;
      // Its own files say nothing either.
      const standby = cluster.seen.observed.nodes.find(({ name }) => name === STANDBY);
      if (standby !== undefined) Object.assign(standby, { sql: null, agent: null });
      const { type, message } = await cluster.run({ approval: 'given', ...input });
      expect(type).toBe('Refused');
      expect(message).toMatch(/^A1: /);
      expect(message).toMatch(says);
      expect(cluster.did).not.toContain('failOver');
    });

    test('who accepts a loss overrules the ledger, and is told which belief', async () => {
      cluster.ledger = protectedLedger();
      const allowDataLoss = { maxBytes: 1024, reason: 'its disk is gone', by: 'ada' };
      cluster.result = { lossBound: 700 };
      const { report } = await cluster.run({ approval: 'given', expectedPrimary: STANDBY, allowDataLoss });
      expect(cluster.moved?.source).toBe(STANDBY);
      expect(report.warnings).toContain(
        `A1: the ledger names ${PRIMARY} as primary, and was overruled: ada says that ${STANDBY} failed, and accepts a loss, because its disk is gone`,
      );
      expect(report.says).toContain('may be lost, as ada accepted');
    });

    test('a ledger whose primary answers as a standby is unknown, and who failed is found without it', async () => {
      cluster.ledger = protectedLedger();
      cluster.seen = picture();
      cluster.seen.node(PRIMARY).sql.inRecovery = true;
      stopped(cluster.seen.node(STANDBY));
      const { report } = await cluster.run({ approval: 'given' });
      expect(cluster.moved).toMatchObject({
        source: STANDBY,
        candidates: expect.arrayContaining([PRIMARY]) as unknown,
        ledger: { state: 'unknown', why: `it names ${PRIMARY} as primary, which answers as a standby` },
      });
      expect(report.primaryBefore).toBe(STANDBY);
    });

    test('nothing is called not lost where the run can not say what proves it', async () => {
      cluster.result = { lossBound: null, proof: undefined };
      const { report } = await cluster.run({ approval: 'given' });
      expect(report.says).toContain('that no acknowledged row was lost is not proven');
      expect(report.failover?.proof).toBeUndefined();
    });

    test('finds by itself who was the primary when no guard kept a ledger: the only node without standby.signal', async () => {
      cluster.ledger = undefined;
      // The proof holds the new timeline against the one that the standby followed, which needs no ledger.
      let verified: number | undefined;
      cluster.can.verifyMove = (request) => {
        verified = request.timeline;
        return Promise.resolve({ detail: '', warnings: [], soakedMs: 0 });
      };
      const { report } = await cluster.run({ approval: 'given', soak: '0s' });
      // A person's word, which is held against Docker's.
      expect(cluster.moved).toMatchObject({ source: PRIMARY, ledger: null, byHand: true });
      expect(cluster.moved?.kind).toBeUndefined();
      expect(verified).toBe(3);
      expect(report).toMatchObject({ timelineBefore: 3, timelineAfter: 4 });
    });

    test('is refused by its checks, each with what to do', async () => {
      cluster.can.planFailOver = () => Promise.resolve({ checks: [refusal] });
      const { type, message, report } = await cluster.run({ approval: 'required' });
      expect(type).toBe('Refused');
      expect(message).toContain('I7: acknowledged commits may be lost: the ledger says degraded (limit: protected)');
      expect(report.next).toEqual([{ command: refusal.next, why: 'I7: acknowledged commits may be lost' }]);
      expect(report.failover).toMatchObject({ ledger: { state: 'protected' }, fence: 'it was not fenced' });
      expect(cluster.did).not.toContain('failOver');
    });

    test('plans only: no lock, no question, no change', async () => {
      const { report } = await cluster.run({ mode: 'plan' });
      expect(report).toMatchObject({
        outcome: 'planned',
        says: `All checks passed. Nothing was changed. ${STANDBY} would replace ${PRIMARY}`,
        next: [{ command: `veloz-ha postgres promote --cluster ${cluster.name} --expected-primary ${PRIMARY}` }],
      });
      expect(cluster.did).toEqual(['describeCluster', 'observe', 'readLedger', 'planFailOver']);
    });

    describe('of a primary that is read first', () => {
      const warned: Check = { ...refusal, result: 'warn' };
      beforeEach(() => {
        const readFirst = failoverPlan({
          source: PRIMARY,
          target: STANDBY,
          others: [],
          protection: 'zero-loss',
          holdLimitMs: 5000,
          handover: undefined,
          readsFirst: true,
        });
        cluster.can.planFailOver = () => Promise.resolve({ checks: [warned], target: STANDBY, plan: readFirst });
      });

      test('the plan says what it depends on', async () => {
        const { report } = await cluster.run({ mode: 'plan' });
        expect(report).toMatchObject({
          outcome: 'planned',
          says: `Nothing was changed. ${PRIMARY} would be fenced and read first: ${STANDBY} replaces it where it has all of its WAL; else ${PRIMARY} is started again in its place`,
          plan: { readsFirst: true },
        });
      });

      test('the question says it too, and an abort at it changes nothing', async () => {
        const { type } = await cluster.run({}, async (run) => {
          const { says } = await run.asks();
          expect(says).toBe(
            `Fence ${PRIMARY} and read its WAL, and fail over to ${STANDBY} where that has all of it (else ${PRIMARY} is started again in its place)? Waiting for approval`,
          );
          await run.abort();
        });
        expect(type).toBe('Aborted');
        expect(cluster.did).not.toContain('failOver');
        expect(cluster.did).not.toContain('undoFailOver');
      });

      test('somebody who starts it while it is asked is seen: nothing is fenced', async () => {
        const { type, message } = await cluster.run({}, async (run) => {
          await run.asks();
          cluster.seen = picture();
          await run.approve();
        });
        expect(type).toBe('Refused');
        expect(message).toContain(`I8: ${PRIMARY} is a primary that takes writes`);
        expect(cluster.did).not.toContain('failOver');
      });
    });

    describe('refused behind the fence', () => {
      const says =
        'I7: it is not known that every commit is there. Nothing was promoted. Next: veloz-ha postgres promote --allow-data-loss 1 --reason "…"';
      /** The old primary once it was started again; it recovers for so many looks. */
      const backAfter = (looks: number) => {
        const stoppedSeen = cluster.seen.observed;
        const [recovers, back] = [picture(), picture()];
        Object.assign(recovers.node(PRIMARY), { sql: null, sqlError: 'the database system is starting up' });
        let looked = 0;
        let tried = false;
        cluster.can.failOver = () => {
          tried = true;
          return Promise.reject(fails(says, 'Refused', { checks: [refusal], fence: 'its container is exited' }));
        };
        cluster.observed = () =>
          Promise.resolve(!tried ? stoppedSeen : looked++ < looks ? recovers.observed : back.observed);
      };

      test('says that the old primary is back and takes writes, and names no loss', async () => {
        backAfter(2);
        const { type, message, report } = await cluster.run({ approval: 'given' });
        expect(type).toBe('Refused');
        expect(message).toBe(
          `I7: it is not known that every commit is there. Nothing was promoted. ${PRIMARY} was started again in its place, and takes writes: nothing that it has is lost. Next: veloz-ha postgres status --cluster ${cluster.name}`,
        );
        expect(report.next).toEqual([
          { command: `veloz-ha postgres status --cluster ${cluster.name}`, why: 'shows what is' },
        ]);
        expect(cluster.did.filter((each) => each === 'observe')).toHaveLength(4);
      });

      test('says so where it does not take writes yet, by the guard at once', async () => {
        backAfter(99);
        const { message, report } = await cluster.run(cluster.incident());
        expect(message).toMatch(
          new RegExp(
            `${PRIMARY} was started again in its place, and does not take writes yet. Next: veloz-ha postgres s`,
          ),
        );
        expect(JSON.stringify(report.next)).not.toContain('--allow-data-loss');
        expect(cluster.did.filter((each) => each === 'observe')).toHaveLength(1);
      });

      test('names the loss as what comes last where the old primary could not be started again', async () => {
        cluster.can.failOver = () =>
          Promise.reject(
            fails('I7: unknown. Nothing was promoted. Next: veloz-ha repair --cluster x', 'Refused', {
              checks: [{ ...refusal, instead: 'accept it' }],
              fence: 'its container is exited',
            }),
          );
        const { message, report } = await cluster.run({ approval: 'given' });
        expect(message).toBe('I7: unknown. Nothing was promoted. Next: veloz-ha repair --cluster x');
        expect(report.next.at(-1)?.command).toBe('accept it');
      });
    });

    test('rejected, or not answered, or aborted meanwhile, it has changed nothing', async () => {
      const rejected = await cluster.run({}, async (run) => {
        await run.asks();
        await run.reject();
      });
      expect(rejected).toMatchObject({ type: 'Rejected', message: 'Rejected by ada: not now. Nothing was changed' });
      const expired = await cluster.run({ approvalTimeout: '100ms' });
      expect(expired).toMatchObject({ type: 'NotApproved', report: { outcome: 'not approved in time' } });
      const aborted = await cluster.run({}, async (run) => {
        await run.asks();
        await run.abort();
      });
      expect(aborted).toMatchObject({ type: 'Aborted', message: 'aborted by ada, before anything was changed' });
      expect(cluster.did).not.toContain('failOver');
    });

    test('with consent to a bounded loss asks so, hands it on, and names who gave it', async () => {
      const allowDataLoss = { maxBytes: 16 * 1024 * 1024, reason: 'the disk is gone', by: 'ada' };
      cluster.result = { lossBound: 4096 };
      const { report } = await cluster.run({ allowDataLoss, soak: '0s' }, async (run) => {
        const { says } = await run.asks();
        expect(says).toContain(', and lose 16.0 MiB at most? ');
        await run.approve();
      });
      expect(cluster.moved?.allowDataLoss).toEqual(allowDataLoss);
      expect(report.says).toContain('at most 4 KiB of acknowledged WAL may be lost, as ada accepted');
      expect(report.failover).toMatchObject({ lossBound: 4096, dataLoss: allowDataLoss });
    });

    test('leaves the old primary as it is, fenced, when asked to', async () => {
      const { report } = await cluster.run({ approval: 'given', oldPrimary: 'leave', target: STANDBY });
      expect(cluster.did.slice(-4)).toEqual(['failOver', 'recordPromotion', ...END]);
      expect(cluster.moved?.target).toBe(STANDBY);
      expect(report.says).toContain(`${PRIMARY} was left as it is, fenced`);
      expect(report.protectedAgainMs).toBeUndefined();
    });

    test.each([
      [{ speed: 'fast' }, /Unrecognized key.*speed.*Known keys: .*allowDataLoss/],
      [{ allowDataLoss: { maxBytes: 1 } }, /allowDataLoss.reason/],
      [{ soak: 'long' }, /soak: .*"long" is not a duration/],
    ])('is refused with %j', async (input, says) => {
      const { type, message } = await cluster.run(input);
      expect(type).toBe('BadInput');
      expect(message).toMatch(says);
      expect(cluster.did).toEqual([]);
    });
  });

  test('does nothing while another run holds the lock, and says which', async () => {
    await server.withWorker({}, async (taskQueue) => {
      const workflowId = lockWorkflowId(cluster.name);
      const lock = await server.client.start('clusterLock', { taskQueue, workflowId, args: [{}] });
      for (const input of [cluster.incident(), { approval: 'given' }]) {
        const { type, message, report } = await cluster.run(input);
        expect(type).toBe('Busy');
        expect(message).toContain('run switchover/other holds it (limit: one run at a time)');
        expect(report.next).toMatchObject([{ command: 'veloz-ha watch switchover/other' }]);
      }
      expect(cluster.did).not.toContain('failOver');
      await lock.terminate();
    });
  });

  test('of a person waits a while for a run that is about to end', async () => {
    await server.withWorker({}, async (taskQueue) => {
      const workflowId = lockWorkflowId(cluster.name);
      const lock = await server.client.start('clusterLock', { taskQueue, workflowId, args: [{}] });
      const { report } = await cluster.run({ approval: 'given', soak: '0s' }, async () => {
        await new Promise((resolve) => setTimeout(resolve, 1200));
        await lock.terminate();
      });
      expect(report.outcome).toBe('completed');
      expect(cluster.did).not.toContain('lockHolder');
    });
  });

  /** Who holds a lock, by the server's word; undefined when nobody does. */
  async function holderOf(lock?: LockName): Promise<string | undefined> {
    const asked = server.client.getHandle(lockWorkflowId(cluster.name, lock)).describe();
    const seen = await asked.catch(() => undefined);
    return seen?.status.name === 'RUNNING' ? (seen.parentExecution?.workflowId ?? undefined) : undefined;
  }

  test('by the guard waits for no run of another tier, and for no copy', async () => {
    await server.withWorker({}, async (taskQueue) => {
      const others: LockName[] = ['engine', 'redis', copyLock(STANDBY_2)];
      const held = await Promise.all(
        others.map((lock) =>
          server.client.start('clusterLock', {
            taskQueue,
            workflowId: lockWorkflowId(cluster.name, lock),
            args: [{}],
          }),
        ),
      );
      const { report } = await cluster.run({ ...cluster.incident(), soak: '0s' });
      expect(report.outcome).toBe('completed');
      expect(report.steps.map(({ says }) => says).join()).not.toContain('Waiting');
      expect(cluster.did).toEqual(['describeCluster', ...DONE]);
      for (const lock of held) await lock.terminate();
    });
  });

  test('gives way where its new primary fails while it only waits: it lets go of the lock, and ends at once', async () => {
    let goOn: (() => void) | undefined;
    cluster.can.startAsStandby = async () => {
      await new Promise<void>((resolve) => (goOn = resolve));
      return { streams: true, ms: 300 };
    };
    const { type, message, report } = await cluster.run(cluster.incident(), async (run) => {
      await eventually('the rejoin', () => (goOn === undefined ? undefined : true));
      // What it was asked about the node that it has fenced comes too late.
      await run.giveWay(PRIMARY);
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(await holderOf()).toMatch(/^failover-/);
      await run.giveWay(STANDBY);
      await eventually('a free lock', async () => ((await holderOf()) === undefined ? true : undefined));
      goOn?.();
      // What was left ends before its worker does.
      await new Promise((resolve) => setTimeout(resolve, 1000));
    });
    expect(type).toBe('Incomplete');
    expect(message).toContain(`it gave way, since others have to act now: ${STANDBY} is dead`);
    expect(report.primaryAfter).toBe(STANDBY);
    expect(cluster.did).not.toContain('settleRejoin');
    // Whoever has the lock by then has the nodes too.
    expect(cluster.did).not.toContain('releaseNodes');
  });

  test('does not give way in the middle of its critical section', async () => {
    let go: (() => void) | undefined;
    const whole = cluster.activities().failOver;
    cluster.can.failOver = async (move) => {
      await new Promise<void>((resolve) => (go = resolve));
      return (whole as (move: FailoverMove) => Promise<FailoverResult>)(move);
    };
    const { report } = await cluster.run({ ...cluster.incident(), soak: '0s' }, async (run) => {
      await eventually('the critical section', () => (go === undefined ? undefined : true));
      await run.giveWay(PRIMARY);
      await run.giveWay(STANDBY);
      go?.();
    });
    expect(report.outcome).toBe('completed');
  });

  test('that waits for a person holds no lock, and ends when somebody else has it at the approval', async () => {
    await server.withWorker({}, async (taskQueue) => {
      const { type, message } = await cluster.run({ ...cluster.incident(), approval: 'required' }, async (run) => {
        await run.asks();
        expect(await holderOf()).toBeUndefined();
        const workflowId = lockWorkflowId(cluster.name);
        const other = await server.client.start('clusterLock', { taskQueue, workflowId, args: [{}] });
        await run.approve();
        await eventually('it asks who holds the lock', () => (cluster.did.includes('lockHolder') ? true : undefined));
        await other.terminate();
      });
      expect(type).toBe('Busy');
      expect(message).toContain(`E1: PostgreSQL of cluster ${cluster.name} is locked: run switchover/other holds it`);
      expect(cluster.did).not.toContain('failOver');
    });
  });

  test('looks once more after the approval: what another run did meanwhile ends it', async () => {
    const { type, message } = await cluster.run({ soak: '0s' }, async (run) => {
      await run.asks();
      cluster.seen = turned(picture());
      await run.approve();
    });
    expect(type).toBe('Refused');
    expect(message).toContain(`I8: ${STANDBY} is a primary that takes writes`);
    const later = new FailingCluster(server);
    const other = await later.run({ soak: '0s' }, async (run) => {
      await run.asks();
      later.ledger = protectedLedger({ primary: STANDBY });
      await run.approve();
    });
    expect(other.message).toContain(`A1: ${STANDBY} was the primary last, as the ledger has it (limit: ${PRIMARY}`);
    expect(cluster.did.concat(later.did)).not.toContain('failOver');
  });

  describe('while the old primary is copied', () => {
    const plan = { method: 'copy', why: 'its WAL is gone' } as const;
    const work = (done: boolean) => ({
      done,
      method: 'copy' as const,
      phase: 'pg_basebackup',
      doneBytes: 1,
      totalBytes: 2,
      bytesPerSecond: 1,
      remainingMs: 1,
      startedAtMs: 1,
      ms: 1,
      lost: null,
      quarantine: null,
    });
    const held: (string | undefined)[] = [];
    beforeEach(() => {
      held.length = 0;
      cluster.can.lookAtRejoin = () => {
        cluster.seen = turned(picture());
        return Promise.resolve({ state: 'fenced', plan, says: 'it was fenced already' } as RejoinLook);
      };
      cluster.can.rewindOrCopy = async () => {
        held.push(await holderOf(), await holderOf(copyLock(PRIMARY)));
        return work(held.length > 2);
      };
    });

    test('it holds the lock of that node, and not that of PostgreSQL', async () => {
      const { report } = await cluster.run(cluster.incident());
      expect(report.outcome).toBe('completed');
      expect(held).toEqual([undefined, report.workflowId, undefined, report.workflowId]);
      expect(report.rejoin).toMatchObject({ method: 'copy' });
    });

    test('another primary makes the copy useless, and that is said', async () => {
      cluster.can.rewindOrCopy = () => {
        const seen = turned(picture());
        seen.node(STANDBY).sql.timeline = 9;
        cluster.seen = seen;
        return Promise.resolve(work(true));
      };
      const { type, message } = await cluster.run(cluster.incident());
      expect(type).toBe('Incomplete');
      expect(message).toContain(
        `A1: the data of ${PRIMARY} is made of that of ${STANDBY}, and ${STANDBY} is on another timeline now, 9`,
      );
      expect(cluster.did).not.toContain('startAsStandby');
      expect(cluster.did).toContain('releaseNodes');
    });
  });

  describe('when something fails', () => {
    test('a refusal inside the critical section ends it as refused: put back, given back, with its checks', async () => {
      cluster.can.failOver = () =>
        Promise.reject(fails('I7: may be lost. Nothing was promoted. Next: do this', 'Refused', { checks: [refusal] }));
      const { type, message, report } = await cluster.run(cluster.incident());
      expect(type).toBe('Refused');
      expect(message).toBe('I7: may be lost. Nothing was promoted. Next: do this');
      expect(report).toMatchObject({ outcome: 'refused', checks: [{ id: 'I7', result: 'refuse' }] });
      expect(report.next[0]).toMatchObject({ command: 'do this' });
      expect(report.failover).toMatchObject({ kind: 'dead', fence: 'it was not fenced', totalMs: null });
      expect(cluster.did).toEqual(['describeCluster', 'failOver', 'undoFailOver', ...END]);
    });

    test('a refusal after the fence says that the old primary is fenced, and what takes it back', async () => {
      cluster.can.failOver = () =>
        Promise.reject(
          fails('I6: silent', 'Refused', { checks: [refusal], fence: 'its container was ended in 90 ms' }),
        );
      const { report } = await cluster.run(cluster.incident());
      expect(report.failover?.fence).toBe('its container was ended in 90 ms, by an attempt that promoted nobody');
      expect(report.next.map(({ command }) => command)).toContain(`veloz-ha repair --cluster ${cluster.name}`);
    });

    test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
      ['nothing', {}, {}],
      ['that nobody was asked', { neverAsked: true }, { neverAsked: true }],
      [
        'that another run fenced it before',
        { neverAsked: true, fencedBefore: 'run 1 had fenced it before' },
        { neverAsked: true, fencedBefore: 'run 1 had fenced it before' },
      ],
    ])('the undo hears of a refusal %s', async (_what, details, heard) => {
      let asked: object | undefined;
      cluster.can.failOver = () => Promise.reject(fails('I6: silent', 'Refused', { checks: [refusal], ...details }));
      cluster.can.undoFailOver = ({ neverAsked, fencedBefore }) => {
        asked = { neverAsked, fencedBefore };
        return Promise.resolve(true);
      };
      await cluster.run(cluster.incident());
      expect(asked).toEqual({ neverAsked: undefined, fencedBefore: undefined, ...heard });
    });

    test('a failure before anybody was promoted is rolled back', async () => {
      cluster.can.failOver = () => Promise.reject(fails('PgBouncer does not answer'));
      const { type, message, report } = await cluster.run(cluster.incident());
      expect(type).toBe('RolledBack');
      expect(message).toBe(
        `Step "failover" failed: PgBouncer does not answer. Nobody was promoted, and clients were let go. Next: veloz-ha repair --cluster ${cluster.name}`,
      );
      expect(report.primaryAfter).toBeUndefined();
      expect(report.failover?.fence).toMatch(/^nobody can tell whether \S+ was fenced$/);
      expect(cluster.did).toEqual(['describeCluster', 'failOver', 'undoFailOver', ...END]);
    });

    test('where somebody was asked to be promoted there is only forward', async () => {
      let tries = 0;
      const { failOver } = cluster.activities();
      cluster.can.failOver = (move) => {
        // The undo has taken the nodes.
        expect(move.afterUndo).toBe(tries === 0 ? undefined : true);
        if (++tries === 1) return Promise.reject(fails('the worker lost its way'));
        return failOver?.(move) ?? Promise.reject(new Error());
      };
      cluster.can.undoFailOver = () => Promise.resolve(false);
      const { report } = await cluster.run(cluster.incident());
      expect(report.outcome).toBe('completed');
      expect(tries).toBe(2);
    });

    test('where it can’t be put back it says so, and what to run', async () => {
      cluster.can.failOver = () => Promise.reject(fails('no answer'));
      cluster.can.undoFailOver = () =>
        Promise.reject(fails(`${STANDBY}, which may have been promoted, does not answer`));
      const { type, message, report } = await cluster.run(cluster.incident());
      expect(type).toBe('Failed');
      expect(message).toBe(
        `Step "failover" failed and could not be put back: ${STANDBY}, which may have been promoted, does not answer (first failure: no answer). Next: veloz-ha repair --cluster ${cluster.name}`,
      );
      expect(report.next[0]?.command).toBe(`veloz-ha repair --cluster ${cluster.name}`);
      expect(cluster.did.slice(-2)).toEqual(END);
    });

    test.each(['recordPromotion', 'lookAtRejoin', 'settleRejoin', 'verifyMove'] as const)(
      'a failure of %s after the promotion leaves it incomplete, with what to run',
      async (activity) => {
        Object.assign(cluster.can, { [activity]: () => Promise.reject(fails('the disk is full')) });
        const { type, message, report } = await cluster.run(cluster.incident());
        expect(type).toBe('Incomplete');
        expect(message).toMatch(
          new RegExp(
            `^${STANDBY} was promoted, but step "\\w+" did not finish: the disk is full. Next: veloz-ha postgres rejoin ${PRIMARY} --cluster ${cluster.name}$`,
          ),
        );
        expect(report).toMatchObject({
          primaryAfter: STANDBY,
          failover: { lossBound: 0 },
          next: [{ command: `veloz-ha postgres rejoin ${PRIMARY} --cluster ${cluster.name}` }, {}, {}],
        });
        expect(cluster.did).not.toContain('undoFailOver');
        expect(cluster.did.slice(-2)).toEqual(END);
      },
    );

    test('nodes that can’t be given back are a warning', async () => {
      cluster.can.releaseNodes = () => Promise.reject(fails('no answer'));
      cluster.observed = () => Promise.reject(fails('no answer'));
      const { report } = await cluster.run(cluster.incident());
      expect(report).toMatchObject({
        outcome: 'completed with warnings',
        warnings: ['the nodes could not be given back; the next run takes them over'],
      });
    });
  });
});
