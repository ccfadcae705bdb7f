import { content, decide, notOk, objects, primary, standby } from '../support/objects';
import { picture, ready, STANDBY, STANDBY_2 } from '../support/picture';

objects({
  'search_path was set on the primary alone': {
    change: (seen) => {
      ready(primary(seen)).agent.sessionDefaults = { jit: 'off', search_path: 'app, public' };
      ready(standby(seen)).agent.sessionDefaults = { jit: 'off' };
    },
    id: 'M11',
    result: 'warn',
    says: "clients would meet other settings on veloz-postgres-standby than on veloz-postgres-primary: search_path is 'app, public' on veloz-postgres-primary, the default on veloz-postgres-standby (limit: the same",
    next: "pg_file_settings WHERE name IN ('search_path')",
  },
  'read-only sleeps in the files of the target': {
    change: (seen) => (ready(standby(seen)).agent.next.default_transaction_read_only = 'ON'),
    id: 'M11',
    says: 'clients could not write on veloz-postgres-standby after its next reload or start, and a run reloads it: default_transaction_read_only will be ON (limit: off)',
    next: 'ALTER SYSTEM RESET default_transaction_read_only',
  },
  'commits that wait for nobody sleep in the files of the primary': {
    change: (seen) => (ready(primary(seen)).agent.next.synchronous_commit = 'local'),
    id: 'M11',
    says: 'veloz-postgres-primary would acknowledge commits before a standby has them after its next reload or start: synchronous_commit will be local',
    next: 'ALTER SYSTEM RESET synchronous_commit',
  },
  'more settings differ than anybody reads': {
    change: (seen) => {
      ready(primary(seen)).agent.sessionDefaults = {};
      ready(standby(seen)).agent.sessionDefaults = Object.fromEntries('abcdefgh'.split('').map((name) => [name, 'x']));
    },
    id: 'M11',
    result: 'warn',
    says: "f is the default on veloz-postgres-primary, 'x' on veloz-postgres-standby; and 2 more",
    next: "'f')",
  },
});

content([
  [
    'M1',
    'settings that other checks tell',
    (seen) => {
      ready(primary(seen)).agent.sessionDefaults = { synchronous_commit: 'on' };
      ready(standby(seen)).agent.sessionDefaults = { synchronous_commit: 'remote_apply' };
    },
  ],
]);

test('a standby that is not the target, and an agent that is older, are not compared', () => {
  const seen = picture({ three: true });
  ready(primary(seen)).agent.sessionDefaults = { search_path: 'app' };
  ready(seen.node(STANDBY_2)).agent.sessionDefaults = {};
  expect(notOk(decide(seen, { target: STANDBY }))).toEqual([]);
});

test('read-only that a role has of its own wins over the files, and what is in force already is not told twice', () => {
  const seen = picture();
  ready(standby(seen)).agent.next.default_transaction_read_only = 'on';
  ready(standby(seen)).sql.readOnlySettings = [{ role: 'veloz', database: null }];
  expect(notOk(decide(seen))).toEqual([]);
  ready(standby(seen)).sql.readOnlySettings = [{ role: 'reports', database: null }];
  expect(notOk(decide(seen))).toEqual(['M11']);
  standby(seen).client = { ok: true, user: 'veloz', readOnly: true };
  expect(notOk(decide(seen))).toEqual(['C10']);
});

test('where nobody logged in as a client, read-only in the files only warns', () => {
  const seen = picture();
  ready(primary(seen)).agent.next.default_transaction_read_only = 'on';
  delete primary(seen).client;
  expect(decide(seen).checks.find(({ id }) => id === 'M11')).toMatchObject({ result: 'warn' });
});
