import { psql, sqlText } from '../commands';
import type { AnsweringNode } from '../observed';
import type { Checklist } from '../switchover/checklist';

/** As many settings are told with their values; the others are counted. */
const TOLD = 6;
/** A value is told up to this many characters. */
const VALUE_LENGTH = 60;
/** What other checks tell: B4, C10 and M11's own word on what a reload would bring. */
const elsewhere: ReadonlySet<string> = new Set(['synchronous_commit', 'default_transaction_read_only']);

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
