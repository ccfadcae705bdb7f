import type Docker from 'dockerode';
import { tarOf } from './docker-tar';

/** A small file for a volume that no container has. */
export interface VolumeFile {
  volume: string;
  /** Where the volume lies in a container, and the file within that. */
  mountedAt: string;
  path: string;
  content: string;
  owner: { uid: number; gid: number };
  /** Containers whose image will do; the first one that is there lends it. Nothing of it runs. */
  imageOf: readonly string[];
  labels: Readonly<Record<string, string>>;
}

/**
 * Writes the file by way of a container that is made for it, never started, and removed. It has a name of its own, so that nobody who
 * makes the volume's own container meets it. False where the volume has no such directory: it was never used.
 * @throws Error when there is no image, or when the file that is read back is another one
 */
export async function writeIntoVolume(docker: Docker, file: VolumeFile): Promise<boolean> {
  const { volume, mountedAt, path, content, owner, labels } = file;
  const name = `veloz-fence-${volume}`;
  const Image = await imageOf(docker, file.imageOf);
  // One of an attempt that died.
  await remove(docker, name);
  const container = await docker.createContainer({
    name,
    Image,
    Labels: { ...labels },
    HostConfig: { NetworkMode: 'none', Mounts: [{ Type: 'volume', Source: volume, Target: mountedAt }] },
  });
  try {
    const directory = path.slice(0, path.lastIndexOf('/'));
    try {
      await container.putArchive(tarOf(path.slice(directory.length + 1), content, owner), { path: directory });
    } catch (error) {
      if ((error as { statusCode?: number }).statusCode === 404) return false;
      throw error;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of await container.getArchive({ path })) chunks.push(Buffer.from(chunk as Buffer));
    if (!Buffer.concat(chunks).includes(content)) throw new Error(`${path} in ${volume} is not what was written`);
    return true;
  } finally {
    await remove(docker, name).catch(() => undefined);
  }
}

async function imageOf(docker: Docker, containers: readonly string[]): Promise<string> {
  for (const container of containers) {
    const info = await docker
      .getContainer(container)
      .inspect()
      .catch(() => undefined);
    if (info !== undefined) return info.Image;
  }
  throw new Error(`none of ${containers.join(', ')} is there to lend its image`);
}

async function remove(docker: Docker, name: string): Promise<void> {
  try {
    await docker.getContainer(name).remove({ force: true, v: true });
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode !== 404) throw error;
  }
}
