import { logs, poolerConsole, psql, sqlName, sqlText } from './commands';
import type { ObservedNode, ObservedPooler } from './observed';
import type { Checklist, CheckWords } from './switchover/checklist';
import type { ClusterTopology } from './topology';

/*
 * Clients that are let in nowhere: their database is missing, renamed or closed, their role may not log in, or somebody disabled the
 * database at the pooler. No move, no restart and no repair changes that: it is told, and nothing is done about it.
 */

/** How a client of the pooler fares at a node; undefined where nobody tried. */
export type ClientAtNode = ObservedNode['client'];

/** SQLSTATEs of a database that is missing (invalid_catalog_name), closed (55000), or may have no more connections (53300). */
const ofTheDatabase: ReadonlySet<string> = new Set(['3D000', '55000', '53300']);
/** SQLSTATEs of a role that may not log in (28000), or has another password (28P01). */
const ofTheRole: ReadonlySet<string> = new Set(['28000', '28P01']);

/** SQLSTATEs of a server that starts or ends (class 57P): that passes by itself. */
const PASSING = /^57P/;

/** Did the server itself refuse the client? A server that can't be reached has no SQLSTATE, nor has a login that is not understood. */
export const isRefused = (client: ClientAtNode): client is NonNullable<ClientAtNode> =>
  client?.ok === false && client.code !== undefined && !PASSING.test(client.code);

/**
 * Does another node refuse the client with the same words? Then it is in the data, which all nodes share, or in the request, and not in
 * what one node has for itself.
 */
export const isSameRefusal = (client: ClientAtNode, other: ClientAtNode): boolean =>
  isRefused(client) && isRefused(other) && client.code === other.code && client.error === other.error;

/** `login as veloz: database "veloz" does not exist (3D000)`. */
export const refusalWords = ({ user, error }: NonNullable<ClientAtNode>): string =>
  `login as ${user}: ${(error ?? '').trim() || 'no reason given'}`;

/** The command that shows why a node refuses the client. */
export function causeOfRefusal(node: string, { user, code = '', error = '' }: NonNullable<ClientAtNode>): string {
  if (ofTheDatabase.has(code)) return psql(node, 'SELECT datname, datallowconn, datconnlimit FROM pg_database');
  if (ofTheRole.has(code) && !/pg_hba/.test(error))
    return psql(
      node,
      `SELECT rolname, rolcanlogin, rolconnlimit, rolvaliduntil FROM pg_roles WHERE rolname = ${sqlText(user)}`,
    );
  return logs(node);
}

/** F5: the primary lets clients of the pooler in. Told: nothing that a runbook does changes it. */
export function checkLetsIn(list: Checklist, { name, client }: ObservedNode): void {
  if (!isRefused(client)) return;
  list.advise('F5', false, {
    says: `${name} lets clients in`,
    refusal: `${name} refuses clients, whoever leads them to it`,
    measured: refusalWords(client),
    limit: 'a login from the pooler as its own user',
    next: causeOfRefusal(name, client),
  });
}

/** F2, where somebody disabled the database of clients at the pooler. */
export function disabledWords(topology: ClusterTopology, pooler: string): CheckWords {
  const database = topology.pgbouncer.database ?? topology.postgres.database;
  return {
    says: 'the pooler takes new clients',
    refusal: `${pooler} refuses new clients`,
    measured: `somebody disabled database ${database} there`,
    limit: 'enabled',
    next: poolerConsole(pooler, `ENABLE ${sqlName(database)}`),
  };
}

/** F2, by the console alone: new clients are let in by the pooler. */
export function checkEnabled(
  list: Checklist,
  topology: ClusterTopology,
  { name, console: seen }: ObservedPooler,
): void {
  if (seen?.disabled === true) list.require('F2', false, disabledWords(topology, name));
}
