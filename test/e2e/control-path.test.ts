import { Guarded } from './support/guarded';
import { sampled as test } from './support/sample';
import { cli, docker, POOLER, psql, recovered, roles, thenAlways, waitUntil, whole } from './support/stack';

/** Settings that an application or its administrator may make, all at once. `veloz_ha` is the control role. */
const settings = [
  'ALTER ROLE veloz_ha SET search_path = public',
  "ALTER ROLE ALL SET statement_timeout = '1ms'",
  "ALTER ROLE veloz_ha SET idle_session_timeout = '50ms'",
  "ALTER ROLE veloz_ha SET transaction_timeout = '1ms'",
  'ALTER ROLE veloz_ha SET default_transaction_read_only = on',
  "ALTER ROLE veloz_ha SET role = 'veloz'",
  "ALTER ROLE veloz_ha SET datestyle = 'German'",
  "ALTER ROLE veloz_ha SET local_preload_libraries = 'missing'",
  'ALTER ROLE veloz_ha SET exit_on_error = on',
  'ALTER ROLE veloz_ha SET synchronous_commit = off',
  'ALTER ROLE veloz SET statement_timeout = 0',
  ...['veloz', 'postgres', 'veloz_ha'].map(
    (name) => `ALTER DATABASE ${name} SET default_transaction_isolation = 'serializable'`,
  ),
  "ALTER DATABASE veloz_ha SET session_preload_libraries = 'missing'",
];
const reset = [
  ...['veloz_ha', 'ALL', 'veloz'].map((role) => `ALTER ROLE ${role} RESET ALL`),
  'ALTER ROLE veloz_ha SET search_path = pg_catalog, pg_temp',
  ...['postgres', 'veloz_ha'].map((name) => `ALTER DATABASE ${name} RESET ALL`),
];
const traps = [
  'pg_has_role(text, text) RETURNS boolean',
  'json_build_object(text, name, text, text, text, text) RETURNS json',
];

/** What a script that hardens a server takes from everybody: what a promotion proves itself by, slots, and what views call. */
const hardened = [
  'pg_logical_emit_message(boolean,text,text,boolean)',
  'pg_logical_emit_message(boolean,text,bytea,boolean)',
  'pg_create_physical_replication_slot(name,boolean,boolean)',
  'pg_drop_replication_slot(name)',
  'pg_stat_get_activity(integer)',
  'pg_stat_get_wal_senders()',
  'pg_walfile_name(pg_lsn)',
  'pg_show_all_settings()',
  'pg_terminate_backend(integer,bigint)',
  'json_build_object("any")',
  'nameeq(name,name)',
].join(', ');
const unread = 'pg_settings, pg_stat_replication, pg_replication_slots';

/** As the superuser, past all of it. */
function alone(node: string, statement: string, database = 'template1'): string {
  const options =
    'PGOPTIONS=-c statement_timeout=0 -c default_transaction_isolation=read\\ committed -c event_triggers=off';
  return docker('exec', '-e', options, node, 'psql', '-U', 'postgres', '-d', database, '-Atqc', statement).trim();
}

/** A command at PgBouncer's console. */
const console = (command: string): string =>
  docker(
    ...['exec', '-u', 'pgbouncer', POOLER, 'psql', '-h', '/run/pgbouncer', '-p', '6432', '-U', 'pgbouncer'],
    ...['-d', 'pgbouncer', '-Atc', command],
  ).trim();

describe('the control path needs nothing of the application', () => {
  let guarded: Guarded;
  beforeAll(async () => {
    guarded = await Guarded.start();
    await whole();
  });
  afterAll(() => guarded.close());
  beforeEach(() => guarded.work(1));
  afterEach(async () => {
    await guarded.rest();
    // None of what is taken back here is in the way of that.
    await recovered();
    const { primary } = await roles();
    for (const statement of reset) alone(primary, statement);
    if (alone(primary, "SELECT count(*) FROM pg_database WHERE datname = 'veloz'") === '0')
      alone(primary, 'CREATE DATABASE veloz OWNER veloz');
    alone(primary, 'ALTER DATABASE veloz RESET ALL');
    alone(primary, 'ALTER DATABASE veloz ALLOW_CONNECTIONS true');
    await whole();
  }, 240_000);

  test('whatever role, database and server are set to, and whatever the application names as the catalog does', async () => {
    const before = await roles();
    for (const trap of traps)
      psql(
        before.primary,
        `SET ROLE veloz; CREATE FUNCTION public.${trap} LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''as %'', current_user; END'`,
      );
    for (const statement of settings) alone(before.primary, statement);

    const status = await cli(['postgres', 'status', '-o', 'json'], guarded.env);
    expect(status.stdout).not.toMatch(/as veloz_ha|"result": ?"refuse"/);
    await guarded.guard();
    docker('kill', before.primary);
    await guarded.until('a failover that ended', ({ events }) =>
      events.some(({ kind, says }) => kind === 'failover' && /no acknowledged row was lost/.test(says)),
    );
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
    expect(alone(before.standby, 'SHOW server_version')).toMatch(/^\d/);
  });

  test('nor the rights of everybody in its own database, also where somebody takes what the role has by name', async () => {
    const before = await roles();
    const inControl = (node: string, ...statements: string[]) => {
      for (const statement of statements) alone(node, statement, 'veloz_ha');
    };
    const mayEmit = () =>
      alone(
        before.primary,
        "SELECT has_function_privilege('veloz_ha', 'pg_logical_emit_message(boolean,text,text,boolean)', 'EXECUTE')",
        'veloz_ha',
      ) === 't';
    await thenAlways(
      async () => {
        // Granted by name by the primary's agent: nothing comes of it.
        inControl(
          before.primary,
          `REVOKE EXECUTE ON FUNCTION ${hardened} FROM PUBLIC`,
          `REVOKE SELECT ON ${unread} FROM PUBLIC`,
        );
        await waitUntil('what the role has by name', mayEmit, 30_000);
        // What it has by name is told, and comes back.
        inControl(before.primary, 'REVOKE EXECUTE ON FUNCTION pg_drop_replication_slot(name) FROM veloz_ha, PUBLIC');
        await waitUntil(
          'the right being granted again',
          () =>
            alone(
              before.primary,
              "SELECT has_function_privilege('veloz_ha', 'pg_drop_replication_slot(name)', 'EXECUTE')",
              'veloz_ha',
            ) === 't',
          30_000,
        );
        const status = await cli(['postgres', 'status'], guarded.env);
        expect(status.stdout + status.stderr).not.toMatch(/permission denied|lacks rights/);
        await guarded.guard();
        const moved = await cli(['postgres', 'switchover', '--yes', '--reason', 'e2e'], guarded.env);
        expect(moved.stdout + moved.stderr).not.toMatch(/permission denied/);
        expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
        await guarded.protectedBy(before.standby);
        // Protection is taken back where the standby was away.
        docker('kill', before.primary);
        await guarded.until('the standby being lost', ({ ledger }) => ledger.state !== 'protected');
        await guarded.protectedBy(before.standby);
      },
      async () => {
        const { primary } = await roles();
        inControl(primary, `GRANT EXECUTE ON FUNCTION ${hardened} TO PUBLIC`, `GRANT SELECT ON ${unread} TO PUBLIC`);
      },
    );
  }, 240_000);

  test('what keeps clients from a standby is granted in the application’s database, and nothing of the application runs for it', async () => {
    const { primary } = await roles();
    const routines = [
      ...[
        'set_config(text,text,boolean)',
        'current_setting(text)',
        'pg_is_in_recovery()',
        'pg_sleep(double precision)',
      ],
      ...['pg_backend_pid()', 'pg_terminate_backend(integer,bigint)', 'count()', 'int4pl(integer,integer)'],
      'int4lt(integer,integer)',
    ].join(', ');
    const byName = () =>
      alone(
        primary,
        "SELECT count(*) FROM pg_proc p, aclexplode(p.proacl) a WHERE a.grantee = 'veloz'::regrole AND p.proname <> 'pg_switch_wal'",
        'veloz',
      );
    await thenAlways(
      async () => {
        // A GRANT that fires them fails.
        alone(
          primary,
          "CREATE FUNCTION public.e2e_trap() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''ran as %'', current_user; END'",
          'veloz',
        );
        for (const event of ['ddl_command_start', 'ddl_command_end'])
          alone(primary, `CREATE EVENT TRIGGER e2e_${event} ON ${event} EXECUTE FUNCTION public.e2e_trap()`, 'veloz');
        alone(primary, `REVOKE EXECUTE ON ROUTINE ${routines} FROM veloz`, 'veloz');
        expect(byName()).toBe('0');
        await waitUntil('the nine rights by name', () => byName() === '9', 90_000);
        expect(docker('logs', '--tail', '50', primary)).not.toContain('ran as');
      },
      () => {
        for (const event of ['ddl_command_start', 'ddl_command_end'])
          alone(primary, `DROP EVENT TRIGGER IF EXISTS e2e_${event}`, 'veloz');
        alone(primary, 'DROP FUNCTION IF EXISTS public.e2e_trap()', 'veloz');
        alone(primary, `GRANT EXECUTE ON ROUTINE ${routines} TO veloz`, 'veloz');
      },
    );
  }, 180_000);

  test('nor what somebody has its roles load in its own database, which the agent of the primary takes back', async () => {
    const { primary } = await roles();
    const own = ['veloz_ha', 'replicator'].map((role) => `ALTER ROLE ${role} IN DATABASE veloz_ha`);
    await thenAlways(
      async () => {
        for (const role of own) alone(primary, `${role} SET session_preload_libraries = 'missing'`);
        const status = await cli(['postgres', 'status'], guarded.env);
        expect(status.stdout + status.stderr).not.toMatch(/could not access file/);
        await waitUntil(
          'the empty list of libraries again',
          () =>
            alone(
              primary,
              "SELECT count(*) FROM pg_db_role_setting WHERE 'session_preload_libraries=' = ANY (setconfig)",
            ) === '2',
          30_000,
        );
      },
      () => {
        for (const role of own) alone(primary, `${role} RESET session_preload_libraries`);
      },
    );
  });

  test('nor ALTER SYSTEM allowed by the files of the nodes', async () => {
    const before = await roles();
    const nodes = [before.primary, before.standby];
    const conf = '/etc/veloz/postgresql.conf';
    await thenAlways(
      async () => {
        for (const node of nodes) {
          docker('exec', '-u', 'root', node, 'sh', '-c', `echo 'allow_alter_system = off # e2e' >> ${conf}`);
          psql(node, 'SELECT pg_reload_conf()');
          expect(psql(node, 'SHOW allow_alter_system')).toBe('on');
        }
        const status = await cli(['postgres', 'status'], guarded.env);
        expect((status.stdout + status.stderr).replace(/\s+/g, ' ')).toContain('allow_alter_system does nothing');
        await guarded.guard();
        docker('kill', before.primary);
        await guarded.until('a failover that ended', ({ events }) =>
          events.some(({ kind, says }) => kind === 'failover' && /no acknowledged row was lost/.test(says)),
        );
        expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
      },
      async () => {
        for (const node of nodes) {
          await waitUntil(
            `${node} running`,
            () => docker('inspect', '-f', '{{.State.Running}}', node).trim() === 'true',
          );
          docker('exec', '-u', 'root', node, 'sed', '-i', '/# e2e$/d', conf);
        }
      },
    );
  });

  test('nor the database of the application, nor rights in it', async () => {
    const before = await roles();
    alone(before.primary, 'DROP DATABASE veloz WITH (FORCE)');
    // Told while all is well: a right that a failover will need.
    alone(before.primary, 'ALTER ROLE veloz_ha CONNECTION LIMIT 3');
    const status = await cli(['postgres', 'status'], guarded.env);
    expect(status.code).toBe(8);
    expect((status.stdout + status.stderr).replace(/\s+/g, ' ')).toContain('ALTER ROLE veloz_ha CONNECTION LIMIT -1');
    alone(before.primary, 'ALTER ROLE veloz_ha CONNECTION LIMIT -1');
    await guarded.guard();
    docker('kill', before.primary);
    await waitUntil('the standby being the primary', async () => (await roles()).primary === before.standby, 60_000);
    alone(before.standby, 'CREATE DATABASE veloz OWNER veloz');
    await guarded.until('the failover having ended', ({ events }) =>
      events.some(({ kind, says }) => kind === 'failover' && /failover ended/.test(says)),
    );
    expect(psql(before.standby, 'SELECT node FROM veloz_ha.epoch ORDER BY epoch DESC LIMIT 1', 'veloz_ha')).toBe(
      before.standby,
    );
  });

  test('a PgBouncer that would disconnect whom a run holds refuses a planned move with the command that mends it, and no failover', async () => {
    const before = await roles();
    const oneLine = (result: { stdout: string; stderr: string }) =>
      (result.stdout + result.stderr).replace(/\s+/g, ' ');
    const move = () => cli(['postgres', 'switchover', '--yes', '--reason', 'e2e'], guarded.env);
    await thenAlways(
      async () => {
        console("SET query_wait_timeout = '0.3'");
        expect(oneLine(await cli(['postgres', 'status'], guarded.env))).toMatch(/query_wait_timeout of \S+ is 300 ms/);
        const refused = oneLine(await move());
        expect(refused).toMatch(
          /would disconnect clients that are held.*query_wait_timeout of \S+ is 300 ms \(limit: /,
        );
        expect(await roles()).toEqual(before);
        console('RELOAD');
        expect(console('SHOW CONFIG')).toMatch(/^query_wait_timeout\|60\|/m);
        await move();
        expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });

        console("SET query_wait_timeout = '0.3'");
        await guarded.guard();
        docker('kill', before.standby);
        await guarded.until('a failover that ended', ({ events }) =>
          events.some(({ kind, says }) => kind === 'failover' && /no acknowledged row was lost/.test(says)),
        );
        expect(await roles()).toEqual(before);
      },
      () => {
        console('RELOAD');
      },
    );
  }, 240_000);

  test('a repair brings a standby back without that database, and leaves PgBouncer alone', async () => {
    const before = await roles();
    await guarded.guard();
    const startedAt = () => docker('inspect', '-f', '{{.State.StartedAt}}', POOLER);
    const since = startedAt();
    alone(before.primary, 'DROP DATABASE veloz WITH (FORCE)');
    docker('kill', before.standby);
    await guarded.until('the repair', ({ mending }) => mending?.acting !== undefined);
    await waitUntil('the standby streaming', async () => (await roles()).standby === before.standby, 120_000);
    await guarded.protectedBy(before.primary);
    await guarded.until('its end', ({ mending }) => mending?.acting === undefined, 120_000);
    expect(await roles()).toEqual(before);
    expect(startedAt()).toBe(since);
  }, 240_000);

  test('a failover ends well while that database takes no connections, and warns', async () => {
    const before = await roles();
    await guarded.guard();
    alone(before.primary, 'ALTER DATABASE veloz ALLOW_CONNECTIONS false');
    docker('kill', before.primary);
    await guarded.until('a failover that ended', ({ events }) =>
      events.some(({ kind, says }) => kind === 'failover' && /no acknowledged row was lost/.test(says)),
    );
    const report = await guarded.report();
    expect(report.outcome).toBe('completed with warnings');
    expect(report.warnings.join('\n')).toContain(`F5: ${before.standby} refuses clients, as ${before.primary} does`);
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
  });
});
