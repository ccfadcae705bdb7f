import { setTimeout as sleep } from 'node:timers/promises';
import { Redis, type RedisOptions } from 'ioredis';
import { internalRedisEndpoint, type RedisTopology } from '../cluster/topology';

/** What a client connects by. */
export interface RedisDoor {
  topology: RedisTopology;
  password: string;
}

/** A write that is not acknowledged after this long has failed. */
const GIVE_UP_MS = 60_000;
/** WAIT asks again after this long. */
const WAIT_MS = 1000;
/** A connection without an answer for this long is given up. */
const NO_ANSWER_MS = WAIT_MS + 2000;
const NO_ANSWER = 'no answer';
const AGAIN_MS = 20;
/** A client that wrote once, and asks again, looks this far back for what it wrote. */
const LOOK_BACK = 64;

/**
 * Appends an id to a list unless it stands there already; something is written either way, so that a WAIT which follows covers
 * what was there.
 */
const APPEND_ONCE = `
if redis.call('LPOS', KEYS[1], ARGV[1], 'RANK', -1, 'MAXLEN', ${LOOK_BACK}) then
  redis.call('SET', KEYS[2], ARGV[1])
else
  redis.call('RPUSH', KEYS[1], ARGV[1])
end
return 1`;

/** What a client has to send again: nobody can say of it that it was carried out, and stays. */
const unclear = /^(?:READONLY|UNBLOCKED|LOADING|MASTERDOWN|NOREPLICAS)|WAIT cannot|no answer|[Cc]onnection|writeable/;

/** A client that asks the Sentinels for the master, by names, and reaches it by the published ports. */
function clientOf({ topology, password }: RedisDoor, options: RedisOptions): Redis {
  const natMap = Object.fromEntries(
    topology.nodes.map((node) => {
      const { host, port } = internalRedisEndpoint(node);
      return [`${host}:${port}`, node.address];
    }),
  );
  const redis = new Redis({
    sentinels: topology.sentinels.map(({ address }) => address),
    name: topology.master,
    natMap,
    // Sentinels name each other by addresses inside of the network.
    updateSentinels: false,
    password,
    sentinelPassword: password,
    failoverDetector: true,
    connectTimeout: 1000,
    sentinelCommandTimeout: 1000,
    maxRetriesPerRequest: null,
    retryStrategy: () => AGAIN_MS,
    sentinelRetryStrategy: () => AGAIN_MS,
    ...options,
  });
  // Each failed attempt to connect; the command that needs the connection tells.
  redis.on('error', () => undefined);
  return redis;
}

/**
 * A client of Redis that finds the master through the Sentinels, and sends again what it has no answer to. It appends ids to a list
 * of its own, one after the other, so that what was lost and what was written twice can be seen.
 */
export class RedisWriter {
  readonly acknowledged = new Set<string>();
  attempts = 0;
  failed = 0;
  resent = 0;
  recreated = 0;
  readonly failures: Record<string, number> = {};
  slowestMs = 0;
  private stopping = false;
  private closed = false;
  private underWay = false;
  /** Never fulfilled; rejected when the library gives the client up. What was under way then gets no other answer. */
  private givenUp: Promise<never> = new Promise(() => undefined);
  /** The same, rejected when the connection ends. */
  private dropped: Promise<never> = new Promise(() => undefined);
  private redis: Redis;
  private seq = 0;

  constructor(
    private readonly door: RedisDoor,
    readonly list: string,
    /** It waits with `WAIT 1` for a replica, and else takes the master's word. */
    readonly waits: boolean,
  ) {
    this.redis = this.connect();
  }

  private connect(): Redis {
    const moved = (error: Error) => /^(?:READONLY|UNBLOCKED)/.test(error.message);
    const redis = clientOf(this.door, {
      connectionName: `bench:redis ${this.list}`,
      // A WAIT that is sent again on another connection would answer for nothing: these clients send the write again as well.
      autoResendUnfulfilledCommands: !this.waits,
      enableOfflineQueue: !this.waits,
      reconnectOnError: (error) => moved(error) && (this.waits ? 1 : 2),
    });
    // Commands without an answer are not told when their connection ends, unless the library sends them again.
    const drop = () =>
      (this.dropped = new Promise((_resolve, reject) =>
        redis.once('close', () => reject(new Error('connection lost'))),
      ));
    redis.on('connect', () => void drop().catch(() => undefined));
    // A switch that is announced while ioredis connects ends the client for good, whatever its retry strategy says.
    this.givenUp = new Promise((_resolve, reject) => redis.once('end', () => reject(new Error('connection ended'))));
    this.givenUp.catch(() => undefined);
    redis.once('end', () => {
      if (this.closed || this.redis !== redis) return;
      this.recreated += 1;
      this.redis = this.connect();
    });
    return redis;
  }

  /** Writes until it is stopped. */
  async write(intervalMs: number, acknowledged: (waits: boolean) => void): Promise<void> {
    let next = performance.now() + intervalMs * Math.random();
    while (!this.stopping) {
      const wait = next - performance.now();
      if (wait > 0) await sleep(wait);
      next = Math.max(next + intervalMs, performance.now());
      if (this.stopping) return;
      const id = String(this.seq++);
      const began = performance.now();
      this.attempts += 1;
      this.underWay = true;
      try {
        await (this.waits ? this.confirmed(id, began + GIVE_UP_MS) : this.plain(id, began + GIVE_UP_MS));
        this.slowestMs = Math.max(this.slowestMs, performance.now() - began);
        this.acknowledged.add(id);
        acknowledged(this.waits);
      } catch (error) {
        if (this.closed) return;
        this.fail((error as Error).message.slice(0, 80));
        await sleep(AGAIN_MS);
      }
      this.underWay = false;
    }
  }

  private fail(what: string): void {
    this.failed += 1;
    this.failures[what] = (this.failures[what] ?? 0) + 1;
  }

  /** The library sends it again by itself, for as long as it takes; where it has given the client up, the next client does. */
  private async plain(id: string, until: number): Promise<void> {
    for (let tries = 0; ; tries++) {
      if (tries > 0) this.resent += 1;
      const { redis } = this;
      try {
        return void (await within(until - performance.now(), Promise.race([redis.rpush(this.list, id), this.givenUp])));
      } catch (error) {
        if (this.closed || redis.status !== 'end' || performance.now() > until) throw error;
        await sleep(AGAIN_MS);
      }
    }
  }

  /** Writes, and has a replica confirm it; what is not confirmed is written again. */
  private async confirmed(id: string, until: number): Promise<void> {
    for (let tries = 0; ; tries++) {
      if (tries > 0) this.resent += 1;
      const { redis } = this;
      try {
        // Both on the same connection, or none of them: WAIT answers for what its own connection wrote.
        const both = Promise.all([
          redis.eval(APPEND_ONCE, 2, this.list, `${this.list}:again`, id),
          redis.wait(1, WAIT_MS),
        ]);
        const [, replicas] = await within(NO_ANSWER_MS, Promise.race([both, this.dropped]));
        if (replicas >= 1) return;
        if (performance.now() > until) throw new Error(`no replica confirmed it within ${GIVE_UP_MS} ms`);
      } catch (error) {
        const { message } = error as Error;
        if (this.closed || !unclear.test(message) || performance.now() > until) throw error;
        // The master may be another one, and this one silent.
        if (message.startsWith(NO_ANSWER) && redis.status === 'ready') redis.disconnect(true);
        await sleep(AGAIN_MS / 4);
      }
    }
  }

  /** Begins no further write. */
  end(): void {
    this.stopping = true;
  }

  /** Drops the connection. A write that is under way still has failed. */
  close(): void {
    if (this.underWay) this.fail('no answer until the clients stopped');
    this.closed = true;
    this.redis.disconnect();
  }
}

/** @throws Error when it takes longer */
async function within<T>(limitMs: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${NO_ANSWER} within ${Math.round(limitMs)} ms`)), limitMs);
  });
  try {
    return await Promise.race([answer, limit]);
  } finally {
    clearTimeout(timer);
    answer.catch(() => undefined);
  }
}
