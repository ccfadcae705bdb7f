import type { ClusterTopology, Endpoint } from './topology';

/*
 * Commands for a person at a shell on the machine of the stack. Every refusal ends with one of them, so each works as it is
 * printed: the containers trust their own superuser on the local socket, and no command holds a secret. What acts on a cluster names it:
 * a topology may have several, and without a name the program takes its default.
 */

/** Makes and starts the containers of the shipped stack, that of the topology's default cluster. */
export const START_STACK = 'veloz-ha stack up';

/** A text as one word of a POSIX shell. */
export function shellWord(text: string): string {
  return /["$`\\!]/.test(text) ? `'${text.replaceAll("'", String.raw`'\''`)}'` : `"${text}"`;
}

/** Follows a run. Ids that were typed in the Web UI hold whatever somebody typed. */
export function watchRun(workflowId: string): string {
  return `veloz-ha watch ${/^[\w@%+=:,./-]+$/.test(workflowId) ? workflowId : shellWord(workflowId)}`;
}

/** A name as SQL takes it: quoted where it has to be. */
export function sqlName(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** A text as SQL takes it. */
export function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/**
 * Statements on one PostgreSQL node, as its superuser. Each is a transaction of its own, as ALTER SYSTEM demands. Never in the
 * application's database: what its owner made there could run as the superuser.
 */
export function psql(node: string, ...statements: string[]): string {
  return psqlIn(node, 'postgres', ...statements);
}

/** As {@link psql}, in a database of one's choice: rights on functions belong to each. */
export function psqlIn(node: string, database: string, ...statements: string[]): string {
  const name = /^[\w.-]+$/.test(database) ? database : shellWord(database);
  return `docker exec ${node} psql -U postgres -d ${name} ${statements.map((statement) => `-c ${shellWord(statement)}`).join(' ')}`;
}

/** A command of PgBouncer's console. Its own operating system user needs no password there. */
export function poolerConsole(pooler: string, command: string): string {
  return `docker exec -u pgbouncer ${pooler} psql -h /run/pgbouncer -p 6432 -U pgbouncer -d pgbouncer -c ${shellWord(command)}`;
}

/** Has a container run that does not, by Docker's word on it; undefined where that would not help. */
export function wakeContainer(container: string, status: string | undefined): string | undefined {
  if (status === 'paused') return `docker unpause ${container}`;
  if (status === 'exited' || status === 'created' || status === 'dead') return `docker start ${container}`;
  return status === 'absent' ? START_STACK : undefined;
}

/** Makes the container of a PostgreSQL node again, on the volume that it had: an optional node is made only beside all others. */
export function makeContainer({ postgres }: Pick<ClusterTopology, 'postgres'>, node: string): string {
  const optional = postgres.nodes.some(({ name, optional: may }) => name === node && may);
  return `veloz-ha stack up${optional ? ` --standbys ${postgres.nodes.length - 1}` : ''}`;
}

/** The latest words of a container. */
export function logs(container: string): string {
  return `docker logs --tail 20 ${container}`;
}

/** Builds the images, which changes no container. `veloz-ha stack up` leaves what runs as it is. */
export const NEW_IMAGES =
  'npm run setup   # builds the images; docs/upgrade.md says how they get in, one node at a time';

/** What Docker's check of a container's health said the last times. */
export const healthOf = (container: string): string =>
  `docker inspect --format '{{json .State.Health.Log}}' ${container}`;

/** Sends the pooler's clients to an endpoint, by hand: takes the node as a run would, routes, and gives it back. */
export function routeByHand(pooler: string, { host, port }: Endpoint): string {
  const token = String.raw`t="\"token\":{\"run\":\"by-hand-$(date +%s)\",\"attempt\":1}"`;
  const route = String.raw`veloz-agent route "{$t,\"host\":\"${host}\",\"port\":${port}}"`;
  return `docker exec ${pooler} sh -c '${token}; veloz-agent claim "{$t}" && ${route} && veloz-agent forget "{$t}"'`;
}

/** Starts a Temporal server on this machine, in the background: nobody's terminal ends it. */
export const START_TEMPORAL = 'veloz-ha temporal --detach';

/** Starts a worker on this machine, in the background: nobody's terminal ends the only one that a guard has. */
export const START_WORKER = 'veloz-ha worker --detach';

/** What PostgreSQL of the cluster looks like now. */
export function clusterStatus(cluster: string): string {
  return `veloz-ha postgres status --cluster ${cluster}`;
}

/** What everything looks like now: Temporal, workers, all tiers of the cluster, its guard, open runs. */
export function wholeStatus(cluster: string): string {
  return `veloz-ha status --cluster ${cluster}`;
}

/** Looks at what is, and brings PostgreSQL of the cluster to a right state. */
export function repairCommand(cluster: string): string {
  return `veloz-ha repair --cluster ${cluster}`;
}

/**
 * Moves the primary, planned.
 * @param rest further options, as they are typed
 */
export function switchoverCommand(cluster: string, rest?: string): string {
  return `veloz-ha postgres switchover --cluster ${cluster}${rest === undefined ? '' : ` ${rest}`}`;
}

/** A command of the cluster's guard: `status`, `mode auto`. */
export function guardCommand(what: string, cluster: string): string {
  return `veloz-ha guard ${what} --cluster ${cluster}`;
}

/**
 * The id of the workflow behind the run that an agent names, which is `<workflow id>/<run id>`.
 * @returns undefined when the name is not of that form
 */
export function workflowIdOf(run: string): string | undefined {
  return /^(.+)\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.exec(run)?.[1];
}
