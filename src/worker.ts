import { hostname } from 'node:os';
import { existsSync } from 'node:fs';
import { Client, Connection, WorkflowIdConflictPolicy, WorkflowIdReusePolicy } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import { temporal } from '@temporalio/proto';
import pino, { type Logger } from 'pino';
import { createActivities } from './activities';
import { SLOW_HANDOVER_MS, slowHandoverAdvice } from './cluster/handover';
import type { Topology } from './cluster/topology';
import { workflowBundlePath } from './bundle-workflows';
import { createDockerClient } from './systems/docker';
import { Problem } from './systems/problem';
import { runEnd } from './systems/run-end';
import {
  innermost,
  probe,
  runsKeptMs,
  searchAttributeTypes,
  shortRetention,
  temporalConfig,
  type TemporalConfig,
  unreachable,
} from './systems/temporal';
import { callInterceptors } from './systems/temporal-calls';
import { loadTopology } from './systems/topology-file';
import { WATCH_SLOTS } from './cluster/guard/watch-slots';
import { faultPointFromEnvironment } from './worker/fault-point';
import { guardState, lockHolder, waysOf } from './worker/guard-questions';
import { portOrFree, startHealthServer } from './worker/health';
import { workerLogger } from './worker/log';
import { giveWaySignal, HANDOVER_PROBE_ID, TASK_QUEUE, watchQueueOf, type HandoverCost } from './workflows/messages';

/** Options of a worker. Every one has a default. */
export interface WorkerRunOptions {
  /** Default: `veloz-ha`. */
  taskQueue?: string;
  /** Default: `<pid>@<host>`. */
  identity?: string;
  /** Port of `/health/live`, `/health/ready` and `/status` on 127.0.0.1. Default: 9464, or a free one where that is taken. */
  healthPort?: number;
  /** Port of Prometheus' `/metrics` on 127.0.0.1. Default: 9465, or a free one; `false` for none. */
  metricsPort?: number | false;
  /** Default: the topology file. */
  topology?: Topology;
  /** Ends the worker gracefully. Default: SIGINT and SIGTERM do. */
  signal?: AbortSignal;
  logger?: Logger;
}

/**
 * A second worker must go on within a second where the first one died: a dead worker's sticky queue is given up after 200 ms.
 * A frozen one keeps its polls open, and each swallows one task until that times out: so there is one poll of each kind. Everything
 * that is handed over here is small and rare, and a poll that was answered is followed by the next one at once.
 * The grace lets a hold end before the process does; an activity that is cut off is taken over by another worker anyway.
 */
export const workerTuning = {
  stickyQueueScheduleToStartTimeout: '200ms',
  // One for the workflows that it knows, one for the others.
  workflowTaskPollerBehavior: { type: 'simple-maximum', maximum: 2 },
  activityTaskPollerBehavior: { type: 'simple-maximum', maximum: 1 },
  shutdownGraceTime: '30s',
  maxHeartbeatThrottleInterval: '100ms',
  defaultHeartbeatThrottleInterval: '100ms',
  maxConcurrentActivityTaskExecutions: 50,
  maxCachedWorkflows: 200,
} as const satisfies Partial<WorkerOptions>;

/** The part of a worker that takes watches, on a queue of their own. */
export const watcherTuning = {
  shutdownGraceTime: workerTuning.shutdownGraceTime,
  maxHeartbeatThrottleInterval: workerTuning.maxHeartbeatThrottleInterval,
  defaultHeartbeatThrottleInterval: workerTuning.defaultHeartbeatThrottleInterval,
  activityTaskPollerBehavior: workerTuning.activityTaskPollerBehavior,
  maxConcurrentActivityTaskExecutions: WATCH_SLOTS,
} as const satisfies Partial<WorkerOptions>;

/** Registers the search attributes that are missing: an upsert of an unregistered one would fail a run's task for ever. */
async function ensureSearchAttributes(connection: Connection, namespace: string, logger: Logger): Promise<void> {
  const types = {
    Keyword: temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    Int: temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_INT,
  };
  const command = `temporal operator search-attribute create ${Object.entries(searchAttributeTypes)
    .map(([name, type]) => `--name ${name} --type ${type}`)
    .join(' ')}`;
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = Object.entries(searchAttributeTypes).filter(([name]) => customAttributes?.[name] === undefined);
    if (missing.length === 0) return;
    logger.info({ attributes: missing.map(([name]) => name) }, 'Registering search attributes');
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map(([name, type]) => [name, types[type]])),
    });
  } catch (error) {
    throw new Problem('SetUp', "the search attributes of the runs are not registered and can't be", {
      why: innermost(error),
      next: command,
      cause: error,
    });
  }
}

/** Has the probe workflow measure a hand-over, on this worker's own server. */
async function measureHandover(client: Client, taskQueue: string): Promise<HandoverCost> {
  const handle = await client.workflow.start('handoverProbe', {
    taskQueue,
    workflowId: `${HANDOVER_PROBE_ID}`,
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
    workflowRunTimeout: '30s',
    staticSummary: 'Measures what one hand-over of Temporal costs',
    args: [],
  });
  return (await handle.result()) as HandoverCost;
}

async function connectNative(config: TemporalConfig): Promise<NativeConnection> {
  const why = /^(localhost|127\.0\.0\.1|\[::1\])/.test(config.address) ? await probe(config.address, 2000) : undefined;
  if (why !== undefined) throw unreachable(config.address, why);
  try {
    return await NativeConnection.connect(config.connectionOptions);
  } catch (error) {
    throw unreachable(config.address, innermost(error), error);
  }
}

let runtimeInstalled = false;

/** Once a process, and before anything else of the SDK: metrics and signals belong to the runtime. */
function installRuntime(metricsPort: number | false, logger: Logger): void {
  if (runtimeInstalled) return;
  runtimeInstalled = true;
  Runtime.install({
    shutdownSignals: [],
    logger: new DefaultLogger('WARN', (entry) => logger.warn({ ...entry.meta, source: 'temporal' }, entry.message)),
    telemetryOptions: {
      logging: { forward: {}, filter: 'WARN' },
      ...(metricsPort === false
        ? {}
        : {
            metrics: {
              prometheus: { bindAddress: `127.0.0.1:${metricsPort}`, countersTotalSuffix: true, unitSuffix: true },
            },
          }),
    },
  });
}

/**
 * Runs a worker until it is told to end: SIGINT or SIGTERM let what runs finish (30 s), a second one ends at once.
 * @throws Problem when Temporal is out of reach, the topology is wrong, or search attributes can't be registered
 */
export async function runWorker(options: WorkerRunOptions = {}): Promise<void> {
  const logger = options.logger ?? workerLogger(pino.destination(2));
  const taskQueue = options.taskQueue ?? TASK_QUEUE;
  const identity = options.identity ?? `${process.pid}@${hostname()}`;
  const topology = options.topology ?? loadTopology();
  const config = temporalConfig();
  const metricsPort = options.metricsPort ?? (await portOrFree(9465));
  installRuntime(metricsPort, logger);

  const native = await connectNative(config);
  const { tls, apiKey, metadata } = config.connectionOptions;
  const connection = await Connection.connect({
    interceptors: callInterceptors(),
    address: config.address,
    ...(tls == null ? {} : { tls }),
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(metadata === undefined ? {} : { metadata: metadata }),
  });
  const client = new Client({ connection, namespace: config.namespace });
  await ensureSearchAttributes(connection, config.namespace, logger);
  // Not every server lets a worker ask for it.
  const kept = await runsKeptMs(connection, config.namespace).catch(() => undefined);
  const tooShort = shortRetention(kept, config.namespace);
  if (tooShort !== undefined) logger.warn({ next: tooShort.next }, tooShort.says);

  let handover: HandoverCost | undefined;
  const ending = new AbortController();
  const activities = createActivities({
    topology,
    identity,
    docker: createDockerClient(topology.docker?.socketPath),
    environment: process.env,
    handoverCost: () => handover,
    lockHolder: (cluster, lock) => lockHolder(waysOf(client), cluster, lock),
    guardState: (cluster) => guardState(waysOf(client), cluster),
    runEnd: (workflowId, runId) => runEnd(client.workflow, workflowId, runId),
    askForWay: (holder, asked) => client.workflow.getHandle(holder).signal(giveWaySignal, asked),
    ending: ending.signal,
    faultPoint: faultPointFromEnvironment(process.env, (sentence) => logger.warn(sentence)),
  });
  const worker = await Worker.create({
    connection: native,
    namespace: config.namespace,
    taskQueue,
    identity,
    activities,
    ...(existsSync(workflowBundlePath)
      ? { workflowBundle: { codePath: workflowBundlePath } }
      : { workflowsPath: require.resolve('./workflows') }),
    ...workerTuning,
  });
  const watcher = await Worker.create({
    connection: native,
    namespace: config.namespace,
    taskQueue: watchQueueOf(taskQueue),
    identity,
    activities,
    ...watcherTuning,
  });
  const both = [worker, watcher];
  /** What is least well of the two is the state of the whole. */
  const state = () => both.map((each) => each.getState()).find((each) => each !== 'RUNNING') ?? 'RUNNING';
  const health = await startHealthServer(options.healthPort ?? (await portOrFree(9464)), {
    state,
    status: () => ({
      identity,
      taskQueue,
      watchQueue: { taskQueue: watchQueueOf(taskQueue), slots: WATCH_SLOTS },
      temporal: config.address,
      namespace: config.namespace,
      clusters: Object.keys(topology.clusters),
      handover: handover ?? null,
    }),
  });

  const stop = () => {
    if (worker.getState() === 'RUNNING') {
      logger.info('Ending: what runs may finish within 30 s; a second signal ends at once');
      ending.abort();
      for (const each of both) if (each.getState() === 'RUNNING') each.shutdown();
    } else {
      process.exit(130);
    }
  };
  if (options.signal === undefined) {
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
  } else {
    options.signal.addEventListener('abort', stop, { once: true });
  }

  const measure = async () => {
    try {
      handover = await measureHandover(client, taskQueue);
      if (handover.minMs > SLOW_HANDOVER_MS)
        logger.warn(
          { minMs: Math.round(handover.minMs), medianMs: Math.round(handover.medianMs), limitMs: SLOW_HANDOVER_MS },
          `Hand-overs on this Temporal server are slow: ${slowHandoverAdvice}`,
        );
      else logger.info({ medianMs: Math.round(handover.medianMs) }, 'Measured the hand-over');
    } catch (error) {
      if (worker.getState() === 'RUNNING')
        logger.warn({ error: innermost(error) }, 'The hand-over could not be measured');
    }
  };
  const remeasure = setInterval(() => void measure(), 10 * 60_000);
  logger.info(
    {
      taskQueue,
      identity,
      temporal: config.address,
      health: `http://127.0.0.1:${health.port}/health`,
      ...(metricsPort === false ? {} : { metrics: `http://127.0.0.1:${metricsPort}/metrics` }),
    },
    'Worker started',
  );
  try {
    const running = both.map((each) =>
      // One without the other would be a worker that takes runs and watches nothing, or the other way round.
      each.run().finally(() => {
        for (const other of both) if (other.getState() === 'RUNNING') other.shutdown();
      }),
    );
    void measure();
    await Promise.all(running);
  } finally {
    clearInterval(remeasure);
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
    await health.close();
    await connection.close();
    await native.close();
    logger.info('Worker ended');
  }
}

if (require.main === module) {
  runWorker().catch((error: unknown) => {
    const problem = error instanceof Problem ? error : undefined;
    console.error(
      problem === undefined
        ? error
        : `Error: ${problem.message}. Why: ${problem.detail.why}. Next: ${problem.detail.next} [${problem.type}]`,
    );
    process.exitCode = 1;
  });
}
