import { logs, psql } from '../commands';
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
  const agent = node.readiness?.agent;
  if (agent == null) return;
  checkWhichRules(list, node, weight);
  checkOwnDoor(list, node, weight);
  const { access } = agent;
  // An agent that is older says nothing of it.
  if (access === undefined) return;
  if (access === null)
    return void list.advise('M9', false, {
      says: `${name} could read its pg_hba.conf at its next start`,
      refusal: `it is not known whom ${name} would let in after its next start`,
      measured: agent.own?.problem ?? 'its agent had no answer from PostgreSQL over the socket',
      limit: 'its files of access, read by PostgreSQL',
      next: logs(name),
    });
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
  const shutOut = access.clients;
  // Whom the rules that are in force refuse is told by C10, and another user than the pooler's is nobody's matter.
  if (shutOut != null && node.client?.ok === true && node.client.user === shutOut.role)
    list[weight]('M9', false, {
      says: `${name} would let clients in after its next start`,
      refusal: `${name} would shut clients out after its next start or reload, and a run reloads it`,
      measured: `pg_hba.conf, for ${shutOut.role} in database ${shutOut.database} from the pooler at ${shutOut.from}: ${shutOut.why}`,
      limit: 'the first line that fits lets them in',
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

/**
 * M10: the agent's own way in, as the superuser over the socket: by it the agent ends readers that hold a promotion up, and makes the
 * control database whole. It has to be there after the next start too.
 */
function checkOwnDoor(list: Checklist, node: AnsweringNode, weight: Weight): void {
  const { name } = node;
  const agent = node.readiness?.agent;
  const own = agent?.own;
  if (own == null) return;
  const says = `the agent of ${name} can open a session of its own`;
  // What is not known is no refusal: the server was full, or slow.
  if (own.ok === false)
    list[weight]('M10', false, {
      says,
      refusal: `the agent of ${name} can't open a session of its own: nobody would end a reader that holds a promotion up`,
      measured: own.problem ?? 'it was refused',
      limit: `role postgres is let in over ${own.socketDir}, without a password`,
      next: `docker exec ${name} psql -U postgres -d template1 -c "SELECT 1"`,
    });
  const next = agent?.next.unix_socket_directories;
  if (next === undefined) return;
  const directories = next.split(',').map((path) => path.trim().replace(/^"|"$/g, ''));
  const isThere = directories.some((path) => sameDirectory(path, own.socketDir));
  if (isThere) return;
  list[weight]('M10', false, {
    says,
    refusal: `the agent of ${name} would find no socket after its next start`,
    measured: `unix_socket_directories is '${next}' at the next start`,
    limit: `${own.socketDir} is one of them`,
    next: psql(name, 'ALTER SYSTEM RESET unix_socket_directories'),
  });
}

/** /var/run is a link to /run. */
const sameDirectory = (one: string, other: string): boolean => canonical(one) === canonical(other);
const canonical = (path: string): string => path.replace(/\/+$/, '').replace(/^\/var\/run(?=\/|$)/, '/run');
