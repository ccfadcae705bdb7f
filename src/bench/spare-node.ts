import { docker } from './shell';

const containerOf = (node: string) => docker('ps', '--all', '--quiet', '--filter', `name=^${node}$`);
const volumeOf = (node: string) => docker('volume', 'ls', '--quiet', '--filter', `name=^${node}$`);

/** The node to add must not be there: what it holds is somebody's. @throws Error with the commands that remove it */
export async function refuseWhatIsThere(node: string): Promise<void> {
  const [container, volume] = await Promise.all([containerOf(node), volumeOf(node)]);
  if (container.trim() === '' && volume.trim() === '') return;
  const [what, first] =
    container.trim() === ''
      ? ['a volume', '']
      : ['a container', `veloz-ha postgres remove-standby ${node}; docker rm --force ${node}; `];
  throw new Error(
    `${node} has ${what} already, and --during add-standby adds it to a cluster of two (limit: neither container nor volume). Next: ${first}docker volume rm ${node}`,
  );
}

/** Deletes the container and the data of a node, as the report of its removal says. */
export async function deleteNode(node: string): Promise<void> {
  if ((await containerOf(node)).trim() !== '') await docker('rm', '--force', node);
  if ((await volumeOf(node)).trim() !== '') await docker('volume', 'rm', node);
}
