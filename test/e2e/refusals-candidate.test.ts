import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { withSession } from '../../src/activities/deps';
import { readinessFindings } from '../../src/cluster/readiness/findings';
import { slotName } from '../../src/cluster/topology';
import { openPostgresAgent } from '../../src/systems/agent';
import { readSecret } from '../../src/systems/secrets';
import { asked, obey, refused, whileClientsWrite, withFault } from './support/refusal';
import { Rig } from './support/rig';
import { sampled as it } from './support/sample';
import { cli, cluster, deps, docker, look, psql, roles, waitUntil, whole } from './support/stack';

/** A replication connection that asks for nothing: it takes a walsender, as a forgotten pg_receivewal does. */
async function occupyWalsender(port: number): Promise<Client> {
  const client = new Client({
    host: '127.0.0.1',
    port,
    user: process.env.VELOZ_PG_REPL_USER ?? 'replicator',
    password: readSecret('VELOZ_PG_REPL_PASSWORD', process.env),
    application_name: 'e2e_stranger',
    replication: 'true',
  } as ConstructorParameters<typeof Client>[0]);
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

describe('a switchover is refused when the standby could not be the primary', () => {
  let rig: Rig;
  let primary: string;
  let standby: string;
  beforeAll(async () => {
    rig = await Rig.start();
    await rig.worker();
    await whole();
    ({ primary, standby } = await roles());
  });
  afterAll(() => rig.close());

  it('it has no free walsender for the old primary', () =>
    whileClientsWrite(async () => {
      const strangers: Client[] = [];
      const port = Number(docker('port', standby, '5432/tcp').split('\n')[0]?.split(':').pop());
      const max = Number(psql(standby, 'SHOW max_wal_senders'));
      await withFault(
        {
          inject: async () => {
            for (let count = 0; count < max; count += 1) strangers.push(await occupyWalsender(port));
          },
          takeAway: () => Promise.all(strangers.map((client) => client.end())),
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('C1');
          expect(sentence).toContain(
            `${standby} has too few free walsenders for its standbys: 0 of ${max} free (limit: at least 1)`,
          );
          expect(await obey(next)).toContain('e2e_stranger');
        },
      );
    }));

  it('the old primary could not connect back to it', () => {
    const hba = '/etc/veloz/pg_hba.conf';
    const asRoot = (script: string) => docker('exec', '-u', 'root', standby, 'sh', '-c', script);
    return whileClientsWrite(() =>
      withFault(
        {
          inject: () => {
            asRoot(
              `cp -p ${hba} /tmp/e2e-hba && { echo 'host replication all all reject'; cat /tmp/e2e-hba; } > ${hba}`,
            );
            psql(standby, 'SELECT pg_reload_conf()');
          },
          takeAway: () => {
            asRoot(`cat /tmp/e2e-hba > ${hba} && rm /tmp/e2e-hba`);
            psql(standby, 'SELECT pg_reload_conf()');
          },
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('C4');
          expect(sentence).toContain(`${primary} can't open a replication connection to ${standby}`);
          expect(sentence).toContain('pg_hba.conf rejects replication connection');
          expect(sentence).toContain('(limit: IDENTIFY_SYSTEM answers)');
          expect(next).toBe(`docker logs --tail 20 ${standby}`);
        },
      ),
    );
  });

  it('it would shut clients out', () => {
    const hba = '/etc/veloz/pg_hba.conf';
    const asRoot = (script: string) => docker('exec', '-u', 'root', standby, 'sh', '-c', script);
    return whileClientsWrite(() =>
      withFault(
        {
          inject: () => {
            asRoot(`cp -p ${hba} /tmp/e2e-hba && { echo 'host veloz veloz all reject'; cat /tmp/e2e-hba; } > ${hba}`);
            psql(standby, 'SELECT pg_reload_conf()');
          },
          takeAway: () => {
            asRoot(`cat /tmp/e2e-hba > ${hba} && rm /tmp/e2e-hba`);
            psql(standby, 'SELECT pg_reload_conf()');
          },
        },
        async () => {
          const { id, sentence } = await refused(rig);

          expect(id).toBe('C10');
          expect(sentence).toContain(`${standby} refuses clients: they would be shut out`);
          expect(sentence).toContain('pg_hba.conf rejects connection');
        },
      ),
    );
  });

  it('it lacks the library of an extension', () => {
    const library = '/usr/lib/postgresql/17/lib/pgcrypto.so';
    const asRoot = (script: string) => docker('exec', '-u', 'root', standby, 'sh', '-c', script);
    // An agent looks once a minute, more often while a library is missing.
    const told = (missing: boolean) =>
      waitUntil(
        'the look at the libraries',
        async () =>
          (await look()).nodes.some(({ readiness }) => (readiness?.agent?.libraries?.missing.length ?? 0) > 0) ===
          missing,
        90_000,
      );
    return whileClientsWrite(() =>
      withFault(
        {
          inject: () => {
            psql(primary, 'CREATE EXTENSION pgcrypto');
            asRoot(`mv ${library} ${library}.e2e`);
          },
          takeAway: async () => {
            asRoot(`mv ${library}.e2e ${library}`);
            psql(primary, 'DROP EXTENSION IF EXISTS pgcrypto');
            await told(false);
          },
        },
        async () => {
          await told(true);
          const { id, sentence } = await refused(rig);

          expect(id).toBe('M1');
          expect(sentence).toContain('$libdir/pgcrypto (database veloz)');
        },
      ),
    );
  });

  it('clients could only read there', () =>
    whileClientsWrite(() =>
      withFault(
        {
          inject: () => {
            psql(standby, 'ALTER SYSTEM SET default_transaction_read_only = on');
            psql(standby, 'SELECT pg_reload_conf()');
          },
          takeAway: () => {
            psql(standby, 'ALTER SYSTEM RESET default_transaction_read_only');
            psql(standby, 'SELECT pg_reload_conf()');
          },
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('C10');
          expect(sentence).toContain(`default_transaction_read_only is on for veloz, and not on ${primary}`);
          await obey(next);
        },
      ),
    ));

  it.each([
    [
      'a log collector that can not write',
      { logging_collector: 'on', log_directory: `'/mnt/gone/log'` },
      'log_directory',
    ],
    ['fewer slots than there are', { max_replication_slots: '0' }, 'max_replication_slots'],
    ['a group of which it is no member', { unix_socket_group: 'root' }, 'unix_socket_group'],
    ['a socket that its agent may not open', { unix_socket_permissions: '0' }, 'unix_socket_permissions'],
    [
      'a log in a folder that is not there',
      { logging_collector: 'on', log_filename: `'app/pg-%a.log'` },
      'log_filename',
    ],
  ])('the old primary could not be started again: %s', (_what, settings: Record<string, string>, culprit) =>
    whileClientsWrite(() =>
      withFault(
        {
          inject: () => {
            for (const [name, value] of Object.entries(settings)) psql(primary, `ALTER SYSTEM SET ${name} = ${value}`);
          },
          takeAway: () => {
            for (const name of Object.keys(settings)) psql(primary, `ALTER SYSTEM RESET ${name}`);
          },
        },
        async () => {
          const { id, sentence } = await refused(rig);

          expect(id).toBe('M1');
          expect(sentence).toContain(`${primary} could not be started again as it is configured now`);
          expect(sentence).toContain(culprit);
        },
      ),
    ),
  );

  it('the old primary could not be started again: more replication origins than it would have room for', () =>
    whileClientsWrite(() =>
      withFault(
        {
          inject: () => {
            psql(primary, `SELECT pg_replication_origin_create('e2e_' || i) FROM generate_series(1, 4) i`);
            psql(primary, `SELECT pg_replication_origin_advance('e2e_' || i, '0/100') FROM generate_series(1, 4) i`);
            psql(primary, 'CHECKPOINT');
            psql(primary, 'ALTER SYSTEM SET max_replication_slots = 3');
          },
          takeAway: () => {
            psql(primary, 'ALTER SYSTEM RESET max_replication_slots');
            psql(
              primary,
              `SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname LIKE 'e2e_%'`,
            );
          },
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('M1');
          expect(sentence).toContain('has the progress of 4 replication origins');
          await obey(next);
        },
      ),
    ));

  it.each([
    ['a delay of its replay', 'recovery_min_apply_delay', `'1h'`, 'M3'],
    ['another file of rules', 'hba_file', `'/etc/veloz/../veloz/other_hba.conf'`, 'M9'],
  ])('the old primary would be no good standby: %s', (_what, name, value, expected) => {
    // Rules that can be read, so that only the other name is in the way.
    const asRoot = (script: string) => docker('exec', '-u', 'root', primary, 'sh', '-c', script);
    return whileClientsWrite(() =>
      withFault(
        {
          inject: () => {
            asRoot('cp -p /etc/veloz/pg_hba.conf /etc/veloz/other_hba.conf');
            psql(primary, `ALTER SYSTEM SET ${name} = ${value}`);
            psql(primary, 'SELECT pg_reload_conf()');
          },
          takeAway: () => {
            psql(primary, `ALTER SYSTEM RESET ${name}`);
            psql(primary, 'SELECT pg_reload_conf()');
            asRoot('rm -f /etc/veloz/other_hba.conf');
          },
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe(expected);
          expect(sentence).toContain(name);
          await obey(next);
        },
      ),
    );
  });

  it('clients could not write there after a reload, which the run itself makes', () =>
    whileClientsWrite(() =>
      withFault(
        {
          // Written and not loaded.
          inject: () => psql(standby, 'ALTER SYSTEM SET default_transaction_read_only = on'),
          takeAway: () => psql(standby, 'ALTER SYSTEM RESET default_transaction_read_only'),
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('M11');
          expect(sentence).toContain(`clients could not write on ${standby} after its next reload or start`);
          await obey(next);
        },
      ),
    ));

  it('a connection limit of the replication role is told, and refuses nothing', () =>
    withFault(
      {
        inject: () => psql(primary, 'ALTER ROLE replicator CONNECTION LIMIT 1'),
        takeAway: () => psql(primary, 'ALTER ROLE replicator CONNECTION LIMIT -1'),
      },
      async () => {
        const { stdout } = await cli(['postgres', 'status', '-o', 'json'], rig.env);

        expect(stdout).toContain('role replicator may open too few sessions for a rewind');
      },
    ));

  it('a setting of the server that is another one on the standby is told, and refuses nothing', () =>
    withFault(
      {
        inject: () => psql(standby, 'ALTER SYSTEM SET autovacuum = off'),
        takeAway: () => psql(standby, 'ALTER SYSTEM RESET autovacuum'),
      },
      async () => {
        const { stdout } = await cli(['postgres', 'status', '-o', 'json'], rig.env);

        expect(stdout).toContain('nobody would remove dead rows after a move');
      },
    ));

  it('a setting that waits for a reload is told, and refuses nothing', () =>
    withFault(
      {
        inject: () => psql(standby, `ALTER SYSTEM SET wal_keep_size = '64MB'`),
        takeAway: () => psql(standby, 'ALTER SYSTEM RESET wal_keep_size'),
      },
      async () => {
        const { stdout } = await cli(['postgres', 'status', '-o', 'json'], rig.env);

        expect(stdout).toContain(`settings sleep in the files of ${standby}`);
        expect(stdout).toContain(`wal_keep_size is '0kB', and will be '65536kB'`);
      },
    ));

  it('the primary has a standby.signal', () => {
    const path = '/var/lib/postgresql/data/standby.signal';
    return whileClientsWrite(() =>
      withFault(
        {
          inject: () => docker('exec', primary, 'touch', path),
          takeAway: () => docker('exec', primary, 'rm', '-f', path),
        },
        async () => {
          const { id, sentence } = await refused(rig);

          expect(id).toBe('M2');
          expect(sentence).toContain('standby.signal in the data directory');
        },
      ),
    );
  });

  it('there are two writable primaries', () =>
    whileClientsWrite(() =>
      withFault(
        {
          inject: async () => {
            psql(standby, 'SELECT pg_promote()');
            await waitUntil(
              'the slot being free',
              () =>
                psql(primary, `SELECT active FROM pg_replication_slots WHERE slot_name = '${slotName(standby)}'`) ===
                'f',
            );
          },
          takeAway: async () => {
            // What was written there belongs to nobody: the node is made anew from the primary that clients reach.
            docker('rm', '--force', standby);
            docker('volume', 'rm', standby);
            const up = await cli(['stack', 'up']);
            expect(up).toMatchObject({ code: 0 });
          },
        },
        async () => {
          const { id, sentence, next, report } = await refused(rig);

          expect(id).toBe('A3');
          expect(sentence).toMatch(/two nodes are writable: \S+ on timeline \d+ and \S+ on timeline \d+/);
          expect(sentence).toContain(`the pooler sends clients to ${primary}:5432 (limit: exactly 1)`);
          expect(report.checks).toHaveLength(1);
          // The one that clients do not reach.
          expect(next).toBe(`veloz-ha postgres rejoin ${standby} --cluster veloz`);
          const { code } = await asked(rig, ...next.split(' ').slice(1), '--yes');
          expect(code).toBe(0);
          expect(psql(standby, 'SELECT pg_is_in_recovery()')).toBe('t');
        },
      ),
    ));
});

describe('a standby that lets clients in as PgBouncer and libpq know it refuses nothing', () => {
  const hba = '/etc/veloz/pg_hba.conf';
  const asRoot = (node: string, script: string) => docker('exec', '-u', 'root', node, 'sh', '-c', script);
  const reload = (node: string) => psql(node, 'SELECT pg_reload_conf()');
  const takeBack = (node: string) => {
    asRoot(node, `test ! -e /tmp/e2e-hba || { cat /tmp/e2e-hba > ${hba} && rm /tmp/e2e-hba; }`);
    reload(node);
  };
  const clientOf = async (node: string) => (await look()).nodes.find(({ name }) => name === node)?.client;
  const letsIn = async (node: string) => {
    // What was tried just before is kept for 3 s.
    await sleep(3500);
    let client: Awaited<ReturnType<typeof clientOf>>;
    // The pooler's agent, which tries it, may give no answer in time.
    await waitUntil('it letting clients in', async () => {
      client = await clientOf(node);
      return client?.ok === true;
    });
    expect(client).toMatchObject({ ok: true, readOnly: false });
  };
  let primary: string;
  let standby: string;
  beforeAll(async () => {
    await whole();
    ({ primary, standby } = await roles());
  });

  it('by passwords that are stored as MD5', () => {
    const password = readSecret('VELOZ_PG_PASSWORD', process.env).replaceAll("'", "''");
    const set = (encryption: string) =>
      psql(primary, `SET password_encryption = '${encryption}'; ALTER ROLE veloz PASSWORD '${password}'`);
    return withFault(
      {
        inject: () => {
          for (const node of [primary, standby]) {
            asRoot(node, `cp -p ${hba} /tmp/e2e-hba && sed 's/scram-sha-256/md5/' /tmp/e2e-hba > ${hba}`);
            reload(node);
          }
          set('md5');
        },
        takeAway: () => {
          set('scram-sha-256');
          for (const node of [primary, standby]) takeBack(node);
        },
      },
      async () => {
        await waitUntil(
          'the password of the standby',
          () => psql(standby, `SELECT rolpassword LIKE 'md5%' FROM pg_authid WHERE rolname = 'veloz'`) === 't',
        );
        await letsIn(standby);
      },
    );
  });

  it('and what an application runs at each login asks for the WAL position, which no standby tells', () =>
    withFault(
      {
        inject: () => {
          psql(
            primary,
            `CREATE FUNCTION public.e2e_login() RETURNS event_trigger LANGUAGE plpgsql AS
              $$ BEGIN IF session_user = 'veloz' THEN PERFORM pg_catalog.pg_current_wal_lsn(); END IF; END $$`,
          );
          psql(primary, 'CREATE EVENT TRIGGER e2e_login ON login EXECUTE FUNCTION public.e2e_login()');
          psql(primary, 'ALTER EVENT TRIGGER e2e_login ENABLE ALWAYS');
        },
        takeAway: () => {
          psql(primary, 'SET event_triggers = off; DROP EVENT TRIGGER IF EXISTS e2e_login');
          psql(primary, 'DROP FUNCTION IF EXISTS public.e2e_login()');
        },
      },
      async () => {
        let seen = await look();
        const client = () => seen.nodes.find(({ name }) => name === standby)?.client;
        await waitUntil('the refusal of the standby', async () => {
          seen = await look();
          return client()?.ok === false;
        });
        expect(client()).toMatchObject({ ok: false, code: '55000' });
        const found = readinessFindings(cluster, seen).filter(({ id }) => id === 'C10');
        expect(found).toMatchObject([{ result: 'warn' }]);
      },
    ));

  it.each([
    ['with a longer pause between its tries in its files', 'wal_retrieve_retry_interval', '5s', '50ms'],
    ['with no word on how far it is in its files', 'wal_receiver_status_interval', '0', '1s'],
    ['with no patience for its upstream in its files', 'wal_receiver_timeout', '1ms', '5s'],
    ['with no patience for its standbys in its files', 'wal_sender_timeout', '2ms', '5s'],
    ['with a delay of each login in its files', 'pre_auth_delay', '5', '0'],
  ])('%s, which counts for nothing', (_name, setting, value, inForce) =>
    withFault(
      {
        inject: () => {
          psql(standby, `ALTER SYSTEM SET ${setting} = '${value}'`);
          reload(standby);
        },
        takeAway: () => {
          psql(standby, `ALTER SYSTEM RESET ${setting}`);
          reload(standby);
        },
      },
      () => {
        expect(psql(standby, `SHOW ${setting}`)).toBe(inForce);
        return Promise.resolve();
      },
    ),
  );

  it('with another data directory in a file, which counts for nothing', () => {
    const conf = '/etc/veloz/postgresql.conf';
    return withFault(
      {
        inject: async () => {
          asRoot(standby, `echo "data_directory = '/tmp'" >> ${conf}`);
          docker('restart', standby);
          await whole();
        },
        takeAway: () => {
          asRoot(standby, `sed -i '/^data_directory/d' ${conf}`);
        },
      },
      async () => {
        expect(psql(standby, 'SHOW data_directory')).toBe('/var/lib/postgresql/data');
        const told = readinessFindings(cluster, await look()).filter(({ id }) => id === 'M2');
        expect(told).toMatchObject([
          { result: 'warn', measured: expect.stringContaining(`data_directory = '/tmp' in ${conf} line`) as string },
        ]);
      },
    );
  });

  const key = '/var/lib/postgresql/data/e2e.key';
  const cert = '/var/lib/postgresql/data/e2e.crt';
  /** The standby speaks TLS, and `change` (a shell command that reads the rules of before) prints its rules of access. */
  const overTls = (change: string) => ({
    inject: async () => {
      docker(
        'exec',
        '-u',
        'postgres',
        standby,
        'sh',
        '-c',
        `umask 077; openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=e2e -keyout ${key} -out ${cert}`,
      );
      psql(standby, `ALTER SYSTEM SET ssl_cert_file = '${cert}'`);
      psql(standby, `ALTER SYSTEM SET ssl_key_file = '${key}'`);
      psql(standby, 'ALTER SYSTEM SET ssl = on');
      asRoot(standby, `cp -p ${hba} /tmp/e2e-hba && { ${change}; } > ${hba}`);
      reload(standby);
      await waitUntil('TLS on the standby', () => psql(standby, 'SHOW ssl') === 'on');
    },
    takeAway: () => {
      for (const name of ['ssl', 'ssl_cert_file', 'ssl_key_file']) psql(standby, `ALTER SYSTEM RESET ${name}`);
      takeBack(standby);
      docker('exec', standby, 'rm', '-f', key, cert);
    },
  });

  it('only over TLS', () =>
    withFault(overTls(`echo 'hostnossl veloz veloz all reject'; cat /tmp/e2e-hba`), async () => {
      await letsIn(standby);
    }));

  it('and replication only over TLS: agents reach it so, and compare with it', () =>
    withFault(overTls(`sed 's/^host\\( *replication\\)/hostssl\\1/' /tmp/e2e-hba`), async () => {
      expect(psql(standby, `SELECT count(*) FROM pg_hba_file_rules WHERE type = 'hostssl'`)).toBe('1');
      // What was tried just before is kept for 3 s.
      await sleep(3500);
      const { replication } = await withSession(openPostgresAgent(deps.docker, primary), async (agent) => {
        await agent.call('compare', { upstream: { host: standby, port: 5432 } });
        return agent.call('readiness', { start: false });
      });
      expect(replication?.find(({ host }) => host === standby)).toMatchObject({ ok: true, problem: null });
      const told = readinessFindings(cluster, await look()).filter(({ id }) => id === 'M9' || id === 'C4');
      expect(told.filter(({ result }) => result === 'refuse')).toEqual([]);
    }));
});
