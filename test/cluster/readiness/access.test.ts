import type { AgentReadiness } from '../../../src/cluster/readiness/observed';
import { decide, notOk, objects, primary, standby } from '../support/objects';
import { picture, ready, STANDBY } from '../support/picture';

const well = { errors: [], identErrors: [], refused: [] };
const has = (rest: Partial<NonNullable<AgentReadiness['access']>>) => ({ ...well, ...rest });
const mistake = { file: '/etc/veloz/pg_hba.conf', line: 4, error: 'invalid CIDR mask in address "10.0.0.0/99"' };

const own = { ok: true, problem: null, socketDir: '/var/run/postgresql' };
const shut = 'role "postgres" is not permitted to log in (28000)';

objects({
  'the old primary would read another file of rules at its next start': {
    change: (seen) => {
      const { agent, sql } = ready(primary(seen));
      sql.settings.hba_file = '/etc/veloz/pg_hba.conf';
      agent.next.hba_file = '/tmp/pg_hba.conf';
    },
    id: 'M9',
    says: 'hba_file is /etc/veloz/pg_hba.conf now, /tmp/pg_hba.conf at the next start',
    next: 'ALTER SYSTEM RESET hba_file',
  },
  'the file of rules rejects clients, and was not reloaded': {
    change: (seen) => {
      const clients = { role: 'veloz', database: 'veloz', from: '10.0.0.7', why: 'line 3 says reject' };
      ready(standby(seen)).agent.access = has({ clients });
    },
    id: 'M9',
    says: `${STANDBY} would shut clients out after its next start or reload, and a run reloads it: pg_hba.conf, for veloz in database veloz from the pooler at 10.0.0.7: line 3 says reject`,
    next: 'pg_hba_file_rules',
  },
  'nobody knows whom the candidate would let in': {
    change: (seen) => (ready(standby(seen)).agent.access = null),
    id: 'M9',
    result: 'warn',
    says: `it is not known whom ${STANDBY} would let in after its next start: its agent had no answer`,
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'the agent of the candidate is shut out': {
    change: (seen) => (ready(standby(seen)).agent.own = { ...own, ok: false, problem: shut }),
    id: 'M10',
    says: `the agent of ${STANDBY} can't open a session of its own: nobody would end a reader that holds a promotion up: ${shut}`,
    next: 'psql -U postgres -d template1',
  },
  'the agent of the candidate would be shut out after its next start': {
    change: (seen) => {
      ready(standby(seen)).agent.own = own;
      ready(standby(seen)).agent.next.unix_socket_directories = '/tmp';
    },
    id: 'M10',
    says: "would find no socket after its next start: unix_socket_directories is '/tmp' at the next start (limit: /var/run/postgresql is one of them)",
    next: 'ALTER SYSTEM RESET unix_socket_directories',
  },
  'pg_hba.conf of the primary has a mistake': {
    change: (seen) => (ready(primary(seen)).agent.access = has({ errors: [mistake] })),
    id: 'M9',
    says: 'could not be started again: pg_hba.conf has a mistake, and it runs with the rules of before: /etc/veloz/pg_hba.conf line 4: invalid CIDR mask',
    next: 'pg_hba_file_rules',
  },
  'the candidate would not let the control role in': {
    change: (seen) =>
      (ready(standby(seen)).agent.access = has({
        refused: [{ role: 'veloz_ha', database: 'veloz_ha', from: '10.0.0.7', why: 'line 9 says reject' }],
      })),
    id: 'M9',
    says: 'would not let veloz_ha in after its next start or reload: pg_hba.conf, for database veloz_ha from 10.0.0.7: line 9 says reject',
    next: 'pg_hba_file_rules',
  },
  'pg_ident.conf has a mistake, which stops no start': {
    change: (seen) =>
      (ready(primary(seen)).agent.access = has({ identErrors: [{ file: '', line: 2, error: 'missing entry' }] })),
    id: 'M9',
    result: 'warn',
    says: 'a start goes on without any: line 2: missing entry',
    next: 'pg_ident_file_mappings',
  },
});

test('what a try of the way back has told already is not told again', () => {
  const seen = picture();
  standby(seen).connectBack = { ok: false, error: 'pg_hba.conf rejects replication connection' };
  ready(standby(seen)).agent.access = has({
    refused: [{ role: 'replicator', database: 'replication', from: '10.0.0.7', why: 'line 1 says reject' }],
  });
  expect(notOk(decide(seen))).toEqual(['C4']);
});

test.each([undefined, well])('access as %j is no news', (access) => {
  const seen = picture();
  for (const node of [primary(seen), standby(seen)])
    Object.assign(ready(node).agent, access === undefined ? {} : { access });
  expect(notOk(decide(seen))).toEqual([]);
});

test('a door that is open, or of which nothing is known, is no news', () => {
  const seen = picture();
  ready(primary(seen)).agent.own = { ...own, ok: null, problem: 'no answer within 3 s' };
  ready(standby(seen)).agent.own = own;
  ready(standby(seen)).agent.next.unix_socket_directories = '/tmp, /run/postgresql/';
  expect(notOk(decide(seen))).toEqual([]);
});
