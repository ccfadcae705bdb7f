import type { ObservedCluster, ObservedNode, ObservedPooler } from '../cluster/observed';
import type { NodeReadiness } from '../cluster/readiness/observed';
import { openPoolerAgent, openPostgresAgent, type PostgresObservation } from '../systems/agent';
import { observePooledDatabase } from '../systems/pgbouncer';
import { databaseBytesOf, observeSqlOf, type PostgresSession } from '../systems/postgres';
import { readinessOf } from '../systems/postgres-readiness';
import { clientLogins } from './client-logins';
import { keepBeating } from './context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from './deps';
import { withinLimit } from './guard/probe';
import { offNetworks } from './put-back';

const messageOf = (error: unknown): string =>
  error instanceof AggregateError ? (error.errors[0] as Error).message : (error as Error).message;

/** A start that is tried loads every library. What does not answer by then is told as unknown. */
const READINESS_LIMIT_MS = 6000;

/** How long Docker may take to say on which networks a container is, in milliseconds. */
const NETWORKS_LIMIT_MS = 2000;

/** How long the primary may take to tell the size of its databases, in milliseconds. */
const SIZE_LIMIT_MS = 10_000;

/** Before its first start has made one. */
const noDirectory = { path: '/var/lib/postgresql', owner: 'nobody', mode: 'none' };

/** What a picture keeps of an agent's observation. */
export function agentPart(said: PostgresObservation): NonNullable<ObservedNode['agent']> {
  return {
    postgresState: said.postgres.state,
    desired: said.desired,
    claimedBy: said.token?.run ?? null,
    deadmanInMs: said.deadman?.inMs ?? null,
    controlState: said.control?.state ?? null,
    controlTimeline: said.control?.timeline ?? null,
    systemIdentifier: said.control?.systemIdentifier ?? null,
    checksums: said.control?.checksums ?? false,
    standbySignal: said.signals.standby,
    upstream: said.upstream,
    freeDiskBytes: said.disk.freeBytes,
    dataDirectory: said.dataDirectory ?? noDirectory,
    archiveReady: said.archiveReady,
    startGuard: said.startGuard,
    ...(said.lastCorrection == null ? {} : { lastCorrection: said.lastCorrection }),
  };
}

async function observeNode(deps: ActivityDeps, access: ClusterAccess, name: string): Promise<ObservedNode> {
  const node = access.node(name);
  const seen: ObservedNode = {
    name,
    internal: access.internal(name),
    promotable: node.promotable,
    optional: node.optional,
    container: { exists: false, running: false, status: 'unknown', restartPolicy: 'unknown' },
    agent: null,
    sql: null,
  };
  const readiness: NodeReadiness = { agent: null, sql: null };
  seen.readiness = readiness;
  const container = deps.docker.inspect(name).then(
    (state) => {
      seen.container = {
        exists: state.exists,
        running: state.running,
        status: state.status,
        restartPolicy: state.restartPolicy,
      };
    },
    (error: unknown) => {
      seen.container.error = messageOf(error);
    },
  );
  const asked = withSession(openPostgresAgent(deps.docker, name), async (session) => {
    const trying = session.call('readiness', { pooler: access.poolerName }, READINESS_LIMIT_MS).then(
      (said) => {
        readiness.agent = said;
      },
      (error: unknown) => {
        readiness.agentError = messageOf(error);
      },
    );
    const [said] = await Promise.all([session.call('observe', {}), trying]);
    return said;
  });
  const agent = asked.then(
    (said) => {
      seen.agent = agentPart(said);
    },
    (error: unknown) => {
      seen.agentError = messageOf(error);
    },
  );
  const askSql = async (session: PostgresSession) => {
    seen.sql = await observeSqlOf(session);
    readiness.sql = await readinessOf(session).catch((error: unknown) => {
      readiness.sqlError = messageOf(error);
      return null;
    });
  };
  const sql = withSession(access.sql(name, 3000), askSql).then(
    () => undefined,
    (error: unknown) => {
      seen.sqlError = messageOf(error);
    },
  );
  await Promise.all([container, agent, sql]);
  if (seen.sql === null && seen.container.exists) {
    const off = await withinLimit(offNetworks(deps.docker, name), NETWORKS_LIMIT_MS).catch(() => undefined);
    if (off !== undefined) seen.container.offNetworks = off;
  }
  return seen;
}

/** Never throws: what an older or a silent agent does not say is not known. */
async function observeClients(deps: ActivityDeps, access: ClusterAccess): ReturnType<typeof clientLogins> {
  const names = access.topology.postgres.nodes.map(({ name }) => name);
  return withSession(openPoolerAgent(deps.docker, access.poolerName), (session) =>
    clientLogins(access, session, names),
  ).catch(() => new Map());
}

async function observePooler(deps: ActivityDeps, access: ClusterAccess): Promise<ObservedPooler> {
  const seen: ObservedPooler = { name: access.poolerName, agent: null, console: null };
  const agent = withSession(openPoolerAgent(deps.docker, access.poolerName), (session) =>
    session.call('observe', {}),
  ).then(
    (said) => {
      seen.agent = {
        route: said.route,
        paused: said.paused,
        ...(said.halted === undefined ? {} : { halted: said.halted }),
        holdRun: said.hold?.token.run ?? null,
        holdRemainingMs: said.hold?.remainingMs ?? null,
        lastExpiry: said.lastExpiry?.did ?? null,
        claimedBy: said.token?.run ?? null,
      };
      return said;
    },
    (error: unknown) => {
      seen.agentError = messageOf(error);
      return undefined;
    },
  );
  const console = observeConsole(access).then(
    (said) => {
      seen.console = said;
    },
    (error: unknown) => {
      seen.consoleError = messageOf(error);
    },
  );
  const [given] = await Promise.all([agent, console]);
  if (seen.agent === null) {
    const container = await deps.docker.inspect(access.poolerName).catch(() => undefined);
    if (container !== undefined)
      seen.container = { exists: container.exists, status: container.status, running: container.running };
  }
  // The agent gives PgBouncer an address; people and decisions speak of the node.
  if (seen.console !== null && given?.routeAddress === seen.console.host)
    seen.console.host = given.route?.host ?? seen.console.host;
  return seen;
}

/** What the pooler's console says of the database of clients. A secret that can't be read rejects, as a console that is silent does. */
export async function observeConsole(access: ClusterAccess): Promise<NonNullable<ObservedPooler['console']>> {
  const said = await observePooledDatabase(access.poolerEndpoint, access.adminLogin(), access.pooledDatabase);
  const { poolMode, paused, halted, disabled, host, activeClients, waitingClients, load, disconnects } = said;
  const { replication } = said;
  return {
    ...{ poolMode, paused, halted, disabled, host, activeClients, waitingClients, load, disconnects },
    ...(replication.length === 0 ? {} : { replication }),
  };
}

/** As the node's own walreceiver would connect: its role, its password file. */
const identifySystem =
  'PGPASSFILE=/run/veloz/pgpass exec psql -Atw "host=$1 port=$2 user=${VELOZ_PG_REPL_USER:-replicator} replication=1 connect_timeout=2" -c IDENTIFY_SYSTEM';

/** Can `from` open a replication connection to `to` (C4)? Asked inside `from`'s container, with its own password file. */
async function connectBack(
  deps: ActivityDeps,
  access: ClusterAccess,
  from: string,
  to: string,
): Promise<{ ok: boolean; error?: string }> {
  const { host, port } = access.internal(to);
  try {
    const { exitCode, output } = await deps.docker.run(
      from,
      ['sh', '-c', identifySystem, 'sh', host, String(port)],
      4000,
      { user: 'postgres' },
    );
    return exitCode === 0 ? { ok: true } : { ok: false, error: output.trim().slice(-300) };
  } catch (error) {
    return { ok: false, error: messageOf(error) };
  }
}

/**
 * Looks at every system of a cluster by every way in, all at once. Changes nothing and never fails for a system that does
 * not answer: that is part of the picture.
 * @param options `sizes`: the primary is asked for the size of its databases too, which a copy needs room for
 */
export async function observeCluster(
  deps: ActivityDeps,
  name: string,
  options: { sizes?: boolean } = {},
): Promise<ObservedCluster> {
  const access = accessCluster(deps, name);
  const stopBeating = keepBeating(() => 'looking');
  try {
    const observed = await observeAll(deps, access);
    if (options.sizes === true) await askSize(access, observed);
    return observed;
  } finally {
    stopBeating();
  }
}

/** Of each node that takes writes: which of two is the primary is for a decision to say. Never throws. */
async function askSize(access: ClusterAccess, observed: ObservedCluster): Promise<void> {
  await Promise.all(
    observed.nodes.map(async ({ name, sql }) => {
      if (sql === null || sql.inRecovery) return;
      const bytes = await withSession(access.sql(name, SIZE_LIMIT_MS), databaseBytesOf).catch(() => undefined);
      if (bytes !== undefined) sql.databaseBytes = bytes;
    }),
  );
}

async function observeAll(deps: ActivityDeps, access: ClusterAccess): Promise<ObservedCluster> {
  const docker = await deps.docker.ping().then(
    () => ({ ok: true }),
    (error: unknown) => ({ ok: false, error: messageOf(error) }),
  );
  const [nodes, pooler, clients] = await Promise.all([
    Promise.all(access.topology.postgres.nodes.map((node) => observeNode(deps, access, node.name))),
    observePooler(deps, access),
    observeClients(deps, access),
  ]);
  for (const node of nodes) {
    const client = clients.get(node.name);
    if (client !== undefined && node.sql !== null) node.client = client;
  }
  const writable = nodes.filter((node) => node.sql !== null && !node.sql.inRecovery);
  const primary = writable.length === 1 ? writable[0] : undefined;
  if (primary !== undefined) {
    const standbys = nodes.filter((node) => node.sql?.inRecovery === true);
    await Promise.all(
      standbys.map(async (standby) => {
        standby.connectBack = await connectBack(deps, access, primary.name, standby.name);
      }),
    );
  }
  return { cluster: access.name, at: Date.now(), docker, nodes, pooler };
}
