import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import type { EngineSettings } from './settings';

/** Who holds the lock, as its value says. */
export interface LockValue {
  node: string;
  /** 0 until PostgreSQL has given one. */
  epoch: number;
  /** Where the holder takes orders that others pass on. */
  url: string;
  /** One run of one process: a holder that was restarted is another one. */
  instance: string;
}

/** Who may take a lock that is free: the one named, or anyone but the one named. */
export type Heir = { to: string } | { not: string };

/** What Redis says about the lock. */
export interface LockLook {
  holder: LockValue | undefined;
  /** Whether the holder's own connection to this Redis is there. */
  holderPresent: boolean;
  heir: Heir | undefined;
  drained: boolean;
  /** Changes when the connection that looked does: what was seen on another one proves nothing. */
  connection: number;
}

const PREFIX = 'veloz:engine';
const LOCK = `${PREFIX}:lock`;
const HEIR = `${PREFIX}:heir`;
const STATE = `${PREFIX}:state`;
const WAKE = `${PREFIX}:wake`;
const drainedKey = (node: string) => `${PREFIX}:drained:${node}`;
/** A process listens here for as long as it lives; nothing is ever said. Whoever counts the listeners learns that. */
const presence = (instance: string) => `${PREFIX}:alive:${instance}`;
/** The same for an engine that would take the lock. */
const candidacy = (node: string) => `${PREFIX}:candidate:${node}`;

/** A command that is not answered for this long has failed; the connection is then made anew, through the Sentinels. */
const COMMAND_LIMIT_MS = 400;

/** Milliseconds until the next attempt to connect: soon, as a master that moves is back within a second. */
const again = (times: number) => Math.min(50 * times, 250);

/** The values are compared as texts: whoever holds the lock knows what it wrote. */
const scripts = {
  /** lock, heir; expected value or '', new value, TTL, node. 1: taken. */
  velozTake: {
    numberOfKeys: 2,
    lua: `
local there = redis.call('GET', KEYS[1]) or ''
if there ~= ARGV[1] then return 0 end
local heir = redis.call('GET', KEYS[2])
if heir and there == '' then
  local named = cjson.decode(heir)
  if named.to and named.to ~= ARGV[4] then return 0 end
  if named['not'] and named['not'] == ARGV[4] then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1`,
  },
  /** lock; own value, new value, TTL. 'mine', '' (nobody's), or the other's value. */
  velozRenew: {
    numberOfKeys: 1,
    lua: `
local there = redis.call('GET', KEYS[1])
if not there then return '' end
if there ~= ARGV[1] then return there end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 'mine'`,
  },
  /** lock, heir; own value, heir or '', TTL of the heir, channel. 1: released. */
  velozRelease: {
    numberOfKeys: 2,
    lua: `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
redis.call('PUBLISH', ARGV[4], ARGV[2])
return 1`,
  },
  /** state; epoch, field, value, … 1: written. An engine whose epoch has passed writes nothing. */
  velozState: {
    numberOfKeys: 1,
    lua: `
local kept = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if kept > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', unpack(ARGV))
return 1`,
  },
};

interface Scripted {
  velozTake(lock: string, heir: string, expected: string, value: string, ttl: number, node: string): Promise<number>;
  velozRenew(lock: string, own: string, value: string, ttl: number): Promise<string>;
  velozRelease(lock: string, heir: string, own: string, next: string, ttl: number, channel: string): Promise<number>;
  velozState(state: string, epoch: number, ...fields: (string | number)[]): Promise<number>;
}

/** What a text in the lock says. One that no engine of this kind wrote is somebody's lock all the same, until it ends. */
export function parseLockValue(text: string): LockValue {
  try {
    const value = JSON.parse(text) as Partial<LockValue>;
    return {
      node: String(value.node ?? '?'),
      epoch: Number(value.epoch ?? 0),
      url: String(value.url ?? ''),
      instance: String(value.instance ?? ''),
    };
  } catch {
    const [node = '?', epoch = '0'] = text.split(':');
    return { node, epoch: Number(epoch) || 0, url: '', instance: '' };
  }
}

/**
 * The engines' lock in Redis, found through the Sentinels. It elects, and no more: replication is asynchronous, so it may
 * exist twice, and what an engine may write is for PostgreSQL to say.
 */
export class Lock {
  readonly instance = randomBytes(6).toString('hex');
  private readonly redis: Redis & Scripted;
  private readonly subscriber: Redis;
  /** The text that this engine wrote into the lock, while it may hold it. */
  private own: string | undefined;
  private connection = 0;
  private lastSeen: string | undefined;
  private closed = false;
  /** When Redis last answered, by `performance.now()`. */
  answeredAt = -Infinity;

  /**
   * @param onWake called when the lock was released
   * @param log a sentence about a connection
   */
  constructor(
    private readonly settings: EngineSettings['redis'],
    readonly node: string,
    private readonly url: string,
    private readonly ttlMs: number,
    onWake: () => void,
    log: (sentence: string) => void,
  ) {
    this.redis = this.connect({ commandTimeout: COMMAND_LIMIT_MS, scripts }) as Redis & Scripted;
    this.subscriber = this.connect({});
    this.redis.on('ready', () => {
      this.connection += 1;
      told = false;
      log('connected to the Redis master');
    });
    // Many attempts fail until one succeeds; the first one tells.
    let told = false;
    this.redis.on('error', (error) => {
      if (!told) log(`no connection to the Redis master: ${error.message}`);
      told = true;
    });
    this.subscriber.on('message', onWake);
    void this.subscriber.subscribe(WAKE, presence(this.instance), candidacy(node)).catch(() => undefined);
  }

  private connect(options: { commandTimeout?: number; scripts?: typeof scripts }): Redis {
    const { master, sentinels, address, password, sentinelPassword } = this.settings;
    const redis = new Redis({
      ...options,
      ...(address ?? { name: master, sentinels: [...sentinels], sentinelPassword }),
      password,
      connectionName: this.node,
      connectTimeout: 500,
      sentinelCommandTimeout: 500,
      sentinelRetryStrategy: again,
      retryStrategy: again,
      maxLoadingRetryTime: 500,
      failoverDetector: true,
      // A command is answered now or has failed: who asks for the lock later asks with what is true then.
      enableOfflineQueue: options.commandTimeout === undefined,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: options.commandTimeout === undefined ? null : 0,
      keepAlive: 1000,
      reconnectOnError: (error) => /^(?:READONLY|MASTERDOWN|LOADING)/.test(error.message),
    });
    // Each failed attempt to connect; the command that needs the connection tells.
    redis.on('error', () => undefined);
    // A switch that is announced while it connects ends the client for good, whatever its retry strategy says.
    redis.on('end', () => {
      if (!this.closed) setTimeout(() => void redis.connect().catch(() => undefined), again(2));
    });
    return redis;
  }

  /** Whether this engine wrote the lock and has not learned that it is gone. */
  get held(): boolean {
    return this.own !== undefined;
  }

  private value(epoch: number): string {
    return JSON.stringify({ node: this.node, epoch, url: this.url, instance: this.instance } satisfies LockValue);
  }

  private async asking<T>(command: () => Promise<T>): Promise<T> {
    try {
      const answer = await command();
      this.answeredAt = performance.now();
      return answer;
    } catch (error) {
      // A Redis that hangs keeps its connection open; another may be master meanwhile.
      if (/timed out/i.test((error as Error).message) && this.redis.status === 'ready') this.redis.disconnect(true);
      throw error;
    }
  }

  /** Who holds the lock, and what else decides about taking it. @throws Error when Redis does not answer */
  async look(): Promise<LockLook> {
    const connection = this.connection;
    const [text, heir, drained] = await this.asking(() => this.redis.mget(LOCK, HEIR, drainedKey(this.node)));
    this.lastSeen = text ?? '';
    const holder = text == null ? undefined : parseLockValue(text);
    const present =
      holder === undefined
        ? []
        : await this.asking<unknown[]>(() => this.redis.pubsub('NUMSUB', presence(holder.instance)));
    return {
      holder,
      holderPresent: Number(present[1] ?? 0) > 0,
      heir: heir == null ? undefined : (JSON.parse(heir) as Heir),
      drained: drained != null,
      connection,
    };
  }

  /** The other engines that are connected to this Redis and would take the lock. */
  async otherCandidates(): Promise<string[]> {
    const channels = await this.asking(() => this.redis.pubsub('CHANNELS', candidacy('*')));
    return (channels as string[]).map((name) => name.slice(candidacy('').length)).filter((name) => name !== this.node);
  }

  /** Says whether this engine would take the lock. */
  async standForIt(does: boolean): Promise<void> {
    if (does) await this.subscriber.subscribe(candidacy(this.node));
    else await this.subscriber.unsubscribe(candidacy(this.node));
  }

  /**
   * Takes the lock if it is still as the last look saw it. @returns whether it was taken
   * @throws Error when Redis does not answer; it may be taken all the same, and ends by itself then
   */
  async take(): Promise<boolean> {
    const value = this.value(0);
    const expected = this.lastSeen ?? '';
    const taken = await this.asking(() => this.redis.velozTake(LOCK, HEIR, expected, value, this.ttlMs, this.node));
    if (taken !== 1) return false;
    this.own = value;
    return true;
  }

  /**
   * Makes the lock last for its whole time again. @param epoch written into it
   * @returns `mine`, `lost` (nobody's), or who holds it
   * @throws Error when Redis does not answer
   */
  async renew(epoch: number): Promise<'mine' | 'lost' | LockValue> {
    const { own } = this;
    if (own === undefined) return 'lost';
    const value = this.value(epoch);
    const answer = await this.asking(() => this.redis.velozRenew(LOCK, own, value, this.ttlMs));
    if (answer === 'mine') {
      if (this.own === own) this.own = value;
      return 'mine';
    }
    if (answer === '') {
      this.lastSeen = '';
      return 'lost';
    }
    // The answer to an earlier renewal was lost, or another one overtook it.
    if (parseLockValue(answer).instance === this.instance) {
      this.own = answer;
      return 'mine';
    }
    this.own = undefined;
    return parseLockValue(answer);
  }

  /** Writes the lock anew after it got lost, unless somebody was quicker. */
  async retake(epoch: number): Promise<boolean> {
    const value = this.value(epoch);
    const taken = await this.asking(() => this.redis.velozTake(LOCK, HEIR, '', value, this.ttlMs, this.node));
    if (taken === 1) this.own = value;
    return taken === 1;
  }

  /**
   * Lets go, and names who comes next, in one step. @returns whether it was held
   * @throws Error when Redis does not answer
   */
  async release(heir?: Heir, heirTtlMs = this.ttlMs): Promise<boolean> {
    const { own } = this;
    if (own === undefined) return false;
    const next = heir === undefined ? '' : JSON.stringify(heir);
    const released = await this.asking(() => this.redis.velozRelease(LOCK, HEIR, own, next, heirTtlMs, WAKE));
    if (this.own === own) this.own = undefined;
    return released === 1;
  }

  /** Keeps, or forgets, that this engine is drained, so that a restart of it does not end that. */
  async setDrained(run: string | undefined): Promise<void> {
    const key = drainedKey(this.node);
    await this.asking(async () => {
      await (run === undefined ? this.redis.del(key) : this.redis.set(key, run));
    });
    // Answered when the subscriber is connected, which it may not be just now.
    void this.standForIt(run === undefined).catch(() => undefined);
  }

  /** Writes what the active engine is doing, for whoever looks. @returns `false` where a later epoch has written */
  async publishState(epoch: number, state: Readonly<Record<string, string | number>>): Promise<boolean> {
    const fields = Object.entries(state).flat();
    return (await this.asking(() => this.redis.velozState(STATE, epoch, epoch, ...fields))) === 1;
  }

  /** What the active engine last wrote. */
  async state(): Promise<Record<string, string>> {
    return this.asking(() => this.redis.hgetall(STATE));
  }

  /** Ends both connections at once. */
  close(): void {
    this.closed = true;
    this.redis.disconnect();
    this.subscriber.disconnect();
  }
}
