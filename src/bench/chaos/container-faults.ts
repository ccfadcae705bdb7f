import { readFileSync } from 'node:fs';
import type { ClusterTopology } from '../../cluster/topology';
import { faultsOf, linkFault, networkOf, reconnect } from '../faults';
import { asRoot, docker, inspect } from '../shell';
import { thaw as thawOnce } from '../thaw';

/** Takes a fault back. May be called again: what is whole is left alone. */
export type TakeBack = () => Promise<void>;
/**
 * Does something to a container. Returns how it is taken back.
 * @param lot a whole number that the round has drawn: what is chosen by it is chosen again when the round is repeated
 */
export type Apply = (container: string, lot: number) => Promise<TakeBack>;

/** A server asked to stop gets this long, in seconds; then it is killed. */
const STOP_SECONDS = '10';
/** How often a command of Docker is tried that something else may be in the way of just now. */
const TRIES = 10;

const nothing: TakeBack = () => Promise.resolve();

async function again(what: () => Promise<unknown>): Promise<void> {
  for (let left = TRIES; ; left--) {
    try {
      return void (await what());
    } catch (error) {
      if (left <= 1) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

/** Started, and not frozen. */
const start = (container: string): Promise<void> =>
  again(async () => {
    if ((await inspect(container, '{{.State.Running}}')) !== 'true') await docker('start', container);
  });

const thaw = (container: string): Promise<void> => again(() => thawOnce(container));

/** The processes of a container, by their host's numbers. */
async function processesOf(container: string): Promise<{ pid: number; parent: number; says: string }[]> {
  const lines = (await docker('top', container, '-eo', 'pid,ppid,args')).trim().split('\n').slice(1);
  return lines.flatMap((line) => {
    const found = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line);
    return found === null ? [] : [{ pid: Number(found[1]), parent: Number(found[2]), says: found[3] ?? '' }];
  });
}

/** The server inside of each kind of container. */
const SERVER = /\/postgres -D |\/pgbouncer |redis-server |^node .*engine|^haproxy /;

/** SIGKILL to the server inside; whoever looks after it starts it again. */
async function crash(container: string): Promise<void> {
  const servers = (await processesOf(container)).filter(({ says }) => SERVER.test(says));
  const [server] = servers.filter(({ parent }) => !servers.some(({ pid }) => pid === parent));
  if (server === undefined) throw new Error(`${container}: no server runs in it`);
  process.kill(server.pid, 'SIGKILL');
}

/** One process of it stands still (SIGSTOP), the others go on. */
async function stopProcess(container: string, lot: number): Promise<TakeBack> {
  const processes = (await processesOf(container)).sort((a, b) => a.pid - b.pid);
  const chosen = processes[lot % Math.max(1, processes.length)];
  if (chosen === undefined) throw new Error(`no process runs in ${container}`);
  const { pid } = chosen;
  const began = beganAt(pid);
  process.kill(pid, 'SIGSTOP');
  return () => {
    // Its number may be another's by now.
    if (began !== undefined && beganAt(pid) === began) process.kill(pid, 'SIGCONT');
    return Promise.resolve();
  };
}

/** When a process began, in ticks since the machine did (proc(5), field 22 of `stat`); undefined where there is none. */
function beganAt(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')[19];
  } catch {
    return undefined;
  }
}

/** Every packet from and to a container is dropped, without a word; it keeps its network. Needs root. */
async function silence(container: string): Promise<TakeBack> {
  const pid = await inspect(container, '{{.State.Pid}}');
  if (pid === '0') throw new Error(`${container} does not run`);
  const change = async (action: '-I' | '-D') => {
    for (const rule of [
      ['INPUT', '-i'],
      ['OUTPUT', '-o'],
    ])
      await asRoot(
        'nsenter',
        '-t',
        pid,
        '-n',
        'iptables',
        '-w',
        action,
        rule[0] ?? '',
        '!',
        rule[1] ?? '',
        'lo',
        '-j',
        'DROP',
      );
  };
  await change('-I');
  let taken = false;
  return async () => {
    if (taken) return;
    // With the container's process its rules are gone.
    if ((await inspect(container, '{{.State.Pid}}')) === pid) await change('-D');
    taken = true;
  };
}

/** What can be done to any container, by name. */
export function containerFaults(cluster: ClusterTopology): Readonly<Record<string, Apply>> {
  const { hang } = faultsOf(cluster);
  return {
    async kill(container) {
      await docker('kill', '--signal', 'KILL', container);
      return () => start(container);
    },
    stop(container) {
      // Not waited for: it is under way while other things happen.
      const stopping = docker('stop', '--time', STOP_SECONDS, container).catch(() => undefined);
      return Promise.resolve(async () => {
        await stopping;
        await start(container);
      });
    },
    restart(container) {
      const restarting = docker('restart', '--time', STOP_SECONDS, container).catch(() => undefined);
      return Promise.resolve(async () => {
        await restarting;
        await start(container);
      });
    },
    async freeze(container) {
      await hang.inject(container);
      return () => thaw(container);
    },
    async cut(container) {
      const network = await networkOf(container);
      await docker('network', 'disconnect', network, container);
      return () => again(() => reconnect(container, network));
    },
    silence,
    'stop-process': stopProcess,
    async crash(container) {
      await crash(container);
      return nothing;
    },
  };
}

/** Cuts the link between two containers alone, both ways and silently. */
export async function cutLink(one: string, other: string): Promise<TakeBack> {
  const link = linkFault(one, other);
  await link.inject(one);
  return () => link.heal(one);
}
