import { content, decide, notOk, objects, primary, standby } from '../support/objects';
import { picture, ready, STANDBY, STANDBY_2 } from '../support/picture';

const auto = '/var/lib/postgresql/data/postgresql.auto.conf';

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
  'a setting sleeps in the files of the target, and a run makes the reload that it waits for': {
    change: (seen) =>
      (ready(standby(seen)).agent.sleeping = [
        { name: 'wal_keep_size', now: '0kB', value: '1048576kB', file: auto, line: 4 },
      ]),
    id: 'M11',
    result: 'warn',
    says: "settings sleep in the files of veloz-postgres-standby: its next reload, which a run makes itself, would bring them: wal_keep_size is '0kB', and will be '1048576kB' (limit: the files are in force",
    next: 'ALTER SYSTEM RESET wal_keep_size',
  },
  'several do, one of which was taken out of the files': {
    change: (seen) =>
      (ready(primary(seen)).agent.sleeping = [
        {
          name: 'authentication_timeout',
          now: '60000ms',
          value: '1000ms',
          file: '/etc/veloz/postgresql.conf',
          line: 9,
        },
        { name: 'wal_keep_size', now: '1048576kB', value: '0kB', file: '', line: 0 },
      ]),
    id: 'M11',
    result: 'warn',
    says: "authentication_timeout is '60000ms', and will be '1000ms'; wal_keep_size is '1048576kB', and will be '0kB'",
    next: "pg_file_settings WHERE name IN ('authentication_timeout', 'wal_keep_size')",
  },
  'a setting was taken out of the files, and goes with the next reload': {
    change: (seen) =>
      (ready(primary(seen)).agent.sleeping = [
        { name: 'wal_keep_size', now: '1048576kB', value: '0kB', file: '', line: 0 },
      ]),
    id: 'M11',
    result: 'warn',
    says: "wal_keep_size is '1048576kB', and will be '0kB'",
    next: "SELECT name, setting, boot_val FROM pg_settings WHERE name IN ('wal_keep_size')",
  },
  'TLS sleeps on the target': {
    change: (seen) =>
      (ready(standby(seen)).agent.sleeping = [
        { name: 'ssl', now: 'on', value: 'off', file: '/etc/veloz/postgresql.conf', line: 9 },
      ]),
    id: 'M11',
    says: "veloz-postgres-standby would speak no TLS after its next reload or start, and a run reloads it: whoever asks for it could not log in: ssl is 'on', and will be 'off'",
    next: 'docker exec veloz-postgres-standby sed -n 9p /etc/veloz/postgresql.conf',
  },
  'the primary archives alone, and loads a library that the standby does not': {
    change: (seen) => {
      ready(primary(seen)).agent.serverSettings = {
        archive_mode: 'on',
        archive_command: 'digest 12345678',
        shared_preload_libraries: 'pg_stat_statements',
      };
      ready(standby(seen)).agent.serverSettings = {};
    },
    id: 'M11',
    result: 'warn',
    says: "veloz-postgres-standby would run otherwise as the primary than veloz-postgres-primary does: archive_mode is 'on' on veloz-postgres-primary, the default on veloz-postgres-standby: nobody would archive WAL after a move; archive_command is 'digest 12345678' on veloz-postgres-primary, the default on veloz-postgres-standby: WAL would be archived in another way after a move; shared_preload_libraries is 'pg_stat_statements' on veloz-postgres-primary, the default on veloz-postgres-standby: what needs a library that is loaded at the start would fail after a move",
    next: "pg_file_settings WHERE name IN ('archive_mode', 'archive_command', 'shared_preload_libraries')",
  },
  'autovacuum is off on the standby': {
    change: (seen) => {
      ready(primary(seen)).agent.serverSettings = {};
      ready(standby(seen)).agent.serverSettings = { autovacuum: 'off' };
    },
    id: 'M11',
    result: 'warn',
    says: "'off' on veloz-postgres-standby: nobody would remove dead rows after a move",
    next: "name IN ('autovacuum')",
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
    'commands to archive that differ while neither archives',
    (seen) => {
      ready(primary(seen)).agent.serverSettings = { archive_command: 'digest 12345678' };
      ready(standby(seen)).agent.serverSettings = {};
    },
  ],
  [
    'M1',
    'an agent that is older and says nothing of the server',
    (seen) => (ready(primary(seen)).agent.serverSettings = { archive_mode: 'on' }),
  ],
  [
    'M1',
    'settings that other checks tell',
    (seen) => {
      ready(primary(seen)).agent.sessionDefaults = { synchronous_commit: 'on', wal_sender_timeout: '5000ms' };
      ready(standby(seen)).agent.sessionDefaults = { synchronous_commit: 'remote_apply', wal_sender_timeout: '2ms' };
      ready(standby(seen)).agent.sleeping = [{ name: 'archive_command', now: 'x', value: 'y', file: auto, line: 1 }];
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
