import { MockActivityEnvironment } from '@temporalio/testing';
import { failOver } from '../../../src/activities/failover/fail-over';
import type { FailoverMove, FailoverResult } from '../../../src/activities/failover/move';
import { planFailOver, type FailoverOutlook } from '../../../src/activities/failover/plan';
import { undoFailOver } from '../../../src/activities/failover/undo';
import { FENCE_FILE } from '../../../src/activities/fence';
import { STANDBY_FILES } from '../../../src/cluster/guard/standby-files';
import { controlFile } from '../../cluster/guard/support/standby-files';
import { ActingCluster, PRIMARY, protectedLedger, STANDBY, STANDBY_2 } from '../guard/support/acting-cluster';

let cluster: ActingCluster;
jest.mock('../../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../../src/systems/postgres'),
  connectPostgres: (...args: Parameters<ActingCluster['connect']>) => cluster.connect(...args),
}));

const RUN = 'failover/veloz/20251123T032011Z-9f3a/6f9619ff-8b86-4d01-b42d-00cf4fc964ff';
const REPAIR = 'veloz-ha repair --cluster veloz';
const MAKE = 'veloz-ha stack up';
const ACCEPT = `veloz-ha postgres promote --cluster veloz --to ${STANDBY} --allow-data-loss unlimited --reason "…"`;
const IN_PRODUCTION = 6;
const IN_RECOVERY = 5;

describe('a person says that a primary failed, and nothing that was recorded proves that nothing is lost', () => {
  let move: FailoverMove;
  /** The primary's files, as Docker reads them from outside. */
  let files: Record<string, string | Buffer | undefined>;
  const run = (rest: Partial<FailoverMove> = {}, attempt = 1): Promise<FailoverResult> =>
    new MockActivityEnvironment({ attempt }).run(() => failOver(cluster.engine.deps, { ...move, ...rest }));
  const undo = (rest: Partial<FailoverMove> = {}): Promise<boolean> =>
    new MockActivityEnvironment().run(() => undoFailOver(cluster.engine.deps, { ...move, ...rest }));
  const plan = (rest: Partial<FailoverMove> = {}): Promise<FailoverOutlook> =>
    new MockActivityEnvironment().run(() => planFailOver(cluster.engine.deps, { ...move, ...rest }));
  const refusal = async (rest: Partial<FailoverMove> = {}) =>
    run(rest).then(
      () => {
        throw new Error('it was promoted');
      },
      (error: { type: string; message: string; details: Record<string, unknown>[] }) => {
        expect(error.type).toBe('Refused');
        expect(cluster.promotions.size).toBe(0);
        return error;
      },
    );
  const touched = () => [
    ...cluster.did.filter((each) => each.startsWith(PRIMARY)),
    ...cluster.engine.did.filter((each) => /^(kill|put|disconnect|start)/.test(each)),
  ];
  const refuses = ({ checks }: FailoverOutlook) => checks.filter(({ result }) => result === 'refuse');

  beforeEach(() => {
    cluster = new ActingCluster();
    cluster.kill();
    cluster.engine.exitCodes[PRIMARY] = 137;
    files = { [STANDBY_FILES.control]: controlFile(IN_PRODUCTION, 1700, [3, 0], 77n) };
    const before = cluster.engine.nodeFile;
    cluster.engine.nodeFile = (node, path) => (node === PRIMARY && path in files ? files[path] : before(node, path));
    move = {
      cluster: 'veloz',
      run: RUN,
      source: PRIMARY,
      candidates: [STANDBY, STANDBY_2],
      ledger: null,
      byHand: true,
      holdLimitMs: 5000,
    };
  });
  afterEach(async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(cluster.engine.open).toBe(0);
  });

  describe.each([
    ['without a guard', () => null],
    [
      'with a ledger that says degraded',
      () => ({ ...protectedLedger(), state: 'degraded' as const, synchronous: [], why: 'no standby confirms' }),
    ],
    [
      'with a ledger that is old',
      () => ({ ...protectedLedger(), state: 'unknown' as const, why: 'nobody watches', confirmedAt: 1 }),
    ],
  ])('%s', (_what, ledger) => {
    beforeEach(() => {
      move.ledger = ledger();
    });

    test('one whose container has ended is fenced and read: the standby has all of it, and is promoted', async () => {
      const result = await run();
      expect(result).toMatchObject({ target: STANDBY, lossBound: 0 });
      expect(result.proof).toBe(
        `the WAL of ${PRIMARY} itself ends at 0/5000000 on timeline 3, and ${STANDBY} has WAL up to 0/5000000`,
      );
      expect(cluster.engine.did.filter((each) => /^(put|start)/.test(each))).toEqual([
        `put ${FENCE_FILE} into ${PRIMARY}`,
        `start ${PRIMARY}`,
      ]);
    });

    test('a standby that lacks some of it is not promoted, and the primary is started again in its place', async () => {
      cluster.walEnds.set(PRIMARY, { timeline: 3, lsn: '0/5000100' });
      const { message, details } = await refusal();
      expect(message).toContain(`the WAL of ${PRIMARY} itself goes to 0/5000100 on timeline 3`);
      expect(message).toContain('Nothing was promoted');
      expect(details).toMatchObject([{ neverAsked: true, fence: expect.stringContaining(PRIMARY) as unknown }]);
      expect(await undo({ neverAsked: true })).toBe(true);
      expect(cluster.did).toContain(`${PRIMARY} start 6000001`);
      expect(cluster.fences.size).toBe(0);
      expect(cluster.hold).toBeUndefined();
    });

    test('the plan says so beforehand, refuses nothing, and changes nothing', async () => {
      const outlook = await plan();
      expect(refuses(outlook)).toEqual([]);
      expect(outlook.checks.filter(({ result }) => result === 'warn').map(({ id }) => id)).toContain(
        move.ledger === null ? 'B3' : 'I7',
      );
      expect(outlook).toMatchObject({ target: STANDBY, plan: { readsFirst: true } });
      expect(touched()).toEqual([]);
    });
  });

  test('one that was told to stop is read, too: a person asked for it', async () => {
    cluster.engine.exitCodes[PRIMARY] = 0;
    expect(await run()).toMatchObject({ target: STANDBY, lossBound: 0 });
  });

  test('one that could not be read behind its fence: only then a person is told how a loss is accepted', async () => {
    cluster.walEnds.set(PRIMARY, undefined);
    const { message } = await refusal();
    expect(message).toContain(`the WAL of ${PRIMARY} itself could not be read: `);
    expect(message).toMatch(new RegExp(`Next: ${ACCEPT.replace(/[().*+?]/g, '\\$&')}$`));
  });

  /** Whatever a person may be wrong about, or somebody does meanwhile: nothing is fenced. */
  const left: [what: string, change: () => void, says: string | undefined][] = [
    ['runs, and is silent', () => (cluster.engine.status[PRIMARY] = 'running'), undefined],
    ['is frozen', () => (cluster.engine.status[PRIMARY] = 'paused'), undefined],
    ['was never started', () => (cluster.engine.status[PRIMARY] = 'created'), undefined],
    ['is gone', () => (cluster.engine.status[PRIMARY] = 'absent'), undefined],
    [
      'is started by somebody while its files are read',
      () => {
        let looks = 0;
        cluster.engine.onInspect = (node) => {
          if (node === PRIMARY && ++looks > 1) cluster.engine.status[PRIMARY] = 'running';
        };
      },
      undefined,
    ],
    [
      'is not told of by Docker',
      () => (cluster.engine.status[PRIMARY] = 'unreachable'),
      'how its container ended is not known: connect ENOENT docker.sock',
    ],
    [
      'was a standby',
      () => (files[STANDBY_FILES.signal] = ''),
      'standby.signal lies in its data directory: it is fenced, or was a standby',
    ],
    [
      'ran as a standby',
      () => (files[STANDBY_FILES.control] = controlFile(IN_RECOVERY, 1700, [3, 3], 77n)),
      'its pg_control says that it ran as a standby',
    ],
    [
      'was fenced by another run, which promoted somebody',
      () => (files[FENCE_FILE] = JSON.stringify({ version: 1, run: 'failover-veloz-7/x', attempt: 1 })),
      'failover-veloz-7/x has fenced it',
    ],
    ['has a fence that nobody understands', () => (files[FENCE_FILE] = '{'), 'an unknown run has fenced it'],
    [
      'was followed by another primary',
      () => (files[STANDBY_FILES.control] = controlFile(IN_PRODUCTION, 1700, [2, 0], 77n)),
      `it ended on timeline 2 by its control file, and ${STANDBY} is on 3: another node was promoted since, or it was itself, right before its end`,
    ],
    [
      'belongs to another database system',
      () => (files[STANDBY_FILES.control] = controlFile(IN_PRODUCTION, 1700, [3, 0], 99n)),
      `it belongs to database system 99, and ${STANDBY} to 77`,
    ],
    [
      'has no pg_control',
      () => (files[STANDBY_FILES.control] = undefined),
      'its pg_control is missing or of an unknown layout',
    ],
    [
      'is not the only silent node',
      () => (cluster.engine.status[STANDBY_2] = 'exited'),
      `${STANDBY_2} gives no answer, and may have taken its place`,
    ],
  ];
  test.each(left)(
    'one that %s is left, and a repair is named before a loss',
    async (what, change, says) => {
      change();
      const { message, details } = await refusal();
      // What has no container is made one first: that loses nothing either.
      const next = what === 'is gone' ? MAKE : REPAIR;
      expect(touched()).toEqual([]);
      expect(message).toMatch(/^B3: .*Nothing was promoted\. Next: /);
      expect(message.endsWith(`Next: ${next}`)).toBe(true);
      if (says !== undefined) expect(message).toContain(says);
      expect(details).toMatchObject([
        { checks: expect.arrayContaining([expect.objectContaining({ id: 'B3' })]) as unknown },
      ]);
      const b3 = (details[0]?.checks as { id: string }[]).find(({ id }) => id === 'B3');
      expect(b3).toMatchObject({ next, instead: ACCEPT });
    },
    30_000,
  );
  test.each(left)(
    'of one that %s the plan refuses as before',
    async (_what, change) => {
      change();
      const outlook = await plan();
      expect(refuses(outlook).map(({ id }) => id)).toContain('B3');
      expect(outlook.plan?.readsFirst).toBeUndefined();
      expect(touched()).toEqual([]);
    },
    30_000,
  );

  test('an attempt that died behind its fence is gone on with: the fence in the volume is its own', async () => {
    files[FENCE_FILE] = JSON.stringify({ version: 1, run: RUN, attempt: 1 });
    expect(await run({}, 2)).toMatchObject({ target: STANDBY, lossBound: 0 });
  });

  test('one that died after the primary was started behind the fence, too', async () => {
    cluster.fences.set(PRIMARY, { run: RUN, wasPrimary: true, atMs: 7 });
    cluster.engine.status[PRIMARY] = 'running';
    expect(await run({}, 2)).toMatchObject({ target: STANDBY, lossBound: 0 });
  });

  test('a primary that takes writes by then is left: a failover is not the answer', async () => {
    cluster.engine.status[PRIMARY] = 'running';
    cluster.down.delete(PRIMARY);
    expect((await refusal()).message).toMatch(/^I8: /);
    expect(touched()).toEqual([]);
  });

  test('what the guard saw dead is held against Docker once a person has thought about it', async () => {
    const { byHand: _byHand, ...seen } = move;
    move = { ...seen, kind: 'dead' };
    expect(await plan({ decidedAt: Date.now() })).toMatchObject({ plan: { readsFirst: true } });
    cluster.engine.status[PRIMARY] = 'running';
    await refusal();
    expect(touched()).toEqual([]);
    cluster.engine.status[PRIMARY] = 'exited';
    expect(await run()).toMatchObject({ target: STANDBY, lossBound: 0 });
  });

  test('a repair that promotes fences nothing for a look: it has tried to start that node', async () => {
    const { byHand: _byHand, ...byRepair } = move;
    move = byRepair;
    expect((await refusal()).message).toMatch(/^B3: .*--allow-data-loss unlimited --reason "…"$/);
    expect(touched()).toEqual([]);
  });
});
