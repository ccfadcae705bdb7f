import { faultsOf } from '../../src/bench/faults';
import { slotName } from '../../src/cluster/topology';
import { Guarded } from './support/guarded';
import { frontDoorWriters } from './support/rig';
import {
  cli,
  cluster,
  docker,
  look,
  POOLER,
  psql,
  recovered,
  roles,
  signalAgent,
  thenAlways,
  waitUntil,
  whole,
} from './support/stack';
import { sampled } from './support/sample';

/** Unplanned failures of the primary under load, the guard in `auto`, nobody helping. */
describe('the primary fails while clients write, and the guard is in auto', () => {
  let guarded: Guarded;
  beforeAll(async () => {
    guarded = await Guarded.start();
    await whole();
  });
  afterAll(() => guarded.close());
  beforeEach(async () => {
    await guarded.work();
    await guarded.guard();
  });
  afterEach(async () => {
    await guarded.rest();
    await recovered();
  }, 240_000);

  /** Writers write through the front door while `body` happens; nothing acknowledged may be lost. */
  async function underLoad<T>(body: () => Promise<T>): Promise<{ result: T; gapMs: number; failed: number }> {
    const writers = frontDoorWriters(4, 25);
    try {
      await writers.start();
      writers.beginWindow();
      const result = await body();
      const before = writers.acknowledgedSoFar();
      await waitUntil('clients writing again', () => writers.acknowledgedSoFar() > before + 20, 60_000);
      const seen = await writers.endWindow();
      expect({ lost: seen.lost, failures: seen.lost === 0 ? [] : seen.failures }).toEqual({ lost: 0, failures: [] });
      expect(seen.acknowledged).toBeGreaterThan(20);
      return { result, gapMs: seen.gapMs, failed: seen.failed };
    } finally {
      await writers.stop();
    }
  }

  test('killed: the standby takes over, the old primary comes back by itself as its synchronous standby', async () => {
    const before = await roles();
    await underLoad(async () => {
      docker('kill', before.primary);
      await guarded.protectedBy(before.standby);
    });
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
    const report = await guarded.report();
    expect(report.outcome).toMatch(/^completed/);
    expect(report).toMatchObject({
      primaryBefore: before.primary,
      primaryAfter: before.standby,
      failover: { kind: 'dead', lossBound: 0, ledger: { state: 'protected', primary: before.primary } },
      rejoin: { node: before.primary },
    });
    // Two independent ways said so, each with its time (I1).
    const signals = report.failover?.signals.filter(({ speaks }) => speaks === 'for') ?? [];
    expect(new Set(signals.map(({ source }) => source)).size).toBeGreaterThanOrEqual(2);
    expect(signals.every(({ at }) => at > report.startedAt - 60_000)).toBe(true);
    // The epoch stands in PostgreSQL too (H1).
    expect(psql(before.standby, 'SELECT node FROM veloz_ha.epoch ORDER BY epoch DESC LIMIT 1', 'veloz_ha')).toBe(
      before.standby,
    );
    // Nothing of the restart policy was touched.
    const present = (await look()).nodes.filter(({ container }) => container.exists);
    expect(present.map(({ container }) => container.restartPolicy)).not.toContain('no');
  });

  sampled(
    'killed while the pooler is stopped: the standby is promoted without it, and it leads clients there when it is back',
    async () => {
      const before = await roles();
      docker('stop', '-t', '1', POOLER);
      try {
        docker('kill', before.primary);
        await guarded.until('a new primary', ({ ledger }) => ledger.primary === before.standby, 30_000);
        expect(psql(before.standby, 'SELECT pg_is_in_recovery()')).toBe('f');
        await guarded.until('the failover having ended', ({ acting }) => acting === undefined, 120_000);
        const report = await guarded.report();
        expect(report.outcome).toBe('completed with warnings');
        expect(report.warnings.join('\n')).toContain(`docker start ${POOLER}`);
      } finally {
        docker('start', POOLER);
      }
      await whole();
    },
  );

  sampled("killed while the standby's agent is stopped: the agent is woken, and nothing is refused", async () => {
    const before = await roles();
    await underLoad(async () => {
      // Its PostgreSQL works, and streams.
      signalAgent(before.standby, 'SIGSTOP');
      docker('kill', before.primary);
      await guarded.protectedBy(before.standby);
    });
    expect(await guarded.runs()).toHaveLength(1);
    expect((await guarded.report()).outcome).toMatch(/^completed/);
  });

  sampled(
    "killed while the pooler's agent is stopped: the agent is woken, clients are led to the standby",
    async () => {
      const before = await roles();
      try {
        await underLoad(async () => {
          // PgBouncer works: nobody sees anything until then.
          signalAgent(POOLER, 'SIGSTOP');
          docker('kill', before.primary);
          await guarded.protectedBy(before.standby);
        });
        const report = await guarded.report();
        expect(report.outcome).toMatch(/^completed/);
        expect(report.warnings.filter((warning) => warning.startsWith('F2'))).toEqual([]);
      } finally {
        signalAgent(POOLER, 'SIGCONT');
      }
      await whole();
    },
  );

  sampled.each([
    ['the process that replays', `pgrep -f '^postgres: .*startup'`],
    ['the postmaster', 'head -n 1 /var/lib/postgresql/data/postmaster.pid'],
  ])('killed while %s of the standby is stopped: its agent wakes it, and it is promoted', async (_name, pid) => {
    const before = await roles();
    const signal = (name: string) =>
      docker('exec', '-u', 'root', before.standby, 'sh', '-c', `kill -${name} $(${pid}) || true`);
    signal('STOP');
    await thenAlways(
      async () => {
        docker('kill', before.primary);
        await guarded.protectedBy(before.standby);
      },
      () => {
        signal('CONT');
      },
    );
    await whole(60_000);
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
  });

  sampled('frozen beside a standby that was killed: the standby is started, and takes its place', async () => {
    const before = await roles();
    // Both at once: a primary that is alone for half a second lets commits go on without its standby.
    const { kill, hang } = faultsOf(cluster);
    await Promise.all([kill.inject(before.standby), hang.inject(before.primary)]);
    await guarded.protectedBy(before.standby);
    await whole(60_000);
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
  });

  sampled('crashed, with its container alive: it comes back in place, and nobody fails over', async () => {
    const before = await roles();
    await underLoad(async () => {
      await faultsOf(cluster).crash.inject(before.primary);
      await waitUntil('PostgreSQL being back', () => psql(before.primary, 'SELECT 1') === '1', 30_000);
    });
    expect(await roles()).toEqual(before);
    expect(await guarded.runs()).toEqual([]);
  });

  sampled('hung: it is fenced, and when it is woken it is a standby', async () => {
    const before = await roles();
    await underLoad(async () => {
      docker('pause', before.primary);
      await guarded.protectedBy(before.standby);
    });
    expect((await guarded.report()).failover).toMatchObject({ kind: 'hung', lossBound: 0 });
    // The freeze was ended by the fence: there is nobody left to wake.
    expect(docker('inspect', '-f', '{{.State.Paused}}', before.primary).trim()).toBe('false');
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
  });

  sampled(
    'cut off with rows that nobody else has: fenced at once; back on the network it is rewound, the rows are gone and kept',
    async () => {
      const before = await roles();
      psql(before.primary, 'CREATE TABLE IF NOT EXISTS e2e_divergent (what text)');
      await underLoad(async () => {
        await faultsOf(cluster).partition.inject(before.primary);
        psql(before.primary, "SET synchronous_commit = local; INSERT INTO e2e_divergent VALUES ('only here')");
        await guarded.until('a new primary', ({ ledger }) => ledger.primary === before.standby, 30_000);
      });
      // Without its network it can't rejoin; the clients do not care.
      await waitUntil('the cut-off node being fenced', async () => {
        const node = (await look()).nodes.find(({ name }) => name === before.primary);
        return node?.agent?.desired === 'fenced';
      });
      await faultsOf(cluster).partition.heal(before.primary);
      await guarded.until('the failover having ended', ({ acting }) => acting === undefined, 120_000);
      let desired: string | undefined;
      await waitUntil('its agent answering', async () => {
        desired = (await look()).nodes.find(({ name }) => name === before.primary)?.agent?.desired;
        return desired !== undefined;
      });
      if (desired === 'fenced') {
        const { code, stderr } = await cli(['postgres', 'rejoin', before.primary, '--yes'], guarded.env);
        expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
      }
      await guarded.protectedBy(before.standby);
      expect(psql(before.primary, 'SELECT count(*) FROM e2e_divergent')).toBe('0');
      expect(docker('exec', before.primary, 'sh', '-c', 'ls /var/lib/postgresql/veloz/quarantine')).toMatch(/\S/);
      psql(before.standby, 'DROP TABLE e2e_divergent');
    },
  );

  sampled('replay is paused on the standby: the promotion ends the pause, and every row is there', async () => {
    const before = await roles();
    psql(before.standby, 'SELECT pg_wal_replay_pause()');
    await underLoad(async () => {
      docker('kill', before.primary);
      await guarded.protectedBy(before.standby);
    });
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
  });

  sampled(
    'a reader holds replay up on the standby, for ever: it is ended; the report tells the tables that are empty now',
    async () => {
      const before = await roles();
      const patience = ['max_standby_streaming_delay', 'hot_standby_feedback'];
      psql(before.primary, 'CREATE TABLE IF NOT EXISTS e2e_read AS SELECT generate_series(1, 2000) AS i');
      psql(before.primary, 'CREATE UNLOGGED TABLE IF NOT EXISTS e2e_unlogged AS SELECT 1 AS i');
      psql(before.standby, 'ALTER SYSTEM SET max_standby_streaming_delay = -1');
      psql(before.standby, 'ALTER SYSTEM SET hot_standby_feedback = off');
      psql(before.standby, 'SELECT pg_reload_conf()');
      await thenAlways(
        async () => {
          await waitUntil(
            'the end of feedback',
            () => psql(before.primary, 'SELECT bool_and(xmin IS NULL) FROM pg_replication_slots') === 't',
          );
          const reading = 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM e2e_read; SELECT pg_sleep(120)';
          docker('exec', '-d', before.standby, 'psql', '-U', 'postgres', '-d', 'veloz', '-c', reading);
          await waitUntil(
            'the reader',
            () =>
              psql(
                before.standby,
                `SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)' AND pid <> pg_backend_pid()`,
              ) === '1',
          );
          psql(before.primary, 'DELETE FROM e2e_read WHERE i > 1000');
          psql(before.primary, 'VACUUM e2e_read');
          const { gapMs } = await underLoad(async () => {
            docker('kill', before.primary);
            await guarded.protectedBy(before.standby);
          });
          expect(gapMs).toBeLessThan(5000);
          expect((await guarded.report()).warnings.join('\n')).toMatch(
            /M6: 1 unlogged table, index or sequence is empty on \S+ since its promotion/,
          );
        },
        async () => {
          for (const name of patience) psql(before.standby, `ALTER SYSTEM RESET ${name}`);
          psql(before.standby, 'SELECT pg_reload_conf()');
          const { primary } = await roles();
          psql(primary, 'DROP TABLE IF EXISTS e2e_read, e2e_unlogged');
        },
      );
    },
  );

  sampled(
    'its container is removed: the fence lies in its volume, and made again it can only be a standby',
    async () => {
      const before = await roles();
      await underLoad(async () => {
        docker('rm', '--force', before.primary);
        await waitUntil(
          'the standby being promoted',
          () => psql(before.standby, 'SELECT pg_is_in_recovery()') === 'f',
          60_000,
        );
      });
      // The promotion goes on beside that.
      await waitUntil(
        'no container that was made for a fence',
        () => !/^veloz-fence-/m.test(docker('ps', '--all', '--format', '{{.Names}}')),
        10_000,
      );
      const { code, stderr } = await cli(['stack', 'up']);
      expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
      await guarded.protectedBy(before.standby);
      expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
    },
    400_000,
  );

  sampled(
    'twice in a row, there and back: every setting, slot, route and policy is as it was',
    async () => {
      const before = await roles();
      const settings = async () => {
        const seen = await look();
        const primary = seen.nodes.find(({ sql }) => sql?.inRecovery === false);
        return {
          names: primary?.sql?.settings.synchronous_standby_names,
          slots: primary?.sql?.slots.map(({ name, active }) => ({ name, active })),
          policies: seen.nodes.map(({ container }) => container.restartPolicy),
          desired: seen.nodes.map(({ agent }) => agent?.desired ?? null),
          claims: seen.nodes.map(({ agent }) => agent?.claimedBy ?? null),
          route: seen.pooler.agent?.route,
          paused: seen.pooler.console?.paused,
        };
      };
      await guarded.protectedBy(before.primary);
      const first = await settings();
      // A run that was ended with an earlier test leaves its claims until the next one, and may leave a slot.
      const was = {
        ...first,
        claims: first.claims.map(() => null),
        slots: [{ name: slotName(before.standby), active: true }],
      };
      await underLoad(async () => {
        docker('kill', before.primary);
        await guarded.protectedBy(before.standby);
        docker('kill', before.standby);
        await guarded.protectedBy(before.primary);
      });
      // A rejoin has the nodes until its end.
      await waitUntil(
        'no run having a node',
        async () => (await settings()).claims.every((run) => run === null),
        30_000,
      );
      expect(await roles()).toEqual(before);
      expect(await settings()).toEqual(was);
      expect(await guarded.runs()).toHaveLength(2);
    },
    400_000,
  );
});
