import { Duplex } from 'node:stream';
import type { ActivityDeps, ClusterAccess } from '../../../../src/activities/deps';
import { internalEndpoint } from '../../../../src/cluster/topology';
import type { Attachment, DockerClient } from '../../../../src/systems/docker';
import type { VolumeFile } from '../../../../src/systems/docker-volume-file';
import type { PostgresSession } from '../../../../src/systems/postgres';
import { clusterTopology, POOLER, PRIMARY, STANDBY, STANDBY_2, topology } from '../../../cluster/support/picture';

/** Returned by whoever is to give no answer at all. */
export const silence = Symbol('silence');

/** An agent's answer that is a refusal. */
export class Refusal {
  constructor(
    readonly type: string,
    readonly message = 'no',
  ) {}
}

/** What `observe` answers on a node that is well. */
export const wellObserved = {
  postgres: { state: 'running', pid: 7, sinceMs: 1000 },
  desired: 'up',
  disk: { freeBytes: 1024 ** 4, totalBytes: 1024 ** 4 },
  signals: { standby: true },
  promotion: null,
};

/** A Docker engine with the containers of the picture; their agents answer what a test says. */
export class FakeEngine {
  /** Docker's word on each container; one that is missing is running. */
  readonly status: Record<string, string> = {};
  /** With what code a container has ended; absent where nobody has to know. */
  readonly exitCodes: Record<string, number> = {};
  /** Containers that somebody told to stop, by the engine's list of what happened. */
  readonly toldToStop: string[] = [];
  /** `<node> <command>` of everything that agents were asked, in order. */
  readonly asked: string[] = [];
  /** Arguments of the same. */
  readonly args: Record<string, unknown>[] = [];
  /** What was done to containers, in order. */
  readonly did: string[] = [];
  /** Sessions with agents that are open now. */
  open = 0;
  opened = 0;
  holder: string | undefined;
  /** An agent's answer: a result, a {@link Refusal}, {@link silence}, or an Error when no session can be had. */
  agent: (node: string, command: string, args: Record<string, unknown>) => unknown = (_node, command) =>
    command === 'observe'
      ? wellObserved
      : command === 'ask'
        ? { answers: [{ writable: true, standby: false, problem: null }] }
        : { ms: 1 };
  /** What the agent that watches its disk says: at once, or when it is resolved. By default it is too old to know how. */
  watchDisk: () => unknown = () => new Refusal('BadRequest', 'unknown command');
  /** How long opening a session takes, in milliseconds. */
  openMs = 0;
  /** Called instead of changing the status. */
  onKill: (node: string) => void = (node) => {
    this.status[node] = 'exited';
  };
  onPutFile: (node: string) => unknown = () => undefined;
  /** Whether the volume has been used. */
  onPutIntoVolume: () => Promise<boolean> = () => Promise.resolve(true);
  /** Networks of any container. */
  networks: string[] = ['veloz-ha'];
  onDisconnect: (network: string) => void = (network) => {
    this.networks = this.networks.filter((each) => each !== network);
  };
  /** Volumes by name, with their labels. */
  readonly volumes = new Map<string, Record<string, string>>();
  /** Docker's id of any container: another one once it was made anew. */
  id = 'a1b2c3d4e5f6a7b8';
  onInspect: (node: string) => void = () => undefined;
  events: { onEvent: (action: string) => void; break: () => void } | undefined;

  private readonly statusOf = (node: string) => this.status[node] ?? 'running';

  /** Nodes that are frozen by the engine's list, whatever it says of the one. */
  frozen: string[] = [];
  /** Containers that have a volume, under any name. */
  usersOf: Record<string, { id: string; name: string; status: string; serves: boolean }[]> = {};

  /** Containers whose agents somebody stopped (SIGSTOP): what they are asked waits until they are woken. */
  readonly stopped = new Set<string>();
  /** Agents that a signal does not wake. */
  readonly deaf = new Set<string>();
  private waking: { node: string; answer: () => void }[] = [];

  /** `postgresql.auto.conf` of any node. */
  autoConf: () => string | undefined | Promise<string | undefined> = () =>
    "synchronous_standby_names = 'veloz_standby'\n";

  /** When that was written last, in milliseconds since the epoch. */
  autoConfWrittenAt = 0;

  /** Other files of a node, by path. */
  nodeFile: (node: string, path: string) => string | Buffer | undefined | Promise<string | Buffer | undefined> = () =>
    undefined;

  readonly docker = {
    readFile: async (node: string, path: string) =>
      path.endsWith('/postgresql.auto.conf') ? this.autoConf() : this.nodeFile(node, path),
    readDated: async (node: string, path: string) => {
      const text = path.endsWith('/postgresql.auto.conf') ? await this.autoConf() : await this.nodeFile(node, path);
      return text === undefined ? undefined : { text: text.toString(), writtenAt: this.autoConfWrittenAt };
    },
    readBytes: async (node: string, path: string) => this.nodeFile(node, path),
    isFrozen: (node: string) => Promise.resolve(this.frozen.includes(node)),
    inspect: (node: string) => {
      this.onInspect(node);
      const status = this.statusOf(node);
      if (status === 'silent') return new Promise(() => undefined);
      if (status === 'unreachable') return Promise.reject(new Error('connect ENOENT docker.sock'));
      return Promise.resolve({
        exists: status !== 'absent',
        status,
        running: status === 'running',
        restartPolicy: 'no',
        ...(status === 'exited' && this.exitCodes[node] !== undefined ? { exitCode: this.exitCodes[node] } : {}),
      });
    },
    toldToStop: (node: string) => Promise.resolve(this.toldToStop.includes(node)),
    run: (node: string, command: readonly string[], _limitMs: number, options: { user?: string } = {}) => {
      if (this.statusOf(node) !== 'running') return Promise.reject(new Error(`container ${node} is not running`));
      const wakes = this.stopped.has(node) && command.join(' ').includes('kill -CONT 1') && options.user === 'root';
      if (!wakes) return Promise.resolve({ exitCode: 1, output: '' });
      this.did.push(`wake ${node}`);
      if (!this.deaf.has(node)) {
        this.stopped.delete(node);
        const waited = this.waking.filter((each) => each.node === node);
        this.waking = this.waking.filter((each) => each.node !== node);
        for (const { answer } of waited) answer();
      }
      return Promise.resolve({ exitCode: 0, output: 'woken\n' });
    },
    kill: (node: string) => {
      this.did.push(`kill ${node}`);
      this.onKill(node);
      return Promise.resolve();
    },
    start: (node: string) => {
      this.did.push(`start ${node}`);
      this.stopped.delete(node);
      this.status[node] = 'running';
      return Promise.resolve();
    },
    putFile: (node: string, path: string, content: string, owner: unknown) => {
      this.did.push(`put ${path} into ${node}`);
      this.files.push({ content: JSON.parse(content) as Record<string, unknown>, owner });
      return Promise.resolve(this.onPutFile(node)).then(() => undefined);
    },
    putIntoVolume: ({ volume, path, content, owner }: VolumeFile) => {
      this.did.push(`put ${path} into volume ${volume}`);
      this.files.push({ content: JSON.parse(content) as Record<string, unknown>, owner });
      return this.onPutIntoVolume();
    },
    networks: () => Promise.resolve([...this.networks]),
    attachments: () =>
      Promise.resolve({
        id: this.id,
        home: 'veloz-ha',
        networks: this.networks.map((network) => ({ network, aliases: ['postgres-primary'] })),
      }),
    createVolume: (name: string, labels: Record<string, string>) => {
      this.did.push(`mark ${name}`);
      if (!this.volumes.has(name)) this.volumes.set(name, { ...labels });
      return Promise.resolve();
    },
    livingWritersOf: (volume: string) =>
      Promise.resolve(this.usersOf[volume]?.filter(({ id }) => !this.did.includes(`kill ${id}`)) ?? []),
    volumes: (label: string) => {
      const [key = '', value] = label.split('=');
      const found = [...this.volumes].map(([name, labels]) => ({ name, labels }));
      return Promise.resolve(
        found.filter(({ labels }) => (value === undefined ? labels[key] !== undefined : labels[key] === value)),
      );
    },
    removeVolume: (name: string) => {
      this.did.push(`unmark ${name}`);
      this.volumes.delete(name);
      return Promise.resolve();
    },
    disconnect: (node: string, network: string) => {
      this.did.push(`disconnect ${node} from ${network}`);
      this.onDisconnect(network);
      return Promise.resolve();
    },
    connect: (node: string, { network, aliases }: Attachment) => {
      this.did.push(`connect ${node} to ${network} as ${aliases.join(', ')}`);
      this.networks.push(network);
      return Promise.resolve();
    },
    open: async (node: string) => {
      await new Promise((resolve) => setTimeout(resolve, this.openMs));
      if (this.statusOf(node) !== 'running') throw new Error(`container ${node} is not running`);
      this.opened += 1;
      this.open += 1;
      return this.session(node);
    },
    demux: (stream: Duplex, onStdout: (chunk: Buffer) => void) => void stream.on('data', onStdout),
    events: (
      _nodes: readonly string[],
      onEvent: (event: { container: string; action: string }) => void,
      end: () => void,
    ) => {
      this.events = { onEvent: (action) => onEvent({ container: PRIMARY, action }), break: end };
      return Promise.resolve(() => undefined);
    },
  };
  readonly files: { content: Record<string, unknown>; owner: unknown }[] = [];

  private session(node: string): Duplex {
    const stream = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        const { id, do: command, ...args } = JSON.parse(chunk.toString()) as { id: number; do: string };
        const reply = (answer: unknown) => {
          if (answer instanceof Error) stream.destroy();
          else if (answer !== silence && !stream.destroyed)
            stream.push(
              `${JSON.stringify(answer instanceof Refusal ? { id, ok: false, error: { ...answer } } : { id, ok: true, result: answer })}\n`,
            );
        };
        if (command === 'watchDisk') void Promise.resolve(this.watchDisk()).then(reply);
        else {
          const answer = () => {
            this.asked.push(`${node} ${command}`);
            this.args.push(args);
            reply(this.agent(node, command, args));
          };
          if (this.stopped.has(node)) this.waking.push({ node, answer });
          else answer();
        }
        done();
      },
    });
    stream.once('close', () => (this.open -= 1));
    return stream;
  }

  readonly deps: ActivityDeps = {
    topology: topology(),
    docker: this.docker as unknown as DockerClient,
    identity: 'test',
    environment: {},
    handoverCost: () => undefined,
    lockHolder: () => Promise.resolve(this.holder),
  };
}

/** What a probe of a primary returns. */
export const primaryRow = {
  inRecovery: false,
  timeline: 3,
  lsn: '0/5000000',
  systemIdentifier: '77',
  names: 'veloz_standby',
  standbys: [{ slot: 'veloz_postgres_standby', syncState: 'sync', state: 'streaming' }],
  weak: [],
  receiver: null,
  replayPaused: false,
};
/** The same of a standby. */
export const standbyRow = {
  ...primaryRow,
  inRecovery: true,
  names: null,
  standbys: null,
  receiver: 'streaming',
};

/** A held-open session of the fake servers. */
export interface FakeSession extends PostgresSession {
  /** Ends it from the server's side, as a death would. */
  cut(): void;
  readonly closed: boolean;
}

/** PostgreSQL servers by name, each with what it answers. */
export class FakeServers {
  readonly sessions: { node: string; session: FakeSession }[] = [];
  /** Questions by node. */
  readonly asked: string[] = [];
  /** An answer, {@link silence}, or an Error; asked at connect with `connecting`, and for each query. */
  connect: (node: string) => unknown = () => undefined;
  answer: (node: string, sql: string) => unknown = (node) => (node === PRIMARY ? primaryRow : standbyRow);

  readonly sql = async (
    node: string,
    _limitMs?: number,
    options: { onEnd?: () => void } = {},
  ): Promise<PostgresSession> => {
    const connected = this.connect(node);
    if (connected instanceof Promise) await connected;
    if (connected === silence) return new Promise<never>(() => undefined);
    if (connected instanceof Error) throw connected;
    let closed = false;
    const session: FakeSession = {
      query: <Row extends Record<string, unknown>>(text: string): Promise<Row[]> => {
        this.asked.push(node);
        const answer = this.answer(node, text);
        if (answer === silence) return new Promise<never>(() => undefined);
        if (answer instanceof Error) return Promise.reject(answer);
        return Promise.resolve(answer as Row[] | Row).then((rows) => (Array.isArray(rows) ? rows : [rows]));
      },
      close: () => {
        closed = true;
      },
      cut: () => {
        closed = true;
        options.onEnd?.();
      },
      get closed() {
        return closed;
      },
    };
    this.sessions.push({ node, session });
    return session;
  };

  /** The newest session with a node. */
  session(node = PRIMARY): FakeSession {
    const found = this.sessions.findLast((each) => each.node === node);
    if (found === undefined) throw new Error(`nobody asked ${node}`);
    return found.session;
  }

  /** The ways into a cluster of these servers, as far as a probe goes. */
  access(nodes: readonly string[] = [PRIMARY, STANDBY]): ClusterAccess {
    const cluster = clusterTopology();
    const own = cluster.postgres.nodes.filter(({ name }) => nodes.includes(name));
    return {
      name: 'veloz',
      topology: { ...cluster, postgres: { ...cluster.postgres, nodes: own } },
      poolerName: POOLER,
      sql: this.sql,
      internal: (wanted: string) => internalEndpoint(own.find(({ name }) => name === wanted) ?? own[0]!),
    } as unknown as ClusterAccess;
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
export { POOLER, PRIMARY, STANDBY, STANDBY_2 };
