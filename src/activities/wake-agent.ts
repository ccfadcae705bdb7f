import type { DockerClient } from '../systems/docker';
import { withinLimit } from './guard/probe';

/** How long Docker may take to say how a container is, in milliseconds. */
const INSPECT_LIMIT_MS = 1000;
/** How long it may take to wake a process, in milliseconds: some 100 as a rule. */
const WAKE_LIMIT_MS = 2000;
/** An agent answers within a few milliseconds. One that is silent for this long is looked at, in milliseconds. */
const SILENT_MS = 300;

/**
 * Says `woken` where the first process of the container was stopped by a signal, and does nothing else. The signal that ends that reaches
 * it from within its own namespace too. `docker kill --signal CONT` would have Docker take the container for one that somebody stopped.
 */
const WAKE = `grep -q '^State:.*T (stopped)' /proc/1/status && kill -CONT 1 && echo woken`;

/**
 * Wakes an agent that somebody stopped (SIGSTOP): it is the first process of its container, and what it started goes on meanwhile. One that
 * runs is left alone, and so is a container that does not run, or is paused: that is a person's act. Needs no word that this attempt is
 * the current one: nothing else can be done to a stopped process that somebody has in use. Never throws.
 * @returns whether it was stopped
 */
export async function wakeAgent(docker: Pick<DockerClient, 'inspect' | 'run'>, container: string): Promise<boolean> {
  try {
    if ((await withinLimit(docker.inspect(container), INSPECT_LIMIT_MS)).status !== 'running') return false;
    const waking = docker.run(container, ['sh', '-c', WAKE], WAKE_LIMIT_MS, { user: 'root' });
    return (await withinLimit(waking, WAKE_LIMIT_MS)).output.includes('woken');
  } catch {
    return false;
  }
}

/**
 * Awaits the answer of an agent, and has it woken beside where it is silent for a moment. A question to a stopped process waits in its
 * socket: it is the answer to the same question that comes then.
 */
export function wakingWhereSilent<T>(
  docker: Pick<DockerClient, 'inspect' | 'run'>,
  container: string,
  answer: Promise<T>,
): Promise<T> {
  const timer = setTimeout(() => void wakeAgent(docker, container), SILENT_MS);
  return answer.finally(() => clearTimeout(timer));
}
