import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Problem } from '../systems/problem';
import { stateDirectory } from './paths';

/** A process that the CLI left running, as its file remembers it. */
export interface Detached {
  pid: number;
  /** The kernel's start time of that process id, so that another process which got the same id is not taken for it. */
  born: string | undefined;
  /** Milliseconds since the epoch. */
  startedAt: number;
  command: string[];
  logFile: string;
}

/** Where the process id and the log of a detached process are. */
export function daemonFiles(env: NodeJS.ProcessEnv, name: string): { pidFile: string; logFile: string } {
  const folder = stateDirectory(env);
  return { pidFile: join(folder, `${name}.pid.json`), logFile: join(folder, `${name}.log`) };
}

/** The detached process of that name, while it runs. */
export function findDetached(env: NodeJS.ProcessEnv, name: string): Detached | undefined {
  const { pidFile } = daemonFiles(env, name);
  let known: Detached;
  try {
    known = JSON.parse(readFileSync(pidFile, 'utf8')) as Detached;
  } catch {
    return undefined;
  }
  return isAlive(known.pid) && birth(known.pid) === known.born ? known : undefined;
}

/**
 * Starts a process that outlives this one, its output in a log file.
 * @throws Problem `SetUp` when it can't be started
 */
export async function startDetached(env: NodeJS.ProcessEnv, name: string, command: string[]): Promise<Detached> {
  const { pidFile, logFile } = daemonFiles(env, name);
  mkdirSync(dirname(logFile), { recursive: true });
  const log = openSync(logFile, 'a');
  const [program, ...rest] = command;
  const child = spawn(program ?? '', rest, { detached: true, stdio: ['ignore', log, log], env });
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
  } catch (error) {
    throw new Problem('SetUp', `${program} can't be started`, { why: (error as Error).message, cause: error });
  } finally {
    closeSync(log);
  }
  child.unref();
  const pid = child.pid ?? 0;
  const detached: Detached = { pid, born: birth(pid), startedAt: Date.now(), command, logFile };
  writeFileSync(`${pidFile}.new`, `${JSON.stringify(detached, null, 2)}\n`);
  renameSync(`${pidFile}.new`, pidFile);
  return detached;
}

/**
 * Waits until a detached process is ready.
 * @throws Problem `SetUp` with the last lines of its log when it ends, or is not ready in time
 */
export async function waitReady(
  detached: Detached,
  what: string,
  isReady: () => Promise<boolean>,
  limitMs: number,
): Promise<void> {
  const until = Date.now() + limitMs;
  for (;;) {
    if (await isReady()) return;
    const alive = isAlive(detached.pid);
    if (!alive || Date.now() > until) {
      const last = lastLines(detached.logFile, 3);
      throw new Problem(
        'SetUp',
        alive ? `${what} was not ready within ${limitMs / 1000} s` : `${what} ended right after its start`,
        {
          why: last === '' ? 'it said nothing' : `it said: ${last}`,
          next: `less ${detached.logFile}`,
        },
      );
    }
    await sleep(150);
  }
}

/**
 * Ends a detached process: asks it to stop, and ends it for good when it has not within the limit.
 * @returns what happened; `not running` when there was none
 */
export async function stopDetached(
  env: NodeJS.ProcessEnv,
  name: string,
  limitMs: number,
): Promise<'stopped' | 'killed' | 'not running'> {
  const known = findDetached(env, name);
  const { pidFile } = daemonFiles(env, name);
  if (known === undefined) {
    rmSync(pidFile, { force: true });
    return 'not running';
  }
  process.kill(known.pid, 'SIGTERM');
  const until = Date.now() + limitMs;
  let how: 'stopped' | 'killed' = 'stopped';
  while (findDetached(env, name) !== undefined) {
    if (Date.now() > until && how === 'stopped') {
      process.kill(known.pid, 'SIGKILL');
      how = 'killed';
    }
    await sleep(100);
  }
  rmSync(pidFile, { force: true });
  return how;
}

/** The last lines of a file that are not empty, joined for one sentence. */
export function lastLines(path: string, lines: number): string {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(-lines)
      .join('; ');
  } catch {
    return '';
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  // An ended child that nobody has waited for yet still takes signals.
  return !/^State:\s+Z/m.test(read(`/proc/${pid}/status`));
}

/** Field 22 of /proc/<pid>/stat. Undefined where there is no /proc. */
function birth(pid: number): string | undefined {
  // The command's name, in parentheses, may hold blanks: count from behind it.
  const stat = read(`/proc/${pid}/stat`);
  return stat === '' ? undefined : stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
