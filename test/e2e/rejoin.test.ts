import { slotName } from '../../src/cluster/topology';
import { failureOf, Rig } from './support/rig';
import { untouched } from './support/refusal';
import {
  jobOf,
  onVolume,
  promotedByHand,
  run,
  slotsOf,
  startRun,
  syncStates,
  withBrokenTool,
} from './support/standby-runs';
import { sampled as test } from './support/sample';
import { docker, psql, roles, thenAlways, waitUntil, whole } from './support/stack';

/** The standby was promoted, and the old primary is made its standby. */
describe('an old primary becomes a standby again', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.start();
    await rig.worker();
    await whole();
    psql((await roles()).primary, 'CREATE TABLE IF NOT EXISTS e2e_rejoin (what text)');
  });
  afterAll(async () => {
    await thenAlways(
      async () => {
        await whole();
        psql((await roles()).primary, 'DROP TABLE IF EXISTS e2e_rejoin, e2e_rejoin_big');
      },
      () => rig.close(),
    );
  });

  /**
   * A segment that PostgreSQL has made ahead and not written yet, in the place where the directory lists it first: pg_waldump takes the
   * size of all segments from it unless it is told which ones to read.
   */
  const emptySegmentFirst = (node: string) =>
    onVolume(
      node,
      `cd /var/lib/postgresql/data/pg_wal && set -- $(ls | grep -E '^[0-9A-F]{24}$') && line=$(printf %.8s "$1") && size=$(stat -c %s "$1") &&
       for n in $(seq 16 2000); do f=$(printf %s00000FFF%08X "$line" "$n"); truncate -s "$size" "$f"
       case $(ls -U | grep -E '^[0-9A-F]{24}$' | head -1) in "$f") chown --reference=. "$f"; exit 0;; esac; rm "$f"; done; exit 1`,
    );

  /** An ANALYZE of autovacuum would be one more commit that is lost. The setting goes with the files, which are the new primary's then. */
  const writesNothingByItself = (node: string) => {
    psql(node, 'ALTER SYSTEM SET autovacuum = off');
    psql(node, 'SELECT pg_reload_conf()');
  };

  const rows = (node: string) => psql(node, 'SELECT what FROM e2e_rejoin ORDER BY 1').split('\n');

  test('it was killed with a row that nobody else has: rewound, the row is gone, and kept in quarantine', async () => {
    const { old, now } = await promotedByHand((primary) => {
      psql(primary, `SET synchronous_commit = local; INSERT INTO e2e_rejoin VALUES ('only here')`);
      docker('kill', primary);
      emptySegmentFirst(primary);
    }, writesNothingByItself);
    psql(now, `INSERT INTO e2e_rejoin VALUES ('stays')`);
    const report = await run(rig, 'rejoin');
    expect(report.outcome).toBe('completed');
    expect(report.rejoin).toMatchObject({ node: old, method: 'rewind', lost: { commits: 1 } });
    expect(report.protectedSince).toBeGreaterThan(report.startedAt);
    await whole();
    expect(await roles()).toEqual({ primary: now, standby: old });
    await waitUntil('the row being there', () => rows(old).includes('stays'));
    expect([rows(now), rows(old)]).toEqual([['stays'], ['stays']]);
    expect(docker('exec', old, 'sh', '-c', `cat ${report.rejoin?.quarantine}/lost-wal.txt`)).toContain('COMMIT');
    // J10: the slot that the new primary had for itself as a standby, and the old one's for it, are gone.
    expect([slotsOf(now), slotsOf(old)]).toEqual([[slotName(old)], []]);
    expect(syncStates(now)).toEqual([`${slotName(old)} sync`]);
    expect(psql(now, 'SHOW synchronous_standby_names')).toBe('veloz_standby');
  });

  test('it had no more than the new primary: nothing has to be done to its data', async () => {
    // Frozen before the promotion: awake it would write a record by itself now and then.
    const { old } = await promotedByHand(
      () => undefined,
      (primary) => docker('pause', primary),
    );
    // What wakes up would go on as a primary: it never does.
    expect((await run(rig, 'rejoin')).rejoin).toMatchObject({ node: old, method: 'none', lost: null });
    await whole();
  });

  test('its data directory is gone: a full copy', async () => {
    const { old } = await promotedByHand((primary) => {
      docker('kill', primary);
      onVolume(primary, 'rm -rf /var/lib/postgresql/data');
    });
    const report = await run(rig, 'rejoin');
    expect(report.rejoin).toMatchObject({ node: old, method: 'copy', lost: null });
    expect(report.rejoin?.bytes).toBeGreaterThan(1_000_000);
    await whole();
  });

  test('the rewind fails: a full copy by itself, and what was lost is kept all the same', async () => {
    const { old } = await promotedByHand((primary) => {
      psql(primary, `SET synchronous_commit = local; INSERT INTO e2e_rejoin VALUES ('only here')`);
      docker('kill', primary);
    }, writesNothingByItself);
    const report = await withBrokenTool(old, 'pg_rewind', () => run(rig, 'rejoin'));
    expect(report.outcome).toBe('completed with warnings');
    expect(report.rejoin).toMatchObject({ node: old, method: 'copy', lost: { commits: 1 } });
    expect(report.warnings.join()).toContain('this tool is broken');
    await whole();
    expect(rows(old)).toEqual(['stays']);
    expect(docker('exec', old, 'sh', '-c', 'ls -d /var/lib/postgresql/data*').trim()).toBe('/var/lib/postgresql/data');
  });

  test('it takes writes beside the new primary: fenced where it stands, and rewound', async () => {
    const { old, now } = await promotedByHand((primary) =>
      psql(primary, `SET synchronous_commit = local; INSERT INTO e2e_rejoin VALUES ('only here')`),
    );
    const report = await run(rig, 'rejoin', { node: old });
    expect(report.rejoin).toMatchObject({ node: old, method: 'rewind' });
    await whole();
    expect(await roles()).toEqual({ primary: now, standby: old });
    expect(rows(old)).toEqual(['stays']);
  });
});

describe('a standby that is well', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.start();
    await whole();
  });
  afterAll(() => rig.close());

  test('is left alone: nothing is changed, and that is a success', async () => {
    const worker = await rig.worker();
    const { primary, standby } = await roles();
    const report = await untouched(() => run(rig, 'rejoin', { node: standby }));
    expect(report).toMatchObject({
      outcome: 'completed',
      says: `${standby} streams from ${primary} already. Nothing was changed`,
      steps: [],
    });
    const { type, message } = await untouched(() => failureOf(run(rig, 'rejoin', { node: primary })));
    expect({ type, message }).toEqual({
      type: 'Refused',
      message: expect.stringContaining(`A2: ${primary} is the primary itself`) as string,
    });
    await worker.stop();
  });

  test('is copied anew where that is asked for; all workers die in the middle, and later ones finish it', async () => {
    const { primary, standby } = await roles();
    psql(
      primary,
      `CREATE TABLE e2e_rejoin_big AS SELECT repeat(md5(g::text), 60) AS what FROM generate_series(1, 100000) g`,
    );
    const first = await rig.worker();
    const handle = await startRun(rig, 'rejoin', { node: standby, method: 'copy' });
    await waitUntil('the copy being under way', async () => (await jobOf(standby))?.phase === 'pg_basebackup');
    await first.kill();
    const second = await rig.worker();
    const report = (await handle.result()) as { outcome: string; rejoin?: unknown };
    expect(report.rejoin).toMatchObject({ node: standby, method: 'copy' });
    // It was the same copy: the agent had gone on with it.
    expect((await jobOf(standby))?.run).toContain(handle.workflowId);
    await second.kill();
    await whole();
    expect(psql(standby, 'SELECT count(*) FROM e2e_rejoin_big')).toBe('100000');
    psql(primary, 'DROP TABLE e2e_rejoin_big');
  });

  test.each(['after:lookAtRejoin', 'before:rewindOrCopy', 'before:settleRejoin'])(
    'one of two workers is killed at %s: the run completes',
    async (point) => {
      const { standby } = await roles();
      const env = rig.dying(point);
      const workers = await Promise.all([rig.worker(env), rig.worker(env)]);
      await thenAlways(
        async () => {
          const report = await run(rig, 'rejoin', { node: standby, method: 'copy' });
          expect(workers.filter((worker) => worker.process.signalCode === 'SIGKILL')).toHaveLength(1);
          expect(report.outcome).toMatch(/^completed/);
        },
        async () => {
          await Promise.all(workers.map((worker) => worker.kill()));
          await whole();
        },
      );
    },
  );
});
