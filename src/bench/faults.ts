import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterTopology } from '../cluster/topology';
import { asRoot, docker, inspect } from './shell';
import { thaw } from './thaw';

/** Where a PostgreSQL container has its volume. */
const VOLUME = '/var/lib/postgresql';
const FILLER = `${VOLUME}/veloz-bench-filler`;
/** A volume with more free space than this is no small one: filling it would fill the machine's disk. */
const SMALL_VOLUME_BYTES = 8 * 1024 ** 3;

/** What can be done to a node. */
export const faultNames = ['kill', 'crash', 'hang', 'partition', 'disk-full'] as const;
export type FaultName = (typeof faultNames)[number];

/** Something that goes wrong with one node, on the real thing. */
export interface Fault {
  name: FaultName | 'link';
  /** What happens, in a sentence about the node. */
  says: string;
  /** Does it end only when somebody mends it? A node without a network can't rejoin, whoever fails over. */
  needsHealing: boolean;
  inject(node: string): Promise<void>;
  /** Mends what it broke. What is whole already is left alone. Does not start or rejoin anything. */
  heal(node: string): Promise<void>;
}

/** The faults that can be injected into the PostgreSQL nodes of a cluster. */
export function faultsOf(cluster: ClusterTopology): Readonly<Record<FaultName, Fault>> {
  const beside = cluster.pgbouncer.nodes[0]?.name ?? '';
  return {
    kill: {
      name: 'kill',
      says: 'its container is killed',
      needsHealing: false,
      inject: async (node) => void (await docker('kill', '--signal', 'KILL', node)),
      heal: async (node) => void (await docker('start', node)),
    },
    crash: {
      name: 'crash',
      says: 'its PostgreSQL crashes: SIGKILL to the postmaster, the container stays',
      needsHealing: false,
      inject: crash,
      heal: () => Promise.resolve(),
    },
    hang: {
      name: 'hang',
      says: 'it freezes: every process of its container stops, and keeps its connections',
      needsHealing: false,
      inject: pause,
      heal: thaw,
    },
    partition: {
      name: 'partition',
      says: 'it is cut off: its container loses the network, and runs on',
      needsHealing: true,
      inject: async (node) => void (await docker('network', 'disconnect', await networkOf(beside), node)),
      heal: async (node) => reconnect(node, await networkOf(beside)),
    },
    'disk-full': {
      name: 'disk-full',
      says: 'its disk is full',
      needsHealing: true,
      inject: fillDisk,
      heal: emptyDisk,
    },
  };
}

async function crash(node: string): Promise<void> {
  const seen = JSON.parse(await docker('exec', node, 'veloz-agent', 'observe')) as { postgres: { pid: number | null } };
  if (seen.postgres.pid === null) throw new Error(`${node}: no PostgreSQL runs that could crash`);
  await docker('exec', node, 'sh', '-c', `kill -KILL ${seen.postgres.pid}`);
}

/** Freezes a container. The kernel gives up now and then when processes of it are just being started; then once more. */
async function pause(node: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return void (await docker('pause', node));
    } catch (error) {
      if (tries === 5) throw error;
    }
  }
}

/** The network that a container is on; the stack has one. */
export async function networkOf(container: string): Promise<string> {
  const [network] = (
    await inspect(container, '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}')
  ).split(' ');
  if (network === undefined || network === '') throw new Error(`${container} is on no network`);
  return network;
}

/** Puts a container back where Compose had it: on the stack's network, under the same names. */
export async function reconnect(node: string, network: string): Promise<void> {
  const there = await inspect(node, '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}');
  if (there.split(' ').includes(network)) return;
  const service = await inspect(node, '{{index .Config.Labels "com.docker.compose.service"}}');
  const aliases = [node, service].filter((name) => name !== '').flatMap((name) => ['--alias', name]);
  await docker('network', 'connect', ...aliases, network, node);
}

/** Bytes that PostgreSQL's own user may still write on the node's volume. */
async function freeBytes(node: string): Promise<number> {
  return Number((await docker('exec', node, 'sh', '-c', `df --output=avail -B1 ${VOLUME} | tail -n 1`)).trim());
}

/** Fills the volume to its last block, as PostgreSQL's own user: what a file system keeps for root stays. */
export async function fillDisk(node: string): Promise<void> {
  const free = await freeBytes(node);
  if (free > SMALL_VOLUME_BYTES) {
    throw new Error(
      `${node}: its volume has ${Math.round(free / 1024 ** 3)} GiB free, so it is no small one, and filling it would fill the machine's disk`,
    );
  }
  // The second one finds the blocks that the first one's own bookkeeping had left.
  const script = `fallocate -l ${free} ${FILLER} || true; dd if=/dev/zero of=${FILLER}-rest bs=4k status=none || true`;
  await docker('exec', '--user', 'postgres', node, 'sh', '-c', `(${script}) 2>/dev/null`);
}

/** Removes the filler. A container that was stopped meanwhile, or can't run with a full disk, is reached through its volume. */
export async function emptyDisk(node: string): Promise<void> {
  const files = ['-f', FILLER, `${FILLER}-rest`];
  const removed = await docker('exec', node, 'rm', ...files).then(
    () => true,
    () => false,
  );
  if (removed) return;
  const image = await inspect(node, '{{.Config.Image}}');
  await docker('run', '--rm', '--network', 'none', '--volumes-from', node, '--entrypoint', 'rm', image, ...files);
}

/**
 * Cuts only the link between two nodes, silently and both ways, as a broken switch would; everybody else reaches both. Ends with
 * `heal`, or when the first node's container ends. Needs root, and the iptables that Docker itself uses.
 */
export function linkFault(node: string, other: string): Fault {
  /** The address that was cut: the other one may have none by the end of the fault, and get it again later. */
  let cut: string | undefined;
  const change = async (action: '-I' | '-D') => {
    const [pid, addresses] = await Promise.all([
      inspect(node, '{{.State.Pid}}'),
      inspect(other, '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}'),
    ]);
    const [now] = addresses.split(' ');
    const address = action === '-D' ? (cut ?? now) : now;
    cut = action === '-I' ? now : undefined;
    if (pid === '0' || address === undefined || address === '') {
      if (action === '-D') return;
      throw new Error(`there is no link between ${node} and ${other} that could be cut`);
    }
    for (const rule of [
      ['INPUT', '-s'],
      ['OUTPUT', '-d'],
    ]) {
      const command = ['-t', pid, '-n', 'iptables', '-w', action, ...rule, address, '-j', 'DROP'];
      await asRoot('nsenter', ...command).catch((error: unknown) => {
        // The rules of a container that was started anew are gone.
        if (action === '-I') throw error;
      });
    }
  };
  return {
    name: 'link',
    says: `the link between it and ${other} is cut`,
    needsHealing: true,
    inject: () => change('-I'),
    heal: () => change('-D'),
  };
}

/** Freezes a process for a while, as a machine that is short of everything would. */
export async function freeze(child: ChildProcess, ms: number): Promise<void> {
  child.kill('SIGSTOP');
  try {
    await sleep(ms);
  } finally {
    child.kill('SIGCONT');
  }
}
