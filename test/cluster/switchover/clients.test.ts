import { readinessFindings } from '../../../src/cluster/readiness/findings';
import { checkOf, content, decide, objects, primary, reload, standby } from '../support/objects';
import { picture, PRIMARY, STANDBY } from '../support/picture';

const well = { ok: true, user: 'veloz', readOnly: false };
const rejected = 'pg_hba.conf rejects connection for host "10.0.0.9", user "veloz", database "veloz" (28000)';
const inRecovery = 'recovery is in progress (55000)';
const notLoaded = 'pg_stat_statements must be loaded via "shared_preload_libraries" (55000)';
const closed = 'database "veloz" is not currently accepting connections (55000)';

objects({
  'the target refuses clients': {
    change: (seen) => (standby(seen).client = { ...well, ok: false, code: '28000', error: rejected }),
    id: 'C10',
    says: `${STANDBY} refuses clients: they would be shut out: login as veloz: ${rejected} (limit: a login from the pooler as its own user)`,
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'the pooler does not reach the target': {
    change: (seen) => (standby(seen).client = { ...well, ok: null, error: 'no answer within 1.5 s' }),
    id: 'C10',
    says: `the pooler can't reach ${STANDBY}: clients would reach nobody: login as veloz: no answer within 1.5 s`,
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'clients could only read there': {
    change: (seen) => {
      primary(seen).client = { ...well };
      standby(seen).client = { ...well, readOnly: true };
    },
    id: 'C10',
    says: `clients could not write on ${STANDBY}: default_transaction_read_only is on for veloz, and not on ${PRIMARY} (limit: off)`,
    next: `ALTER SYSTEM SET default_transaction_read_only = off" ${reload}`,
  },
  'clients can only read anywhere, which somebody may want': {
    change: (seen) => {
      primary(seen).client = { ...well, readOnly: true };
      standby(seen).client = { ...well, readOnly: true };
    },
    id: 'C10',
    result: 'warn',
    says: `default_transaction_read_only is on for veloz, as on ${PRIMARY}`,
    next: 'ALTER SYSTEM SET default_transaction_read_only = off',
  },
  'something that runs at each login writes, which a standby refuses': {
    change: (seen) =>
      (standby(seen).client = { ...well, ok: false, code: '25006', error: 'cannot execute INSERT (25006)' }),
    id: 'C10',
    result: 'warn',
    says: 'cannot execute INSERT (25006)',
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'something that runs at each login does so as serializable, which a standby refuses': {
    change: (seen) =>
      (standby(seen).client = { ...well, ok: false, code: '0A000', error: 'cannot use serializable mode (0A000)' }),
    id: 'C10',
    result: 'warn',
    says: 'cannot use serializable mode (0A000)',
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'something that runs at each login asks what no standby tells': {
    change: (seen) => (standby(seen).client = { ...well, ok: false, code: '55000', error: inRecovery }),
    id: 'C10',
    result: 'warn',
    says: inRecovery,
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'something that runs at each login needs a library that only the primary loads': {
    change: (seen) => {
      primary(seen).client = { ...well };
      standby(seen).client = { ...well, ok: false, code: '55000', error: notLoaded };
    },
    id: 'C10',
    says: notLoaded,
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'the database is closed on every node': {
    change: (seen) => {
      primary(seen).client = { ...well, ok: false, code: '55000', error: closed };
      standby(seen).client = { ...well, ok: false, code: '55000', error: closed };
    },
    id: 'C10',
    result: 'warn',
    says: `${closed}, as on ${PRIMARY}`,
    next: `docker logs --tail 20 ${STANDBY}`,
  },
});

const missing = 'database "veloz" does not exist (3D000)';
const wrongPassword = 'password authentication failed for user "veloz" (28P01)';
const noLogin = 'role "veloz" is not permitted to log in (28000)';

test.each([
  ['3D000', missing],
  ['28P01', wrongPassword],
  ['28000', noLogin],
])('what shuts clients out on the primary too (%s) warns, and refuses by other words', (code, error) => {
  const seen = picture();
  primary(seen).client = { ...well, ok: false, code, error };
  standby(seen).client = { ...well, ok: false, code, error };
  expect(checkOf(decide(seen), 'C10')).toMatchObject({
    result: 'warn',
    measured: expect.stringContaining(error) as string,
  });
  expect(readinessFindings(seen.topology, seen.observed).map(({ id, result }) => `${id} ${result}`)).toEqual([
    'C10 warn',
  ]);
  primary(seen).client = { ...well, ok: false, code, error: `other words (${code})` };
  expect(checkOf(decide(seen), 'C10')).toMatchObject({ result: 'refuse' });
});

content([['C10', 'a client that is let in', (seen) => (standby(seen).client = { ...well })]]);

test('where nobody tried, nothing is known', () => {
  const seen = picture();
  delete standby(seen).client;
  expect(checkOf(decide(seen), 'C10')).toMatchObject({ result: 'skip' });
});

test('the guard is not ready where the candidate would shut clients out', () => {
  const seen = picture();
  standby(seen).client = { ...well, ok: false, code: '28000', error: rejected };
  expect(readinessFindings(seen.topology, seen.observed).map(({ id, result }) => `${id} ${result}`)).toEqual([
    'C10 refuse',
  ]);
});
