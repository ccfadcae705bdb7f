import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Problem } from '../systems/problem';
import { loadTopology } from '../systems/topology-file';
import type { Cli } from './io';
import { packageRoot } from './paths';

/** The compose project: everything that `stack` starts, stops and removes belongs to it. */
export const COMPOSE_PROJECT = 'veloz-ha';
const COMPOSE_FILE = join('docker', 'docker-compose.ha.yml');

/** The arguments in front of a compose command. The profile of the second standby is off unless it is named. */
export function composeArguments(standbys: 1 | 2, command: readonly string[]): string[] {
  const profile = standbys === 2 ? ['--profile', 'standby-2'] : [];
  return ['-f', COMPOSE_FILE, '-p', COMPOSE_PROJECT, ...profile, ...command];
}

/** The services of PostgreSQL and PgBouncer. */
export const postgresServices = (standbys: 1 | 2): string[] => [
  'postgres-primary',
  'postgres-standby',
  ...(standbys === 2 ? ['postgres-standby-2'] : []),
  'pgbouncer',
];

/**
 * The environment of a program that finds the Docker engine by itself: the topology's `docker.socketPath`, where it names
 * one, wins over `DOCKER_HOST` and `DOCKER_CONTEXT`, so that Compose and the runbooks speak to one engine.
 */
export function dockerEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const socketPath = loadTopology(environment).docker?.socketPath;
  if (socketPath === undefined) return environment;
  const { DOCKER_CONTEXT: _, DOCKER_TLS_VERIFY: __, DOCKER_CERT_PATH: ___, ...rest } = environment;
  return { ...rest, DOCKER_HOST: `unix://${socketPath}` };
}

/**
 * Runs Docker Compose on the stack. What it says goes to stderr, or to stdout where that is the result (`logs`). `onOutput` gets what
 * it answers, and nothing is shown.
 * @throws Problem `SetUp` when it fails, with its last words
 */
export async function runCompose(
  cli: Cli,
  args: readonly string[],
  options: { output?: 'stdout' | 'stderr'; onOutput?: (text: string) => void } = {},
): Promise<void> {
  const { onOutput } = options;
  const script = join(packageRoot, 'scripts', 'compose.sh');
  if (!existsSync(script) || !existsSync(join(packageRoot, COMPOSE_FILE))) {
    throw new Problem('SetUp', 'this installation has no stack', {
      why: `${existsSync(script) ? COMPOSE_FILE : 'scripts/compose.sh'} is not in ${packageRoot}`,
      next: 'run veloz-ha from a checkout',
    });
  }
  let tail = '';
  const follow = (chunk: Buffer) => {
    tail = (tail + chunk.toString()).slice(-2_000);
  };
  const shown = onOutput === undefined && (options.output === 'stdout' || !cli.quiet);
  const child = spawn('bash', [script, ...args], {
    cwd: packageRoot,
    env: dockerEnvironment(cli.io.env),
    stdio: [
      'ignore',
      options.output === 'stdout' ? 'inherit' : shown ? 2 : 'pipe',
      shown && cli.io.stderr.isTTY === true ? 'inherit' : 'pipe',
    ],
  });
  child.stdout?.on('data', (chunk: Buffer) => {
    onOutput?.(chunk.toString());
    follow(chunk);
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    follow(chunk);
    if (shown) cli.io.stderr.write(chunk);
  });
  // Compose, and not this program, decides what Ctrl-C does; it is in the same process group and gets it too.
  const offInterrupt = cli.io.onInterrupt(() => undefined);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exitCode, signal) => resolve(exitCode ?? (signal === 'SIGINT' ? 130 : 1)));
    });
    if (code === 0 || (code === 130 && options.output === 'stdout')) return;
    const words = tail.trim().split('\n').slice(-2).join('; ');
    throw new Problem(
      'SetUp',
      `docker compose ${args.slice(args.indexOf('-p') + 2).join(' ')} failed with exit code ${code}`,
      {
        why: words === '' ? 'see its messages above' : words,
        next: 'npm run setup',
      },
    );
  } finally {
    offInterrupt();
  }
}
