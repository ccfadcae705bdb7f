import { connectCommand, type OffNetworks } from '../cluster/off-networks';
import { marksOf } from '../systems/cut-off-marks';
import type { Attachment, DockerClient } from '../systems/docker';
import { messageOf } from './guard/probe';
import { stillMine } from './still-mine';

/**
 * Why a container is on no Docker network; undefined where it is on one.
 * @throws Error where there is no such container, or Docker does not answer
 */
export async function offNetworks(
  docker: Pick<DockerClient, 'attachments' | 'volumes'>,
  node: string,
): Promise<OffNetworks | undefined> {
  const { id, home, networks } = await docker.attachments(node);
  if (networks.length > 0) return undefined;
  return { by: (await marksOf(docker, node, id)).some(({ current }) => current) ? 'run' : 'somebody', home };
}

/**
 * Puts a container on the networks that a run took it off (the marks say which), and removes the marks. What a person took it off has no
 * mark, and stays so. To be called only once the container is proven unable to take writes: whoever reaches a server that hung, and
 * woke up, finds a second primary. Idempotent; the marks go last, so that whoever dies in the middle leaves the rest to the next one.
 * @param also places that it was taken off just now, of which there may be no mark
 * @returns the networks
 * @throws Overtaken when another attempt goes on; Error when it can't be put back
 */
export async function putBack(docker: DockerClient, node: string, also: readonly Attachment[] = []): Promise<string[]> {
  const { id, networks } = await docker.attachments(node);
  const marks = await marksOf(docker, node, id).catch((error: unknown) => {
    // Of one that is off its networks it has to be known; where the engine keeps volumes from us, there is nothing to put back.
    if (networks.length === 0) throw error;
    return [];
  });
  const places = new Map([...also, ...marks.filter(({ current }) => current).map(({ place }) => place)].map(byNetwork));
  if (places.size === 0 && marks.length === 0) return [];
  await stillMine(`put ${node} on its networks again`);
  for (const [network, place] of places) {
    if (networks.some((each) => each.network === network)) continue;
    try {
      await docker.connect(node, place);
    } catch (error) {
      throw new Error(
        `${node} can't be put on network ${network} again: ${messageOf(error).replace(/\.$/, '')}. Next: ${connectCommand(node, { home: network })}`,
      );
    }
  }
  // Those of a container of the same name that there is no more, too.
  for (const { volume } of marks) await docker.removeVolume(volume);
  return [...places.keys()];
}

const byNetwork = (place: Attachment): [string, Attachment] => [place.network, place];

/** What is said of that, to be appended to a sentence. */
export const putBackWords = (networks: readonly string[]): string =>
  networks.length === 0 ? '' : `; it was put on ${networks.join(' and ')} again, which a run had taken it off`;
