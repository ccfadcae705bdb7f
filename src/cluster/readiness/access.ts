import { psql } from '../commands';
import type { AnsweringNode } from '../observed';
import type { Checklist } from '../switchover/checklist';
import type { AccessMistake } from './observed';
import { AUTO_CONF, resetSetting, type Weight } from './start';

const shown = ({ file, line, error }: AccessMistake): string =>
  `${file === '' ? '' : `${file} `}line ${line}: ${error}`;

/**
 * M9: the files of access, as they are now, would let in whom a run needs. A server that runs keeps the rules that it has where a new
 * `pg_hba.conf` has a mistake, and one that starts with it ends at once.
 */
export function checkAccess(list: Checklist, node: AnsweringNode, weight: Weight): void {
  const { name } = node;
  checkWhichRules(list, node, weight);
  const access = node.readiness?.agent?.access;
  if (access == null) return;
  const rules = psql(
    name,
    'SELECT line_number, type, database, user_name, address, auth_method, error FROM pg_hba_file_rules',
  );
  list[weight]('M9', access.errors.length === 0, {
    says: `${name} could read its pg_hba.conf at its next start`,
    refusal: `${name} could not be started again: pg_hba.conf has a mistake, and it runs with the rules of before`,
    measured: access.errors.length === 0 ? 'each line was read' : access.errors.map(shown).join('; '),
    limit: 'none',
    next: rules,
  });
  // A way that was tried and refused says the same of the rules that are in force.
  const tried = list.checks.some(({ id, result }) => id === 'C4' && result === 'refuse');
  for (const { role, database, from, why } of access.refused.filter(
    (each) => !tried || each.database !== 'replication',
  ))
    list[weight]('M9', false, {
      says: `${name} would let ${role} in after its next start`,
      refusal: `${name} would not let ${role} in after its next start or reload`,
      measured: `pg_hba.conf, for database ${database} from ${from}: ${why}`,
      limit: 'the first line that fits lets it in by a password',
      next: rules,
    });
  if (access.identErrors.length > 0)
    list.advise('M9', false, {
      says: `${name} could read its pg_ident.conf`,
      refusal: `the pg_ident.conf of ${name} has a mistake: a reload keeps the old names, a start goes on without any`,
      measured: access.identErrors.map(shown).join('; '),
      limit: 'none',
      next: psql(name, 'SELECT line_number, map_name, error FROM pg_ident_file_mappings'),
    });
}

/** M9: what is known of the rules of access is known of the file that the server reads now, and not of another one. */
function checkWhichRules(list: Checklist, node: AnsweringNode, weight: Weight): void {
  const { name, readiness } = node;
  const [now, next] = [readiness?.sql?.settings.hba_file, readiness?.agent?.next.hba_file];
  if (now === undefined || next === undefined || now === next) return;
  list[weight]('M9', false, {
    says: `${name} would read the same rules of access at its next start`,
    refusal: `${name} would read other rules of access at its next start, and nobody knows whom they let in`,
    measured: `hba_file is ${now} now, ${next} at the next start`,
    limit: `${now}; or restart ${name} first`,
    next: resetSetting(name, { name: 'hba_file', file: AUTO_CONF, line: 0 }),
  });
}
