import { NEW_IMAGES, psql, psqlIn, sqlName, sqlText } from './commands';
import { answers, presentNodes, primaries, type ObservedCluster, type ObservedNode } from './observed';
import type { Checklist } from './switchover/checklist';
import { RELOAD } from './switchover/replication';
import type { ClusterTopology } from './topology';

/** What gives the control role a right that it lacks. The keys are the sentences in which a node reports it. */
const grants: Readonly<Record<string, (role: string) => string>> = {
  'run CHECKPOINT': (role) => `GRANT pg_checkpoint TO ${role}`,
  'read all settings and statistics': (role) => `GRANT pg_monitor TO ${role}`,
  'end sessions': (role) => `GRANT pg_signal_backend TO ${role}`,
  'set synchronous_standby_names': (role) => `GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO ${role}`,
  'reload the configuration': (role) => `GRANT EXECUTE ON FUNCTION pg_reload_conf() TO ${role}`,
  'resume replay': (role) => `GRANT EXECUTE ON FUNCTION pg_wal_replay_resume() TO ${role}`,
  'connect while all other connections are taken': (role) => `GRANT pg_use_reserved_connections TO ${role}`,
  'manage replication slots': (role) => `ALTER ROLE ${role} REPLICATION`,
};

/** The statement that gives the control role a right, by the sentence in which a node reports that it is missing. */
function grantOf(right: string, role: string): string {
  const call = /^call (.+)$/.exec(right)?.[1];
  if (call !== undefined) return `GRANT EXECUTE ON FUNCTION ${call} TO ${sqlName(role)}`;
  return grants[right]?.(sqlName(role)) ?? `SELECT * FROM pg_roles WHERE rolname = ${sqlText(role)}`;
}

/** Sessions of the control role that are open at the same time in a failover, with two workers and the agents' questions. */
const SESSIONS_NEEDED = 20;
/** Places that clients can't take: an agent starts its server with so many at least. */
const PLACES: Readonly<Record<string, { least: number; whose: string }>> = {
  reserved_connections: { least: 5, whose: 'the control role' },
  superuser_reserved_connections: { least: 3, whose: 'its agent' },
};
/** A password that ends within this time is told, in milliseconds. */
export const PASSWORD_ENDS_SOON_MS = 14 * 24 * 3600 * 1000;
/** A time in days, in words. */
export const days = (ms: number): string => `${(ms / 86_400_000).toFixed(1)} days`;
/** The file of the shipped stack; each node has its own. */
const HBA_FILE = '/etc/veloz/pg_hba.conf';

/**
 * C8: rights are granted on the primary and travel to its standbys. Whether ALTER SYSTEM is allowed at all is each server's own: an
 * agent starts its server with it allowed, and one that an older agent started may have it off.
 */
export function checkRights(
  list: Checklist,
  topology: ClusterTopology,
  source: ObservedNode,
  nodes: readonly ObservedNode[],
): void {
  const role = topology.postgres.control.user;
  const missing = [...new Set(nodes.flatMap((node) => node.sql?.missingRights ?? []))];
  // Rights on functions belong to the database in which the sessions are.
  const database = nodes.find(({ sql }) => sql?.control !== undefined)?.sql?.control?.database;
  list.require('C8', missing.length === 0, {
    says: 'the control role has the rights that it needs',
    refusal: `the control role ${role} lacks rights`,
    measured: missing.length === 0 ? `role ${role}` : `it can't ${missing.join(', nor ')}`,
    limit: 'none is missing',
    next: psqlIn(source.name, database ?? 'postgres', ...missing.map((right) => grantOf(right, role))),
  });
  for (const { name, sql } of nodes) {
    if (sql?.settings.allow_alter_system !== 'off') continue;
    list.require('C8', false, {
      says: `ALTER SYSTEM is allowed on ${name}`,
      refusal: `nobody can set synchronous_standby_names on ${name}: ALTER SYSTEM is not allowed`,
      measured: 'allow_alter_system is off',
      limit: 'on, which wins over every file where an agent of this version starts the server',
      next: NEW_IMAGES,
    });
  }
}

/**
 * C8: what would keep the control role out one day, told while it is still let in: rights, limits of connections, a password that
 * ends, a session that had to go to another database than its own.
 */
export function checkControlPath(list: Checklist, topology: ClusterTopology, observed: ObservedCluster): void {
  const nodes = presentNodes(observed).filter(answers);
  const source = primaries(observed)[0] ?? nodes[0];
  if (source === undefined) return;
  checkRights(list, topology, source, nodes);
  const { user, database } = topology.postgres.control;
  const role = sqlName(user);
  for (const { name, sql } of nodes) {
    checkPlaces(list, name, sql.settings, sql.inRecovery ? `docker restart ${name}` : moveAway(observed.cluster));
    const { control } = sql;
    // An answer of an earlier version of the worker.
    if (control === undefined) continue;
    list.advise('C8', control.database === database, {
      says: `the control role has a database of its own on ${name}`,
      refusal: `the control role has no database of its own on ${name}`,
      measured: `its sessions go to ${control.database}`,
      limit: `${database}, postgres.control.database`,
      next: `docker logs --tail 20 ${source.name}   # the primary's agent makes it within 10 s, or says why it can't`,
    });
    const limit = Math.min(
      ...[control.connectionLimit, control.databaseConnectionLimit].map((n) => (n < 0 ? Infinity : n)),
    );
    const ofRole = control.connectionLimit >= 0 && control.connectionLimit === limit;
    list.require('C8', limit >= SESSIONS_NEEDED, {
      says: `the control role may open as many connections to ${name} as it needs`,
      refusal: `the control role may open too few connections to ${name}`,
      measured: `${ofRole ? `role ${user}` : `database ${control.database}`} has a connection limit of ${limit}`,
      limit: `none, or at least ${SESSIONS_NEEDED}`,
      next: psql(
        source.name,
        ofRole
          ? `ALTER ROLE ${role} CONNECTION LIMIT -1`
          : `ALTER DATABASE ${sqlName(control.database)} CONNECTION LIMIT -1`,
      ),
    });
    list.require('C8', control.validForMs === null || control.validForMs > PASSWORD_ENDS_SOON_MS, {
      says: `the password of the control role lasts on ${name}`,
      refusal: 'the password of the control role ends: nothing can be done for the cluster then',
      measured:
        (control.validForMs ?? 0) > 0
          ? `it ends in ${days(control.validForMs ?? 0)}`
          : `it ended ${days(-(control.validForMs ?? 0))} ago`,
      limit: `valid for more than ${days(PASSWORD_ENDS_SOON_MS)}`,
      next: psql(source.name, `ALTER ROLE ${role} VALID UNTIL 'infinity'`),
    });
  }
}

/**
 * What has a primary start anew without an outage: it comes back as a standby. A standby has to have as many connections as its primary,
 * or it ends.
 */
const moveAway = (cluster: string): string =>
  `veloz-ha postgres switchover --cluster ${cluster}   # before that each standby: the same there, and docker restart`;

/**
 * C8: a server that an older agent started, or whose `max_connections` has no room for them, keeps no places. What it does not know, an
 * earlier version, is not asked.
 * @param restart what has its server read `max_connections` anew
 */
function checkPlaces(list: Checklist, node: string, settings: Readonly<Record<string, string>>, restart: string): void {
  for (const [setting, { least, whose }] of Object.entries(PLACES)) {
    const value = settings[setting];
    if (value === undefined) continue;
    const full = Number(settings.max_connections) <= Object.values(PLACES).reduce((sum, place) => sum + place.least, 0);
    list.require('C8', Number(value) >= least, {
      says: `${node} keeps places for ${whose}`,
      refusal: `${node} keeps no places for ${whose}: once clients have taken all connections it is shut out`,
      measured: `${setting} is ${value}, max_connections ${settings.max_connections}`,
      limit: `at least ${least}, with which its agent starts it`,
      next: full ? `${psql(node, 'ALTER SYSTEM SET max_connections = 100')} && ${restart}` : NEW_IMAGES,
    });
  }
}

/**
 * The command that lets the control role in again, by the words in which a node refused it; undefined for any other error.
 * @param primary where roles and databases can be changed; the node itself where none is known
 */
export function letIn(topology: ClusterTopology, node: string, error: string, primary = node): string | undefined {
  const { user, database } = topology.postgres.control;
  const role = sqlName(user);
  if (error.includes('pg_hba.conf'))
    return `docker exec -u root ${node} sed -i '1i host all ${role} samenet scram-sha-256' ${HBA_FILE} && ${psql(node, RELOAD)}`;
  const denied = /permission denied for function (\w+)/.exec(error)?.[1];
  if (denied !== undefined)
    return psqlIn(primary, database, `GRANT EXECUTE ON FUNCTION pg_catalog.${denied} TO ${role}`);
  const unread = /permission denied for (?:view|table) (\w+)/.exec(error)?.[1];
  if (unread?.startsWith('pg_') === true)
    return psqlIn(primary, database, `GRANT SELECT ON pg_catalog.${unread} TO ${role}`);
  if (/too many connections for role/.test(error)) return psql(primary, `ALTER ROLE ${role} CONNECTION LIMIT -1`);
  if (/too many connections for database/.test(error))
    return psql(primary, `ALTER DATABASE ${sqlName(database)} CONNECTION LIMIT -1`);
  if (/not permitted to log in/.test(error)) return psql(primary, `ALTER ROLE ${role} LOGIN`);
  if (/too many clients already|remaining connection slots/.test(error))
    return psql(node, 'SELECT usename, datname, count(*) FROM pg_stat_activity GROUP BY 1, 2 ORDER BY 3 DESC');
  return undefined;
}
