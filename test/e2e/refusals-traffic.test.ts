import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { loadTopology } from '../../src/systems/topology-file';
import { readSecret } from '../../src/systems/secrets';
import type { Report, RunState } from '../../src/workflows/run-state';
import { asked, obey, refused, untouched, whileClientsWrite, withFault } from './support/refusal';
import { Rig } from './support/rig';
import { docker, look, POOLER, psql, roles, waitUntil, whole } from './support/stack';

/** A client at the front door that begins a transaction and leaves it open. */
async function openTransaction(): Promise<Client> {
  const cluster = loadTopology().clusters.veloz;
  if (cluster === undefined) throw new Error('the topology has no cluster veloz');
  const { client: login, database } = cluster.postgres;
  const client = new Client({
    ...cluster.pgbouncer.nodes[0]?.address,
    user: login.user,
    password: readSecret(login.passwordFrom, process.env),
    database,
    application_name: 'e2e_forgetful',
  });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('BEGIN');
  await client.query('CREATE TABLE e2e_unfinished ()');
  return client;
}

/**
 * Begins the client's transaction anew until the run has looked for the last time: one that is old by then would be refused (D3). The end
 * and the beginning are one message, so PgBouncer never sees the client outside a transaction.
 */
function staysYoung(client: Client, phase: () => Promise<RunState['phase']>): { end(): Promise<void> } {
  let ended = false;
  const loop = async () => {
    while (!ended) {
      await sleep(200);
      const now = await phase().catch(() => undefined);
      // It looks no more: whoever is in a transaction now stays in it.
      if (now === 'running' || now === 'ended') return;
      await client.query('ROLLBACK; BEGIN; CREATE TABLE e2e_unfinished ()');
    }
  };
  // A client that was disconnected is told by what the test asks of it next.
  const looping = loop().catch(() => undefined);
  return {
    end: () => {
      ended = true;
      return looping;
    },
  };
}

/** A tool that replicates by way of the front door, as the control role: that may. */
async function replicationThrough(): Promise<Client> {
  const cluster = loadTopology().clusters.veloz;
  if (cluster === undefined) throw new Error('the topology has no cluster veloz');
  const { control, database } = cluster.postgres;
  const client = new Client({
    ...cluster.pgbouncer.nodes[0]?.address,
    user: control.user,
    password: readSecret(control.passwordFrom, process.env),
    database,
    replication: 'database',
    application_name: 'e2e_cdc',
  } as ConstructorParameters<typeof Client>[0]);
  client.on('error', () => undefined);
  await client.connect();
  await client.query('IDENTIFY_SYSTEM');
  return client;
}

const console = (command: string) =>
  docker(
    'exec',
    '-u',
    'pgbouncer',
    POOLER,
    'psql',
    '-h',
    '/run/pgbouncer',
    '-p',
    '6432',
    '-U',
    'pgbouncer',
    '-d',
    'pgbouncer',
    '-Atqc',
    command,
  );

describe('a switchover is refused when clients could not be held, and moved along', () => {
  let rig: Rig;
  let primary: string;
  beforeAll(async () => {
    rig = await Rig.start();
    await rig.worker();
    await whole();
    ({ primary } = await roles());
  });
  afterAll(() => rig.close());

  it('a transaction is open for longer than it may be', () =>
    whileClientsWrite(async () => {
      let forgetful: Client | undefined;
      await withFault(
        {
          inject: async () => {
            forgetful = await openTransaction();
            await sleep(2100);
          },
          takeAway: () => forgetful?.end().catch(() => undefined),
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('D3');
          expect(sentence).toMatch(
            /a transaction has been open for too long: pid \d+ of veloz \(e2e_forgetful\), idle in transaction, for \d/,
          );
          expect(sentence).toContain('(limit: 2.00 s, limits.transactionAge; PAUSE waits for at most 2.00 s)');
          await obey(next);
          await expect(forgetful?.query('COMMIT')).rejects.toThrow();
        },
      );
    }));

  it('a transaction is open, and its session hides since when', () =>
    whileClientsWrite(async () => {
      let forgetful: Client | undefined;
      await withFault(
        {
          inject: async () => {
            psql(primary, 'ALTER SYSTEM SET track_activities = off');
            psql(primary, 'SELECT pg_reload_conf()');
            await waitUntil('the setting', () => psql(primary, 'SHOW track_activities') === 'off');
            forgetful = await openTransaction();
          },
          takeAway: async () => {
            await forgetful?.end().catch(() => undefined);
            psql(primary, 'ALTER SYSTEM RESET track_activities');
            psql(primary, 'SELECT pg_reload_conf()');
          },
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('D3');
          expect(sentence).toMatch(
            /open, and nobody knows for how long: track_activities is off .*: pid \d+ of veloz \(e2e_forgetful\), which was open in an earlier look as well/,
          );
          await obey(next);
          await expect(forgetful?.query('COMMIT')).rejects.toThrow();
        },
      );
    }));

  it.each([
    ['', () => undefined],
    [', also where PgBouncer answers each PAUSE at once, since somebody sent WAIT_CLOSE', () => console('WAIT_CLOSE')],
  ])(
    'a transaction begins just before the hold and stays open: clients wait for no longer than the limit, and nothing changes%s',
    async (also, before) => {
      before();
      const seen = await whileClientsWrite(async () => {
        let forgetful: Client | undefined;
        await withFault(
          { inject: () => undefined, takeAway: () => forgetful?.end().catch(() => undefined) },
          async () => {
            const started = await asked(rig, 'postgres', 'switchover', '--detach', '--pause-limit', '1s');
            const { workflowId } = (started.document as { run: { workflowId: string } }).run;
            const run = rig.client.workflow.getHandle(workflowId);
            await waitUntil(
              'the plan',
              async () => (await run.query<RunState>('status')).phase === 'awaiting approval',
            );
            const { code, report } = await untouched(async () => {
              forgetful = await openTransaction();
              const young = staysYoung(forgetful, async () => (await run.query<RunState>('status')).phase);
              try {
                await run.executeUpdate('approve', { args: [{ by: 'e2e' }] });
                const watched = await asked(rig, 'watch', workflowId);
                return { code: watched.code, report: watched.document as Report };
              } finally {
                await young.end();
              }
            });

            expect({ code, outcome: report.outcome }).toEqual({ code: 1, outcome: 'rolled back' });
            expect(report.says).toMatch(/in a transaction .*\(limit: 1.00 s, limits\.pause\)/);
            expect(report.says).toMatch(new RegExp(`${primary} is primary as before\\. Next: .+pg_terminate_backend`));
            expect(report.primaryAfter).toBe(primary);
            expect(report.steps.map(({ id, state }) => `${id} ${state}`)).toEqual([
              'prepare undone',
              'checkpoint done',
              'move undone',
              'settle pending',
              'verify pending',
            ]);
            // Whoever kept it open was not disturbed.
            await forgetful?.query('COMMIT');
            psql(primary, 'DROP TABLE e2e_unfinished');
          },
        );
      });
      expect(seen.gapMs).toBeGreaterThan(900);
      expect(seen.gapMs).toBeLessThan(8000);
      if (also === '') return;
      // The mark stays until PgBouncer ends.
      docker('restart', POOLER);
      await whole();
    },
  );

  // Nobody writes here: a change of the mode itself costs clients their prepared statements.
  it('PgBouncer pools sessions', () =>
    withFault(
      {
        inject: () => console(`SET pool_mode = 'session'`),
        takeAway: () => console(`SET pool_mode = 'transaction'`),
      },
      async () => {
        const { id, sentence, next } = await refused(rig);

        expect(id).toBe('F1');
        expect(sentence).toContain(`pool_mode of ${POOLER} is session (limit: transaction)`);
        await obey(next);
        await waitUntil('the pool mode', async () => (await look()).pooler.console?.poolMode === 'transaction');
      },
    ));

  it('a replication connection goes through the pooler, for which PAUSE would wait', async () => {
    const tool = await replicationThrough();
    try {
      const { id, sentence, next } = await refused(rig);

      expect(id).toBe('F1');
      expect(sentence).toMatch(/PAUSE would wait for a replication connection for ever: veloz_ha( \(.+\))? has one/);
      await obey(next);
      await waitUntil('its end', async () => (await look()).pooler.console?.replication === undefined);
    } finally {
      await tool.end().catch(() => undefined);
    }
  });

  it('somebody holds clients already', () =>
    whileClientsWrite(() =>
      withFault(
        {
          inject: () => console('PAUSE veloz'),
          // It is an error when nobody is held any more.
          takeAway: () => {
            if (/\|1\|\d*$/m.test(console('SHOW DATABASES'))) console('RESUME veloz');
          },
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('F2');
          expect(sentence).toMatch(
            new RegExp(`clients wait at ${POOLER}: somebody paused database veloz, \\d+ clients? waits?`),
          );
          expect(sentence).toContain('(limit: not held, not paused)');
          await obey(next);
          await waitUntil('clients going on', async () => (await look()).pooler.console?.paused === false);
        },
      ),
    ));

  it('somebody paused all of the pooler, which no database of its shows', () =>
    whileClientsWrite(() =>
      withFault(
        {
          inject: () => console('PAUSE'),
          takeAway: () => {
            if (/^paused\|yes$/m.test(console('SHOW STATE'))) console('RESUME');
          },
        },
        async () => {
          const { id, sentence, next } = await refused(rig);

          expect(id).toBe('F2');
          expect(sentence).toContain(`clients wait at ${POOLER}: somebody paused all of it`);
          await obey(next);
          await waitUntil('clients going on', async () => (await look()).pooler.console?.paused === false);
        },
      ),
    ));

  it('somebody disabled the database at the pooler', () =>
    withFault(
      {
        inject: () => console('DISABLE veloz'),
        takeAway: () => console('ENABLE veloz'),
      },
      async () => {
        const { id, sentence, next } = await refused(rig);

        expect(id).toBe('F2');
        expect(sentence).toContain(
          `${POOLER} refuses new clients: somebody disabled database veloz there (limit: enabled)`,
        );
        await obey(next);
        await waitUntil('clients being let in', async () => (await look()).pooler.console?.disabled === false);
      },
    ));

  it('PgBouncer is out of reach', () =>
    withFault(
      {
        inject: () => docker('stop', POOLER),
        takeAway: () => docker('start', POOLER),
      },
      async () => {
        const { id, sentence, next } = await refused(rig);

        expect(id).toBe('E4');
        expect(sentence).toMatch(new RegExp(`${POOLER} is not ready: .+ \\(limit: all of them answer\\)`));
        expect(next).toBe(`docker start ${POOLER}`);
        await obey(next);
        await whole();
      },
    ));
});
