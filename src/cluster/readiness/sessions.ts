import { psql, sqlText } from '../commands';
import type { AnsweringNode } from '../observed';
import type { Checklist, CheckWords } from '../switchover/checklist';
import { waitsForStandby } from '../synchronous-commit';
import type { ClusterTopology } from '../topology';
import type { SleepingSetting } from './observed';
import { AUTO_CONF, nextValue, resetSetting, type Weight } from './start';

/** As many settings are told with their values; the others are counted. */
const TOLD = 6;
/** A value is told up to this many characters. */
const VALUE_LENGTH = 60;
/** What other checks tell: B4, C10, M11's own word on what a reload would bring, and M2 what an agent has its own word on. */
const elsewhere: ReadonlySet<string> = new Set([
  'synchronous_commit',
  'default_transaction_read_only',
  'wal_sender_timeout',
]);

/** PostgreSQL takes each beginning of these words, in whatever letters. */
const isOn = (value: string): boolean => /^(on|1|t|tr|tru|true|y|ye|yes)$/i.test(value);

/**
 * M11: nothing sleeps in the files that would take writes, or the standby's word on them, from clients. It need not wait for a start: a run
 * reloads the files itself, when it sets `synchronous_standby_names`. What is in force already is told by B4 and C10.
 */
export function checkSleepingDefaults(
  list: Checklist,
  topology: ClusterTopology,
  node: AnsweringNode,
  weight: Weight,
): void {
  const { name, sql, client, readiness } = node;
  const told = (setting: string, weighs: Weight, refusal: string, measured: string, limit: string) =>
    list[weighs]('M11', false, {
      says: `nothing sleeps in the files of ${name} that clients would feel`,
      refusal,
      measured,
      limit,
      next: resetSetting(name, { name: setting, file: AUTO_CONF, line: 0 }),
    });
  const commit = nextValue(node, 'synchronous_commit');
  if (commit !== undefined && !waitsForStandby(commit) && waitsForStandby(sql.settings.synchronous_commit ?? 'on'))
    told(
      'synchronous_commit',
      weight,
      `${name} would acknowledge commits before a standby has them after its next reload or start`,
      `synchronous_commit will be ${commit}`,
      'neither off nor local',
    );
  const readOnly = nextValue(node, 'default_transaction_read_only');
  if (readOnly === undefined || !isOn(readOnly) || client?.readOnly === true) return;
  // What a role or a database has of its own wins over every file, and is in force already.
  const user = client?.user ?? topology.postgres.client.user;
  const own = readiness?.sql?.readOnlySettings?.some(
    ({ role, database }) =>
      (role === null || role === user) && (database === null || database === topology.postgres.database),
  );
  if (own === true) return;
  told(
    'default_transaction_read_only',
    // Where nobody logged in as a client it may be so already, and meant.
    client?.ok === true ? weight : 'advise',
    `clients could not write on ${name} after its next reload or start, and a run reloads it`,
    `default_transaction_read_only will be ${readOnly}`,
    'off',
  );
}

/** What other checks tell of what sleeps in the files: M3, D1. */
const toldAsleep: ReadonlySet<string> = new Set(['recovery_min_apply_delay', 'archive_command', 'archive_library']);

/**
 * M11: nothing else sleeps in the files. Whoever wrote it may have forgotten the reload, and the one that a run makes brings it in the middle of
 * the run. Told, since it may be meant; but without TLS nobody gets in who asks for it.
 */
export function checkSleepingSettings(list: Checklist, { name, readiness }: AnsweringNode, weight: Weight): void {
  const asleep = (readiness?.agent?.sleeping ?? []).filter((setting) => !toldAsleep.has(setting.name));
  const sets = (all: readonly SleepingSetting[]): Pick<CheckWords, 'measured' | 'limit' | 'next'> => ({
    measured: `${all
      .slice(0, TOLD)
      .map((setting) => `${setting.name} is ${shown(setting.now)}, and will be ${shown(setting.value)}`)
      .join('; ')}${all.length <= TOLD ? '' : `; and ${all.length - TOLD} more`}`,
    limit: 'the files are in force: take it back, or reload while all is well',
    next: nextOf(name, all),
  });
  const noTls = asleep.filter((setting) => setting.name === 'ssl' && setting.value === 'off');
  if (noTls.length > 0)
    list[weight]('M11', false, {
      says: `nothing sleeps in the files of ${name} that clients would feel`,
      refusal: `${name} would speak no TLS after its next reload or start, and a run reloads it: whoever asks for it could not log in`,
      ...sets(noTls),
    });
  const others = asleep.filter((setting) => !noTls.includes(setting));
  if (others.length > 0)
    list.advise('M11', false, {
      says: `the files of ${name} are in force`,
      refusal: `settings sleep in the files of ${name}: its next reload, which a run makes itself, would bring them`,
      ...sets(others),
    });
}

/** What takes a setting back; of several, where they stand; of those that stand nowhere, what they are. */
function nextOf(node: string, settings: readonly SleepingSetting[]): string {
  const [first] = settings;
  const written = settings.some(({ file }) => file !== '');
  if (settings.length === 1 && first !== undefined && written) return resetSetting(node, first);
  const names = settings.slice(0, TOLD).map((setting) => sqlText(setting.name));
  const columns = written
    ? 'name, setting, sourcefile, sourceline FROM pg_file_settings'
    : 'name, setting, boot_val FROM pg_settings';
  return psql(node, `SELECT ${columns} WHERE name IN (${names.join(', ')})`);
}

const shown = (value: string | undefined): string =>
  value === undefined ? 'the default' : `'${value.length > VALUE_LENGTH ? `${value.slice(0, VALUE_LENGTH)}…` : value}'`;

/**
 * M11: a client's session begins with the same settings on the node that may be promoted as on the primary. ALTER SYSTEM and files travel
 * to no standby, and nothing fails where they differ: queries find other tables, or end sooner. Told, since nobody knows which is meant.
 */
export function checkSessionDefaults(list: Checklist, primary: AnsweringNode, candidate: AnsweringNode): void {
  const here = primary.readiness?.agent?.sessionDefaults;
  const there = candidate.readiness?.agent?.sessionDefaults;
  if (here == null || there == null) return;
  const names = [...new Set([...Object.keys(here), ...Object.keys(there)])]
    .filter((name) => !elsewhere.has(name) && here[name] !== there[name])
    .sort();
  if (names.length === 0) return;
  const told = names.slice(0, TOLD);
  const more = names.length - told.length;
  list.advise('M11', false, {
    says: `sessions begin with the same settings on ${candidate.name} as on ${primary.name}`,
    refusal: `clients would meet other settings on ${candidate.name} than on ${primary.name}`,
    measured: `${told.map((name) => `${name} is ${shown(here[name])} on ${primary.name}, ${shown(there[name])} on ${candidate.name}`).join('; ')}${more === 0 ? '' : `; and ${more} more`}`,
    limit: 'the same in the files of both; ALTER SYSTEM is made on each node',
    next: psql(
      candidate.name,
      `SELECT name, setting, sourcefile, sourceline FROM pg_file_settings WHERE name IN (${told.map(sqlText).join(', ')})`,
    ),
  });
}

const archives = (mode: string | undefined): boolean => mode === 'on' || mode === 'always';

/** What a setting of the candidate, that is not the primary's, means once it is the primary. */
const meaning: Readonly<Record<string, (here: string | undefined, there: string | undefined) => string>> = {
  archive_mode: (_here, there) =>
    archives(there) ? 'WAL would be archived after a move' : 'nobody would archive WAL after a move',
  archive_command: () => 'WAL would be archived in another way after a move',
  archive_library: () => 'WAL would be archived in another way after a move',
  shared_preload_libraries: () => 'what needs a library that is loaded at the start would fail after a move',
  autovacuum: (_here, there) =>
    there === 'off' ? 'nobody would remove dead rows after a move' : 'dead rows would be removed after a move',
  max_slot_wal_keep_size: () => 'slots would keep WAL up to another size after a move, and be lost beyond it',
  max_logical_replication_workers: () => 'subscriptions would have another number of workers after a move',
};

/**
 * M11: what only shows once a node is the primary is set alike on the node that may be promoted and on the primary. ALTER SYSTEM and files
 * travel to no standby, and a standby runs well with either. Told, since nobody knows which is meant.
 */
export function checkServerSettings(list: Checklist, primary: AnsweringNode, candidate: AnsweringNode): void {
  const here = primary.readiness?.agent?.serverSettings;
  const there = candidate.readiness?.agent?.serverSettings;
  if (here === undefined || there === undefined) return;
  const archiving = archives(here.archive_mode) || archives(there.archive_mode);
  const names = Object.keys(meaning).filter(
    (name) => here[name] !== there[name] && (archiving || !/^archive_(command|library)$/.test(name)),
  );
  if (names.length === 0) return;
  list.advise('M11', false, {
    says: `${candidate.name} would run as the primary as ${primary.name} does`,
    refusal: `${candidate.name} would run otherwise as the primary than ${primary.name} does`,
    measured: names
      .map(
        (name) =>
          `${name} is ${shown(here[name])} on ${primary.name}, ${shown(there[name])} on ${candidate.name}: ${meaning[name]?.(here[name], there[name])}`,
      )
      .join('; '),
    limit: 'the same in the files of both; ALTER SYSTEM is made on each node',
    next: psql(
      candidate.name,
      `SELECT name, setting, sourcefile, sourceline FROM pg_file_settings WHERE name IN (${names.map(sqlText).join(', ')})`,
    ),
  });
}
