import { Redis, type RedisOptions } from 'ioredis';
import type { RedisSettings, RedisState } from '../cluster/redis/observed';
import { HELLO_CHANNEL } from '../cluster/redis/gossip';
import type { Endpoint } from '../cluster/topology';
import { infoFields, parseSettings, SETTINGS } from './redis-settings';

/** What a move asks of a node, and the node's own keeper; each is only asked about. */
const OF_A_MOVE: readonly (readonly [name: string, ...rest: string[]])[] = [
  ['REPLICAOF', 'NO', 'ONE'],
  ['CLIENT|PAUSE', '1', 'WRITE'],
  ['CLIENT|UNPAUSE'],
  ['CLIENT|LIST'],
  ['CLIENT|KILL', 'ID', '1'],
  ['CONFIG|SET', 'replica-priority', '100'],
  ['PUBLISH', HELLO_CHANNEL, ''],
  ['SET', 'veloz:ha:canary', ''],
  ['WAIT', '0', '1'],
];

/** A replica that takes writes acknowledges what nobody gets. A master keeps it until it is one. */
const READ_ONLY = ['replica-read-only', 'yes'] as const;

/** Connections that fail are told once, by the command that needed them. */
export const controlOptions = (password: string, limitMs: number): RedisOptions => ({
  password,
  lazyConnect: true,
  connectTimeout: limitMs,
  commandTimeout: limitMs,
  // A node that hangs does not close its side, and by default the end of a failed attempt is waited for 2 s.
  disconnectTimeout: 20,
  // A control connection that broke is not used again: what was sent through it may have been carried out, or not.
  retryStrategy: null,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  enableReadyCheck: false,
  disableClientInfo: true,
  // Lists in lists, which every version of Redis and of Sentinel answers alike.
  protocol: 2,
});

/**
 * Opens a control connection. A node that still reads its files answers INFO, which says so, and so do a master that takes no writes since
 * its disk fails, and a replica that is to say nothing without its master (`replica-serve-stale-data no`): it takes over all the same.
 * @throws Error when nobody answers, each of connecting and the first answer within `limitMs`, or the password is wrong
 */
export async function openControl(endpoint: Endpoint, password: string, limitMs: number): Promise<Redis> {
  const redis = new Redis({ ...endpoint, ...controlOptions(password, limitMs) });
  let broken: Error | undefined;
  redis.on('error', (error: Error) => (broken = error));
  try {
    await redis.connect();
    await redis.ping().catch((error: unknown) => {
      if (!/^(LOADING|MISCONF|MASTERDOWN)/.test((error as Error).message)) throw error;
    });
    return redis;
  } catch (error) {
    redis.disconnect();
    throw broken ?? error;
  }
}

/** A narrow client of one Redis node. Every command has a limit; after a failure the client is of no more use. */
export class RedisNodeClient {
  private constructor(
    private readonly redis: Redis,
    private readonly password: string,
    /** Called once when the connection ends, whoever ends it. */
    onEnd?: () => void,
  ) {
    if (onEnd !== undefined) redis.once('end', onEnd);
  }

  /** @throws Error within `limitMs` when the node does not answer */
  static async open(
    endpoint: Endpoint,
    password: string,
    limitMs = 1000,
    onEnd?: () => void,
  ): Promise<RedisNodeClient> {
    return new RedisNodeClient(await openControl(endpoint, password, limitMs), password, onEnd);
  }

  /** What the node says about itself now. */
  async state(): Promise<RedisState> {
    return parseState(await this.redis.info('replication', 'persistence', 'server', 'keyspace'));
  }

  /** What it is set to; undefined where it does not say: Redis before 7, or one that refuses the question. */
  async settings(): Promise<RedisSettings | undefined> {
    try {
      const [config, info] = await Promise.all([
        this.redis.call('CONFIG', 'GET', ...SETTINGS),
        this.redis.info('memory', 'persistence', 'clients'),
      ]);
      return parseSettings(config, info, this.password);
    } catch {
      return undefined;
    }
  }

  /** The commands of a move that it would refuse. A Redis before 7 can't be asked, nor one that refuses the question: none then. */
  async denied(): Promise<string[]> {
    const asked = await Promise.all(
      OF_A_MOVE.map(async ([name, ...rest]) => {
        // A password alone is that of the user "default".
        const may = await this.redis.call('ACL', 'DRYRUN', 'default', ...name.split('|'), ...rest).catch(() => 'OK');
        return String(may) === 'OK' ? [] : [name];
      }),
    );
    return asked.flat();
  }

  /**
   * Asks for a write as clients do, of which nothing comes: no key, nothing for the replicas. It is refused and waits as theirs.
   * @returns why a master does not take it; undefined where it does, or is none. The client is of no more use after a limit that passed
   */
  async whyNoWrite(): Promise<string | undefined> {
    try {
      await this.redis.setrange('veloz:ha:guard', 0, '');
      return undefined;
    } catch (error) {
      const { message, name } = error as Error;
      if (/^(READONLY|LOADING)/.test(message)) return undefined;
      return name === 'ReplyError' ? message.slice(0, 100).replace(/[.\s]+$/, '') : `it waits: ${message}`;
    }
  }

  /** What the node is: the cheapest question that tells. It is answered while a node reads its files, too. */
  async role(): Promise<'master' | 'replica'> {
    const [word] = (await this.redis.call('ROLE')) as unknown[];
    return word === 'master' ? 'master' : 'replica';
  }

  /** Writes wait from now on, for at most this long: Redis itself lets them go then. Reads go on. */
  async holdWrites(limitMs: number): Promise<void> {
    await this.redis.call('CLIENT', 'PAUSE', String(limitMs), 'WRITE');
  }

  /** Writes go on, or fail at once where the node is a replica now. */
  async letWritesGo(): Promise<void> {
    await this.redis.call('CLIENT', 'UNPAUSE');
  }

  /**
   * The node is a replica of that endpoint from now on, and takes no write: writes that wait at it are refused as soon as they go on. Its
   * data stays until it is in touch with it.
   * @throws Error where it can't be set so that a replica takes no writes: it is what it was then
   */
  async follow({ host, port }: Endpoint): Promise<void> {
    await this.redis.config('SET', ...READ_ONLY);
    await this.redis.replicaof(host, port);
  }

  /** The same, and connects at once: a replica that could not connect tries again only every second. */
  async followNow({ host, port }: Endpoint): Promise<void> {
    // Nobody is at that address. Following the same endpoint again would change nothing.
    const [, ...replies] =
      (await this.redis
        .pipeline()
        // One that may not set it follows all the same: a master beside another one takes writes, too.
        .config('SET', ...READ_ONLY)
        .replicaof('127.0.0.1', 1)
        .replicaof(host, port)
        .exec()) ?? [];
    const failed = replies.find(([error]) => error !== null)?.[0];
    if (failed != null) throw failed;
  }

  /** The node is a master from now on. */
  async promote(): Promise<void> {
    await this.redis.call('REPLICAOF', 'NO', 'ONE');
  }

  /**
   * Says something on a channel. Returns to how many. Waits as writes do where writes are held: say it on another node, or let
   * writes go first.
   */
  publish(channel: string, message: string): Promise<number> {
    return this.redis.publish(channel, message);
  }

  /**
   * Writes a key and waits until as many replicas have it. Returns how many do.
   * @throws Error when the node takes no writes
   */
  async writeAndWait(key: string, value: string, replicas: number, limitMs: number): Promise<number> {
    const [, confirmed] = await Promise.all([
      this.redis.set(key, value, 'EX', 86_400),
      this.redis.wait(replicas, limitMs),
    ]);
    return confirmed;
  }

  /**
   * Ends the connections of ordinary clients, which then ask the Sentinels where the master is. Those of Sentinels stay. Returns
   * how many.
   */
  async dropClients(): Promise<number> {
    const list = String(await this.redis.call('CLIENT', 'LIST', 'TYPE', 'normal'));
    const own = String(await this.redis.call('CLIENT', 'ID'));
    const ids = clientIds(list).filter((id) => id !== own);
    if (ids.length === 0) return 0;
    const pipeline = this.redis.pipeline();
    for (const id of ids) pipeline.call('CLIENT', 'KILL', 'ID', id);
    const replies = (await pipeline.exec()) ?? [];
    return replies.filter(([, killed]) => Number(killed) > 0).length;
  }

  close(): void {
    this.redis.disconnect();
  }
}

/** The ids of a CLIENT LIST, without the Sentinels' own connections, which are named after them. */
export function clientIds(list: string): string[] {
  return list
    .split('\n')
    .filter((line) => line.startsWith('id=') && !/ name=sentinel-/.test(line))
    .map((line) => /^id=(\d+)/.exec(line)?.[1] ?? '')
    .filter((id) => id !== '');
}

/** Redis says -1 seconds where it never was connected. */
function downMs(fields: Map<string, string>): number | null {
  if (fields.get('master_link_status') === 'up') return 0;
  const seconds = Number(fields.get('master_link_down_since_seconds') ?? -1);
  return seconds < 0 ? null : 1000 * seconds;
}

/** `keys=3,expires=1,avg_ttl=0`. */
const keysOf = (database: string): number => Number(/(?:^|,)keys=(\d+)/.exec(database)?.[1] ?? 0);

/** Reads an answer to INFO. @throws Error when it says no role */
export function parseState(info: string): RedisState {
  const fields = infoFields(info);
  const number = (key: string) => Number(fields.get(key) ?? 0);
  const role = fields.get('role');
  if (role !== 'master' && role !== 'slave') throw new Error(`Redis says no role: ${info.slice(0, 60)}`);
  const replica = role === 'slave';
  return {
    role: replica ? 'replica' : 'master',
    replicationId: fields.get('master_replid') ?? '',
    offset: number(replica ? 'slave_repl_offset' : 'master_repl_offset'),
    upstream: !replica
      ? null
      : {
          host: fields.get('master_host') ?? '',
          port: number('master_port'),
          up: fields.get('master_link_status') === 'up',
          syncing: fields.get('master_sync_in_progress') === '1',
          silentMs: 1000 * Math.max(0, number('master_last_io_seconds_ago')),
          downMs: downMs(fields),
        },
    replicas: [...fields]
      .filter(([key]) => /^slave\d+$/.test(key))
      .map(([, value]) => {
        const part = new Map(value.split(',').map((pair) => pair.split('=') as [string, string]));
        return {
          host: part.get('ip') ?? '',
          port: Number(part.get('port')),
          state: part.get('state') ?? '',
          offset: Number(part.get('offset')),
          silentMs: 1000 * Number(part.get('lag') ?? 0),
        };
      }),
    loading: fields.get('loading') === '1',
    writesFile: (fields.get('aof_last_write_status') ?? 'ok') === 'ok',
    ...(fields.has('aof_enabled') ? { keepsFile: fields.get('aof_enabled') === '1' } : {}),
    ...(fields.has('run_id') ? { runId: fields.get('run_id') ?? '' } : {}),
    ...(fields.has('uptime_in_seconds') ? { upMs: 1000 * number('uptime_in_seconds') } : {}),
    ...(fields.has('rdb_bgsave_in_progress') || fields.has('aof_rewrite_in_progress')
      ? { childAtWork: number('rdb_bgsave_in_progress') === 1 || number('aof_rewrite_in_progress') === 1 }
      : {}),
    keys: [...fields].reduce((sum, [key, value]) => sum + (/^db\d+$/.test(key) ? keysOf(value) : 0), 0),
    version: fields.get('redis_version') ?? 'unknown',
  };
}
