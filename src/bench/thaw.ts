import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { docker, run } from './shell';

/** How long Docker may take to tell of one container, in milliseconds. */
const DOCKER_LIMIT_MS = 5000;

/**
 * Thaws a frozen container; one that runs is left alone. Docker 20.10 on cgroup v1 can hang for a container in which an `exec` began at
 * the very moment of the freeze: it holds the container's lock, and answers neither `inspect` nor `unpause`. Then the kernel thaws it,
 * and Docker goes on.
 * @throws Error when neither can
 */
export async function thaw(container: string): Promise<void> {
  try {
    const paused = await run('docker', ['inspect', '--format', '{{.State.Paused}}', container], {
      limitMs: DOCKER_LIMIT_MS,
    });
    if (paused.trim() === 'true') await run('docker', ['unpause', container], { limitMs: DOCKER_LIMIT_MS });
  } catch (error) {
    const id = (await docker('ps', '--all', '--quiet', '--no-trunc', '--filter', `name=^${container}$`)).trim();
    const freezer = freezersOf(id).find(({ file }) => existsSync(file));
    if (id === '' || freezer === undefined) throw error;
    await writeFile(freezer.file, freezer.thawed);
    if ((await run('docker', ['inspect', '--format', '{{.State.Paused}}', container])).trim() === 'true')
      await docker('unpause', container).catch(() => unpauseFrozen(container, freezer));
  }
}

/** What the kernel has thawed already Docker calls paused, and refuses to thaw ("container not paused"): it is frozen once more, for that. */
async function unpauseFrozen(container: string, { file, frozen, thawed }: Freezer): Promise<void> {
  await writeFile(file, frozen);
  await docker('unpause', container).finally(() => writeFile(file, thawed));
}

interface Freezer {
  file: string;
  frozen: string;
  thawed: string;
}

/** Where the kernel is told: cgroup v1, and v2 with each of Docker's drivers. */
const freezersOf = (id: string): Freezer[] => [
  { file: `/sys/fs/cgroup/freezer/docker/${id}/freezer.state`, frozen: 'FROZEN', thawed: 'THAWED' },
  { file: `/sys/fs/cgroup/docker/${id}/cgroup.freeze`, frozen: '1', thawed: '0' },
  { file: `/sys/fs/cgroup/system.slice/docker-${id}.scope/cgroup.freeze`, frozen: '1', thawed: '0' },
];
