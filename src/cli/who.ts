import { randomBytes } from 'node:crypto';
import { hostname, userInfo } from 'node:os';

/** Who sits here: `user@host`. Behind sudo it is the person, not root. */
export function whoami(env: NodeJS.ProcessEnv): string {
  const behind = env.SUDO_USER;
  return `${behind === undefined || behind === '' ? userName() : behind}@${hostname()}`;
}

/** A workflow id that tells cluster and time and that nobody else has: `switchover/veloz/20251123T032000Z-9f3a`. */
export function newRunId(
  runbook: string,
  cluster: string,
  now: number,
  random = randomBytes(2).toString('hex'),
): string {
  const time = new Date(now).toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '');
  return `${runbook}/${cluster}/${time}-${random}`;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run as a user id that has no name.
    return String(process.getuid?.() ?? 'unknown');
  }
}
