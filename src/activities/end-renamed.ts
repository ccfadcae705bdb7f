import type { DockerClient, ServerProgram } from '../systems/docker';
import { endContainer } from './end-container';
import { stillMine } from './still-mine';

const programName: Record<ServerProgram, string> = { postgres: 'PostgreSQL', redis: 'Redis' };

/**
 * A name that is gone proves nothing while a container goes on under another one (`docker rename`) with the node's volume and a server in
 * it: it is ended. One that may only read there, or in which no such server runs, such as a backup's, is left alone.
 * @returns what was done, to be said behind "has no container"; empty where there was none
 * @throws Overtaken when another attempt goes on; DoesNotEnd when one of them was killed and goes on; Error when Docker does not tell
 */
export async function endRenamed(docker: DockerClient, node: string, server: ServerProgram): Promise<string> {
  const ended: string[] = [];
  const left: string[] = [];
  // The stack names the volume of a node as the node (docker-compose.ha.yml).
  for (const { id, name, serves } of await docker.livingWritersOf(node, server)) {
    (serves ? ended : left).push(name);
    if (!serves) continue;
    await stillMine(`end ${name}, which has the volume of ${node}`);
    await endContainer(docker, id);
  }
  const were = (names: readonly string[]) =>
    `${names.join(' and ')}, which had its volume, ${names.length === 1 ? 'was' : 'were'}`;
  return [
    ...(ended.length === 0 ? [] : [` of its name, and ${were(ended)} ended`]),
    ...(left.length === 0 ? [] : [` (${were(left)} left alone: no ${programName[server]} runs in it)`]),
  ].join('');
}
