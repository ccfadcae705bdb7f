import type { RunEnd } from '../cluster/guard/run-end';
import type { LockName } from '../cluster/locks';
import {
  selectCluster,
  type ClusterTopology,
  type Endpoint,
  type PostgresNode,
  internalEndpoint,
  type Topology,
} from '../cluster/topology';
import type { AgentSession } from '../systems/agent';
import { openPoolerAgent, openPostgresAgent, type PoolerAgent, type PostgresAgent } from '../systems/agent';
import type { DockerClient } from '../systems/docker';
import { connectControlDatabase } from '../systems/control-session';
import { connectPostgres, type Login, type PostgresSession } from '../systems/postgres';
import { readSecret, type Environment } from '../systems/secrets';
import type { GuardState } from '../workflows/guard-messages';
import type { HandoverCost, WayAsked } from '../workflows/messages';
import type { EngineSystems } from './engine/access';

/** What activities are made of. Everything that reaches outside is handed in. */
export interface ActivityDeps {
  topology: Topology;
  docker: DockerClient;
  /** The worker's identity, as Temporal shows it. */
  identity: string;
  /** Where secrets come from. */
  environment: Environment;
  /** What the worker measured of its Temporal server; undefined until it has. */
  handoverCost(): HandoverCost | undefined;
  /** The run that holds a lock of a cluster, by default that of PostgreSQL; undefined when nobody does. */
  lockHolder(cluster: string, lock?: LockName): Promise<string | undefined>;
  /**
   * Asks the run that holds a lock to let go of it, since others have to act now. Resolves when Temporal has taken that down: the run
   * does so a moment later, or goes on where it is in the middle of a critical section. Absent where nobody is asked.
   */
  askForWay?(holder: string, asked: WayAsked): Promise<void>;
  /** The state of a cluster's guard; undefined when there is none, or when it gave no answer. */
  guardState?(cluster: string): Promise<GuardState | undefined>;
  /** How a run has ended; undefined while it goes on, and where nobody can ask. Rejects when Temporal gives no answer. */
  runEnd?(workflowId: string, runId?: string): Promise<RunEnd | undefined>;
  /** Aborted when the worker is told to end: an activity that watches for minutes ends then, and another worker goes on. */
  ending?: AbortSignal;
  /** How engines and HAProxy are reached. Default: by HTTP and the runtime API. */
  engineSystems?: EngineSystems;
  /** Called before and after each activity and each sub-step of the hold, with its name. Tests end the worker there. */
  faultPoint?(point: string): void;
}

/** The ways into one cluster. */
export interface ClusterAccess {
  readonly name: string;
  readonly topology: ClusterTopology;
  node(name: string): PostgresNode;
  internal(name: string): Endpoint;
  agent(name: string): Promise<PostgresAgent>;
  pooler(): Promise<PoolerAgent>;
  /** The control role on one node, asked directly. */
  sql(
    name: string,
    queryLimitMs?: number,
    options?: { connectLimitMs?: number; onEnd?: () => void },
  ): Promise<PostgresSession>;
  /** An ordinary client through the pooler. */
  frontDoor(queryLimitMs?: number): Promise<PostgresSession>;
  /** The same way for the control role: a place that applications can't take. Its sessions have no settings of their own. */
  keptDoor(queryLimitMs?: number): Promise<PostgresSession>;
  adminLogin(): Omit<Login, 'database'>;
  poolerName: string;
  poolerEndpoint: Endpoint;
  pooledDatabase: string;
}

/** @throws Error when the topology of this worker has no such cluster */
export function accessCluster(deps: ActivityDeps, name: string): ClusterAccess {
  const selected = selectCluster(deps.topology, name);
  if ('error' in selected) throw new Error(selected.error);
  const { cluster } = selected;
  const node = (wanted: string): PostgresNode => {
    const found = cluster.postgres.nodes.find((candidate) => candidate.name === wanted);
    if (found === undefined) throw new Error(`cluster ${name} has no PostgreSQL node ${wanted}`);
    return found;
  };
  const poolerNode = cluster.pgbouncer.nodes[0];
  if (poolerNode === undefined) throw new Error(`cluster ${name} has no PgBouncer`);
  const password = (ref: string) => readSecret(ref, deps.environment);
  const pooledDatabase = cluster.pgbouncer.database ?? cluster.postgres.database;
  const through = ({ user, passwordFrom }: { user: string; passwordFrom: string }, queryLimitMs?: number) =>
    connectPostgres(
      poolerNode.address,
      { user, password: password(passwordFrom), database: pooledDatabase, applicationName: 'veloz-ha canary' },
      queryLimitMs,
    );
  return {
    name: selected.name,
    topology: cluster,
    node,
    internal: (wanted) => internalEndpoint(node(wanted)),
    agent: (wanted) => openPostgresAgent(deps.docker, node(wanted).name),
    pooler: () => openPoolerAgent(deps.docker, poolerNode.name),
    // Async, so that a secret that can't be read rejects as a node that does not answer would.
    sql: async (wanted, queryLimitMs, options) => {
      const { control, database } = cluster.postgres;
      return connectControlDatabase(
        node(wanted).address,
        { user: control.user, password: password(control.passwordFrom) },
        [control.database, 'postgres', database],
        queryLimitMs,
        options,
      );
    },
    frontDoor: async (queryLimitMs) => through(cluster.postgres.client, queryLimitMs),
    keptDoor: async (queryLimitMs) => through(cluster.postgres.control, queryLimitMs),
    adminLogin: () => ({
      user: cluster.pgbouncer.admin.user,
      password: password(cluster.pgbouncer.admin.passwordFrom),
    }),
    poolerName: poolerNode.name,
    poolerEndpoint: poolerNode.address,
    pooledDatabase,
  };
}

/** Runs `body` with a session and closes it whatever happens. */
export async function withSession<Session extends PostgresSession | Pick<AgentSession<never>, 'close'>, Result>(
  open: Promise<Session>,
  body: (session: Session) => Promise<Result>,
): Promise<Result> {
  const session = await open;
  try {
    return await body(session);
  } finally {
    session.close();
  }
}
