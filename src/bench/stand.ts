import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { serverArguments } from '../cli/actions/temporal';
import { findTemporalBinary, packageRoot } from '../cli/paths';
import { probe } from '../systems/temporal';

/** A free TCP port of 127.0.0.1. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** How often a process is started that ends at once, such as by a port that somebody took meanwhile. */
const START_TRIES = 3;

/** A process that the stand started. */
export interface Started {
  readonly process: ChildProcess;
  readonly logFile: string;
  /** Ends it the way a machine's death would. */
  kill(): Promise<void>;
  /** Asks it to end. */
  stop(): Promise<void>;
}

function start(command: string, args: readonly string[], env: NodeJS.ProcessEnv, logFile: string): Started {
  const log = openSync(logFile, 'a');
  const child = spawn(command, [...args], { env, cwd: packageRoot, stdio: ['ignore', log, log] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await ended;
  };
  return { process: child, logFile, kill: () => end('SIGKILL'), stop: () => end('SIGTERM') };
}

/** Temporal and workers of one bench or test, apart from whatever else runs on the machine. */
export class Stand {
  readonly folder = mkdtempSync(join(tmpdir(), 'veloz-ha-stand-'));
  private readonly started: Started[] = [];
  private server: Started | undefined;

  private constructor(
    readonly port: number,
    readonly taskQueue: string,
  ) {}

  /** Address of the Temporal server. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Process id of the Temporal server; undefined while none runs. */
  get serverPid(): number | undefined {
    return this.server?.process.pid;
  }

  /** Starts a Temporal server, tuned, on a free port. */
  static async start(taskQueue = 'veloz-ha'): Promise<Stand> {
    const stand = new Stand(await freePort(), taskQueue);
    await stand.startTemporal();
    return stand;
  }

  /** Starts the server (again), on the same port and database. */
  async startTemporal(): Promise<void> {
    for (let left = START_TRIES; ; left--) {
      try {
        return await this.tryTemporal();
      } catch (error) {
        // It chooses further ports by itself, and may choose one that it was told to take.
        if (left <= 1 || this.server?.process.exitCode === null) throw error;
        process.stderr.write(`${(error as Error).message}\n`);
      }
    }
  }

  private async tryTemporal(): Promise<void> {
    const binary = findTemporalBinary(process.env);
    if (binary === undefined) throw new Error('there is no temporal binary. Next: npm run setup');
    const uiPort = await freePort();
    const server = start(
      binary,
      [...serverArguments({ port: this.port, uiPort }, join(this.folder, 'temporal.db')), '--ip', '127.0.0.1'],
      process.env,
      join(this.folder, 'temporal.log'),
    );
    this.server = server;
    this.started.push(server);
    for (let tries = 0; (await probe(this.address, 300)) !== undefined; tries++) {
      if (server.process.exitCode !== null)
        throw new Error(`Temporal ended at its start: ${readFileSync(server.logFile, 'utf8').slice(-500)}`);
      if (tries > 150) throw new Error(`Temporal did not start: see ${server.logFile}`);
      await sleep(100);
    }
  }

  /** Ends the server the way a machine's death would. */
  async killTemporal(): Promise<void> {
    await this.server?.kill();
  }

  /**
   * Starts a worker process and waits until it takes work. One that ends at its start, such as by a port that somebody took meanwhile,
   * is told on stderr and started again.
   */
  async startWorker(env: NodeJS.ProcessEnv = {}): Promise<Started> {
    for (let left = START_TRIES; ; left--) {
      try {
        return await this.tryWorker(env);
      } catch (error) {
        if (left <= 1) throw error;
        process.stderr.write(`${(error as Error).message}\n`);
      }
    }
  }

  private async tryWorker(env: NodeJS.ProcessEnv): Promise<Started> {
    const healthPort = await freePort();
    const worker = start(
      process.execPath,
      [
        '-e',
        `require(${JSON.stringify(join(packageRoot, 'dist', 'worker.js'))}).runWorker({taskQueue:${JSON.stringify(this.taskQueue)},healthPort:${healthPort},metricsPort:false}).catch((e)=>{console.error(e);process.exit(1)})`,
      ],
      { ...process.env, TEMPORAL_ADDRESS: this.address, ...env },
      join(this.folder, `worker-${healthPort}.log`),
    );
    this.started.push(worker);
    for (let tries = 0; ; tries++) {
      const ready = await fetch(`http://127.0.0.1:${healthPort}/health/ready`).then(
        (response) => response.ok,
        () => false,
      );
      if (ready) return worker;
      if (tries > 200 || worker.process.exitCode !== null) {
        // The folder is gone when somebody reads this.
        const words = readFileSync(worker.logFile, 'utf8').trim().slice(-1500);
        await worker.kill();
        throw new Error(`a worker did not start (exit code ${worker.process.exitCode ?? 'none yet'}): ${words}`);
      }
      await sleep(100);
    }
  }

  /** Ends everything that it started, and removes its folder. */
  async close(): Promise<void> {
    await Promise.all(this.started.reverse().map((started) => started.kill()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}
