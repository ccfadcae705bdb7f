import { slotName } from '../../src/cluster/topology';
import { obey, refused, topologyWith, whileClientsWrite, withFault, type Refusal } from './support/refusal';
import { Rig } from './support/rig';
import { docker, look, psql, roles, thenAlways, waitUntil, whole } from './support/stack';

/** The worker's limit of what a standby may lack, so that a few MiB are too much. */
const LIMIT_BYTES = 1024 * 1024;
/** Four times the limit, acknowledged without waiting for the standby. */
const WRITE_MUCH = `SET synchronous_commit = local; SELECT count(pg_logical_emit_message(true, 'e2e', repeat('x', 1048576))) FROM generate_series(1, 4)`;

const signal = (node: string, name: 'STOP' | 'CONT', pid: string) =>
  docker('exec', '-u', 'root', node, 'sh', '-c', `kill -${name} ${pid}`);
const reload = (node: string) => psql(node, 'SELECT pg_reload_conf()');
/** Where a standby's agent says whom it follows. */
const conf = '/var/lib/postgresql/veloz/standby.conf';

describe('a switchover is refused when the standby does not have, or would not have, every acknowledged commit', () => {
  let rig: Rig;
  let primary: string;
  let standby: string;
  beforeAll(async () => {
    rig = await Rig.start();
    const limits = topologyWith(rig, ({ clusters }) => {
      for (const cluster of Object.values(clusters))
        cluster.limits = { flushLagBytes: LIMIT_BYTES, replayLagBytes: LIMIT_BYTES };
    });
    await rig.worker(limits);
    await whole();
    ({ primary, standby } = await roles());
  });
  afterAll(() => rig.close());
  /** On the standby, as the owner of its files. */
  const own = (script: string) => docker('exec', '-u', 'postgres', standby, 'sh', '-c', script);

  it('there is no standby: its container is stopped', () =>
    whileClientsWrite(() =>
      withFault(
        {
          inject: () => docker('stop', standby),
          takeAway: () => docker('start', standby),
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('E4');
          expect(sentence).toContain(`${standby} is not ready: its container is exited (limit: `);
          expect(next).toBe(`docker start ${standby}`);
          await obey(next);
          await whole();
        },
      ),
    ));

  it('the standby does not stream', () =>
    whileClientsWrite(() =>
      withFault(
        {
          inject: async () => {
            // In the agent's own file: by ALTER SYSTEM it would be taken back within 10 s.
            own(`cp -p ${conf} /tmp/e2e-standby.conf && sed -i "s/^primary_conninfo.*/primary_conninfo = ''/" ${conf}`);
            reload(standby);
            await waitUntil('the end of streaming', () => psql(primary, 'TABLE pg_stat_replication') === '');
          },
          takeAway: () => {
            own(
              `test ! -e /tmp/e2e-standby.conf || { cat /tmp/e2e-standby.conf > ${conf} && rm /tmp/e2e-standby.conf; }`,
            );
            reload(standby);
          },
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('B1');
          expect(sentence).toContain(`${standby} does not stream from ${primary}: the primary has no walsender`);
          expect(sentence).toContain(`its WAL receiver does not run (limit: streaming from ${primary})`);
          expect(next).toBe(`veloz-ha repair --cluster veloz   # why it is so: docker logs --tail 20 ${standby}`);
        },
      ),
    ));

  it('the standby is not synchronous', () =>
    whileClientsWrite(() =>
      withFault(
        {
          inject: async () => {
            psql(primary, `ALTER SYSTEM SET synchronous_standby_names = ''`);
            reload(primary);
            await waitUntil(
              'the standby being asynchronous',
              () => psql(primary, 'SELECT sync_state FROM pg_stat_replication') === 'async',
            );
          },
          takeAway: () => {
            psql(primary, 'ALTER SYSTEM RESET synchronous_standby_names');
            reload(primary);
          },
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('B2');
          expect(sentence).toContain(
            `${standby} is not a synchronous standby: sync_state is async, synchronous_standby_names is '' (limit: sync or quorum)`,
          );
          await obey(next);
          await whole();
        },
      ),
    ));

  it('the standby has not flushed what the primary wrote', async () => {
    let refusal: Refusal | undefined;
    // A receiver that says nothing is let go after 5 s; a sender that is stopped itself lets nobody go. The receiver of a stopped sender
    // gives up after 5 s as well, and then the standby does not stream: on a slow machine that may come before the answer.
    for (let tries = 0; tries < 3 && refusal?.id !== 'B5'; tries++) {
      const sender = psql(
        primary,
        `SELECT active_pid FROM pg_replication_slots WHERE slot_name = '${slotName(standby)}'`,
      );
      await withFault(
        {
          inject: () => {
            signal(primary, 'STOP', sender);
            psql(primary, WRITE_MUCH);
          },
          takeAway: () => {
            signal(primary, 'CONT', sender);
          },
        },
        async () => {
          refusal = await refused(rig);
          expect(['B5', 'B1']).toContain(refusal.id);
        },
      );
    }

    expect(refusal?.id).toBe('B5');
    expect(refusal?.sentence).toMatch(/is too far behind .+: 4\.\d MiB not flushed there/);
    expect(refusal?.sentence).toContain('(limit: at most 1.0 MiB, limits.flushLagBytes)');
    expect(refusal?.next).toBe('veloz-ha postgres status --cluster veloz');
  });

  it('the standby has not replayed what it received', async () => {
    // A reader, and no process that is stopped: that may have a lock which the receiver needs, and then commits wait as well.
    const reading = `SELECT count(*) FROM e2e_read; SELECT pg_sleep(120)`;
    const readers = `FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)%' AND pid <> pg_backend_pid()`;
    await whileClientsWrite(() =>
      withFault(
        {
          inject: async () => {
            psql(primary, 'CREATE TABLE e2e_read AS SELECT 1 AS i');
            await waitUntil('the table', () => psql(standby, `SELECT to_regclass('e2e_read') IS NOT NULL`) === 't');
            docker('exec', '-d', standby, 'psql', '-U', 'postgres', '-d', 'veloz', '-c', `BEGIN; ${reading}`);
            await waitUntil('the reader', () => psql(standby, `SELECT count(*) ${readers}`) === '1');
            psql(primary, 'DROP TABLE e2e_read');
            psql(primary, WRITE_MUCH);
            await waitUntil(
              'the standby having received it',
              () =>
                Number(psql(standby, 'SELECT pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn()')) > 3 * LIMIT_BYTES,
            );
          },
          takeAway: () => {
            psql(standby, `SELECT pg_terminate_backend(pid) ${readers}`);
            psql(primary, 'DROP TABLE IF EXISTS e2e_read');
          },
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('B6');
          expect(sentence).toMatch(/has not replayed what it received: 4\.\d MiB not replayed/);
          expect(sentence).toContain('(limit: at most 1.0 MiB, limits.replayLagBytes)');
          expect(await obey(next)).toContain('pg_sleep(120)');
        },
      ),
    );
  });

  it('replay on the standby is paused', () =>
    whileClientsWrite(() =>
      withFault(
        {
          inject: async () => {
            psql(standby, 'SELECT pg_wal_replay_pause()');
            psql(primary, WRITE_MUCH);
            await waitUntil('the pause', async () =>
              (await look()).nodes.some((node) => node.name === standby && node.sql?.replayPaused === true),
            );
          },
          takeAway: () => psql(standby, 'SELECT pg_wal_replay_resume()'),
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          // The pause is the cause, and the lag that comes of it is named after it.
          expect(id).toBe('B7');
          expect(sentence).toContain(
            `replay on ${standby} is paused: pg_is_wal_replay_paused() is true (limit: not paused, no delay)`,
          );
          await obey(next);
          await waitUntil('replay going on', () => psql(standby, 'SELECT pg_is_wal_replay_paused()') === 'f');
        },
      ),
    ));

  it('commits of a role do not wait for the standby', () =>
    whileClientsWrite(() =>
      withFault(
        {
          inject: () => {
            psql(primary, 'CREATE ROLE e2e_reporting');
            psql(primary, 'ALTER ROLE e2e_reporting SET synchronous_commit = off');
          },
          takeAway: () => psql(primary, 'DROP ROLE e2e_reporting'),
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('B4');
          expect(sentence).toContain(
            'synchronous_commit is off for e2e_reporting in every database (limit: nowhere off or local)',
          );
          await obey(next);
          // The control role has settings of its own.
          expect(
            psql(primary, "SELECT count(*) FROM pg_db_role_setting WHERE setrole = 'e2e_reporting'::regrole"),
          ).toBe('0');
        },
      ),
    ));

  it('commits on the target would wait for nobody', () =>
    whileClientsWrite(() =>
      withFault(
        {
          inject: async () => {
            psql(standby, 'ALTER SYSTEM SET synchronous_commit = off');
            reload(standby);
            await waitUntil('the reload', () => psql(standby, 'SHOW synchronous_commit') === 'off');
          },
          takeAway: () => {
            psql(standby, 'ALTER SYSTEM RESET synchronous_commit');
            reload(standby);
          },
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('B4');
          expect(sentence).toContain(`${standby} as primary would acknowledge commits before a standby has them`);
          await obey(next);
        },
      ),
    ));
});

describe('a standby whose upstream is set by hand', () => {
  it.each([
    ['streams without its slot', `primary_slot_name = ''`],
    [
      'streams under another name',
      `primary_conninfo = 'host=HOST user=replicator passfile=/run/veloz/pgpass application_name=e2e'`,
    ],
  ])('%s for some seconds only: its agent takes that back', async (_what, setting) => {
    await whole();
    const { primary, standby } = await roles();
    const byItsSlot = () =>
      psql(
        primary,
        `SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
          WHERE s.slot_name = '${slotName(standby)}' AND r.application_name = 'veloz_standby'`,
      ) === '1';
    await waitUntil('it streaming by its slot', byItsSlot);
    await thenAlways(
      async () => {
        await waitUntil('the change being in force', () => {
          // The agent looks every ten seconds, and may have been faster: then once more.
          psql(standby, `ALTER SYSTEM SET ${setting.replace('HOST', primary)}`);
          reload(standby);
          return !byItsSlot();
        });
        const conf = '/var/lib/postgresql/data/postgresql.auto.conf';
        await waitUntil(
          'the agent taking it back',
          () => byItsSlot() && !/^primary_/m.test(docker('exec', standby, 'cat', conf)),
        );
      },
      async () => {
        for (const name of ['primary_slot_name', 'primary_conninfo']) psql(standby, `ALTER SYSTEM RESET ${name}`);
        reload(standby);
        await whole();
      },
    );
  });
});
