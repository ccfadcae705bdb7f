import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import pc from 'picocolors';
import { packageRoot } from '../cli/paths';
import { formatMs } from '../cluster/duration';
import { loadTarget } from './target';
import { Writers, type WindowResult, type WriterOptions } from './writers';

const CLIENTS = 8;
const RATE = 50;

/** Shows a command as it would be typed. */
export function typed(command: string): void {
  process.stdout.write(`\n${pc.bold(`$ ${command}`)}\n`);
}

/** Starts the CLI as a person would, on this terminal. */
export function begin(...args: string[]): { child: ChildProcess; ended: Promise<number> } {
  typed(`veloz-ha ${args.join(' ')}`);
  const child = spawn(join(packageRoot, 'bin', 'veloz-ha'), args, { stdio: 'inherit' });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 1)));
  });
  return { child, ended };
}

/** Runs the CLI as a person would, on this terminal. */
export const veloz = (...args: string[]): Promise<number> => begin(...args).ended;

/** The same; a command that fails ends the demo. */
export async function must(...args: string[]): Promise<void> {
  const code = await veloz(...args);
  if (code !== 0) process.exit(code);
}

/**
 * The stack, Temporal and a worker; what runs already goes on, and is made anew where its image was built anew. `--as-is`: all of them run
 * already.
 */
export async function bringUp(): Promise<void> {
  if (process.argv.includes('--as-is')) return;
  await must('stack', 'up', '--recreate');
  await must('temporal', '--detach');
  await must('worker', '--detach');
}

/** Starts clients that write through the front door, and says so. */
export async function startClients(options: WriterOptions = {}): Promise<Writers> {
  const { door, login } = loadTarget();
  const writers = new Writers(door, login, CLIENTS, RATE, options);
  await writers.start();
  writers.beginWindow();
  process.stdout.write(
    `\n${CLIENTS} clients now write ${CLIENTS * RATE} rows a second through PgBouncer, each its own transaction.\n`,
  );
  return writers;
}

/** What the clients lived through, in lines. `failedPerClient`: as many failures of one client are as expected. */
export function clientsSaw(
  seen: WindowResult,
  ended: boolean,
  failedPerClient: number,
): { good: boolean; lines: string[] } {
  const failedGood = seen.failedPerClientMax <= failedPerClient;
  const mark = (good: boolean) => (good && ended ? pc.green('✔') : pc.red('✖'));
  const most = failedPerClient === 0 ? '' : `, at most ${seen.failedPerClientMax} of one client`;
  return {
    good: ended && failedGood && seen.lost === 0,
    lines: [
      '',
      pc.bold('What the clients saw'),
      `  ${mark(failedGood)} ${seen.acknowledged} transactions acknowledged, ${seen.failed} failed${most}`,
      `  ${mark(seen.lost === 0)} ${seen.lost} acknowledged rows lost (each one was looked up on the new primary)`,
      `  ${mark(true)} longest time without a commit: ${formatMs(seen.gapMs)}`,
      ...seen.failures.map((failure) => `    ${failure}`),
    ],
  };
}

/** What to do next, and how long it took. */
export function yours(began: number, commands: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...commands.map(([command]) => command.length));
  return [
    '',
    pc.bold('Now it is yours'),
    ...commands.map(([command, why]) => `  ${command.padEnd(width)}  ${why}`),
    '',
    pc.dim(`The demo took ${formatMs(Date.now() - began)}.`),
    '',
  ];
}
