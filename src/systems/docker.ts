import type { Duplex } from 'node:stream';
import Docker from 'dockerode';

/** A container as far as the runbooks care. */
export interface ContainerState {
  exists: boolean;
  /** Docker's word: created, running, paused, restarting, exited, dead; `absent` where there is none. */
  status: string;
  running: boolean;
  restartPolicy: string;
  /** healthy, unhealthy, starting; absent without a health check. */
  health?: string;
}

/** The one thing that cannot be had without Docker: the containers' states and a way into them. */
export interface DockerClient {
  /** @throws Error when the engine does not answer within two seconds */
  ping(): Promise<void>;
  inspect(container: string): Promise<ContainerState>;
  /** A held-open process in a container; the stream is its raw multiplexed output and its input. */
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
}

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

/** A client of the engine behind a socket path; without one, of what `DOCKER_HOST` or the default socket names. */
export function createDockerClient(socketPath?: string): DockerClient {
  const docker = new Docker(socketPath === undefined ? undefined : { socketPath });
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
        };
      } catch (error) {
        if ((error as { statusCode?: number }).statusCode === 404) {
          return { exists: false, status: 'absent', running: false, restartPolicy: 'no' };
        }
        throw error;
      }
    },
    async open(container, command) {
      const exec = await docker
        .getContainer(container)
        .exec({ Cmd: [...command], AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: false });
      return exec.start({ hijack: true, stdin: true });
    },
    async run(container, command, limitMs, options = {}) {
      const exec = await docker
        .getContainer(container)
        .exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true, Tty: false, User: options.user });
      const stream = await exec.start({ hijack: true, stdin: false });
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
      const { ExitCode } = await exec.inspect();
      return { exitCode: ExitCode ?? -1, output };
    },
    demux(stream, onStdout, onStderr) {
      docker.modem.demuxStream(stream, sink(onStdout), sink(onStderr));
    },
  };
}
