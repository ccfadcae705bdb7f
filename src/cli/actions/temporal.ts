import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { exitCodes } from '../../failures';
import { serverSettings } from '../../cluster/handover';
import { Problem } from '../../systems/problem';
import {
  connectTemporal,
  innermost,
  keepRuns,
  probe,
  searchAttributeTypes,
  temporalConfig,
} from '../../systems/temporal';
import { findDetached, lastLines, startDetached, stopDetached, waitReady } from '../daemon';
import { print, printDocument, say, type Cli } from '../io';
import { findTemporalBinary, stateDirectory } from '../paths';

const DEFAULT_PORT = 7233;
const READY_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 10_000;

/** Options of `temporal` and its subcommands. */
export interface TemporalOptions {
  port: number;
  /** Default: the port and a thousand. */
  uiPort?: number;
  detach?: boolean;
}

/** `temporal`: a Temporal server for one machine, with the settings that make a hand-over cheap. */
export async function temporalServer(cli: Cli, options: TemporalOptions): Promise<number> {
  const name = serverName(options.port);
  const address = `localhost:${options.port}`;
  const running = findDetached(cli.io.env, name);
  if (running !== undefined || (await probe(address, 500)) === undefined)
    return alreadyThere(cli, options, running?.pid);
  const binary = findTemporalBinary(cli.io.env);
  if (binary === undefined) {
    throw new Problem('SetUp', 'there is no temporal binary', {
      why: 'it is neither named by VELOZ_HA_TEMPORAL, nor in ~/.cache/veloz-ha/bin, nor on PATH',
      next: 'npm run setup',
    });
  }
  const folder = stateDirectory(cli.io.env);
  mkdirSync(folder, { recursive: true });
  const database = join(folder, `${name}.db`);
  const command = [binary, ...serverArguments(options, database)];
  if (options.detach !== true) return foreground(cli, options, command, database);
  const started = await startDetached(cli.io.env, name, command);
  await waitReady(started, `Temporal at ${address}`, () => answers(cli, address), READY_LIMIT_MS);
  await keepRunsAt(cli, address);
  tell(cli, options, { pid: started.pid, database, logFile: started.logFile });
  return exitCodes.ok;
}

/** `temporal stop`: ends the detached server. Its database stays. */
export async function temporalStop(cli: Cli, options: TemporalOptions): Promise<number> {
  const how = await stopDetached(cli.io.env, serverName(options.port), STOP_LIMIT_MS);
  if (how === 'not running' && (await probe(`localhost:${options.port}`, 500)) === undefined) {
    throw new Problem('SetUp', `the server on port ${options.port} was not started by veloz-ha temporal --detach`, {
      why: 'there is no process of ours for that port, but somebody listens there',
      next: 'end it where it was started',
    });
  }
  if (cli.format === 'json' || cli.format === 'jsonl')
    printDocument(cli, { version: 1, temporal: { port: options.port, did: how } });
  else
    say(
      cli,
      how === 'not running'
        ? 'Temporal was not running.'
        : `Temporal ${how === 'stopped' ? 'has stopped' : `did not stop within ${STOP_LIMIT_MS / 1000} s and was ended`}. Its database is kept.`,
    );
  return exitCodes.ok;
}

/** `temporal status`: whether the server answers, and where. */
export async function temporalStatus(cli: Cli, options: TemporalOptions): Promise<number> {
  const address = `localhost:${options.port}`;
  const ours = findDetached(cli.io.env, serverName(options.port));
  if (!(await answers(cli, address))) {
    throw new Problem('Unreachable', `Temporal does not answer at ${address}`, {
      why:
        ours === undefined
          ? 'no server of ours runs'
          : `process ${ours.pid} runs; its last words: ${lastLines(ours.logFile, 1)}`,
      next: ours === undefined ? 'veloz-ha temporal --detach' : `less ${ours.logFile}`,
    });
  }
  tell(cli, options, { pid: ours?.pid, logFile: ours?.logFile });
  return exitCodes.ok;
}

/** The server's arguments: where it listens, where it keeps its state, search attributes, and tuned hand-overs. */
export function serverArguments(options: Pick<TemporalOptions, 'port' | 'uiPort'>, database: string): string[] {
  return [
    'server',
    'start-dev',
    '--port',
    String(options.port),
    '--ui-port',
    String(uiPort(options)),
    '--db-filename',
    database,
    '--log-level',
    'error',
    ...Object.entries(searchAttributeTypes).flatMap(([name, type]) => ['--search-attribute', `${name}=${type}`]),
    ...Object.entries(serverSettings).flatMap(([key, value]) => ['--dynamic-config-value', `${key}=${value}`]),
  ];
}

async function foreground(cli: Cli, options: TemporalOptions, command: string[], database: string): Promise<number> {
  const [program, ...rest] = command;
  const child = spawn(program ?? '', rest, { stdio: ['ignore', 'ignore', 'inherit'], env: cli.io.env });
  // Ctrl-C reaches the server by itself, as it is in our process group; other signals are handed on.
  const offInterrupt = cli.io.onInterrupt(() => undefined);
  const onTerminate = () => child.kill('SIGTERM');
  process.once('SIGTERM', onTerminate);
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal === null ? (code ?? 1) : 0));
  });
  try {
    const address = `localhost:${options.port}`;
    let over = false;
    const finished = ended.finally(() => (over = true));
    void waitUntil(
      () => answers(cli, address),
      () => over,
    ).then(async (ready) => {
      if (!ready) return;
      await keepRunsAt(cli, address);
      tell(cli, options, { database });
    });
    const code = await finished;
    if (code === 0) return exitCodes.ok;
    throw new Problem('SetUp', `the Temporal server ended with exit code ${code}`, {
      why: 'see its messages above',
      next: `veloz-ha temporal --port ${options.port + 1}`,
    });
  } finally {
    offInterrupt();
    process.off('SIGTERM', onTerminate);
  }
}

async function waitUntil(holds: () => Promise<boolean>, isOver: () => boolean): Promise<boolean> {
  while (!isOver()) {
    if (await holds()) return true;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  return false;
}

/** Starting what runs already is a success that changes nothing, unless it is no Temporal that runs there. */
async function alreadyThere(cli: Cli, options: TemporalOptions, pid: number | undefined): Promise<number> {
  const address = `localhost:${options.port}`;
  if (!(await answers(cli, address))) {
    throw new Problem('SetUp', `port ${options.port} is taken`, {
      why:
        pid === undefined
          ? 'something listens there that is no Temporal'
          : `process ${pid} was started for it, but does not answer`,
      next:
        pid === undefined
          ? `veloz-ha temporal --port ${options.port + 1}${options.detach === true ? ' --detach' : ''}`
          : 'veloz-ha temporal stop',
    });
  }
  if (pid !== undefined) await keepRunsAt(cli, address);
  if (options.detach !== true && pid === undefined) say(cli, 'A Temporal server runs there already.');
  tell(cli, options, { pid });
  return exitCodes.ok;
}

async function answers(cli: Cli, address: string): Promise<boolean> {
  if ((await probe(address, 300)) !== undefined) return false;
  try {
    const temporal = await connectTemporal(
      { ...temporalConfig(cli.io.env), address, connectionOptions: { address } },
      2_000,
    );
    await temporal.connection.close();
    return true;
  } catch {
    return false;
  }
}

/**
 * The development server keeps ended runs for a day, and has no option for more. Of a server that was started by us it is
 * changed, also with an older database; a failure is told, and is no reason not to use the server.
 */
async function keepRunsAt(cli: Cli, address: string): Promise<void> {
  try {
    const config = temporalConfig(cli.io.env);
    const temporal = await connectTemporal({ ...config, address, connectionOptions: { address } }, 5_000);
    try {
      await keepRuns(temporal);
    } finally {
      await temporal.connection.close();
    }
  } catch (error) {
    cli.io.stderr.write(`The time for which ended runs are kept could not be set: ${innermost(error)}\n`);
  }
}

function tell(cli: Cli, options: TemporalOptions, more: { pid?: number; database?: string; logFile?: string }): void {
  const address = `localhost:${options.port}`;
  const ui = `http://localhost:${uiPort(options)}`;
  if (cli.format === 'json' || cli.format === 'jsonl') {
    printDocument(cli, { version: 1, temporal: { address, ui, ...more } });
    return;
  }
  if (cli.quiet) {
    print(cli, ui);
    return;
  }
  const { colour, glyphs } = cli.style;
  const lines = [
    `${colour.green(glyphs.done)} Temporal runs at ${colour.bold(address)}`,
    `  ${colour.dim('Web UI  ')}  ${colour.cyan(ui)}`,
  ];
  if (more.database !== undefined) lines.push(`  ${colour.dim('Database')}  ${more.database}`);
  if (more.logFile !== undefined) lines.push(`  ${colour.dim('Log     ')}  ${more.logFile}`);
  if (more.pid !== undefined)
    lines.push(
      `  ${colour.dim('Process ')}  ${more.pid} (${colour.cyan(`veloz-ha temporal stop${options.port === DEFAULT_PORT ? '' : ` --port ${options.port}`}`)})`,
    );
  if (options.port !== DEFAULT_PORT)
    lines.push(`  ${colour.dim('For it  ')}  export TEMPORAL_ADDRESS=${address} VELOZ_HA_UI=${ui}`);
  say(cli, lines.join('\n'));
}

function uiPort(options: Pick<TemporalOptions, 'port' | 'uiPort'>): number {
  return options.uiPort ?? options.port + 1000;
}

function serverName(port: number): string {
  return port === DEFAULT_PORT ? 'temporal' : `temporal-${port}`;
}
