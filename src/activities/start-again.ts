import { mendingBackoffMs } from '../cluster/guard/mending';
import type { GuardPolicy } from '../cluster/guard/policy';
import type { DockerClient } from '../systems/docker';
import { withinLimit } from './guard/probe';
import { stillMine } from './still-mine';

/** How long it may take to start a container, in milliseconds. */
const START_LIMIT_MS = 10_000;

/** Attempts at something that was found as it should not be. Times in milliseconds, on the clock that only goes forward. */
export interface Attempts {
  /** When it was found so. */
  since: number;
  attempts: number;
  /** The next one is not made before this. */
  notBefore: number;
}

/** None was made yet. */
export const noAttempts = (since: number): Attempts => ({ since, attempts: 0, notBefore: 0 });

/** Whether the time of the next one has come: others had `settleMs` for it first, and the pause after the last one is over. */
export const isDue = ({ since, notBefore }: Attempts, now: number, settleMs: number): boolean =>
  now >= notBefore && now - since >= settleMs;

/** Counts one that begins now: the next one waits, each time longer. */
export function countAttempt(
  attempts: Pick<Attempts, 'attempts' | 'notBefore'>,
  now: number,
  policy: Pick<GuardPolicy, 'backoff'>,
): void {
  attempts.attempts += 1;
  attempts.notBefore = now + mendingBackoffMs(attempts.attempts, policy);
}

/**
 * Starts a container that ended, unless another attempt of this activity goes on by now.
 * @throws Overtaken when one does. @throws Error when it does not start in time
 */
export async function startAgain(docker: Pick<DockerClient, 'start'>, name: string): Promise<void> {
  await stillMine(`start ${name}`);
  await withinLimit(docker.start(name), START_LIMIT_MS);
}
