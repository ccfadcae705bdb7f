import type { Logger } from 'pino';
import pretty from 'pino-pretty';
import { exitCodes } from '../../failures';
import { runWorker } from '../../worker';
import { workerLogger } from '../../worker/log';
import type { Cli } from '../io';
import type { WorkerOptions } from './worker-detached';

/** `worker`: carries out runs until it is told to stop. */
export async function worker(cli: Cli, options: WorkerOptions): Promise<number> {
  const { taskQueue, identity, healthPort, metricsPort } = options;
  await runWorker({
    taskQueue,
    identity,
    healthPort,
    metricsPort: metricsPort === 0 ? false : metricsPort,
    ...(cli.io.stderr.isTTY === true ? { logger: readableLogger(cli) } : {}),
  });
  return exitCodes.ok;
}

/** A log for a person at a terminal; programs get the worker's own, one JSON document a line. */
function readableLogger(cli: Cli): Logger {
  const { colour } = cli.errStyle;
  return workerLogger(
    pretty({
      destination: 2,
      sync: true,
      colorize: colour.isColorSupported,
      translateTime: 'SYS:HH:MM:ss',
      ignore: 'pid,hostname,name',
    }),
  );
}
