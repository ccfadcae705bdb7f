import { messageOf, withinLimit } from './guard/probe';
import type { ActivityDeps, ClusterAccess } from './deps';
import { stillMine } from './still-mine';

/** Marks the volumes of a cluster's nodes, with its name (docker-compose.ha.yml). */
const CLUSTER_LABEL = 'io.veloz.cluster';
/** Where the volume of a PostgreSQL node lies in its container. */
const MOUNTED_AT = '/var/lib/postgresql';
/** How long all of it may take, in milliseconds: clients wait. */
const LIMIT_MS = 3000;

/** The fence as a file of a node's volume. */
export interface FenceFile {
  path: string;
  content: string;
  owner: { uid: number; gid: number };
}

/**
 * A node without a container takes no write, and whoever makes it one again finds what its volume says. Where that volume is there, under
 * the node's name and with the cluster's label, as the shipped stack has it, the fence is laid into it and read back. Another volume is
 * not known here: then nothing is done, and that is said. Returns what became of it, in a clause.
 * @throws Overtaken
 */
export async function fenceVolume(
  deps: ActivityDeps,
  access: ClusterAccess,
  node: string,
  { path, content, owner }: FenceFile,
): Promise<string> {
  await stillMine(`lay a fence into the volume of ${node}`);
  const unfenced = (why: string) =>
    `${why}: made a container again with its old data, it writes where no other node answers it`;
  try {
    return await withinLimit(
      (async () => {
        const volumes = await deps.docker.volumes(`${CLUSTER_LABEL}=${access.name}`);
        if (!volumes.some(({ name }) => name === node)) return unfenced('no volume of it is known');
        const imageOf = access.topology.postgres.nodes.map(({ name }) => name).filter((name) => name !== node);
        const file = { volume: node, mountedAt: MOUNTED_AT, path, content, owner, imageOf };
        const laid = await deps.docker.putIntoVolume({ ...file, labels: { [CLUSTER_LABEL]: access.name } });
        return laid
          ? 'the fence lies in its volume: whoever makes it a container again, it can start only as a standby'
          : 'its volume was never used';
      })(),
      LIMIT_MS,
    );
  } catch (error) {
    return unfenced(`its volume took no fence (${messageOf(error)})`);
  }
}
