import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ComposeProject, serviceOf } from './compose-project';
import { asRoot, docker, run } from './shell';

/** Size of each node's disk, in bytes: enough for some WAL and a rewind, and soon filled. */
const DISK_BYTES = 1024 ** 3;
const POSTGRES_UID = 999;

/**
 * Small disks for the PostgreSQL nodes, so that one can be filled: while they are in place, the stack runs with empty databases on
 * loop-mounted ext4 images, under the same names. The stack's own volumes are not touched; `veloz-ha stack up --recreate`
 * alone would bring them back too. Needs root.
 */
export class BoundedDisks {
  private constructor(
    private readonly project: ComposeProject,
    private readonly override: string,
    private readonly folder: string,
    private readonly profiles: string[],
  ) {}
  private readonly mounts: string[] = [];
  /** What ran before, and comes back. */
  private services: string[] = [];
  /** Volumes that exist for as long as the disks are in place. */
  private readonly volumes: string[] = [];

  /**
   * Takes the stack down and starts these containers again on small disks. Returns as soon as they start. What belongs to the
   * stack besides is down for as long: an engine takes no orders of another database.
   * @param nodes PostgreSQL containers, which exist
   * @param others containers whose volumes have to be fresh too: the pooler remembers where the primary is
   */
  static async enter(nodes: readonly string[], others: readonly string[], standbys: number): Promise<BoundedDisks> {
    const [first] = nodes;
    if (first === undefined) throw new Error('there are no nodes');
    const project = await ComposeProject.of(first);
    const folder = mkdtempSync(join(tmpdir(), 'veloz-ha-disks-'));
    const disks = new BoundedDisks(
      project,
      join(folder, 'override.yaml'),
      folder,
      standbys === 2 ? ['--profile', 'standby-2'] : [],
    );
    try {
      const volumes: Record<string, object> = {};
      for (const node of nodes) {
        const device = await disks.disk(node);
        const options = { type: 'none', o: 'bind', device };
        volumes[await volumeOf(node)] = { name: disks.own(node), driver: 'local', driver_opts: options };
      }
      for (const other of others) volumes[await volumeOf(other)] = { name: disks.own(other) };
      // JSON is YAML.
      writeFileSync(disks.override, JSON.stringify({ volumes }, null, 2));
      const needed = await Promise.all([...nodes, ...others].map(serviceOf));
      disks.services = await project.services();
      await disks.compose(false, 'down');
      // Left by a bench that was killed: they would lead to its disks.
      await docker('volume', 'rm', '--force', ...disks.volumes);
      await disks.compose(true, 'up', '-d', ...needed);
    } catch (error) {
      await disks.leave().catch(() => undefined);
      throw error;
    }
    return disks;
  }

  /** Where a node's disk is mounted on this machine; undefined for a node that has none of its own. */
  mountOf(node: string): string | undefined {
    const mount = join(this.folder, node);
    return this.mounts.includes(mount) ? mount : undefined;
  }

  /** Takes the small disks away, and starts the stack as it was. */
  async leave(): Promise<void> {
    if (existsSync(this.override)) await this.compose(true, 'down');
    // One by one, by name: "down --volumes" would take the stack's own ones along that the override does not replace.
    for (const volume of this.volumes.splice(0)) await docker('volume', 'rm', '--force', volume);
    for (const mount of this.mounts.splice(0)) await asRoot('umount', mount);
    rmSync(this.folder, { recursive: true, force: true });
    await this.compose(false, 'up', '-d', ...this.services);
  }

  /** The name of a volume that takes the place of a container's own. */
  private own(container: string): string {
    const name = `${container}-bounded`;
    this.volumes.push(name);
    return name;
  }

  /** An empty file system of its own. Returns a folder on it. */
  private async disk(node: string): Promise<string> {
    const image = join(this.folder, `${node}.ext4`);
    const mount = join(this.folder, node);
    writeFileSync(image, '');
    truncateSync(image, DISK_BYTES);
    mkdirSync(mount);
    await run('mkfs.ext4', ['-q', '-F', image]);
    await asRoot('mount', '-o', 'loop', image, mount);
    this.mounts.push(mount);
    // Not its root, which has a lost+found.
    const data = join(mount, 'data');
    mkdirSync(data, { mode: 0o700 });
    await asRoot('chown', `${POSTGRES_UID}:${POSTGRES_UID}`, data);
    return data;
  }

  private compose(bounded: boolean, ...command: string[]): Promise<void> {
    return this.project.compose(bounded ? [this.override] : [], ...this.profiles, ...command);
  }
}

/** The named volume of a container. In the stack's Compose file, the key of a volume is its name. */
async function volumeOf(container: string): Promise<string> {
  const mounts = JSON.parse(await docker('inspect', '--format', '{{json .Mounts}}', container)) as {
    Type: string;
    Name?: string;
  }[];
  const name = mounts.find((mount) => mount.Type === 'volume')?.Name;
  if (name === undefined) throw new Error(`${container} has no volume`);
  return name;
}
