import type { DockerClient } from '../systems/docker';
import { steadyMs } from './clock';
import { sleep } from './context';
import { withinLimit } from './guard/probe';
import { stillMine } from './still-mine';

/** Docker's words for a container in which nothing runs. */
const ended: ReadonlySet<string> = new Set(['exited', 'dead', 'created', 'absent']);

/** Whether nothing runs in a container, as Docker's word has it. A frozen one has not ended. */
export const hasEnded = (status: string): boolean => ended.has(status);

/** A container in which nothing hangs ends within some 150 ms of its kill. Clients wait meanwhile. In milliseconds. */
const END_LIMIT_MS = 3000;

/** A container that was killed and goes on: a process of it hangs in the kernel, where no signal reaches it. */
export class DoesNotEnd extends Error {
  override readonly name = 'DoesNotEnd';
}

/**
 * Kills a container, a frozen one too, and waits until Docker says that it ended. Docker's own answer to the kill is not waited for: it
 * comes only when every process has ended, and one that hangs on a dead disk keeps it waiting for ten seconds, or for ever. The kill
 * stays in force: whatever hangs ends as soon as it wakes up.
 * @throws Overtaken when another attempt goes on, and nothing was killed; DoesNotEnd when it was killed and goes on; Error when it can't
 * be killed
 */
export async function endContainer(docker: DockerClient, name: string, limitMs = END_LIMIT_MS): Promise<void> {
  await stillMine(`kill ${name}`);
  const kill: { failure?: unknown } = {};
  const killed = docker.kill(name).catch((failure: unknown) => {
    kill.failure = failure;
  });
  const end = steadyMs() + limitMs;
  // Most often it has ended when Docker answers: then one look is enough.
  await withinLimit(killed, limitMs).catch(() => undefined);
  for (;;) {
    if (kill.failure !== undefined) throw asError(kill.failure);
    const { status } = await docker.inspect(name);
    if (hasEnded(status)) return;
    if (steadyMs() >= end)
      throw new DoesNotEnd(
        `its container has not ended ${limitMs} ms after it was killed: something in it hangs in the kernel`,
      );
    await sleep(25);
  }
}

const asError = (failure: unknown): Error => (failure instanceof Error ? failure : new Error(String(failure)));

/**
 * Takes a container off its networks, and proves it. Returns which they were.
 * @throws Overtaken when another attempt goes on; Error when it stays on one
 */
export async function cutOff(docker: DockerClient, name: string): Promise<string[]> {
  const networks = await docker.networks(name);
  for (const network of networks) {
    await stillMine(`take ${name} off network ${network}`);
    await docker.disconnect(name, network);
  }
  const left = await docker.networks(name);
  if (left.length === 0) return networks;
  throw new Error(`it is still on network ${left.join(', ')}`);
}
