import type { Duplex } from 'node:stream';
import Docker, { type EndpointSettings, type VolumeInspectInfo } from 'dockerode';
import { bytesIn, datedIn, tarOf } from './docker-tar';
import { StopOrders } from './docker-stop-orders';
import { writeIntoVolume, type VolumeFile } from './docker-volume-file';

/** A container as far as the runbooks care. */
export interface ContainerState {
  exists: boolean;
  /** Docker's word: created, running, paused, restarting, exited, dead; `absent` where there is none. */
  status: string;
  running: boolean;
  restartPolicy: string;
  /** healthy, unhealthy, starting; absent without a health check. */
  health?: string;
  /** With which code it ended; absent while it runs, and where it never ran. */
  exitCode?: number;
  /** When it ended, in milliseconds since the epoch by the engine's clock; absent where `exitCode` is. */
  endedAt?: number;
}

/** A container's place on one Docker network: what it takes to put it there again as it was. */
export interface Attachment {
  network: string;
  /** Names by which others on the network find it, beside its own. */
  aliases: string[];
  /** Addresses that it was given by its configuration; absent where Docker chooses them. */
  ipv4?: string;
  ipv6?: string;
}

/** Where a container is on the network. */
export interface Attachments {
  /** Docker's id: a container that was made anew under the same name has another one. */
  id: string;
  /** The network that it was made for. */
  home: string;
  networks: Attachment[];
}

/** A server that has data in a volume. */
export type ServerProgram = 'postgres' | 'redis';

/** The one thing that cannot be had without Docker: the containers' states and a way into them. */
export interface DockerClient {
  /** @throws Error when the engine does not answer within two seconds */
  ping(): Promise<void>;
  inspect(container: string): Promise<ContainerState>;
  /**
   * Whether somebody told a container that has ended to stop, also where it had to be killed for that. False also where the engine's short
   * list of what happened reaches back no more, or is not to be had.
   * @throws Error when the engine does not answer within five seconds
   */
  toldToStop(container: string): Promise<boolean>;
  /**
   * Whether a container is frozen, by the engine's list. That answers also where the container itself does not: one in which a process
   * was being started at the moment of the freeze keeps its lock until it thaws (Docker 20.10, cgroup v1).
   * @throws Error when the engine does not answer within two seconds
   */
  isFrozen(container: string): Promise<boolean>;
  /**
   * A held-open process in a container; the stream is its raw multiplexed output and its input.
   * @throws Error when the engine has not started it within five seconds
   */
  open(container: string, command: readonly string[]): Promise<Duplex>;
  /** Runs a command and returns what it printed. A command that runs longer than `limitMs` is given up (not killed). */
  run(
    container: string,
    command: readonly string[],
    limitMs: number,
    options?: { user?: string },
  ): Promise<{ exitCode: number; output: string }>;
  /** Splits a multiplexed stream of {@link open}. */
  demux(stream: Duplex, onStdout: (chunk: Buffer) => void, onStderr: (chunk: Buffer) => void): void;
  /** Starts a container; one that runs is left alone. @throws Error when it can't be started */
  start(container: string): Promise<void>;
  /** SIGKILL, which ends a frozen container too. One that does not run is left alone. Docker does not restart it then. */
  kill(container: string): Promise<void>;
  /** Ends a freeze; a container that is not frozen is left alone. */
  unpause(container: string): Promise<void>;
  /** Writes a small file into a container, also into the volume of one that does not run. */
  putFile(container: string, path: string, content: string, owner: { uid: number; gid: number }): Promise<void>;
  /** Reads a small file of a container, also of one that does not run; undefined where there is no such file. */
  readFile(container: string, path: string): Promise<string | undefined>;
  /** The same with when it was written last, in milliseconds since the epoch by the machine's clock: the full second before that. */
  readDated(container: string, path: string): Promise<{ text: string; writtenAt: number } | undefined>;
  /** The same for a file that is no text. */
  readBytes(container: string, path: string): Promise<Buffer | undefined>;
  /** Writes a small file into a volume that no container has, and reads it back ({@link writeIntoVolume}). */
  putIntoVolume(file: VolumeFile): Promise<boolean>;
  /** The networks of a container by name. */
  networks(container: string): Promise<string[]>;
  /** The same with what it takes to put it there again. @throws Error where there is no such container */
  attachments(container: string): Promise<Attachments>;
  /** Takes a container off a network; one that is not on it is left alone. */
  disconnect(container: string, network: string): Promise<void>;
  /** Puts a container on a network; one that is on it is left alone. */
  connect(container: string, place: Attachment): Promise<void>;
  /** Makes an empty volume; one that there is already stays as it is, its labels too. */
  createVolume(name: string, labels: Readonly<Record<string, string>>): Promise<void>;
  /**
   * The containers that may write to a volume, whatever their names, and that have not ended. `serves`: such a server, or what starts
   * one, runs in it, or Docker does not tell what does.
   */
  livingWritersOf(
    volume: string,
    server: ServerProgram,
  ): Promise<{ id: string; name: string; status: string; serves: boolean }[]>;
  /** The volumes with a label: `key`, or `key=value`. */
  volumes(label: string): Promise<{ name: string; labels: Record<string, string> }[]>;
  /** Removes a volume; where there is none that is no error. */
  removeVolume(name: string): Promise<void>;
  /**
   * What happens to the containers of exactly these names from now on: `die`, `start`, `pause`, `unpause`, `kill`, … `onEnd` is called
   * when the stream breaks. Returns what ends it.
   */
  events(
    containers: readonly string[],
    onEvent: (event: { container: string; action: string }) => void,
    onEnd: () => void,
  ): Promise<() => void>;
}

/**
 * How long the engine may take to start a process in a container, in milliseconds. For one that was frozen while a process was being
 * started in it, it never answers (Docker 20.10, cgroup v1).
 */
const OPEN_LIMIT_MS = 5000;

/** A sink for the modem's demultiplexer, which only ever calls `write`. */
function sink(onChunk: (chunk: Buffer) => void): NodeJS.WritableStream {
  return { write: (chunk: Buffer) => (onChunk(chunk), true) } as unknown as NodeJS.WritableStream;
}

function withLimit<T>(promise: Promise<T>, limitMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${limitMs} ms`)), limitMs);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

/** The command lines of a container's processes; a frozen container has them too. */
async function commandsIn(docker: Docker, container: string): Promise<string[]> {
  const { Processes } = (await docker.getContainer(container).top({ ps_args: '-eo pid,args' })) as {
    Processes: string[][];
  };
  return Processes.map(([, command = '']) => command);
}

/** A server process by its program or by the title that it gives itself, or what starts one: the agent, the keeper of a Redis node. */
const isOf: Record<ServerProgram, RegExp> = {
  postgres: /^(?:\S*\/)?postgres(?::|\s|$)|\/veloz-agent\s/,
  redis: /^(?:\S*\/)?redis-server(?:\s|$)|\/veloz-redis\s/,
};

/** Awaits an engine's answer; the named status codes mean that it was so already. */
async function tolerating(codes: readonly number[], answer: Promise<unknown>, limitMs: number, what: string) {
  try {
    await withLimit(answer, limitMs, what);
  } catch (error) {
    if (!codes.includes((error as { statusCode?: number }).statusCode ?? 0)) throw error;
  }
}

/** How and when a container ended. */
function endOf({
  ExitCode,
  FinishedAt,
}: {
  ExitCode: number;
  FinishedAt: string;
}): Pick<ContainerState, 'exitCode' | 'endedAt'> {
  const at = Date.parse(FinishedAt);
  // The engine tells the year 1 of one that never ran.
  return { exitCode: ExitCode, ...(at > 0 ? { endedAt: at } : {}) };
}

/** A container on a network, as the engine tells it. */
interface Endpoint {
  Aliases?: string[] | null;
  IPAMConfig?: { IPv4Address?: string; IPv6Address?: string } | null;
}

function attachmentOf(id: string, network: string, { Aliases, IPAMConfig }: Endpoint): Attachment {
  const { IPv4Address = '', IPv6Address = '' } = IPAMConfig ?? {};
  return {
    network,
    // The engine adds the short id by itself.
    aliases: (Aliases ?? []).filter((alias) => !id.startsWith(alias)),
    ...(IPv4Address === '' ? {} : { ipv4: IPv4Address }),
    ...(IPv6Address === '' ? {} : { ipv6: IPv6Address }),
  };
}

function endpointOf({ aliases, ipv4, ipv6 }: Attachment): EndpointSettings {
  const fixed = {
    ...(ipv4 === undefined ? {} : { IPv4Address: ipv4 }),
    ...(ipv6 === undefined ? {} : { IPv6Address: ipv6 }),
  };
  return { Aliases: aliases, ...(Object.keys(fixed).length === 0 ? {} : { IPAMConfig: fixed }) };
}

/**
 * A client of the engine behind a socket path; without one, of what `DOCKER_HOST` or the default socket names. The library
 * merges what it is given with what `DOCKER_HOST` says, and prefers a host: so every part of that is named here.
 */
export function dockerEngine(socketPath?: string): Docker {
  if (socketPath === undefined) return new Docker();
  const none = { host: undefined, port: undefined, pathPrefix: undefined, username: undefined };
  const noTls = { ca: undefined, cert: undefined, key: undefined };
  return new Docker({ socketPath, protocol: 'http', ...none, ...noTls });
}

/** A client of the engine behind a socket path, whatever `DOCKER_HOST` says; without one, of what that names. */
export function createDockerClient(socketPath?: string): DockerClient {
  const docker = dockerEngine(socketPath);
  const stopOrders = new StopOrders(docker);
  return {
    async ping() {
      await withLimit(docker.ping(), 2000, "the Docker engine's answer to a ping");
    },
    async inspect(container) {
      try {
        const info = await withLimit(docker.getContainer(container).inspect(), 5000, `docker inspect ${container}`);
        return {
          exists: true,
          status: info.State.Status,
          running: info.State.Running && !info.State.Paused,
          restartPolicy: info.HostConfig.RestartPolicy?.Name ?? 'no',
          health: info.State.Health?.Status,
          ...(['exited', 'dead'].includes(info.State.Status) ? endOf(info.State) : {}),
        };
      } catch (error) {
        if ((error as { statusCode?: number }).statusCode === 404) {
          return { exists: false, status: 'absent', running: false, restartPolicy: 'no' };
        }
        throw error;
      }
    },
    async toldToStop(container) {
      const asked = docker
        .getContainer(container)
        .inspect()
        .then((info) => stopOrders.given(info));
      return withLimit(asked, 5000, `what happened to ${container}`).catch((error: unknown) => {
        // It was refused, and not merely late: to ask again is of no use.
        if ((error as { statusCode?: number }).statusCode !== undefined) return false;
        throw error;
      });
    },
    async isFrozen(container) {
      const filters = { name: [`^/${container}$`], status: ['paused'] };
      const found = await withLimit(
        docker.listContainers({ all: true, filters }),
        2000,
        'the list of frozen containers',
      );
      return found.length > 0;
    },
    async open(container, command) {
      const opening = docker
        .getContainer(container)
        .exec({ Cmd: [...command], AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: false })
        .then((exec) => exec.start({ hijack: true, stdin: true }));
      return withLimit(opening, OPEN_LIMIT_MS, `docker exec in ${container}`).catch((error: unknown) => {
        // Nobody waits for one that comes later.
        opening.then(
          (stream) => stream.destroy(),
          () => undefined,
        );
        throw error;
      });
    },
    async run(container, command, limitMs, options = {}) {
      const opening = docker
        .getContainer(container)
        .exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true, Tty: false, User: options.user })
        .then(async (made) => ({ exec: made, stream: await made.start({ hijack: true, stdin: false }) }));
      const { exec, stream } = await withLimit(opening, OPEN_LIMIT_MS, `docker exec in ${container}`).catch(
        (error: unknown) => {
          // Nobody waits for one that comes later.
          opening.then(
            (late) => late.stream.destroy(),
            () => undefined,
          );
          throw error;
        },
      );
      let output = '';
      docker.modem.demuxStream(
        stream,
        sink((chunk) => (output += chunk.toString())),
        sink((chunk) => (output += chunk.toString())),
      );
      try {
        await withLimit(
          new Promise<void>((resolve, reject) => {
            stream.once('end', resolve);
            stream.once('close', resolve);
            stream.once('error', reject);
          }),
          limitMs,
          `"${command[0]}" in ${container}`,
        );
      } finally {
        stream.destroy();
      }
      const { ExitCode } = await withLimit(exec.inspect(), 5000, `the end of "${command[0]}" in ${container}`);
      return { exitCode: ExitCode ?? -1, output };
    },
    demux(stream, onStdout, onStderr) {
      docker.modem.demuxStream(stream, sink(onStdout), sink(onStderr));
    },
    start: (container) =>
      tolerating([304], docker.getContainer(container).start(), 20_000, `docker start ${container}`),
    kill: (container) => tolerating([409], docker.getContainer(container).kill(), 10_000, `docker kill ${container}`),
    unpause: (container) =>
      tolerating([409, 500], docker.getContainer(container).unpause(), 5000, `docker unpause ${container}`),
    async putFile(container, path, content, owner) {
      const directory = path.slice(0, path.lastIndexOf('/'));
      const archive = tarOf(path.slice(directory.length + 1), content, owner);
      const put = docker.getContainer(container).putArchive(archive, { path: directory });
      await withLimit(put, 5000, `writing ${path} in ${container}`);
    },
    async readFile(container, path) {
      const archive = await withLimit(archiveOf(docker, container, path), 5000, `reading ${path} in ${container}`);
      return archive === undefined ? undefined : bytesIn(archive)?.toString('utf8');
    },
    async readDated(container, path) {
      const archive = await withLimit(archiveOf(docker, container, path), 5000, `reading ${path} in ${container}`);
      const file = archive === undefined ? undefined : datedIn(archive);
      return file === undefined ? undefined : { text: file.bytes.toString('utf8'), writtenAt: file.writtenAt };
    },
    async readBytes(container, path) {
      const archive = await withLimit(archiveOf(docker, container, path), 5000, `reading ${path} in ${container}`);
      return archive === undefined ? undefined : bytesIn(archive);
    },
    putIntoVolume: (file) => withLimit(writeIntoVolume(docker, file), 5000, `writing ${file.path} into ${file.volume}`),
    async networks(container) {
      const inspect = docker.getContainer(container).inspect();
      const info = await withLimit(inspect, 5000, `docker inspect ${container}`);
      return Object.keys(info.NetworkSettings.Networks);
    },
    async attachments(container) {
      const inspect = docker.getContainer(container).inspect();
      const { Id, HostConfig, NetworkSettings } = await withLimit(inspect, 5000, `docker inspect ${container}`);
      const networks = Object.entries(NetworkSettings.Networks as Record<string, Endpoint>);
      return {
        id: Id,
        home: HostConfig.NetworkMode ?? 'default',
        networks: networks.map(([network, endpoint]) => attachmentOf(Id, network, endpoint)),
      };
    },
    disconnect: (container, network) =>
      tolerating(
        [404, 403, 500],
        docker.getNetwork(network).disconnect({ Container: container, Force: true }),
        5000,
        `docker network disconnect ${network} ${container}`,
      ),
    connect: (container, place) =>
      tolerating(
        [403],
        docker.getNetwork(place.network).connect({ Container: container, EndpointConfig: endpointOf(place) }),
        5000,
        `docker network connect ${place.network} ${container}`,
      ),
    async createVolume(name, labels) {
      await withLimit(docker.createVolume({ Name: name, Labels: { ...labels } }), 5000, `docker volume create ${name}`);
    },
    async livingWritersOf(volume, server) {
      const found = await withLimit(
        docker.listContainers({ all: true, filters: { volume: [volume] } }),
        5000,
        `the list of containers that have the volume ${volume}`,
      );
      const writers = found
        .filter(({ State }) => !['created', 'exited', 'dead'].includes(State))
        .filter(({ Mounts }) => Mounts.some(({ Name, RW }) => Name === volume && RW));
      return Promise.all(
        writers.map(async ({ Id, Names, State }) => {
          const commands = await withLimit(commandsIn(docker, Id), 5000, `docker top ${Id}`).catch(() => undefined);
          const serves = commands === undefined || commands.some((command) => isOf[server].test(command));
          return { id: Id, name: (Names[0] ?? Id).replace(/^\//, ''), status: State, serves };
        }),
      );
    },
    async volumes(label) {
      const list = docker.listVolumes({ filters: { label: [label] } });
      // An engine without any says null.
      const { Volumes } = (await withLimit(list, 5000, 'docker volume ls')) as { Volumes: VolumeInspectInfo[] | null };
      return (Volumes ?? []).map(({ Name, Labels }) => ({
        name: Name,
        labels: (Labels as typeof Labels | null) ?? {},
      }));
    },
    removeVolume: (name) => tolerating([404], docker.getVolume(name).remove(), 5000, `docker volume rm ${name}`),
    async events(containers, onEvent, onEnd) {
      const stream = (await withLimit(
        docker.getEvents({ filters: { type: ['container'], container: [...containers] } }),
        5000,
        "the Docker engine's events",
      )) as NodeJS.ReadableStream & { destroy(): void };
      // The engine's filter takes the beginning of a name for all of it: of `standby` it tells what happens to `standby-2` as well.
      const meant = new Set(containers);
      let buffered = '';
      stream.on('data', (chunk: Buffer) => {
        buffered += chunk.toString('utf8');
        let newline: number;
        while ((newline = buffered.indexOf('\n')) >= 0) {
          const line = buffered.slice(0, newline).trim();
          buffered = buffered.slice(newline + 1);
          if (line === '') continue;
          const event = JSON.parse(line) as { Action?: string; Actor?: { Attributes?: { name?: string } } };
          const container = event.Actor?.Attributes?.name ?? '';
          if (meant.has(container)) onEvent({ container, action: event.Action ?? '' });
        }
      });
      let ended = false;
      const end = () => {
        if (!ended) onEnd();
        ended = true;
      };
      for (const name of ['end', 'close', 'error']) stream.once(name, end);
      return () => {
        ended = true;
        stream.destroy();
      };
    },
  };
}

async function archiveOf(docker: Docker, container: string, path: string): Promise<Buffer | undefined> {
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of await docker.getContainer(container).getArchive({ path }))
      chunks.push(Buffer.from(chunk as Buffer));
    return Buffer.concat(chunks);
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined;
    throw error;
  }
}
