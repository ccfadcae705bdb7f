import { setTimeout as sleep } from 'node:timers/promises';
import { Guarded } from './support/guarded';
import { docker, look, psql, recovered, roles, waitUntil, whole } from './support/stack';

/** Longer than a ledger proves anything after its last confirmation, in milliseconds. */
const OLD_MS = 8000;
const DATA = '/var/lib/postgresql/data';

describe('the primary fails while nobody watches', () => {
  let guarded: Guarded;
  beforeAll(async () => {
    guarded = await Guarded.start();
    await whole();
  });
  afterAll(() => guarded.close());
  afterEach(async () => {
    await guarded.rest();
    await recovered();
  }, 240_000);

  async function nobodyWatches(): Promise<void> {
    await guarded.work(1);
    await guarded.guard();
    await Promise.all(guarded.workers.map((worker) => worker.kill()));
    guarded.workers = [];
  }

  const setting = (node: string, statement: string): void => {
    psql(node, statement);
    psql(node, 'SELECT pg_reload_conf()');
  };

  test('what only it has is not lost: it is started again in its place, and nobody is promoted', async () => {
    const before = await roles();
    await nobodyWatches();
    // Commits wait for nobody from here on, and the ledger says protected.
    docker('stop', before.standby);
    setting(before.primary, "ALTER SYSTEM SET synchronous_standby_names = ''");
    await waitUntil('the empty names', () => psql(before.primary, 'SHOW synchronous_standby_names') === '');
    psql(before.primary, 'DROP TABLE IF EXISTS e2e_unseen');
    psql(before.primary, 'CREATE TABLE e2e_unseen AS SELECT generate_series(1, 1000) AS n');
    docker('kill', before.primary);
    docker('start', before.standby);
    await sleep(OLD_MS);

    await guarded.work(1);
    await guarded.until('the guard refusing', ({ events }) =>
      events.some(({ kind, says }) => kind === 'backoff' && says.includes('I7')),
    );
    await waitUntil('the old primary taking writes', async () =>
      (await look()).nodes.some(({ name, sql }) => name === before.primary && sql?.inRecovery === false),
    );
    const { events } = await guarded.protectedBy(before.primary);
    expect(psql(before.primary, 'SELECT count(*) FROM e2e_unseen')).toBe('1000');
    expect(await roles()).toEqual(before);
    expect(events.filter(({ says }) => /no acknowledged row was lost/.test(says))).toEqual([]);
    psql(before.primary, 'DROP TABLE e2e_unseen');
  }, 180_000);

  test('one that can not start is read: the standby has all of it, is promoted, and the report says by what that is known', async () => {
    const before = await roles();
    await nobodyWatches();
    psql(before.primary, 'CREATE TABLE IF NOT EXISTS e2e_read AS SELECT generate_series(1, 1000) AS n');
    psql(before.primary, "ALTER SYSTEM SET shared_preload_libraries = 'not_there'");
    const pid = docker('exec', before.primary, 'head', '-1', `${DATA}/postmaster.pid`).trim();
    docker('exec', before.primary, 'kill', '-KILL', pid);
    await sleep(OLD_MS);

    try {
      await guarded.work(1);
      await waitUntil('the standby taking writes', async () =>
        (await look()).nodes.some(({ name, sql }) => name === before.standby && sql?.inRecovery === false),
      );
      expect(psql(before.standby, 'SELECT count(*) FROM e2e_read')).toBe('1000');
      const report = await guarded.report();
      expect(report.failover?.proof).toMatch(new RegExp(`the WAL of ${before.primary} itself ends at `));
      expect(report.failover?.lossBound).toBe(0);
    } finally {
      docker('exec', before.primary, 'sed', '-i', '/shared_preload_libraries/d', `${DATA}/postgresql.auto.conf`);
    }
    psql(before.standby, 'DROP TABLE e2e_read');
    await guarded.protectedBy(before.standby, 120_000);
  }, 240_000);
});
