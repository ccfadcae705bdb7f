import { checkWhole, wholeWords } from '../../../src/cluster/readiness/copies';
import { readinessFindings } from '../../../src/cluster/readiness/findings';
import { Checklist } from '../../../src/cluster/switchover/checklist';
import { decide, notOk, objects, primary, standby } from '../support/objects';
import { picture, PRIMARY, ready, STANDBY } from '../support/picture';

const cold = { path: '/var/lib/postgresql/data/base/16400', target: '/var/lib/postgresql/cold' };

objects({
  'a tablespace is not there': {
    change: (seen) => ready(standby(seen)).agent.tablespaces.push({ oid: '16400', path: '/fast', there: false }),
    id: 'M7',
    result: 'warn',
    says: 'would not find a tablespace at its next start: tablespace 16400 at /fast, which is not there',
    next: 'pg_tablespace_location',
  },
  'root left a file in the data directory': {
    change: (seen) => {
      const path = '/var/lib/postgresql/data/my notes.txt';
      const other = '/var/lib/postgresql/data/base/5/1249';
      const file = { mode: '0600', owner: 'root' };
      const files = [
        { ...file, path: other },
        { ...file, path },
      ];
      ready(primary(seen)).agent.unreadable = { user: 'postgres', files, more: 1 };
    },
    id: 'M12',
    result: 'warn',
    says: "no node could be copied or rewound from veloz-postgres-primary: its server may not read what lies in its data directory: /var/lib/postgresql/data/base/5/1249 is root's, mode 0600, /var/lib/postgresql/data/my notes.txt is root's, mode 0600, 1 more",
    next: 'docker exec -u root veloz-postgres-primary chown postgres: /var/lib/postgresql/data/base/5/1249 "/var/lib/postgresql/data/my notes.txt"',
  },
  "the server's own file can not be read": {
    change: (seen) => {
      const files = [{ path: '/var/lib/postgresql/data/x', mode: '0200', owner: 'postgres' }];
      ready(standby(seen)).agent.unreadable = { user: 'postgres', files, more: 0 };
    },
    id: 'M12',
    result: 'warn',
    says: "/var/lib/postgresql/data/x is postgres's, mode 0200",
    next: 'docker exec -u root veloz-postgres-standby chmod u+rX /var/lib/postgresql/data/x',
  },
  'a tablespace of the candidate lies where another node may have its own': {
    change: (seen) =>
      ready(standby(seen)).agent.tablespaces.push({ oid: '16400', path: '/fast', there: true, own: false }),
    id: 'M7',
    result: 'warn',
    says: `${STANDBY} can't be copied anew by itself: what lies outside of its own volume has to be emptied by hand first: tablespace 16400 at /fast`,
    next: 'pg_tablespace_location',
  },
  'its agent is older, and replaces no tablespace': {
    change: (seen) => ready(standby(seen)).agent.tablespaces.push({ oid: '16400', path: '/fast', there: true }),
    id: 'M7',
    result: 'warn',
    says: 'tablespace 16400 at /fast',
    next: 'pg_tablespace_location',
  },
  'its WAL lies elsewhere': {
    change: (seen) => (ready(standby(seen)).agent.walOutside = '/wal'),
    id: 'M7',
    result: 'warn',
    says: `a full copy of ${STANDBY} would leave its WAL where it is, and put new WAL into its data directory: pg_wal at /wal`,
    next: 'pg_tablespace_location',
  },
  'a database of the primary is a link, which a move does not copy': {
    change: (seen) => (ready(primary(seen)).agent.leftOut = { links: [cold], more: 0 }),
    id: 'M7',
    result: 'warn',
    says: `a copy of ${PRIMARY} would lack a part of its data: its server follows links, and no copy does: ${cold.path} is a link to ${cold.target} (limit: no link in the data but pg_wal and those in pg_tblspc)`,
    next: `docker exec ${PRIMARY} psql -U postgres -d postgres -c "SELECT oid, datname FROM pg_database WHERE oid IN (16400)"`,
  },
  'the candidate lacks a database, which a copy left out': {
    change: (seen) => (ready(standby(seen)).agent.lacking = { databases: [{ oid: '16400', name: 'cold' }], more: 0 }),
    id: 'M7',
    says: `${STANDBY} lacks the directory of a database, which a copy may have left out: cold (16400) (limit: a directory of each database)`,
    next: `veloz-ha postgres rejoin --cluster veloz ${STANDBY} --method copy`,
  },
  'the primary lacks one, which no move makes worse': {
    change: (seen) => (ready(primary(seen)).agent.lacking = { databases: [{ oid: '16400', name: 'cold' }], more: 1 }),
    id: 'M7',
    result: 'warn',
    says: `${PRIMARY} lacks the directory of a database, which a copy may have left out: cold (16400), 1 more`,
    next: `docker exec ${PRIMARY} ls -l /var/lib/postgresql/data/base`,
  },
  'some other part of it is': {
    change: (seen) => {
      const links = [{ path: '/var/lib/postgresql/data/pg_xact', target: '/x' }];
      ready(primary(seen)).agent.leftOut = { links, more: 3 };
    },
    id: 'M7',
    result: 'warn',
    says: '/var/lib/postgresql/data/pg_xact is a link to /x, 3 more',
    next: `docker exec ${PRIMARY} ls -ld /var/lib/postgresql/data/pg_xact`,
  },
});

const certificate = (setting: string) => ({
  path: '/var/lib/postgresql/data/tls',
  target: '/run/secrets',
  setting,
  leadsTo: `/run/secrets/${setting === 'ssl_key_file' ? 'key' : 'crt'}`,
});

test.each([PRIMARY, STANDBY])(
  'a file that settings name behind a link is told, and keeps nobody from being protected: %s',
  (name) => {
    const seen = picture();
    const links = [certificate('ssl_cert_file'), certificate('ssl_key_file')];
    ready(seen.node(name)).agent.leftOut = { links, more: 0 };
    expect(readinessFindings(seen.topology, seen.observed)).toMatchObject([{ id: 'M7', result: 'warn' }]);
    const list = new Checklist();
    checkWhole(list, 'veloz', seen.node(name), name === PRIMARY, 'require');
    expect(list.checks).toMatchObject([
      {
        id: 'M7',
        result: 'warn',
        refusal: `a copy of ${name} would not start: it would lack what its settings name, since its server follows links, and no copy does`,
        measured:
          '/var/lib/postgresql/data/tls is a link to /run/secrets (ssl_cert_file), /var/lib/postgresql/data/tls is a link to /run/secrets (ssl_key_file)',
        limit: 'no link below the data directory to what the settings name',
        next: `docker exec ${name} psql -U postgres -d postgres -c "ALTER SYSTEM SET ssl_cert_file = '/run/secrets/crt'" -c "ALTER SYSTEM SET ssl_key_file = '/run/secrets/key'" -c "SELECT pg_reload_conf()"`,
      },
    ]);
  },
);

test('what no reload takes over is shown, and beside data that would be lacking settings are no matter of their own', () => {
  const rules = { path: '/var/lib/postgresql/data/pg_hba.conf', target: '/x', setting: 'hba_file', leadsTo: '/x' };
  expect(wholeWords(PRIMARY, { links: [rules], more: 0 }).next).toBe(
    `docker exec ${PRIMARY} ls -ld /var/lib/postgresql/data/pg_hba.conf`,
  );
  expect(wholeWords(PRIMARY, { links: [cold, certificate('ssl_cert_file')], more: 0 })).toMatchObject({
    refusal: `a copy of ${PRIMARY} would lack a part of its data: its server follows links, and no copy does`,
    measured: `${cold.path} is a link to ${cold.target}, /var/lib/postgresql/data/tls is a link to /run/secrets (ssl_cert_file)`,
    next: expect.stringContaining('FROM pg_database') as string,
  });
});

test('tablespaces on the own volume of a node are copied with it', () => {
  const seen = picture();
  const space = { oid: '16400', path: '/var/lib/postgresql/ts1', there: true, own: true };
  for (const node of [primary(seen), standby(seen)]) ready(node).agent.tablespaces.push(space);
  expect(notOk(decide(seen))).toEqual([]);
});

test.each([
  [PRIMARY, /^docker exec veloz-postgres-primary psql .*pg_database/],
  [STANDBY, /^veloz-ha postgres rejoin --cluster veloz veloz-postgres-standby --method copy$/],
])('a node of which no copy would be whole is not ready: %s', (name, next) => {
  const seen = picture();
  ready(seen.node(name)).agent.leftOut = { links: [cold], more: 0 };
  const found = readinessFindings(seen.topology, seen.observed);
  expect(found).toMatchObject([{ id: 'M7', result: 'refuse', next: expect.stringMatching(next) as string }]);
});

test.each([undefined, null, { links: [], more: 0 }])(
  'where nothing is known, or nothing left out, all is well',
  (leftOut) => {
    const seen = picture();
    ready(primary(seen)).agent.leftOut = leftOut;
    expect(readinessFindings(seen.topology, seen.observed)).toEqual([]);
  },
);
