import { setTimeout as sleep } from 'node:timers/promises';
import { faultsOf } from '../../src/bench/faults';
import { Guarded } from './support/guarded';
import { idle } from './support/idle';
import { sampled as test } from './support/sample';
import {
  cluster,
  docker,
  look,
  psql,
  recovered,
  roles,
  takesWrites,
  thenAlways,
  waitUntil,
  whole,
} from './support/stack';

/** The end of a run that was refused: a back-off follows, unless the primary was well again by then. */
const isEnd = (kind: string): boolean => kind === 'backoff' || kind === 'failover';
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
    for (const node of Object.values(await roles())) setting(node, 'ALTER SYSTEM RESET autovacuum');
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

  /** Nobody watches, commits wait for nobody, and 1000 rows are on the primary alone. */
  async function rowsOnlyThere({ primary, standby }: { primary: string; standby: string }): Promise<void> {
    await nobodyWatches();
    docker('stop', standby);
    setting(primary, "ALTER SYSTEM SET synchronous_standby_names = ''");
    await waitUntil('the empty names', () => psql(primary, 'SHOW synchronous_standby_names') === '');
    psql(primary, 'DROP TABLE IF EXISTS e2e_unseen');
    psql(primary, 'CREATE TABLE e2e_unseen AS SELECT generate_series(1, 1000) AS n');
  }

  /** Whoever takes writes now: where the test failed, that may be the other node, and nothing may hide why. */
  async function mayReplicateAgain(): Promise<void> {
    const primary = (await look()).nodes.find(({ sql }) => sql?.inRecovery === false);
    if (primary !== undefined) psql(primary.name, 'ALTER ROLE replicator REPLICATION');
  }

  test('what only it has is not lost: it is started again in its place, and nobody is promoted', async () => {
    const before = await roles();
    // The ledger says protected, and commits wait for nobody.
    await rowsOnlyThere(before);
    docker('kill', before.primary);
    docker('start', before.standby);
    await sleep(OLD_MS);

    await guarded.work(1);
    await guarded.until('the guard refusing', ({ events }) =>
      events.some(({ kind, says }) => isEnd(kind) && says.includes('I7')),
    );
    await takesWrites(before.primary, guarded);
    const { events } = await guarded.protectedBy(before.primary);
    await whole();
    expect(psql(before.primary, 'SELECT count(*) FROM e2e_unseen')).toBe('1000');
    expect(await roles()).toEqual(before);
    expect(events.filter(({ says }) => /no acknowledged row was lost/.test(says))).toEqual([]);
    psql(before.primary, 'DROP TABLE e2e_unseen');
  });

  test('one that can not start is read: the standby has all of it, is promoted, and the report says by what that is known', async () => {
    const before = await roles();
    await nobodyWatches();
    psql(before.primary, 'CREATE TABLE IF NOT EXISTS e2e_read AS SELECT generate_series(1, 1000) AS n');
    psql(before.primary, "ALTER SYSTEM SET shared_preload_libraries = 'not_there'");
    const pid = docker('exec', before.primary, 'head', '-1', `${DATA}/postmaster.pid`).trim();
    docker('exec', before.primary, 'kill', '-KILL', pid);
    await sleep(OLD_MS);

    await thenAlways(
      async () => {
        await guarded.work(1);
        await takesWrites(before.standby, guarded);
        expect(psql(before.standby, 'SELECT count(*) FROM e2e_read')).toBe('1000');
        const report = await guarded.report();
        expect(report.failover?.proof).toMatch(new RegExp(`the WAL of ${before.primary} itself ends at `));
        expect(report.failover?.lossBound).toBe(0);
      },
      () => {
        docker('exec', before.primary, 'sed', '-i', '/shared_preload_libraries/d', `${DATA}/postgresql.auto.conf`);
      },
    );
    psql(before.standby, 'DROP TABLE e2e_read');
    await guarded.protectedBy(before.standby, 120_000);
  }, 240_000);

  test('frozen, it is ended and read: the standby has all of it, and is promoted', async () => {
    const before = await roles();
    await nobodyWatches();
    psql(before.primary, 'CREATE TABLE IF NOT EXISTS e2e_frozen AS SELECT generate_series(1, 1000) AS n');
    await idle(before.primary);
    docker('pause', before.primary);
    await sleep(OLD_MS);

    await guarded.work(1);
    await takesWrites(before.standby, guarded);
    expect(psql(before.standby, 'SELECT count(*) FROM e2e_frozen')).toBe('1000');
    const { failover } = await guarded.report();
    expect(failover).toMatchObject({ kind: 'hung', lossBound: 0 });
    expect(failover?.proof).toMatch(new RegExp(`the WAL of ${before.primary} itself ends at `));
    psql(before.standby, 'DROP TABLE e2e_frozen');
    await guarded.protectedBy(before.standby, 120_000);
  }, 300_000);

  test('frozen, with rows that only it has: it is ended, read and started again in its place', async () => {
    const before = await roles();
    await rowsOnlyThere(before);
    // A kill thaws it for a moment, which is enough for a standby that waits at its door to get all of it.
    psql(before.primary, 'ALTER ROLE replicator NOREPLICATION');
    docker('pause', before.primary);
    docker('start', before.standby);
    await sleep(OLD_MS);

    await guarded.work(1);
    await thenAlways(
      async () => {
        await guarded.until('the guard refusing', ({ events }) =>
          events.some(({ kind, says }) => isEnd(kind) && says.includes('I7') && says.includes('itself goes to')),
        );
        await takesWrites(before.primary, guarded);
      },
      async () => {
        await mayReplicateAgain();
      },
    );
    await guarded.protectedBy(before.primary);
    await whole();
    expect(psql(before.primary, 'SELECT count(*) FROM e2e_unseen')).toBe('1000');
    expect(await roles()).toEqual(before);
    psql(before.primary, 'DROP TABLE e2e_unseen');
  });

  test('frozen, and woken before its time is over: nothing is done', async () => {
    const before = await roles();
    await nobodyWatches();
    docker('pause', before.primary);
    await sleep(OLD_MS);

    await guarded.work(1);
    await guarded.until('the ledger being doubted', ({ ledger }) => ledger.state === 'unknown');
    await sleep(2000);
    docker('unpause', before.primary);
    await guarded.protectedBy(before.primary);
    await whole();
    expect(await guarded.runs()).toEqual([]);
    expect(await roles()).toEqual(before);
  });

  describe('cut off its network', () => {
    let cut: string | undefined;
    afterEach(async () => {
      if (cut !== undefined) await faultsOf(cluster).partition.heal(cut);
      cut = undefined;
    });
    const cutOff = async (node: string): Promise<void> => {
      await faultsOf(cluster).partition.inject(node);
      cut = node;
    };

    /** What the server notes in its WAL by itself, in the seconds after the cut, is on no standby: then once more. */
    async function cutOffWithNothingMore({ primary, standby }: { primary: string; standby: string }): Promise<void> {
      for (let tries = 1; ; tries++) {
        await idle(primary);
        await cutOff(primary);
        await sleep(OLD_MS);
        const end = psql(primary, 'SELECT pg_current_wal_flush_lsn()');
        if (end === psql(standby, 'SELECT pg_last_wal_receive_lsn()') || tries === 3) return;
        await faultsOf(cluster).partition.heal(primary);
        const streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        await waitUntil('the standby streaming', () => psql(primary, streaming) === '1');
      }
    }

    test('it is fenced and read: the standby has all of it, and is promoted', async () => {
      const before = await roles();
      await nobodyWatches();
      psql(before.primary, 'CREATE TABLE IF NOT EXISTS e2e_cut AS SELECT generate_series(1, 1000) AS n');
      await cutOffWithNothingMore(before);

      await guarded.work(1);
      await takesWrites(before.standby, guarded);
      expect(psql(before.standby, 'SELECT count(*) FROM e2e_cut')).toBe('1000');
      // It can't be made a standby before it is back.
      await faultsOf(cluster).partition.heal(before.primary);
      const { failover } = await guarded.report();
      // On a machine that stalls its agent is late as well: then it is taken for one that hangs.
      expect(failover).toMatchObject({ kind: expect.stringMatching(/^(isolated|hung)$/) as unknown, lossBound: 0 });
      expect(failover?.proof).toMatch(new RegExp(`the WAL of ${before.primary} itself ends at `));
      psql(before.standby, 'DROP TABLE e2e_cut');
      await guarded.protectedBy(before.standby, 120_000);
    }, 360_000);

    test('with rows that only it has it is not touched, and a person is told the bound', async () => {
      const before = await roles();
      await rowsOnlyThere(before);
      await cutOff(before.primary);
      docker('start', before.standby);
      const started = () => docker('exec', before.primary, 'head', '-1', `${DATA}/postmaster.pid`).trim();
      const pid = started();
      await sleep(OLD_MS);

      await guarded.work(1);
      const { events } = await guarded.until('the guard refusing', (state) =>
        state.events.some(({ kind, says }) => kind === 'backoff' && says.includes('itself goes to')),
      );
      expect(events.find(({ kind }) => kind === 'backoff')?.says).toMatch(/--allow-data-loss \d+/);
      expect(started()).toBe(pid);
      await faultsOf(cluster).partition.heal(before.primary);
      await guarded.protectedBy(before.primary, 120_000);
      expect(psql(before.primary, 'SELECT count(*) FROM e2e_unseen')).toBe('1000');
      psql(before.primary, 'DROP TABLE e2e_unseen');
    }, 240_000);
  });
});
