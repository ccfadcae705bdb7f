import { createServer, type Server, type Socket } from 'node:net';
import type { ActivityDeps } from '../../../src/activities/deps';
import { selectCluster, type Topology } from '../../../src/cluster/topology';
import type { ContainerState, DockerClient } from '../../../src/systems/docker';
import { MASTER, redisTopology, REPLICA, SENTINELS } from '../../cluster/redis/picture';
import { topology } from '../../cluster/support/picture';

type Reply = string | number | Reply[] | Error;

const encoded = (reply: Reply): string =>
  reply instanceof Error
    ? `-${reply.message}\r\n`
    : Array.isArray(reply)
      ? `*${reply.length}\r\n${reply.map(encoded).join('')}`
      : typeof reply === 'number'
        ? `:${reply}\r\n`
        : `$${Buffer.byteLength(reply)}\r\n${reply}\r\n`;

/** A server that speaks as much of Redis's protocol as the control connections need. */
class Speaker {
  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;
  port = 0;
  /** It takes connections and answers nothing. */
  frozen = false;

  /** What it says to whoever connects anew, and ends the connection. */
  bars: string | undefined;

  /** @param answer undefined: it carries the command out, and the answer does not arrive */
  constructor(private readonly answer: (words: string[]) => Reply | undefined) {}

  async listen(): Promise<void> {
    const server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('error', () => undefined);
      if (this.bars !== undefined) {
        socket.end(`-${this.bars}\r\n`);
        return;
      }
      let buffered = '';
      socket.on('data', (chunk) => {
        buffered += chunk.toString();
        for (;;) {
          const [words, rest] = wordsIn(buffered);
          if (words === undefined) return;
          buffered = rest;
          const reply = this.frozen ? undefined : this.answer(words);
          if (reply !== undefined) socket.write(encoded(reply));
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    const address = server.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
    this.server = server;
  }

  /** Ends as a killed process does. */
  async end(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    for (const socket of this.sockets) socket.destroy();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }
}

/** The first whole command of what has arrived, and the rest. */
function wordsIn(text: string): [string[] | undefined, string] {
  const lines = text.split('\r\n');
  const count = Number(lines[0]?.slice(1));
  if (!(count > 0) || lines.length < 2 + 2 * count) return [undefined, text];
  const words = Array.from({ length: count }, (_, index) => lines[2 + 2 * index] ?? '');
  return [words, lines.slice(1 + 2 * count).join('\r\n')];
}

/** A master, a replica and three Sentinels on real sockets, with containers that a test may end. */
export class FakeRedis {
  /** Whom the Sentinels name. */
  named = MASTER;
  /** A second master, which has a key; the one that is named has none. */
  alsoMaster: string | undefined;
  /** A Sentinel that names another one. */
  readonly otherWord = new Map<string, string>();
  /** How long ago they heard from it, in milliseconds. */
  heardMs = 100;
  flags = 'master';
  /** Those that were told to follow somebody. */
  readonly following = new Set<string>();
  /** One that refuses to be the master. */
  refusesRole: string | undefined;
  /** What nodes were asked for, but for questions, with their names. */
  readonly asked: string[] = [];
  /** One that refuses CONFIG SET. */
  refusesSettings: string | undefined;
  /** What nodes were set to, and by what they were told to follow somebody, with their names, in order. */
  readonly configured: string[] = [];
  /** What it answers to a write. */
  refuses: string | undefined;
  /** What nodes answer to CONFIG GET, as one list. */
  set: string[] = [];
  /** What the master says in INFO beside its role. */
  says: string[] = [];
  /** The replica has no connection to its master, and its server was started so long ago, in seconds. */
  apart: { upS: number } | undefined;
  /** What has it connect again; of `a copy`: it waits for one once it was told to follow. */
  connectsBy: 'following' | 'a start' | 'a copy' | undefined;
  /** The master's word for it. */
  listedAs = 'online';
  /** Replicas of the master that the topology does not have, by host. */
  strangers: string[] = [];
  /** The run that holds the lock of Redis; another one holds that of PostgreSQL all the time. */
  holder: string | undefined;
  /** Where writes were held, and let go. */
  readonly holds: string[] = [];
  /** A command of a node whose answer does not arrive. */
  losesAnswer: (name: string, words: string[]) => boolean = () => false;
  /** Sentinels know each other, and believe what is said on their channel. */
  gossips = false;
  /** What was said there, and which Sentinels were told directly. */
  readonly told: string[] = [];
  /** Containers that have the volume of a node, whatever their names. */
  usersOf: Record<string, { id: string; name: string; status: string; serves: boolean }[]> = {};
  /** Nodes that were told to be the master, until they are told to follow. */
  private readonly promoted = new Set<string>();
  /** The containers that were started. */
  readonly started: string[] = [];
  /** Those that were killed through Docker. */
  readonly ended: string[] = [];
  /** Why none can be. */
  broken: string | undefined;
  readonly containers = new Map<string, Partial<ContainerState>>();
  private readonly speakers = new Map<string, Speaker>();
  private onEvent: ((event: { container: string; action: string }) => void) | undefined;

  /** Containers that somebody told to stop, by the engine's list of what happened. */
  readonly toldToStop: string[] = [];

  static async start(): Promise<FakeRedis> {
    const fake = new FakeRedis();
    for (const name of [MASTER, REPLICA])
      fake.speakers.set(
        name,
        new Speaker((words) => {
          const reply = fake.node(name, words);
          return fake.losesAnswer(name, words) ? undefined : reply;
        }),
      );
    for (const name of SENTINELS) fake.speakers.set(name, new Speaker((words) => fake.sentinel(name, words)));
    await Promise.all([...fake.speakers.values()].map((speaker) => speaker.listen()));
    return fake;
  }

  async close(): Promise<void> {
    await Promise.all([...this.speakers.values()].map((speaker) => speaker.end()));
  }

  /** A container ends, and so does what runs in it. */
  async kill(name: string, exitCode = 137): Promise<void> {
    this.containers.set(name, { running: false, status: 'exited', exitCode });
    await this.speaker(name).end();
    this.onEvent?.({ container: name, action: 'die' });
  }

  freeze(name: string, frozen = true): void {
    this.speaker(name).frozen = frozen;
  }

  /** A node lets nobody new in, and answers those who are connected; undefined: it lets in whoever comes. */
  bar(name: string, says: string | undefined): void {
    this.speaker(name).bars = says;
  }

  deps(): ActivityDeps {
    const docker: Partial<DockerClient> = {
      inspect: (name) =>
        Promise.resolve({
          exists: true,
          running: true,
          status: 'running',
          restartPolicy: 'unless-stopped',
          ...this.containers.get(name),
        }),
      toldToStop: (name) => Promise.resolve(this.toldToStop.includes(name)),
      attachments: () =>
        Promise.resolve({ id: 'a1b2', home: 'veloz-ha', networks: [{ network: 'veloz-ha', aliases: [] }] }),
      volumes: () => Promise.resolve([]),
      livingWritersOf: (volume) => Promise.resolve(this.usersOf[volume] ?? []),
      kill: (name) => {
        this.ended.push(name);
        if (!this.speakers.has(name)) {
          this.containers.set(name, { running: false, status: 'exited', exitCode: 137 });
          return Promise.resolve();
        }
        this.freeze(name, false);
        return this.kill(name);
      },
      start: async (name) => {
        if (this.broken !== undefined) throw new Error(this.broken);
        this.started.push(name);
        if (this.connectsBy === 'a start') this.apart = undefined;
        else if (this.apart !== undefined) this.apart.upS = 0;
        this.containers.delete(name);
        await this.speaker(name).listen();
      },
      events: (_names, onEvent) => {
        this.onEvent = onEvent;
        return Promise.resolve(() => undefined);
      },
    };
    return {
      topology: this.topology(),
      docker: docker as DockerClient,
      identity: 'test',
      environment: { VELOZ_REDIS_PASSWORD: 'secret' },
      handoverCost: () => undefined,
      lockHolder: (_cluster, lock) => Promise.resolve(lock === 'redis' ? this.holder : 'switchover/postgres'),
    };
  }

  private topology(): Topology {
    const whole = topology();
    const selected = selectCluster(whole);
    if ('error' in selected) throw new Error(selected.error);
    const redis = redisTopology();
    const here = <Member extends { name: string; address: { port: number } }>(members: Member[]) =>
      members.map((member) => ({ ...member, address: { host: '127.0.0.1', port: this.speaker(member.name).port } }));
    const cluster = {
      ...selected.cluster,
      redis: { ...redis, nodes: here(redis.nodes), sentinels: here(redis.sentinels) },
    };
    return { ...whole, clusters: { [selected.name]: cluster } };
  }

  private speaker(name: string): Speaker {
    const speaker = this.speakers.get(name);
    if (speaker === undefined) throw new Error(`nobody is called ${name}`);
    return speaker;
  }

  private node(name: string, words: string[]): Reply {
    const leads = name === this.named || name === this.alsoMaster || this.promoted.has(name);
    const isMaster = leads && !this.following.has(name);
    switch (words[0]?.toUpperCase()) {
      case 'ROLE':
        return isMaster ? ['master', 1000, []] : ['slave', this.named, 6379, 'connected', 1000];
      case 'INFO':
        return [
          `role:${isMaster ? 'master' : 'slave'}`,
          'master_replid:63d4dd04e453ff0b81698f0768b2932dd566c686',
          `${isMaster ? 'master' : 'slave'}_repl_offset:1000`,
          ...(isMaster ? this.says : []),
          ...(name === this.alsoMaster ? ['db0:keys=1,expires=0,avg_ttl=0'] : []),
          ...(isMaster
            ? [REPLICA, ...this.strangers].map(
                (host, index) =>
                  `slave${index}:ip=${host},port=6379,state=${index === 0 ? this.listedAs : 'online'},offset=1000,lag=0`,
              )
            : [
                `master_host:${this.named}`,
                'master_port:6379',
                `master_link_status:${this.heardMs < 1000 && this.apart === undefined ? 'up' : 'down'}`,
                ...(this.apart === undefined ? [] : [`uptime_in_seconds:${this.apart.upS}`]),
              ]),
          '',
        ].join('\r\n');
      case 'REPLICAOF': {
        this.asked.push(`${name}: ${words.join(' ').replace('replicaof', 'REPLICAOF')}`);
        const lead = words[1] === 'NO';
        if (!lead && this.connectsBy === 'following') this.apart = undefined;
        if (!lead && this.connectsBy === 'a copy') this.listedAs = 'wait_bgsave';
        if (!lead) this.configured.push(`${name}: follow ${words[1]}`);
        if (lead && name === this.refusesRole)
          return new Error("NOPERM User default has no permissions to run the 'replicaof' command");
        if (lead) this.following.delete(name);
        else this.following.add(name);
        if (lead) this.promoted.add(name);
        else this.promoted.delete(name);
        return 'OK';
      }
      case 'ACL':
        return name === this.refusesRole && words[3]?.toUpperCase() === 'REPLICAOF' ? 'no permissions' : 'OK';
      case 'CONFIG':
        if (words[1]?.toUpperCase() !== 'SET') return this.set;
        if (name === this.refusesSettings)
          return new Error("NOPERM User default has no permissions to run the 'config|set' command");
        this.configured.push(`${name}: ${words.slice(2).join(' ')}`);
        return 'OK';
      case 'PING':
        return isMaster && this.refuses?.startsWith('MISCONF') === true ? new Error(this.refuses) : 'PONG';
      case 'CLIENT':
        if (/PAUSE/i.test(words[1] ?? '')) this.holds.push(`${name}: ${words[1]?.toUpperCase()}`);
        return 'OK';
      case 'PUBLISH': {
        const [, , , , , host = ''] = (words[2] ?? '').split(',');
        this.told.push(`${name}: ${host}`);
        if (this.gossips) this.named = host;
        return 1;
      }
      case 'WAIT':
        return 1;
      case 'SETRANGE':
        return isMaster && this.refuses !== undefined ? new Error(this.refuses) : 0;
      default:
        return 'PONG';
    }
  }

  private sentinel(name: string, words: string[]): Reply {
    if (words[0]?.toUpperCase() !== 'SENTINEL') return 'PONG';
    const pairs = (fields: Record<string, string | number>) =>
      Object.entries(fields).flatMap(([key, value]) => [key, String(value)]);
    switch (words[1]?.toUpperCase()) {
      case 'MYID':
        return name;
      case 'MASTER':
        return pairs({
          ip: this.otherWord.get(name) ?? this.named,
          port: 6379,
          flags: this.flags,
          'last-ok-ping-reply': this.heardMs,
          'role-reported': 'master',
          'config-epoch': 1,
          quorum: 2,
          'num-other-sentinels': 2,
        });
      case 'REPLICAS':
        return [];
      case 'SENTINELS':
        return this.gossips
          ? SENTINELS.filter((other) => other !== name).map((other) => pairs({ ip: other, port: 26379, runid: other }))
          : [];
      case 'GET-MASTER-ADDR-BY-NAME':
        return [this.named, '6379'];
      case 'MONITOR':
        this.told.push(`${name}: ${words[3]}`);
        return 'OK';
      default:
        return 'OK 3 usable Sentinels';
    }
  }
}
