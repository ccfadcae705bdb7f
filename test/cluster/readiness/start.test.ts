import { healthFindings } from '../../../src/cluster/health';
import { checkOf, content, decide, notOk, objects, primary, standby } from '../support/objects';
import { picture, ready, STANDBY_2 } from '../support/picture';

const auto = '/var/lib/postgresql/data/postgresql.auto.conf';
const target = { name: 'recovery_target_time', value: '2020-01-01', file: auto, line: 3 };

const lacking = { missing: [{ database: 'veloz', library: '$libdir/pgcrypto' }], unasked: [] };

objects({
  'a library that is not installed is to be loaded at the next start of the primary': {
    change: (seen) => {
      ready(primary(seen)).agent.start = {
        ok: false,
        problem: 'could not access file "pg_cron": No such file or directory',
        setting: { name: 'shared_preload_libraries', value: 'pg_cron', file: auto, line: 3 },
        ms: 18,
        ageMs: 0,
      };
    },
    id: 'M1',
    says: 'veloz-postgres-primary could not be started again as it is configured now: could not access file "pg_cron": No such file or directory (shared_preload_libraries = \'pg_cron\' in postgresql.auto.conf)',
    next: 'ALTER SYSTEM RESET shared_preload_libraries',
  },
  'clients would wait for a start that outlasts the hold': {
    change: (seen) =>
      (ready(primary(seen)).agent.start = {
        ok: true,
        problem: null,
        setting: null,
        ms: 7000,
        shortestMs: 5000,
        ageMs: 0,
      }),
    id: 'M1',
    says: 'clients would be let go before veloz-postgres-primary has started as a standby, which they wait for with zero-loss and two nodes: the start that was tried took 5.00 s, up to its shared memory (limit: at most a third of 5.00 s, limits.hold)',
    next: 'SHOW shared_preload_libraries',
  },
  'the start takes a large part of the hold': {
    change: (seen) =>
      (ready(primary(seen)).agent.start = {
        ok: true,
        problem: null,
        setting: null,
        ms: 7000,
        shortestMs: 2000,
        ageMs: 0,
      }),
    id: 'M1',
    result: 'warn',
    says: 'takes a large part of the hold: the start that was tried took 2.00 s',
    next: 'SHOW shared_preload_libraries',
  },
  'an agent that is older keeps one trial alone': {
    change: (seen) =>
      (ready(primary(seen)).agent.start = { ok: true, problem: null, setting: null, ms: 7000, ageMs: 0 }),
    id: 'M1',
    result: 'warn',
    says: 'the start that was tried took 7.00 s',
    next: 'SHOW shared_preload_libraries',
  },
  'the setting that is wrong stands in a file, or is not known': {
    change: (seen) => {
      ready(standby(seen)).agent.start = { ok: false, problem: 'it ends', setting: null, ms: 18, ageMs: 0 };
    },
    id: 'M1',
    says: 'veloz-postgres-standby could not be started again',
    next: 'pg_file_settings',
  },
  'the agent is of a version that can try no start': {
    change: (seen) => {
      seen.node(seen.observed.nodes[0]?.name ?? '').readiness = {
        agent: null,
        agentError: 'veloz-postgres-primary: There is no command readiness',
        sql: ready(primary(seen)).sql,
      };
    },
    id: 'M1',
    result: 'warn',
    says: 'it is not known whether veloz-postgres-primary could be started again',
    next: 'npm run setup   # builds the images; docs/upgrade.md says how they get in, one node at a time',
  },
  'the primary would listen on another port': {
    change: (seen) => (ready(primary(seen)).agent.next.port = '5433'),
    id: 'M1',
    says: 'port 5432 now, 5433 at the next start (limit: port 5432)',
    next: 'ALTER SYSTEM RESET port',
  },
  'the candidate would be reached by nobody': {
    change: (seen) => (ready(standby(seen)).agent.next.listen_addresses = 'localhost, 127.0.0.1'),
    id: 'M1',
    says: 'nobody outside of its container would reach veloz-postgres-standby',
    next: 'ALTER SYSTEM RESET listen_addresses',
  },
  'a recovery target of long ago sleeps on the primary': {
    change: (seen) => (ready(primary(seen)).agent.leftovers = [target]),
    id: 'M2',
    says: "would decide what it becomes at its next start: recovery_target_time = '2020-01-01' in postgresql.auto.conf",
    next: 'ALTER SYSTEM RESET recovery_target_time',
  },
  'the standby lacks a library of an extension': {
    change: (seen) => (ready(standby(seen)).agent.libraries = lacking),
    id: 'M1',
    says: 'veloz-postgres-standby lacks libraries that functions of its databases need: as the primary it fails each statement that calls them: $libdir/pgcrypto (database veloz)',
    next: 'SELECT DISTINCT probin FROM pg_proc',
  },
  'the primary lacks a library of an extension': {
    change: (seen) => (ready(primary(seen)).agent.libraries = lacking),
    id: 'M1',
    result: 'warn',
    says: '$libdir/pgcrypto (database veloz)',
    next: 'SELECT DISTINCT probin FROM pg_proc',
  },
  'recovery.signal lies in the data directory': {
    change: (seen) => (ready(standby(seen)).agent.signals = ['recovery.signal']),
    id: 'M2',
    says: 'recovery.signal in the data directory',
    next: 'mv /var/lib/postgresql/data/recovery.signal /tmp',
  },
  'what is no replication slot lies among them': {
    change: (seen) =>
      (ready(primary(seen)).agent.start = {
        ok: false,
        problem: 'pg_replslot/x has no state of a replication slot that can be read: a start would end there',
        setting: null,
        leftover: 'pg_replslot/x',
        ms: 18,
        ageMs: 0,
      }),
    id: 'M1',
    says: 'veloz-postgres-primary could not be started again as it is configured now: pg_replslot/x has no state',
    next: 'docker exec veloz-postgres-primary mv /var/lib/postgresql/data/pg_replslot/x /tmp',
  },
  'a restore left the history of a timeline that the primary never had': {
    change: (seen) => (ready(primary(seen)).agent.signals = ['pg_wal/00000002.history']),
    id: 'M2',
    says: 'pg_wal/00000002.history in the data directory',
    next: 'docker exec veloz-postgres-primary mv /var/lib/postgresql/data/pg_wal/00000002.history /tmp',
  },
  'standby.signal lies in the data directory of the primary': {
    change: (seen) => Object.assign(primary(seen).agent ?? {}, { standbySignal: true }),
    id: 'M2',
    says: 'standby.signal in the data directory',
    next: 'docker exec veloz-postgres-primary mv /var/lib/postgresql/data/standby.signal /tmp',
  },
  'the pause of a standby between its tries is longer in a file, which the agent overrides': {
    change: (seen) =>
      (ready(primary(seen)).agent.leftovers = [
        { name: 'wal_retrieve_retry_interval', value: '5s', file: auto, line: 3 },
      ]),
    id: 'M2',
    result: 'warn',
    says: 'wal_retrieve_retry_interval does nothing on veloz-postgres-primary: a standby would wait for so long',
    next: 'ALTER SYSTEM RESET wal_retrieve_retry_interval',
  },
  'a standby would confirm nothing by itself, by a setting that the agent overrides': {
    change: (seen) =>
      (ready(primary(seen)).agent.leftovers = [
        { name: 'wal_receiver_status_interval', value: '0', file: auto, line: 3 },
      ]),
    id: 'M2',
    result: 'warn',
    says: 'wal_receiver_status_interval does nothing on veloz-postgres-primary: a standby says with it how far it is',
    next: 'ALTER SYSTEM RESET wal_receiver_status_interval',
  },
  'a standby would end its session in each quiet moment, by a setting that the agent overrides': {
    change: (seen) =>
      (ready(primary(seen)).agent.leftovers = [{ name: 'wal_receiver_timeout', value: '1ms', file: auto, line: 3 }]),
    id: 'M2',
    result: 'warn',
    says: 'wal_receiver_timeout does nothing on veloz-postgres-primary: a standby ends a session',
    next: 'ALTER SYSTEM RESET wal_receiver_timeout',
  },
  'a primary would end the sessions of its standbys, by a setting that the agent overrides': {
    change: (seen) =>
      (ready(standby(seen)).agent.leftovers = [{ name: 'wal_sender_timeout', value: '2ms', file: auto, line: 3 }]),
    id: 'M2',
    result: 'warn',
    says: 'wal_sender_timeout does nothing on veloz-postgres-standby: a primary ends the session of a standby',
    next: 'ALTER SYSTEM RESET wal_sender_timeout',
  },
  'each login would wait, by a setting that the agent overrides': {
    change: (seen) =>
      (ready(standby(seen)).agent.leftovers = [{ name: 'pre_auth_delay', value: '5', file: auto, line: 3 }]),
    id: 'M2',
    result: 'warn',
    says: "pre_auth_delay does nothing on veloz-postgres-standby: each new connection would wait for so long before it may log in, and its agent starts it with 0: pre_auth_delay = '5' in postgresql.auto.conf",
    next: 'ALTER SYSTEM RESET pre_auth_delay',
  },
  'a file names another data directory, which the agent overrides': {
    change: (seen) =>
      (ready(primary(seen)).agent.leftovers = [
        { name: 'data_directory', value: '/srv/other', file: '/etc/veloz/postgresql.conf', line: 81 },
      ]),
    id: 'M2',
    result: 'warn',
    says: 'data_directory does nothing on veloz-postgres-primary: a server would start on another directory than the one that its agent looks after',
    next: 'docker exec veloz-postgres-primary sed -n 81p /etc/veloz/postgresql.conf',
  },
  'hot_standby is off in a file, which the agent overrides': {
    change: (seen) =>
      (ready(primary(seen)).agent.leftovers = [{ name: 'hot_standby', value: 'off', file: auto, line: 3 }]),
    id: 'M2',
    result: 'warn',
    says: 'hot_standby does nothing on veloz-postgres-primary: nobody could ask a standby anything without it',
    next: 'ALTER SYSTEM RESET hot_standby',
  },
  'a delay of the replay sleeps on the primary': {
    change: (seen) => (primary(seen).sql.settings.recovery_min_apply_delay = '3600000'),
    id: 'M3',
    says: 'veloz-postgres-primary would replay with a delay once it is a standby: recovery_min_apply_delay is 60 min 00 s',
    next: 'ALTER SYSTEM SET recovery_min_apply_delay = 0',
  },
  'the files of the candidate name a delay, which a reload would bring': {
    change: (seen) => (ready(standby(seen)).agent.next.recovery_min_apply_delay = '1h'),
    id: 'M3',
    says: 'veloz-postgres-standby would replay with a delay after its next reload or start: recovery_min_apply_delay is 1h',
    next: 'ALTER SYSTEM SET recovery_min_apply_delay = 0',
  },
  'a restore_command is set, which nobody runs': {
    change: (seen) =>
      (ready(primary(seen)).agent.leftovers = [
        { name: 'restore_command', value: 'cp /archive/%f %p', file: '/etc/veloz/postgresql.conf', line: 80 },
      ]),
    id: 'M2',
    result: 'warn',
    says: "restore_command = 'cp /archive/%f %p' in /etc/veloz/postgresql.conf line 80",
    next: 'sed -n 80p /etc/veloz/postgresql.conf',
  },
  'ALTER SYSTEM is forbidden in a file, which the agent overrides': {
    change: (seen) =>
      (ready(primary(seen)).agent.leftovers = [
        { name: 'allow_alter_system', value: 'off', file: '/etc/veloz/postgresql.conf', line: 80 },
      ]),
    id: 'M2',
    result: 'warn',
    says: 'allow_alter_system does nothing on veloz-postgres-primary: the runbooks set synchronous_standby_names',
    next: 'sed -n 80p /etc/veloz/postgresql.conf',
  },
  'the old primary would come back with fewer connections than the candidate has': {
    change: (seen) => (ready(primary(seen)).agent.next.max_connections = '50'),
    id: 'M3',
    says: 'max_connections will be 50 on veloz-postgres-primary, and is 100 on veloz-postgres-standby',
    next: 'ALTER SYSTEM SET max_connections = 100',
  },
  'a setting was taken out of the files, and its default is lower': {
    change: (seen) => {
      const { agent, sql } = ready(primary(seen));
      delete agent.next.max_wal_senders;
      sql.defaults.max_wal_senders = '5';
    },
    id: 'M3',
    says: 'max_wal_senders will be 5',
    next: 'ALTER SYSTEM SET max_wal_senders = 10',
  },
  'replay has halted, because a setting is lower': {
    change: (seen) => {
      Object.assign(standby(seen).sql, { replayPaused: true });
      standby(seen).sql.settings.max_connections = '50';
    },
    id: 'B7',
    says: 'replay on veloz-postgres-standby has halted',
    next: 'ALTER SYSTEM SET max_connections = 100" && docker restart veloz-postgres-standby',
  },
});

content([
  ['M1', 'a start that is tried ends well', () => undefined],
  ['M1', 'an address of its own', (seen) => (ready(primary(seen)).agent.next.listen_addresses = '10.0.0.1')],
]);

test('what is wrong with a third node only warns in a planned move of the two others, and is no health', () => {
  const seen = picture({ three: true });
  ready(seen.node(STANDBY_2)).agent.leftovers = [target];
  expect(checkOf(decide(seen), 'K5').result).not.toBe('refuse');
  const found = decide(seen).checks.filter(({ id, result }) => id === 'M2' && result !== 'ok');
  expect(found.map(({ result }) => result)).toEqual(['warn']);
  expect(healthFindings(seen.topology, seen.observed).map(({ id, result }) => `${id} ${result}`)).toEqual([
    'M2 refuse',
  ]);
});

test('a delay of none in the files is none, and standby.signal on a node that is being fenced is as it should be', () => {
  const seen = picture();
  ready(primary(seen)).agent.next.recovery_min_apply_delay = '0 min';
  Object.assign(primary(seen).agent ?? {}, { standbySignal: true, desired: 'fenced' });
  expect(notOk(decide(seen))).toEqual(['E4']);
});

test('a third node that is never promoted may replay with a delay', () => {
  const seen = picture({ three: true });
  seen.node(STANDBY_2).promotable = false;
  ready(seen.node(STANDBY_2)).agent.next.recovery_min_apply_delay = '1h';
  expect(healthFindings(seen.topology, seen.observed)).toEqual([]);
});

test('a node that nobody asked is not objected to', () => {
  const seen = picture();
  for (const node of seen.observed.nodes) delete node.readiness;
  expect(notOk(decide(seen))).toEqual([]);
});

test('where clients do not wait for the start of the old primary, its time is no matter', () => {
  const slow = { ok: true, problem: null, setting: null, ms: 7000, shortestMs: 7000, ageMs: 0 };
  const seen = picture();
  ready(primary(seen)).agent.start = slow;
  expect(notOk(decide(seen, { protection: 'fast' }))).toEqual([]);
  const three = picture({ three: true });
  ready(primary(three)).agent.start = slow;
  expect(notOk(decide(three))).toEqual([]);
});

test('a library that the primary lacks as well refuses no move: it would make nothing worse', () => {
  const seen = picture();
  for (const node of [primary(seen), standby(seen)]) ready(node).agent.libraries = lacking;
  const told = decide(seen).checks.filter(({ says }) => says.endsWith('has the libraries of its databases'));
  expect(told.map(({ id, result }) => `${id} ${result}`)).toEqual(['M1 warn', 'M1 warn']);
});
