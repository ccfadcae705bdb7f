import { execFile } from 'node:child_process';

/** Runs a program and returns what it printed. @throws Error with its last words when it fails, or takes longer than the limit */
export function run(
  command: string,
  args: readonly string[],
  options: { limitMs?: number; cwd?: string } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      command,
      [...args],
      { maxBuffer: 1 << 24, timeout: options.limitMs ?? 60_000, killSignal: 'SIGKILL', cwd: options.cwd },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const words = stderr.trim().split('\n').slice(-2).join('; ');
        reject(new Error(`${command} ${args.join(' ')}: ${words === '' ? error.message : words}`, { cause: error }));
      },
    );
  });
}

/** Runs docker, and returns what it printed. */
export const docker = (...args: string[]): Promise<string> => run('docker', args);

/**
 * Runs a program on the machine itself, which has to be done as root: mounts, and other processes' networks.
 * @throws Error that says what it needs where this process is not root
 */
export function asRoot(command: string, ...args: string[]): Promise<string> {
  if (process.getuid?.() !== 0) {
    return Promise.reject(new Error(`"${command} ${args.join(' ')}" needs root: run the same command as root`));
  }
  return run(command, args);
}

/** One field of `docker inspect`, by a Go template. */
export const inspect = async (object: string, template: string): Promise<string> =>
  (await docker('inspect', '--format', template, object)).trim();
