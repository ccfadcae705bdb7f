import type { Client } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { ActingBeat } from '../../../src/activities/guard/act-at-once';
import { watchCluster, type WatchRequest, type WatchResult } from '../../../src/activities/guard/watch';
import { emptyJournal } from '../../../src/activities/failover/journal';
import { FAIR_CHANCE_MS } from '../../../src/cluster/guard/fair-chance';
import { isInVain, type Heard } from '../../../src/cluster/guard/heard';
import { ledgerKey, type Ledger } from '../../../src/cluster/guard/ledger';
import {
  ActingCluster,
  POOLER,
  PRIMARY,
  Refusal,
  silence,
  STANDBY,
  STANDBY_2,
  protectedLedger,
} from './support/acting-cluster';

let cluster: ActingCluster;
jest.mock('../../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../../src/systems/postgres'),
  connectPostgres: (...args: Parameters<ActingCluster['connect']>) => cluster.connect(...args),
}));

const RUN = 'failover-veloz-1/6f9619ff';
const { WORKFLOW_EXECUTION_STATUS_RUNNING: RUNNING } = temporal.api.enums.v1.WorkflowExecutionStatus;
const { PENDING_ACTIVITY_STATE_STARTED: STARTED, PENDING_ACTIVITY_STATE_CANCEL_REQUESTED: TOLD_TO_END } =
  temporal.api.enums.v1.PendingActivityState;

describe('a watch that sees the primary fail', () => {
  let ledger: Ledger;
  let environment: MockActivityEnvironment;
  let beats: { acting?: ActingBeat; ledger: string; confirmedAt?: number; heard?: Heard }[];
  let temporalSays: () => object;
  beforeEach(() => {
    cluster = new ActingCluster();
    const now = Date.now();
    ledger = protectedLedger(now);
    beats = [];
  });

  /** The watch as an attempt of its activity, with what the attempt before it said last. */
  function watch(
    request: Partial<WatchRequest> = {},
    { attempt = 1, before }: { attempt?: number; before?: unknown } = {},
  ): Promise<WatchResult> {
    temporalSays ??= () => ({});
    const client = {
      withAbortSignal: (_signal: AbortSignal, body: () => unknown) => body(),
      options: { namespace: 'default' },
      workflowService: {
        describeWorkflowExecution: () =>
          Promise.resolve({
            workflowExecutionInfo: { status: RUNNING },
            pendingActivities: [{ activityId: '7', attempt, state: STARTED, ...temporalSays() }],
          }),
      },
    } as unknown as Client;
    environment = new MockActivityEnvironment(
      {
        activityId: '7',
        attempt,
        heartbeatDetails: before,
        workflowExecution: { workflowId: 'guard/veloz', runId: 'r' },
      },
      { client },
    );
    environment.on('heartbeat', (beat: (typeof beats)[number]) => beats.push(structuredClone(beat)));
    const known = { failed: false, splitBrain: false, standbyLost: false, standbyBack: false, sees: 'healthy' };
    return environment.run(() =>
      watchCluster(cluster.engine.deps, {
        cluster: 'veloz',
        ledger,
        mayHold: true,
        mayAct: true,
        incidentRun: RUN,
        known,
        forMs: 3000,
        ...request,
      }),
    );
  }

  /** The primary is killed once the watch has looked. */
  async function killed(request: Partial<WatchRequest> = {}): Promise<WatchResult> {
    const watching = watch(request);
    await looked();
    cluster.kill();
    return watching;
  }
  const looked = async () => {
    while (cluster.servers.asked.filter((node) => node === PRIMARY).length < 2)
      await new Promise((resolve) => setTimeout(resolve, 5));
  };
  afterEach(async () => {
    temporalSays = () => ({});
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(cluster.engine.open).toBe(0);
    expect(cluster.servers.sessions.filter(({ session }) => !session.closed)).toEqual([]);
  });

  test('fences it, promotes the standby, routes and lets go, over the ways that it holds open', async () => {
    let openedThen = 0;
    cluster.before = (node, command) => {
      if (node === STANDBY && command === 'claim') openedThen = cluster.engine.opened;
      return undefined;
    };
    const found = await killed();
    expect(found).toMatchObject({ why: 'failed', state: 'failed', failure: { kind: 'dead' } });
    const { acted } = found.failure ?? {};
    expect(acted?.problem).toBeUndefined();
    expect(acted?.journal).toMatchObject({
      began: 'promotion',
      lossBound: 0,
      names: '',
      timelineBefore: 3,
      receivedByTarget: '0/5000000',
      fence: expect.stringContaining('the fence lies in its volume') as unknown,
    });
    const { marks, subSteps } = acted?.journal ?? emptyJournal();
    for (const mark of Object.values(marks)) expect(mark).not.toBeNull();
    expect(subSteps.map(({ id }) => id)).toEqual([
      'open',
      'hold',
      'look',
      'fence',
      'choose',
      'promote',
      'route',
      'release',
    ]);
    expect(cluster.promotions.get(STANDBY)?.run).toBe(RUN);
    expect({ route: cluster.route, hold: cluster.hold }).toEqual({ route: STANDBY, hold: undefined });
    // The session of the killed primary's agent is none of those.
    expect(cluster.engine.opened - openedThen).toBe(0);
    expect(cluster.did.filter((each) => each.startsWith(STANDBY))).toEqual([`${STANDBY} promote 2`]);
    expect(cluster.engine.files[0]?.content).toMatchObject({ run: RUN, attempt: 2 });
  });

  describe('whose container has ended by Docker’s events', () => {
    /** What had happened when the fence was let into the volume. */
    let whenFenced: { promoted: boolean; released: boolean } | undefined;
    async function killedBySignal(beforeKill: () => void = () => undefined): Promise<WatchResult> {
      whenFenced = undefined;
      const watching = watch();
      await looked();
      cluster.engine.onPutFile = async () => {
        await new Promise((resolve) => setTimeout(resolve, 300));
        whenFenced = { promoted: cluster.promotions.has(STANDBY), released: cluster.hold === undefined };
      };
      beforeKill();
      cluster.killBySignal();
      return watching;
    }
    const idsOf = (found: WatchResult) => found.failure?.acted?.journal.subSteps.map(({ id }) => id);

    test('promotes and lets clients go while the fence is made, and ends with its proof', async () => {
      const found = await killedBySignal();
      expect(whenFenced).toEqual({ promoted: true, released: true });
      const { journal, problem } = found.failure?.acted ?? {};
      expect(problem).toBeUndefined();
      expect(journal).toMatchObject({
        began: 'promotion',
        lossBound: 0,
        fence: expect.stringContaining('the fence lies in its volume') as unknown,
        marks: { fenceBeside: true },
      });
      expect(journal?.warnings).toBeUndefined();
      expect(journal?.marks.fenceMs).toBeGreaterThan(250);
      expect(idsOf(found)).toEqual(['open', 'hold', 'look', 'choose', 'promote', 'route', 'release', 'fence']);
      expect(cluster.engine.files[0]?.content).toMatchObject({ run: RUN, attempt: 2 });
    });

    test('asks Docker for no state that it keeps back until the teardown is through', async () => {
      cluster.engine.onInspect = () => undefined;
      let asked = 0;
      const found = await killedBySignal(
        () => (cluster.engine.onInspect = (node) => (asked += node === PRIMARY ? 1 : 0)),
      );
      expect(found.failure?.kind).toBe('dead');
      // Both looks of the fence, and no more.
      expect(asked).toBe(2);
    });

    test('waits for the fence where another standby has a container, and could confirm what a revived primary writes', async () => {
      const found = await killedBySignal(() => (cluster.engine.status[STANDBY_2] = 'running'));
      expect(found.failure?.acted?.journal.marks.fenceBeside).toBeUndefined();
      expect(whenFenced).toEqual({ promoted: false, released: false });
      expect(cluster.promotions.has(STANDBY)).toBe(true);
    });

    test('waits for the fence where somebody has started it again meanwhile', async () => {
      cluster.before = (node, command) => {
        if (node === POOLER && command === 'claim') cluster.engine.events?.onEvent('start');
        return undefined;
      };
      const found = await killedBySignal();
      expect(whenFenced).toEqual({ promoted: false, released: false });
      expect(idsOf(found)?.indexOf('fence')).toBeLessThan(idsOf(found)?.indexOf('promote') ?? -1);
    });

    test('tells where the fence failed: clients go on all the same', async () => {
      const found = await killedBySignal(() => {
        cluster.engine.onPutFile = () => Promise.reject(new Error('no space left on device'));
        cluster.engine.onDisconnect = () => {
          throw new Error('Docker is away');
        };
      });
      const { journal, problem } = found.failure?.acted ?? {};
      expect(problem).toBeUndefined();
      expect(journal?.fence).toBeUndefined();
      expect(journal?.marks).toMatchObject({ fenceBeside: true, fenceMs: null, fencedAt: null });
      expect(journal?.warnings).toEqual([
        expect.stringMatching(
          /^H2: .*is not fenced yet: .*Docker is away.*\(limit: .*\)\. Next: veloz-ha postgres rejoin \S+ --cluster veloz$/,
        ),
      ]);
      expect(journal?.warnings?.[0]).not.toContain('Nothing was promoted');
      expect({ route: cluster.route, hold: cluster.hold }).toEqual({ route: STANDBY, hold: undefined });
    });

    test('claims nothing where the files of the fenced primary say something else than the ledger', async () => {
      cluster.engine.autoConf = () => "synchronous_standby_names = ''";
      const { journal, problem } = (await killedBySignal()).failure?.acted ?? {};
      expect(problem).toBeUndefined();
      expect(journal).toMatchObject({ lossBound: null, marks: { fenceBeside: true } });
      expect(journal?.proof).toBeUndefined();
      expect(journal?.warnings).toEqual([expect.stringMatching(/^I7: whether something is lost is not known: .*''/)]);
    });

    test('waits for the fence, and reads those files, where it had not seen the primary alive itself', async () => {
      cluster.kill();
      cluster.engine.autoConf = () => "synchronous_standby_names = ''";
      const found = await watch();
      expect(found.failure).toMatchObject({ watched: false });
      expect(found.failure?.acted).toMatchObject({
        problem: expect.stringContaining('has to be read: the run that follows does that') as unknown,
        journal: { began: 'fence', marks: { promotedAt: null } },
      });
      expect(cluster.promotions.size).toBe(0);
      cluster = new ActingCluster();
      cluster.kill();
      expect((await watch()).failure?.acted?.journal).toMatchObject({
        lossBound: 0,
        proof: expect.stringContaining('say the same') as unknown,
      });
    });

    test('goes on only when the fence is through, where nobody is promoted in the end', async () => {
      cluster.before = (node, command) =>
        node === STANDBY && command === 'promote' ? new Refusal('Revoked', 'it may not be promoted') : undefined;
      const found = await killedBySignal();
      expect(whenFenced).toEqual({ promoted: false, released: false });
      expect(found.failure?.acted).toMatchObject({
        problem: expect.stringContaining('it may not be promoted') as unknown,
        journal: { fence: expect.stringContaining('the fence lies') as unknown, marks: { promotedAt: null } },
      });
    });

    test('leaves the fence to another attempt that has taken over: clients go on, and it says so', async () => {
      cluster.before = (node, command) => {
        if (node === STANDBY && command === 'promote') temporalSays = () => ({ attempt: 2 });
        return undefined;
      };
      // Docker tells the state only when the teardown is through; the fence asks for Temporal's word after that.
      const found = await killedBySignal(() => {
        const inspect = cluster.engine.docker.inspect;
        cluster.engine.docker.inspect = async (node) => {
          if (node === PRIMARY) await new Promise((resolve) => setTimeout(resolve, 200));
          return inspect(node);
        };
      });
      const { problem, journal } = found.failure?.acted ?? {};
      expect(problem).toMatch(/attempt/);
      expect(cluster.engine.files).toEqual([]);
      expect(journal).toMatchObject({ marks: { releasedAt: expect.any(Number) as unknown, fencedAt: null } });
      expect(journal?.fence).toBeUndefined();
    });
  });

  test('says with each heartbeat what it has found and done, and until when the ledger holds', async () => {
    await killed();
    const acting = beats.filter((beat) => beat.acting !== undefined);
    expect(acting.length).toBeGreaterThan(5);
    for (const beat of acting)
      expect(beat).toMatchObject({ ledger: ledgerKey(ledger), confirmedAt: expect.any(Number) as unknown });
    expect(acting[0]?.acting).toMatchObject({ found: { failure: { kind: 'dead' } }, journal: { subSteps: [] } });
    expect(acting.at(-1)?.acting?.journal.marks.releasedAt).not.toBeNull();
    const before = acting.find(({ acting: each }) => each?.journal.began !== undefined);
    expect(before?.acting?.journal.marks.fencedAt).toBeNull();
  });

  describe('while commits waited for nobody', () => {
    /** Killed once it was seen over some rounds that the standby confirms nothing of what was written. */
    async function killedWhileWaiting(): Promise<WatchResult> {
      cluster.written = '0/5000100';
      cluster.walEnds.set(PRIMARY, { timeline: 3, lsn: '0/5000100' });
      const watching = watch({ forMs: 10_000 });
      while (!isInVain(beats.at(-1)?.heard?.waiting)) await new Promise((resolve) => setTimeout(resolve, 5));
      cluster.killBySignal();
      return watching;
    }

    test('promotes nobody who may lack a commit whose wait was cancelled: the WAL of the old primary is to be read', async () => {
      const found = await killedWhileWaiting();
      expect(found.heard?.waiting).toMatchObject({ upTo: '0/5000100' });
      expect(found.failure?.acted).toMatchObject({
        problem: expect.stringContaining(`the WAL of ${PRIMARY} has to be read`) as unknown,
        journal: { began: 'fence' },
      });
      expect(cluster.promotions.size).toBe(0);
      expect(beats.at(-1)).toMatchObject({ heard: { waiting: { upTo: '0/5000100' } } });
    });

    test('promotes a standby that has all of it', async () => {
      cluster.received = '0/5000100';
      const found = await killedWhileWaiting();
      expect(found.failure?.acted?.journal).toMatchObject({ began: 'promotion', lossBound: 0 });
      expect(cluster.promotions.has(STANDBY)).toBe(true);
    });
  });

  test('only tells where it may not act', async () => {
    const found = await killed({ mayAct: false });
    expect(found.failure).toMatchObject({ kind: 'dead' });
    expect(found.failure?.acted).toBeUndefined();
    expect(cluster.engine.did).toEqual([]);
    expect(cluster.claims.has(STANDBY)).toBe(false);
  });

  test('waits while a run holds the lock of PostgreSQL, and acts when it is free', async () => {
    cluster.engine.holder = 'switchover-7';
    const watching = watch();
    await looked();
    cluster.kill();
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(cluster.did).toEqual([]);
    cluster.engine.holder = undefined;
    expect((await watching).failure?.acted?.journal.began).toBe('promotion');
  });

  test('lets clients go where it is refused, and tells no more than the failure: the run that follows reports that', async () => {
    // Its server gives no answer either, and nobody can be promoted.
    cluster.before = (node, command) => {
      if (node === POOLER && command === 'claim') cluster.stop(STANDBY);
      return undefined;
    };
    const found = await killed();
    expect(found.failure?.acted).toBeUndefined();
    expect(cluster.hold).toBeUndefined();
    expect(cluster.did).toContain(`${POOLER} release 2`);
    expect({ did: cluster.engine.did, promotions: cluster.promotions.size }).toEqual({ did: [], promotions: 0 });
  });

  test('does not begin where people have told it to end, although it has not heard of that', async () => {
    temporalSays = () => ({ state: TOLD_TO_END });
    const found = await killed();
    expect(found).toMatchObject({ why: 'failed' });
    expect(found.failure?.acted).toBeUndefined();
    expect(cluster.engine.did).toEqual([]);
    expect(cluster.hold).toBeUndefined();
  });

  test('does not begin where another attempt goes on', async () => {
    temporalSays = () => ({ attempt: 2 });
    expect((await killed()).failure?.acted).toBeUndefined();
    expect({ did: cluster.engine.did, hold: cluster.hold }).toEqual({ did: [], hold: undefined });
  });

  test('does not begin where Temporal gives no answer: clients go', async () => {
    temporalSays = () => {
      throw new Error('unavailable');
    };
    expect((await killed()).failure?.acted).toBeUndefined();
    expect({ did: cluster.engine.did, hold: cluster.hold }).toEqual({ did: [], hold: undefined });
  });

  test('tells that the fence is begun where it can not go on: nobody was asked', async () => {
    cluster.before = (node, command) =>
      node === STANDBY && command === 'promote' ? new Refusal('Revoked', 'it may not be promoted') : undefined;
    const found = await killed();
    expect(found.failure?.acted).toMatchObject({
      problem: expect.stringContaining('it may not be promoted') as unknown,
      journal: { began: 'promotion', marks: { promotedAt: null } },
    });
    expect(found.failure?.acted?.journal.marks.fencedAt).not.toBeNull();
  });

  test('leaves it to a run that has taken the nodes just then', async () => {
    cluster.before = (node, command) => {
      if (node === STANDBY && command === 'promote') cluster.claims.set(STANDBY, { run: 'switchover-7', attempt: 1 });
      return undefined;
    };
    const { acted } = (await killed()).failure ?? {};
    expect(acted?.problem).toContain('Another run took the nodes');
    expect(cluster.promotions.size).toBe(0);
    expect(cluster.hold).toBeUndefined();
  });

  test('takes no candidate from a run that holds clients', async () => {
    cluster.before = (node, command) =>
      node === POOLER && command === 'claim' ? new Refusal('Busy', 'run promote-1 holds this node') : undefined;
    const found = await killed();
    expect(found.failure?.acted).toBeUndefined();
    expect([...cluster.claims.keys()]).toEqual([]);
  });

  test('goes on to the end where it is told to end in the middle', async () => {
    cluster.before = (node, command) => {
      if (node === STANDBY && command === 'promote') environment.cancel();
      return undefined;
    };
    const { acted } = (await killed()).failure ?? {};
    expect(acted?.problem).toBeUndefined();
    expect(acted?.journal.marks.releasedAt).not.toBeNull();
  });

  test('goes on to the end where its worker ends in the middle', async () => {
    const ending = new AbortController();
    Object.assign(cluster.engine.deps, { ending: ending.signal });
    cluster.before = (node, command) => {
      if (node === STANDBY && command === 'promote') ending.abort();
      return undefined;
    };
    expect((await killed()).failure?.acted?.journal.marks.releasedAt).not.toBeNull();
  });

  describe('and may come back, with a ledger that proves nothing,', () => {
    const told = (request: Partial<WatchRequest> = {}) => {
      ledger = { ...ledger, state: 'unknown', why: 'it said protected, and nobody has confirmed that' };
      cluster.freeze();
      return watch({ mayHold: false, mayAct: false, forMs: 20_000, ...request });
    };

    test('tells it only once it has lasted, and holds nobody until then', async () => {
      const began = Date.now();
      const found = await told();
      expect(found).toMatchObject({ why: 'failed', failure: { kind: 'hung' } });
      expect(found.failure!.decidedAt - found.failure!.since).toBeGreaterThanOrEqual(FAIR_CHANCE_MS);
      expect(Date.now() - began).toBeLessThan(FAIR_CHANCE_MS + 2000);
      expect(cluster.hold).toBeUndefined();
    }, 20_000);

    test('tells no failure of a hang that ends by itself: the ledger proves something again', async () => {
      setTimeout(() => cluster.thaw(), 3000);
      const found = await told({ forMs: 8000 });
      expect(found).toMatchObject({ why: 'ledger', ledger: { state: 'protected' } });
    }, 20_000);

    test('tells at once what is over', async () => {
      const began = Date.now();
      const found = told();
      cluster.kill();
      expect(await found).toMatchObject({ why: 'failed', failure: { kind: 'dead' } });
      expect(Date.now() - began).toBeLessThan(FAIR_CHANCE_MS / 2);
    });
  });

  describe('in an attempt after one whose worker died', () => {
    const earlier = (rest: Partial<ActingBeat['journal']> = {}): object => ({
      ledger: ledgerKey(ledger),
      confirmedAt: ledger.confirmedAt,
      acting: {
        found: {
          why: 'failed',
          at: 1,
          state: 'failed',
          sees: 'it was seen to hang',
          signals: [],
          failure: { kind: 'hung', since: Date.now() - 900, decidedAt: Date.now() - 300, heldSince: null },
        },
        journal: { ...emptyJournal(), fence: 'fenced before', ...rest },
      },
    });
    const promotedBefore = () => {
      cluster.promotions.set(STANDBY, { run: RUN, atMs: 8 });
      cluster.primary = STANDBY;
      cluster.stop(PRIMARY);
    };

    test('goes on with a promotion that is in no heartbeat, before it believes what it sees', async () => {
      promotedBefore();
      cluster.hold = { run: RUN, attempt: 2 };
      const found = await watch({}, { attempt: 2 });
      expect(found).toMatchObject({
        why: 'failed',
        sees: expect.stringContaining('as a worker saw that died') as unknown,
        failure: { acted: { journal: { began: 'promotion', marks: { releasedAt: expect.any(Number) as unknown } } } },
      });
      expect({ route: cluster.route, hold: cluster.hold }).toEqual({ route: STANDBY, hold: undefined });
      // Nobody was promoted once more; that the old primary is fenced nobody knew.
      expect(cluster.did.filter((each) => /promote|fence/.test(each))).toEqual([`${PRIMARY} fenceNow 4`]);
      expect(found.failure?.acted?.journal.fence).toContain('was fenced by its agent');
      expect(cluster.did).toContain(`${POOLER} release 4`);
    });

    test('does not fence once more what it knows to be fenced', async () => {
      promotedBefore();
      await watch({}, { attempt: 2, before: earlier({ began: 'promotion' }) });
      expect(cluster.did.filter((each) => /promote|fence/.test(each))).toEqual([]);
    });

    test('keeps what that one had found and measured', async () => {
      promotedBefore();
      const marks = { ...emptyJournal().marks, fencedAt: 5, fenceMs: 90 };
      const found = await watch({}, { attempt: 2, before: earlier({ began: 'fence', marks, lossBound: 0 }) });
      expect(found).toMatchObject({
        sees: 'it was seen to hang',
        failure: { kind: 'hung', acted: { journal: { began: 'promotion', fence: 'fenced before', lossBound: 0 } } },
      });
      expect(found.failure?.acted?.journal.marks).toMatchObject({ fencedAt: 5, fenceMs: 90 });
    });

    test('goes on where the old primary was fenced by its agent, and its container runs', async () => {
      cluster.fences.set(PRIMARY, { run: RUN, wasPrimary: true, atMs: 7 });
      cluster.stop(PRIMARY);
      const found = await watch({}, { attempt: 2, before: earlier({ began: 'fence' }) });
      expect(found.failure?.acted?.journal.marks.releasedAt).not.toBeNull();
      expect(cluster.promotions.get(STANDBY)?.run).toBe(RUN);
      expect(cluster.did).toContain(`${STANDBY} promote 4`);
    });

    test('the same where no heartbeat says so: the fence is on record', async () => {
      cluster.fences.set(PRIMARY, { run: RUN, wasPrimary: true, atMs: Date.now() });
      cluster.stop(PRIMARY);
      const found = await watch({}, { attempt: 2 });
      expect(found.failure?.acted?.journal).toMatchObject({ began: 'promotion', lossBound: 0 });
      expect(cluster.promotions.get(STANDBY)?.run).toBe(RUN);
    });

    test('gives back what that one had only taken, and watches on', async () => {
      cluster.claims.set(STANDBY, { run: RUN, attempt: 2 });
      cluster.claims.set(POOLER, { run: RUN, attempt: 2 });
      cluster.hold = { run: RUN, attempt: 2 };
      const found = await watch({ forMs: 300 }, { attempt: 2, before: earlier() });
      expect(found).toMatchObject({ why: 'quiet', state: 'healthy' });
      expect(cluster.did).toEqual(
        expect.arrayContaining([`${STANDBY} forget 3`, `${POOLER} release 3`, `${POOLER} forget 3`]),
      );
      expect([...cluster.claims.keys()]).toEqual([]);
      expect(cluster.hold).toBeUndefined();
      expect(beats.at(-1)?.acting).toBeUndefined();
    });

    test('leaves nodes alone that another run has', async () => {
      cluster.claims.set(STANDBY, { run: 'switchover-7', attempt: 2 });
      await watch({ forMs: 300 }, { attempt: 2 });
      expect(cluster.claims.get(STANDBY)).toEqual({ run: 'switchover-7', attempt: 2 });
      expect(cluster.did).toEqual([]);
    });

    test('acts on what it sees itself where that one had not begun: a killed primary is found once more', async () => {
      cluster.kill();
      const found = await watch({}, { attempt: 3 });
      expect(found.failure).toMatchObject({ kind: 'dead', acted: { journal: { began: 'promotion' } } });
      expect(cluster.did).toContain(`${STANDBY} promote 6`);
    });

    test('does not go on beside a run that holds the lock by now: what was begun is told', async () => {
      promotedBefore();
      cluster.engine.holder = 'promote-1';
      const found = await watch({}, { attempt: 2 });
      expect(found.failure?.acted).toMatchObject({
        problem: 'run promote-1 holds the lock of PostgreSQL',
        journal: { began: 'promotion' },
      });
      expect(cluster.did).toEqual([]);
    });

    test('of a candidate that gives no answer it is not certain that nobody asked it', async () => {
      cluster.kill();
      let silent = true;
      cluster.before = (node, command) => (node === STANDBY && command === 'observe' && silent ? silence : undefined);
      const watching = watch({}, { attempt: 2 });
      await new Promise((resolve) => setTimeout(resolve, 900));
      silent = false;
      expect((await watching).failure?.acted?.journal.began).toBe('promotion');
    });
  });
});
