import { join } from 'node:path';
import { exitCodes } from '../../failures';
import { pollers, type Poller } from '../../systems/temporal';
import { withTemporal } from '../context';
import { findDetached, startDetached, stopDetached, waitReady } from '../daemon';
import { print, printDocument, say, type Cli } from '../io';
import { packageRoot } from '../paths';

const DEFAULT_NAME = 'worker';
const READY_LIMIT_MS = 60_000;
/** Longer than the worker's own grace for the step that it is in. */
const STOP_LIMIT_MS = 45_000;

/** Options of `worker`. */
export interface WorkerOptions {
  taskQueue?: string;
  identity?: string;
  healthPort?: number;
  /** 0: none. */
  metricsPort?: number;
  detach?: boolean;
  /** Tells detached workers of one machine apart. Becomes a file name. */
  name: string;
}

/** `worker stop`: lets the detached worker finish its step, and ends it. */
export async function workerStop(cli: Cli, options: Pick<WorkerOptions, 'name'>): Promise<number> {
  const how = await stopDetached(cli.io.env, options.name, STOP_LIMIT_MS);
  if (cli.format === 'json' || cli.format === 'jsonl')
    printDocument(cli, { version: 1, worker: { name: options.name, did: how } });
  else
    say(
      cli,
      how === 'not running'
        ? `No detached worker "${options.name}" was running.`
        : `The worker "${options.name}" has ${how === 'stopped' ? 'stopped' : 'been ended: it did not stop in time'}.`,
    );
  return exitCodes.ok;
}

/** `worker --detach`: leaves a worker running in the background. Where it runs already, nothing changes. */
export async function detachedWorker(cli: Cli, options: WorkerOptions): Promise<number> {
  const running = findDetached(cli.io.env, options.name);
  if (running !== undefined) {
    tell(cli, options, running.pid, running.logFile, true);
    return exitCodes.ok;
  }
  return withTemporal(cli, async (temporal) => {
    const before = new Map(
      (await pollers(temporal, options.taskQueue)).map((poller) => [poller.identity, poller.lastPollAt]),
    );
    const started = await startDetached(cli.io.env, options.name, [
      process.execPath,
      join(packageRoot, 'dist', 'client.js'),
      ...workerArguments(options),
    ]);
    await waitReady(
      started,
      `the worker "${options.name}"`,
      async () =>
        (await pollers(temporal, options.taskQueue)).some((poller) => isNew(poller, options.identity, before)),
      READY_LIMIT_MS,
    );
    tell(cli, options, started.pid, started.logFile, false);
    return exitCodes.ok;
  });
}

/** A poller that was not there before; one that kept its name has to have polled since. */
function isNew(poller: Poller, asked: string | undefined, before: ReadonlyMap<string, number>): boolean {
  const earlier = before.get(poller.identity);
  if (asked === undefined) return earlier === undefined;
  return poller.identity === asked && (earlier === undefined || poller.lastPollAt > earlier);
}

function workerArguments(options: WorkerOptions): string[] {
  const args = ['worker'];
  if (options.taskQueue !== undefined) args.push('--task-queue', options.taskQueue);
  if (options.identity !== undefined) args.push('--identity', options.identity);
  // The first worker has the well-known ports; a further one on this machine takes a free one, and has no metrics.
  const further = options.name !== DEFAULT_NAME;
  const healthPort = options.healthPort ?? (further ? 0 : undefined);
  const metricsPort = options.metricsPort ?? (further ? 0 : undefined);
  if (healthPort !== undefined) args.push('--health-port', String(healthPort));
  if (metricsPort !== undefined) args.push('--metrics-port', String(metricsPort));
  return args;
}

function tell(cli: Cli, options: WorkerOptions, pid: number, logFile: string, already: boolean): void {
  if (cli.format === 'json' || cli.format === 'jsonl') {
    printDocument(cli, { version: 1, worker: { name: options.name, pid, logFile, already } });
    return;
  }
  if (cli.quiet) {
    print(cli, String(pid));
    return;
  }
  const { colour, glyphs } = cli.style;
  const stop = `veloz-ha worker stop${options.name === DEFAULT_NAME ? '' : ` --name ${options.name}`}`;
  say(
    cli,
    [
      `${colour.green(glyphs.done)} The worker "${options.name}" ${already ? 'runs already' : 'polls'}`,
      `  ${colour.dim('Log     ')}  ${logFile}`,
      `  ${colour.dim('Process ')}  ${pid} (${colour.cyan(stop)})`,
    ].join('\n'),
  );
}
