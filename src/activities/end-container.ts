import type { DockerClient } from '../systems/docker';
import { sleep } from './context';
import { stillMine } from './still-mine';

/** Docker's words for a container in which nothing runs. */
const ended: ReadonlySet<string> = new Set(['exited', 'dead', 'created', 'absent']);

/** Whether nothing runs in a container, as Docker's word has it. A frozen one has not ended. */
export const hasEnded = (status: string): boolean => ended.has(status);

/**
 * Kills a container, a frozen one too, and waits until Docker says that it ended.
 * @throws Overtaken when another attempt goes on, and nothing was killed; Error when it does not end
 */
export async function endContainer(docker: DockerClient, name: string): Promise<void> {
  await stillMine(`kill ${name}`);
  await docker.kill(name);
  for (let tries = 0; tries < 60; tries++) {
    const { status } = await docker.inspect(name);
    if (hasEnded(status)) return;
    await sleep(25);
  }
  throw new Error('its container does not end');
}

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
