import type { Report } from '../../src/workflows/run-state';
import { Guarded } from './support/guarded';
import { idle } from './support/idle';
import { sampled as test } from './support/sample';
import { cli, docker, look, psql, recovered, roles, trading, waitUntil, whole } from './support/stack';

/** A failover by a person's word in a cluster that nobody guards: the primary's container has ended, and it is fenced and read. */
describe('nobody guards the cluster, and its primary is killed', () => {
  let guarded: Guarded;
  beforeAll(async () => {
    guarded = await Guarded.start();
    await whole();
  });
  afterAll(() => guarded.close());
  beforeEach(() => guarded.work(1));
  afterEach(async () => {
    await guarded.rest();
    await recovered();
    for (const node of Object.values(await roles())) {
      psql(node, 'ALTER SYSTEM RESET autovacuum');
      psql(node, 'SELECT pg_reload_conf()');
    }
  }, 240_000);

  const promote = (...args: string[]) => cli(['postgres', 'promote', '--cluster', 'veloz', ...args], guarded.env);
  const reportOf = async (args: string[]): Promise<{ code: number; report: Report }> => {
    const { code, stdout, stderr } = await promote(...args, '-o', 'json');
    try {
      return { code, report: JSON.parse(stdout) as Report };
    } catch {
      throw new Error(`exit code ${code}, and no report: ${stdout}${stderr}`);
    }
  };
  const answersAs = (node: string, inRecovery: boolean) =>
    waitUntil(`${node} answering`, async () =>
      (await look()).nodes.some(({ name, sql }) => name === node && sql?.inRecovery === inRecovery),
    );
  const statusOf = (node: string) => docker('inspect', '-f', '{{.State.Status}}', node).trim();

  test('the plan says that it is read first, and the standby, which has all of it, is promoted with that proof', async () => {
    const before = await roles();
    psql(before.primary, 'CREATE TABLE IF NOT EXISTS e2e_by_hand AS SELECT generate_series(1, 1000) AS n');
    await idle(before.primary);
    docker('kill', before.primary);

    const planned = await reportOf(['--plan']);
    expect(planned).toMatchObject({ code: 0, report: { outcome: 'planned', plan: { readsFirst: true } } });
    expect(planned.report.says).toContain(`else ${before.primary} is started again in its place`);
    expect(statusOf(before.primary)).toBe('exited');

    const { code, report } = await reportOf(['--yes']);
    expect({ code, outcome: report.outcome }).toMatchObject({ code: 0 });
    expect(report.failover).toMatchObject({ lossBound: 0, ledger: null });
    expect(report.failover?.proof).toMatch(new RegExp(`the WAL of ${before.primary} itself ends at `));
    expect(psql(before.standby, 'SELECT count(*) FROM e2e_by_hand')).toBe('1000');
    psql(before.standby, 'DROP TABLE e2e_by_hand');
    await whole(120_000);
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
    await trading();
  }, 300_000);

  test('what only it has is not lost: it is started again in its place, and no loss is named', async () => {
    const before = await roles();
    docker('stop', before.standby);
    psql(before.primary, "ALTER SYSTEM SET synchronous_standby_names = ''");
    psql(before.primary, 'SELECT pg_reload_conf()');
    await waitUntil('the empty names', () => psql(before.primary, 'SHOW synchronous_standby_names') === '');
    psql(before.primary, 'DROP TABLE IF EXISTS e2e_only_there');
    psql(before.primary, 'CREATE TABLE e2e_only_there AS SELECT generate_series(1, 1000) AS n');
    docker('kill', before.primary);
    docker('start', before.standby);
    await answersAs(before.standby, true);

    const { code, report } = await reportOf(['--yes']);
    expect({ code, outcome: report.outcome }).toEqual({ code: 3, outcome: 'refused' });
    expect(report.says).toMatch(
      new RegExp(
        `itself goes to .*${before.primary} was started again in its place, and takes writes: nothing that it has is lost`,
      ),
    );
    expect(JSON.stringify(report.next)).not.toContain('--allow-data-loss');
    await answersAs(before.primary, false);
    expect(psql(before.primary, 'SELECT count(*) FROM e2e_only_there')).toBe('1000');
    psql(before.primary, 'DROP TABLE e2e_only_there');
    expect((await cli(['repair', '--cluster', 'veloz', '--yes'], guarded.env)).code).toBe(0);
    await whole(120_000);
    expect(await roles()).toEqual(before);
  }, 300_000);

  test('somebody starts it while the question is open: nothing is fenced', async () => {
    const before = await roles();
    docker('kill', before.primary);
    const { stdout } = await promote('--detach', '-q');
    const id = stdout.trim();
    const handle = guarded.rig.client.workflow.getHandle(id);
    await waitUntil('the question', async () => {
      const { phase } = await handle.query<{ phase: string }>('status');
      return phase === 'awaiting approval';
    });
    docker('start', before.primary);
    await answersAs(before.primary, false);
    expect((await cli(['approve', id], guarded.env)).code).toBe(0);
    const { code, stderr, stdout: told } = await cli(['watch', id], guarded.env);
    expect(code).toBe(3);
    expect(told + stderr).toContain('I8');
    await whole(120_000);
    expect(await roles()).toEqual(before);
  }, 240_000);

  test('one that is only frozen is left, and what loses nothing is named before a loss', async () => {
    const before = await roles();
    docker('pause', before.primary);
    try {
      const { code, report } = await reportOf(['--yes']);
      expect({ code, outcome: report.outcome }).toEqual({ code: 3, outcome: 'refused' });
      expect(report.says).toMatch(/^B3: .*Next: veloz-ha repair --cluster veloz$/);
      expect(statusOf(before.primary)).toBe('paused');
    } finally {
      docker('unpause', before.primary);
    }
    await whole(120_000);
    expect(await roles()).toEqual(before);
  }, 240_000);
});
