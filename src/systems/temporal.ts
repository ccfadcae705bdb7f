import { connect } from 'node:net';
import { Client, Connection, isGrpcServiceError, ServiceError } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { temporal } from '@temporalio/proto';
import { msToTs } from '@temporalio/common/lib/time';
import { START_TEMPORAL, START_WORKER } from '../cluster/commands';
import { formatMs } from '../cluster/duration';
import { searchAttributeNames, TASK_QUEUE } from '../workflows/messages';
import { Problem } from './problem';
import { callInterceptors } from './temporal-calls';

const DEFAULT_ADDRESS = 'localhost:7233';
const DEFAULT_NAMESPACE = 'default';
/** A worker's long poll ends after 60 s at the latest; the server goes on listing a dead poller for minutes. */
const POLL_FRESH_MS = 65_000;

/** How Temporal is reached: for clients (`Connection`) and workers (`NativeConnection`) alike. */
export interface TemporalConfig {
  address: string;
  namespace: string;
  /** Options of both kinds of connection: address, TLS, API key, metadata. */
  connectionOptions: ReturnType<typeof loadClientConnectConfig>['connectionOptions'];
}

/** An open connection and the client that uses it. Close the connection when done. */
export interface TemporalClient {
  client: Client;
  connection: Connection;
  address: string;
  namespace: string;
}

/** A worker that polls the task queue. */
export interface Poller {
  identity: string;
  /** Milliseconds since the epoch of its last poll. */
  lastPollAt: number;
}

/** The search attributes of runs and their types in Temporal. */
export const searchAttributeTypes: Readonly<Record<string, 'Keyword' | 'Int'>> = {
  [searchAttributeNames.cluster]: 'Keyword',
  [searchAttributeNames.runbook]: 'Keyword',
  [searchAttributeNames.phase]: 'Keyword',
  [searchAttributeNames.outcome]: 'Keyword',
  [searchAttributeNames.heldMs]: 'Int',
};

/**
 * Reads Temporal's standard configuration: `TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, TLS variables,
 * and profiles of `temporal.toml`. Default: `localhost:7233`, namespace `default`.
 * @throws Problem `BadInput` when that configuration can't be read
 */
export function temporalConfig(environment: NodeJS.ProcessEnv = process.env): TemporalConfig {
  const variables = Object.fromEntries(
    Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  try {
    const { connectionOptions, namespace } = loadClientConnectConfig({ overrideEnvVars: variables });
    const address = connectionOptions.address ?? DEFAULT_ADDRESS;
    return { address, namespace: namespace ?? DEFAULT_NAMESPACE, connectionOptions: { ...connectionOptions, address } };
  } catch (error) {
    throw new Problem('BadInput', "Temporal's client configuration can't be read", {
      why: (error as Error).message,
      next: 'check the TEMPORAL_… variables and temporal.toml',
      cause: error,
    });
  }
}

/**
 * Connects a client. A closed local port is noticed at once, anything else within `timeoutMs`.
 * @throws Problem `Unreachable` that names the address, why, and the next command
 */
export async function connectTemporal(
  config: TemporalConfig = temporalConfig(),
  timeoutMs = 5_000,
): Promise<TemporalClient> {
  const { address, namespace } = config;
  // gRPC waits for its whole deadline even where nobody listens. A plain connect tells so in a millisecond.
  if (isLocal(address)) {
    const why = await probe(address, Math.min(timeoutMs, 2_000));
    if (why !== undefined) throw unreachable(address, why);
  }
  let connection: Connection;
  try {
    const { tls, apiKey, metadata } = config.connectionOptions;
    connection = await Connection.connect({
      address,
      ...(tls === undefined ? {} : { tls: tls === null ? false : tls }),
      ...(apiKey === undefined ? {} : { apiKey }),
      ...(metadata === undefined ? {} : { metadata: metadata }),
      connectTimeout: timeoutMs,
      interceptors: callInterceptors(),
    });
  } catch (error) {
    const why = (await probe(address, 1_000)) ?? `the port is open, but no Temporal answers: ${innermost(error)}`;
    throw unreachable(address, why, error);
  }
  return { client: new Client({ connection, namespace }), connection, address, namespace };
}

/** For how long `veloz-ha temporal` has its server keep runs that have ended, and what `status` asks for. */
export const KEEP_RUNS_MS = 30 * 86_400_000;
const NAMESPACE_LIMIT_MS = 5_000;

/**
 * For how long the server keeps runs that have ended, with their reports and histories; undefined where it does not say.
 * Milliseconds.
 * @throws Error when the server gives no answer
 */
export async function runsKeptMs(connection: Connection, namespace: string): Promise<number | undefined> {
  const { config } = await connection.withDeadline(Date.now() + NAMESPACE_LIMIT_MS, () =>
    connection.workflowService.describeNamespace({ namespace }),
  );
  const seconds = Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0);
  return seconds > 0 ? seconds * 1000 : undefined;
}

/**
 * Has the server keep ended runs for {@link KEEP_RUNS_MS}, where it keeps them for less. Those that ended before keep
 * their own time.
 * @returns whether it was changed
 * @throws Error when the server refuses, or gives no answer
 */
export async function keepRuns({ connection, namespace }: TemporalClient): Promise<boolean> {
  const kept = await runsKeptMs(connection, namespace);
  if (kept !== undefined && kept >= KEEP_RUNS_MS) return false;
  await connection.withDeadline(Date.now() + NAMESPACE_LIMIT_MS, () =>
    connection.workflowService.updateNamespace({
      namespace,
      config: { workflowExecutionRetentionTtl: msToTs(KEEP_RUNS_MS) },
    }),
  );
  return true;
}

/** What is said of a server that keeps ended runs for less than {@link KEEP_RUNS_MS}; undefined where it keeps them. */
export function shortRetention(
  keptMs: number | undefined,
  namespace: string,
): { says: string; next: string } | undefined {
  if (keptMs === undefined || keptMs >= KEEP_RUNS_MS) return undefined;
  return {
    says: `the namespace ${namespace} keeps runs and their reports for ${formatMs(keptMs)} (wanted: ${formatMs(KEEP_RUNS_MS)}): an older report is gone`,
    next: `temporal operator namespace update --namespace ${namespace} --retention ${KEEP_RUNS_MS / 3_600_000}h`,
  };
}

/** The error for a Temporal that can't be reached. */
export function unreachable(address: string, why: string, cause?: unknown): Problem {
  return new Problem('Unreachable', `Temporal is not reachable at ${address}`, {
    why,
    next: isLocal(address) ? START_TEMPORAL : 'check TEMPORAL_ADDRESS, TLS and the network',
    cause,
  });
}

/**
 * The workers that poll the task queue for workflows, as the server knows them. One that died in the last minute may
 * still be among them: nobody but its silence tells.
 * @throws Problem `Unreachable` when the server, or the namespace, gives no answer
 */
export async function pollers(
  temporalClient: TemporalClient,
  taskQueue: string = TASK_QUEUE,
  now = Date.now(),
): Promise<Poller[]> {
  const { connection, namespace, address } = temporalClient;
  try {
    const answer = await connection.withDeadline(now + 5_000, () =>
      connection.workflowService.describeTaskQueue({
        namespace,
        taskQueue: { name: taskQueue },
        taskQueueType: temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
      }),
    );
    return (answer.pollers ?? [])
      .map((poller) => ({ identity: poller.identity ?? '', lastPollAt: epochMs(poller.lastAccessTime) }))
      .filter((poller) => now - poller.lastPollAt < POLL_FRESH_MS)
      .sort((a, b) => b.lastPollAt - a.lastPollAt);
  } catch (error) {
    throw new Problem('Unreachable', `Temporal at ${address} did not say who polls the task queue ${taskQueue}`, {
      why: innermost(error),
      next: `check the namespace "${namespace}" and the address`,
      cause: error,
    });
  }
}

/** How many guards run; undefined where the server does not tell. */
export async function countGuards({ client, connection }: TemporalClient): Promise<number | undefined> {
  try {
    const query = `WorkflowType = 'guard' AND ExecutionStatus = 'Running'`;
    return (await connection.withDeadline(Date.now() + 2_000, () => client.workflow.count(query))).count;
  } catch {
    return undefined;
  }
}

/** How many workers poll the task queue. */
export async function countPollers(temporalClient: TemporalClient, taskQueue: string = TASK_QUEUE): Promise<number> {
  return (await pollers(temporalClient, taskQueue)).length;
}

/**
 * Refuses to go on when nobody would carry out a run.
 * @throws Problem `Unreachable` when no worker polls the task queue
 */
export async function requireWorker(temporalClient: TemporalClient, taskQueue: string = TASK_QUEUE): Promise<void> {
  if ((await countPollers(temporalClient, taskQueue)) > 0) return;
  throw new Problem('Unreachable', `no worker polls the task queue ${taskQueue}`, {
    why: `Temporal at ${temporalClient.address}, namespace ${temporalClient.namespace}, has seen 0 workers in the last ${POLL_FRESH_MS / 1000} s (needed: 1)`,
    next: START_WORKER,
  });
}

/**
 * Why nobody answers at `host:port`, or undefined when somebody accepts the connection.
 * @param limitMs how long it may take
 */
export function probe(address: string, limitMs: number): Promise<string | undefined> {
  const { host, port } = splitAddress(address);
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (why: string | undefined) => {
      socket.destroy();
      resolve(why);
    };
    socket.setTimeout(limitMs, () => end(`no answer within ${limitMs} ms`));
    socket.once('connect', () => end(undefined));
    socket.once('error', (error: NodeJS.ErrnoException) => end(socketWords(error)));
  });
}

/** The innermost message of an error: what the server or the socket said. */
export function innermost(error: unknown): string {
  let current = error;
  while (current instanceof Error && current.cause instanceof Error) current = current.cause;
  if (isGrpcServiceError(current)) return current.details === '' ? current.message : current.details;
  return current instanceof Error ? current.message : String(current);
}

/** The gRPC status of an error of the client, if it is one. */
export function grpcCode(error: unknown): number | undefined {
  const inner = error instanceof ServiceError ? error.cause : error;
  return isGrpcServiceError(inner) ? inner.code : undefined;
}

function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(':');
  const host = at < 0 ? address : address.slice(0, at);
  return { host: host.replace(/^\[|\]$/g, ''), port: at < 0 ? 7233 : Number(address.slice(at + 1)) };
}

function isLocal(address: string): boolean {
  return ['localhost', '127.0.0.1', '::1'].includes(splitAddress(address).host);
}

function socketWords(error: NodeJS.ErrnoException): string {
  // `localhost` is tried as ::1 and 127.0.0.1: the reasons come as a list without a message of its own.
  const first = error instanceof AggregateError ? (error.errors[0] as NodeJS.ErrnoException | undefined) : error;
  switch (first?.code) {
    case 'ECONNREFUSED':
      return 'connection refused: nobody listens on that port';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name is not known';
    default:
      return first?.message ?? error.message;
  }
}

function epochMs(time: temporal.api.taskqueue.v1.IPollerInfo['lastAccessTime']): number {
  return time == null ? 0 : Number(time.seconds ?? 0) * 1000 + Math.floor((time.nanos ?? 0) / 1e6);
}

/** A workflow's description, as far as {@link heartbeatOf} reads it. */
interface Described {
  pendingActivities?:
    | { activityType?: { name?: string | null } | null; heartbeatDetails?: { payloads?: Payload[] | null } | null }[]
    | null;
}

interface Payload {
  data?: Uint8Array | null;
}

/** What the last heartbeat of an activity of this type said that is under way; undefined without one, and where it can't be read. */
export function heartbeatOf(described: Described, activityType: string): unknown {
  const pending = described.pendingActivities?.find(({ activityType: type }) => type?.name === activityType);
  const data = pending?.heartbeatDetails?.payloads?.[0]?.data;
  if (data == null) return undefined;
  try {
    return JSON.parse(Buffer.from(data).toString('utf8'));
  } catch {
    return undefined;
  }
}
