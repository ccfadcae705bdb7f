import {
  bundleWorkflowCode,
  DefaultLogger,
  Runtime,
  Worker,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker';
import type { ConnectionOptions } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { findTemporalBinary } from '../../../src/cli/paths';
import { serverSettings } from '../../../src/cluster/handover';
import { searchAttributeTypes } from '../../../src/systems/temporal';
import { callInterceptors } from '../../../src/systems/temporal-calls';
import { watcherTuning, workerTuning } from '../../../src/worker';
import { watchQueueOf } from '../../../src/workflows/messages';

/** Histories of this length are begun anew by the server's advice, so that a test need not write thousands of events. */
export const LONG_HISTORY = 400;

/** A call that is under way when the server is ended must not end the suite that runs by then. */
const quietCalls = {
  name: 'quiet calls',
  configureConnection: (options: ConnectionOptions) => ({ ...options, interceptors: callInterceptors() }),
};

/** A Temporal server of one suite, with workflows that were bundled once. */
export class WorkflowServer {
  private queues = 0;

  private constructor(
    private readonly environment: TestWorkflowEnvironment,
    private readonly workflowBundle: WorkflowBundleWithSourceMap,
  ) {}

  /** @param workflowsPath the module whose exports are the workflows */
  static async start(workflowsPath: string): Promise<WorkflowServer> {
    Runtime.install({
      // What workflows log is not what a test is about; a failure shows itself.
      logger: new DefaultLogger('ERROR', () => undefined),
      telemetryOptions: { logging: { forward: {}, filter: 'OFF' } },
    });
    const path = findTemporalBinary(process.env);
    if (path === undefined) throw new Error('there is no temporal binary. Next: npm run setup');
    const settings = {
      ...serverSettings,
      'limit.historyCount.suggestContinueAsNew': LONG_HISTORY,
    };
    const types = { Keyword: SearchAttributeType.KEYWORD, Int: SearchAttributeType.INT } as const;
    // One after the other: the server is given five seconds to start, and bundling takes a whole core.
    const workflowBundle = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') });
    const environment = await TestWorkflowEnvironment.createLocal({
      plugins: [quietCalls],
      server: {
        executable: { type: 'existing-path', path },
        log: { format: 'pretty', level: 'error' },
        searchAttributes: Object.entries(searchAttributeTypes).map(([name, type]) =>
          defineSearchAttributeKey(name, types[type]),
        ),
        extraArgs: Object.entries(settings).flatMap(([key, value]) => ['--dynamic-config-value', `${key}=${value}`]),
      },
    });
    return new WorkflowServer(environment, workflowBundle);
  }

  get client() {
    return this.environment.client.workflow;
  }

  /** Host and port, for whoever connects as a stranger would. */
  get address(): string {
    return this.environment.address ?? '';
  }

  /** Bundles another module's workflows, for a worker of another version. */
  bundle(workflowsPath: string): Promise<WorkflowBundleWithSourceMap> {
    return bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') });
  }

  /**
   * Runs `body` with a worker of its own that has these activities.
   * @param taskQueue default: one of its own
   * @param workflowBundle default: the suite's
   */
  async withWorker<T>(
    activities: object,
    body: (taskQueue: string) => Promise<T>,
    taskQueue = `test-${++this.queues}`,
    workflowBundle = this.workflowBundle,
  ): Promise<T> {
    const worker = await Worker.create({
      ...workerTuning,
      shutdownGraceTime: 0,
      shutdownForceTime: '5s',
      connection: this.environment.nativeConnection,
      taskQueue,
      activities,
      workflowBundle,
    });
    const watcher = await Worker.create({
      ...watcherTuning,
      shutdownGraceTime: 0,
      shutdownForceTime: '5s',
      connection: this.environment.nativeConnection,
      taskQueue: watchQueueOf(taskQueue),
      // A worker without anything to do is refused.
      activities: { nothing: () => undefined, ...activities },
    });
    return watcher.runUntil(() => worker.runUntil(() => body(taskQueue)));
  }

  async close(): Promise<void> {
    await this.environment.teardown();
  }
}

/** Waits until something is found: workflows run beside the test. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  seen: () => unknown = () => '',
): Promise<T> {
  const end = Date.now() + 20_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`${what} did not happen; seen: ${JSON.stringify(seen(), null, 1)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
