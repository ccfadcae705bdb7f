import { readinessFindings } from '../../../src/cluster/readiness/findings';
import { checkReplicationRole, triedPath } from '../../../src/cluster/readiness/replication-path';
import { decide, notOk, objects, primary, standby } from '../support/objects';
import { picture, PRIMARY, ready, STANDBY, type Picture } from '../support/picture';

const well = { name: 'replicator', canLogin: true, canReplicate: true, validForMs: null };
const refusedWord = 'password authentication failed for user "replicator" (28P01)';

/** The standby streams as a role with these attributes. */
function as(seen: Picture, role: Partial<typeof well> | { validForMs: number } | { connectionLimit: number }): void {
  const { sql } = ready(primary(seen));
  sql.senders = [
    {
      pid: 7,
      application: 'veloz_standby',
      user: 'replicator',
      slot: 'veloz_postgres_standby',
      slotType: 'physical',
      state: 'streaming',
      behindBytes: 0,
      replyAgeMs: 10,
    },
  ];
  sql.replicationRoles = [
    { ...well, ...role },
    { ...well, name: 'backup', canLogin: false },
  ];
}

objects({
  'the replication role may not log in any more': {
    change: (seen) => as(seen, { canLogin: false }),
    id: 'C8',
    says: 'role replicator may not begin to replicate: what streams goes on, and no node could follow after a failover: NOLOGIN (limit: LOGIN and REPLICATION)',
    next: 'ALTER ROLE replicator LOGIN REPLICATION',
  },
  'nor replicate': {
    change: (seen) => as(seen, { canReplicate: false }),
    id: 'C8',
    says: 'NOREPLICATION (limit',
    next: 'ALTER ROLE replicator LOGIN REPLICATION',
  },
  'its password ended': {
    change: (seen) => as(seen, { validForMs: -86_400_000 }),
    id: 'C8',
    says: 'the password of the replication role has ended',
    next: "ALTER ROLE replicator VALID UNTIL 'infinity'",
  },
  'its password ends soon': {
    change: (seen) => as(seen, { validForMs: 86_400_000 }),
    id: 'C8',
    result: 'warn',
    says: 'it ends in 1.0 days (limit: valid for more than 14.0 days)',
    next: "ALTER ROLE replicator VALID UNTIL 'infinity'",
  },
  'the standby could not begin again': {
    change: (seen) =>
      (ready(standby(seen)).agent.replication = [{ host: PRIMARY, port: 5432, ok: false, problem: refusedWord }]),
    id: 'C4',
    result: 'warn',
    says: `${STANDBY} could not begin to follow ${PRIMARY} again, should its session end: ${refusedWord}`,
    next: `docker logs --tail 20 ${PRIMARY}`,
  },
});

test('a role as which nodes stream, with nothing wrong, is no news', () => {
  const seen = picture();
  as(seen, {});
  expect(notOk(decide(seen))).toEqual([]);
});

test('the guard is not ready where the primary could not follow its candidate, and knows nothing where nobody tried', () => {
  const seen = picture();
  const findings = () => readinessFindings(seen.topology, seen.observed).map(({ id, result }) => `${id} ${result}`);
  delete standby(seen).connectBack;
  expect(findings()).toEqual([]);
  ready(primary(seen)).agent.replication = [{ host: STANDBY, port: 5432, ok: null, problem: 'no answer within 1 s' }];
  expect(triedPath(primary(seen), standby(seen))).toBeUndefined();
  ready(primary(seen)).agent.replication = [{ host: STANDBY, port: 5432, ok: false, problem: refusedWord }];
  const tried = triedPath(primary(seen), standby(seen));
  expect(tried).toEqual({ ok: false, error: refusedWord });
  standby(seen).connectBack = tried ?? { ok: true };
  expect(findings()).toEqual(['C4 refuse']);
});

test('an answer of an earlier worker has no roles', () => {
  const seen = picture();
  const asked = { require: jest.fn(), advise: jest.fn() };
  checkReplicationRole(asked as never, seen.topology, primary(seen));
  expect(asked.require).not.toHaveBeenCalled();
});

test('a connection limit that leaves a rewind too few sessions warns, and one that is wide enough does not', () => {
  const seen = picture();
  as(seen, { connectionLimit: 1 });
  const found = decide(seen).checks.filter(({ id, result }) => id === 'C8' && result === 'warn');
  expect(found).toMatchObject([
    { measured: 'it has a connection limit of 1', limit: 'none, or at least 6, two for each node' },
  ]);
  as(seen, { connectionLimit: 6 });
  expect(notOk(decide(seen))).toEqual([]);
});
