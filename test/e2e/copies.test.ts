import { Rig, failureOf } from './support/rig';
import { untouched } from './support/refusal';
import { jobOf, run } from './support/standby-runs';
import { sampled as test } from './support/sample';
import { docker, psql, roles, thenAlways, waitUntil, whole } from './support/stack';

const VOLUME = '/var/lib/postgresql';

/** What a copy of the primary leaves out, or has no place for, on databases as people make them. */
describe('a full copy', () => {
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

  const inside = (node: string, command: string) => docker('exec', '-u', 'postgres', node, 'sh', '-c', command).trim();
  const exists = (node: string, path: string) => inside(node, `test -e ${path} && echo yes || echo no`) === 'yes';
  const count = (node: string, table: string, database?: string) =>
    psql(node, `SELECT count(*) FROM ${table}`, database);
  const dropDatabases = () => {
    for (const name of ['e2e_cold', 'e2e_cold_2']) psql(primary, `DROP DATABASE IF EXISTS ${name}`);
    inside(primary, `find ${VOLUME}/data/base -type l -delete; rm -rf ${VOLUME}/e2e_cold`);
  };

  test('of a primary that has a database behind a link is refused, and the standby is left as it is', async () => {
    await thenAlways(
      async () => {
        psql(primary, 'CREATE DATABASE e2e_cold');
        psql(primary, 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS i', 'e2e_cold');
        psql(primary, 'CHECKPOINT');
        const oid = psql(primary, `SELECT oid FROM pg_database WHERE datname = 'e2e_cold'`);
        const link = `${VOLUME}/data/base/${oid}`;
        inside(primary, `mv ${link} ${VOLUME}/e2e_cold && ln -s ${VOLUME}/e2e_cold ${link}`);
        expect(count(primary, 't', 'e2e_cold')).toBe('1000');
        const { type, message } = await untouched(() =>
          failureOf(run(rig, 'rejoin', { node: standby, method: 'copy' })),
        );
        expect(type).toBe('Refused');
        expect(message).toContain(`M7: a copy of ${primary} would lack a part of its data`);
        expect(message).toContain(`${link} is a link to ${VOLUME}/e2e_cold`);
        // As docs/rejoin.md has it: the new database is in the WAL, and so on the standby, whatever that lacked.
        psql(primary, 'CREATE DATABASE e2e_cold_2 TEMPLATE e2e_cold', 'postgres');
        psql(primary, 'DROP DATABASE e2e_cold', 'postgres');
        inside(primary, `rm -r ${link} ${VOLUME}/e2e_cold`);
        await waitUntil('the database on the standby', () => count(standby, 't', 'e2e_cold_2') === '1000');
        expect((await run(rig, 'rejoin', { node: standby, method: 'copy' })).rejoin).toMatchObject({ method: 'copy' });
        expect(count(standby, 't', 'e2e_cold_2')).toBe('1000');
      },
      async () => {
        dropDatabases();
        await whole();
      },
    );
  }, 300_000);

  test('of a primary with a link that is no part of its database is made without it', async () => {
    const link = `${VOLUME}/data/dump.sql`;
    await thenAlways(
      async () => {
        inside(primary, `ln -s ${VOLUME}/e2e_dump.sql ${link}`);
        expect((await run(rig, 'rejoin', { node: standby, method: 'copy' })).rejoin).toMatchObject({ method: 'copy' });
        expect(inside(standby, `test -L ${link} && echo yes || echo no`)).toBe('no');
        await whole();
      },
      async () => {
        inside(primary, `rm -f ${link}`);
        await whole();
      },
    );
  }, 300_000);

  test('is not needed after CREATE TABLESPACE, works with one, and leaves nothing of the old ones', async () => {
    const spaces = ['e2e_ts1', 'e2e_ts2'];
    await thenAlways(
      async () => {
        const before = await jobOf(standby);
        for (const name of spaces) {
          inside(primary, `mkdir -m 0700 ${VOLUME}/${name}`);
          psql(primary, `CREATE TABLESPACE ${name} LOCATION '${VOLUME}/${name}'`);
          psql(primary, `CREATE TABLE ${name} TABLESPACE ${name} AS SELECT generate_series(1, 1000) AS i`);
          await waitUntil(`${name} on the standby`, () => count(standby, name) === '1000');
          await whole();
        }
        expect(await jobOf(standby)).toEqual(before);
        const report = await run(rig, 'rejoin', { node: standby, method: 'copy' });
        expect(report.outcome).toMatch(/^completed/);
        expect(report.rejoin).toMatchObject({ node: standby, method: 'copy' });
        await whole();
        for (const name of spaces) {
          expect(count(standby, name)).toBe('1000');
          expect(psql(standby, `SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = '${name}'`)).toBe(
            `${VOLUME}/${name}`,
          );
          expect(inside(standby, `ls ${VOLUME}/${name}`)).toMatch(/^PG_17_\d+$/);
        }
        expect(inside(standby, `ls -d ${VOLUME}/data*`)).toBe(`${VOLUME}/data`);
        // It goes on with them, and may be copied once more.
        psql(primary, 'INSERT INTO e2e_ts1 SELECT generate_series(1, 1000)');
        expect((await run(rig, 'rejoin', { node: standby, method: 'copy' })).outcome).toMatch(/^completed/);
        expect(count(standby, 'e2e_ts1')).toBe('2000');
      },
      async () => {
        for (const name of spaces) {
          psql(primary, `DROP TABLE IF EXISTS ${name}`);
          psql(primary, `DROP TABLESPACE IF EXISTS ${name}`);
        }
        await waitUntil(
          'the tablespaces being dropped on the standby',
          () => psql(standby, 'TABLE pg_tablespace').split('\n').length === 2,
        );
        for (const node of [primary, standby])
          inside(node, `rm -rf ${spaces.map((name) => `${VOLUME}/${name}`).join(' ')}`);
        await whole();
      },
    );
  }, 300_000);

  test('is refused where a directory outside of the own volume of the node is not empty', async () => {
    const path = '/srv/e2e_ts';
    const asRoot = (node: string, command: string) => docker('exec', '-u', 'root', node, 'sh', '-c', command);
    await thenAlways(
      async () => {
        for (const node of [primary, standby]) asRoot(node, `install -d -o postgres -g postgres -m 0700 ${path}`);
        psql(primary, `CREATE TABLESPACE e2e_far LOCATION '${path}'`);
        psql(primary, 'CREATE TABLE e2e_far TABLESPACE e2e_far AS SELECT generate_series(1, 1000) AS i');
        await waitUntil('it on the standby', () => count(standby, 'e2e_far') === '1000');
        const { type, message } = await untouched(() =>
          failureOf(run(rig, 'rejoin', { node: standby, method: 'copy' })),
        );
        expect(type).toBe('Refused');
        expect(message).toContain(`M7: ${standby} has no place for a copy of a tablespace of ${primary}`);
        expect(message).toContain("it is not empty, and lies outside of the node's own volume");
        expect(exists(standby, path)).toBe(true);
        expect(count(standby, 'e2e_far')).toBe('1000');
      },
      async () => {
        psql(primary, 'DROP TABLE IF EXISTS e2e_far');
        psql(primary, 'DROP TABLESPACE IF EXISTS e2e_far');
        await waitUntil(
          'it being dropped on the standby',
          () => psql(standby, 'TABLE pg_tablespace').split('\n').length === 2,
        );
        for (const node of [primary, standby]) asRoot(node, `rm -rf ${path}`);
        await whole();
      },
    );
  }, 300_000);
});
