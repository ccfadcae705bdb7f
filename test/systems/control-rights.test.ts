import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { called } from '../../src/systems/control-rights';

const root = path.resolve(__dirname, '../..');
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const agent = 'docker/agent/veloz_agent';
const own = read(`${agent}/control_database.py`);
/** The names in a list of the agent's. */
const listed = (name: string) =>
  [...(new RegExp(`^${name} = \\(([\\s\\S]*?)^\\)`, 'm').exec(own)?.[1] ?? '').matchAll(/"(\w+)/g)].map(
    ([, item]) => item,
  );
/** Functions that SQL calls as other languages call theirs: only in a statement they are PostgreSQL's. What has syntax of its own is none. */
const plain = new Set(
  (
    'abs age array_agg array_length array_position array_remove array_to_string ascii bool_and bool_or btrim ceil chr ' +
    'clock_timestamp concat concat_ws convert_from convert_to count current_database current_schema current_setting date_part ' +
    'date_trunc decode div encode every exp extract floor format generate_series hashtext inet_client_addr inet_server_addr initcap ' +
    'length ln lower lpad ltrim make_interval max md5 min mod now octet_length power quote_ident quote_literal random regexp_count ' +
    'regexp_match regexp_matches regexp_replace repeat reverse round row_number row_to_json rpad rtrim set_config sha256 ' +
    'split_part sqrt starts_with statement_timestamp string_agg string_to_array strpos substr substring sum to_char to_hex to_json ' +
    'to_jsonb to_number to_regclass to_timestamp translate trunc unnest upper version width_bucket'
  ).split(' '),
);
/** What statements in the sources call; comments have apostrophes of their own. */
const statements = (text: string): string[] =>
  [
    ...text
      .replace(/\/\*[^]*?\*\/|^\s*(?:\/\/|#).*$|"""/gm, '')
      .matchAll(/`[^`]*\bSELECT\b[^`]*`|'[^'\n]*\bSELECT\b[^'\n]*'|"[^"\n]*\bSELECT\b[^"\n]*"/g),
  ]
    .flatMap(([statement]) => [...statement.matchAll(/(?<![.\w])([a-z_][a-z_0-9]*)\(/g)])
    .map(([, name]) => name ?? '');
/** Functions of the catalog that the sources name with a bracket, and relations after FROM and JOIN. */
function used(folder: string, ending: string): { calls: Set<string>; reads: Set<string> } {
  const files = readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith(ending),
  );
  const text = files.map((name) => read(path.join(folder, name))).join('\n');
  const names = (pattern: RegExp) => new Set([...text.matchAll(pattern)].map(([, name]) => name ?? ''));
  return {
    calls: new Set([...names(/\b((?:pg|has|json)_[a-z_]+)\(/g), ...statements(text).filter((name) => plain.has(name))]),
    reads: names(/\b(?:FROM|JOIN) (?:pg_catalog\.)?(pg_[a-z_]+)\b(?![(.])/g),
  };
}
/** What only the superuser of an agent calls or reads, over the socket. */
const superuserOnly = [
  'pg_conf_load_time',
  'pg_file_settings',
  'pg_hba_file_rules',
  'pg_ident_file_mappings',
  'pg_namespace',
  'pg_replication_origin_status',
];

describe('rights that PUBLIC may lose', () => {
  const granted = [...listed('CALLED'), ...listed('_FUNCTIONS'), ...listed('_REWIND_FUNCTIONS')];

  it('are read out of the agent', () => {
    expect(granted).toEqual(expect.arrayContaining(['pg_logical_emit_message', 'pg_reload_conf', 'pg_ls_dir']));
  });

  it('are all granted by name that the worker looks for', () => {
    expect(called.filter((name) => !listed('CALLED').includes(name))).toEqual([]);
  });

  it.each(['src/systems', 'src/activities'])('are known for each function that %s calls', (folder) => {
    const known = [...called, ...listed('_FUNCTIONS')];
    // Asked before the others, and refused in the node's own words.
    const asking = ['has_function_privilege', 'has_parameter_privilege'];
    expect([...used(folder, '.ts').calls].filter((name) => ![...known, ...asking].includes(name))).toEqual([]);
  });

  it.each([
    ['src/systems', '.ts'],
    ['src/activities', '.ts'],
    [agent, '.py'],
  ])('are granted for each function and relation that %s names', (folder, ending) => {
    const { calls, reads } = used(folder, ending);
    expect(calls.size).toBeGreaterThan(5);
    // Into the application's database it goes as the application.
    const ofClients = ['pg_sleep'];
    expect([...calls].filter((name) => ![...granted, ...ofClients, ...superuserOnly].includes(name))).toEqual([]);
    expect([...reads].filter((name) => ![...listed('READ'), ...superuserOnly].includes(name))).toEqual([]);
  });
});
