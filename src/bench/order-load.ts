import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Endpoint } from '../cluster/topology';
import type { Login } from '../systems/postgres';
import { patiently } from './writers';

/** What came of the orders of one load. Times are milliseconds. */
export interface LoadResult {
  /** Orders that were sent, each once unless the load was told to send again. */
  attempts: number;
  /** Answered 201, or 200 where HAProxy had sent them again. */
  acknowledged: number;
  failed: number;
  /** What the failures said, counted. */
  failures: Record<string, number>;
  /** Acknowledged orders that PostgreSQL does not have. */
  lost: number;
  /** Orders that stand in PostgreSQL more than once, or under another id than the acknowledged one. */
  duplicates: number;
  /** Orders that stand in PostgreSQL and were not acknowledged: their answer was a failure. */
  unacknowledged: number;
  /** Longest time between two acknowledgements. */
  gapMs: number;
  /** The slowest acknowledged order, from its sending on. */
  slowestMs: number;
  /** The median one. */
  medianMs: number;
  /** Orders of each engine, as PostgreSQL has them. */
  byEngine: Record<string, number>;
}

/** What became of some orders. Times are milliseconds. */
export interface OrdersOf {
  sent: number;
  acknowledged: number;
  failed: number;
  /** Known once every order has been looked up. */
  lost: number;
  duplicates: number;
  slowestMs: number;
  /** Longest time between two acknowledgements of these orders. */
  gapMs: number;
}

/** One order. */
interface Placed {
  /** When it was sent, in milliseconds since the epoch. */
  at: number;
  /** Milliseconds until it was acknowledged; undefined while it is not. */
  ms?: number;
  failed?: boolean;
  lost?: boolean;
  double?: boolean;
}

/** A client that sends again waits this long first. */
const AGAIN_MS = 500;
/** A client gives an order up after this long. */
const CLIENT_LIMIT_MS = 30_000;
const ORDER = JSON.stringify({ symbol: 'BTCUSDT', side: 'buy', quantity: '0.01', price: '50000' });

/**
 * Clients at the front door that send orders at a fixed rate, whatever becomes of earlier ones, each with a key of its own and
 * each once, unless they are told to send again.
 */
export class OrderLoad {
  private readonly agent = new Agent({ keepAlive: true, maxFreeSockets: 2000 });
  private readonly acknowledged = new Map<string, string>();
  private readonly failures: Record<string, number> = {};
  private readonly placed = new Map<string, Placed>();
  private sent = 0;
  private open = 0;
  private last: number | undefined;
  private gapMs = 0;
  private timer: NodeJS.Timeout | undefined;

  /**
   * @param prefix of the orders' keys
   * @param rate orders a second
   * @param tries how often a client sends an order, with the same key, that was not acknowledged
   */
  constructor(
    private readonly door: Endpoint,
    private readonly prefix: string,
    private readonly rate: number,
    private readonly tries = 1,
  ) {}

  /** What came of the orders so far. */
  soFar(): { acknowledged: number; failed: number; open: number } {
    const acknowledged = this.acknowledged.size;
    return { acknowledged, failed: this.sent - this.open - acknowledged, open: this.open };
  }

  /** Milliseconds since the last acknowledged order. */
  silentMs(): number {
    return performance.now() - (this.last ?? performance.now());
  }

  /**
   * What became of some of the orders.
   * @param sent picks them, by when they were sent in milliseconds since the epoch
   */
  ordersOf(sent: (at: number) => boolean): OrdersOf {
    const orders = [...this.placed.values()].filter(({ at }) => sent(at));
    const count = (which: (one: Placed) => boolean | undefined) => orders.filter((one) => which(one) === true).length;
    return {
      sent: orders.length,
      acknowledged: count(({ ms }) => ms !== undefined),
      failed: count(({ failed }) => failed),
      lost: count(({ lost }) => lost),
      duplicates: count(({ double }) => double),
      slowestMs: Math.round(orders.reduce((slowest, { ms = 0 }) => Math.max(slowest, ms), 0)),
      gapMs: Math.round(longestGap(orders.flatMap(({ at, ms }) => (ms === undefined ? [] : [at + ms])))),
    };
  }

  /** Begins to send. */
  start(): void {
    const began = performance.now();
    this.timer = setInterval(() => {
      const due = Math.floor(((performance.now() - began) / 1000) * this.rate);
      while (this.sent < due) this.send(`${this.prefix}-${this.sent++}`);
    }, 2);
  }

  private send(key: string, tries = 1, began = performance.now()): void {
    const one: Placed = this.placed.get(key) ?? { at: Date.now() };
    this.placed.set(key, one);
    this.open += 1;
    let ended = false;
    const end = (failure: string | undefined, id?: string) => {
      if (ended) return;
      ended = true;
      this.open -= 1;
      if ((failure !== undefined || id === undefined) && tries < this.tries && this.timer !== undefined) {
        setTimeout(() => this.send(key, tries + 1, began), AGAIN_MS).unref();
        return;
      }
      if (failure !== undefined || id === undefined) {
        const what = failure ?? 'an answer without an id';
        this.failures[what] = (this.failures[what] ?? 0) + 1;
        one.failed = true;
        return;
      }
      const now = performance.now();
      if (this.last !== undefined) this.gapMs = Math.max(this.gapMs, now - this.last);
      this.last = now;
      one.ms = now - began;
      this.acknowledged.set(key, id);
    };
    const call = request(
      {
        ...this.door,
        agent: this.agent,
        method: 'POST',
        path: '/api/orders',
        timeout: CLIENT_LIMIT_MS,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(ORDER),
          'idempotency-key': key,
        },
      },
      (answer) => {
        let body = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => (body += chunk));
        answer.on('error', (error) => end(error.message));
        answer.on('end', () => {
          const { statusCode = 0 } = answer;
          if (statusCode !== 201 && statusCode !== 200) return end(`${statusCode} ${body.slice(0, 120)}`);
          try {
            end(undefined, (JSON.parse(body) as { id?: string }).id);
          } catch {
            end('an answer that is no JSON');
          }
        });
      },
    );
    call.on('timeout', () => call.destroy(new Error(`no answer within ${CLIENT_LIMIT_MS} ms`)));
    call.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    call.end(ORDER);
  }

  /** Sends no more, and waits for the answers that are still to come. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.timer = undefined;
    const until = performance.now() + CLIENT_LIMIT_MS + 1000;
    while (this.open > 0 && performance.now() < until) await sleep(10);
    this.agent.destroy();
  }

  /** Looks every order up in PostgreSQL. */
  async result(pooler: Endpoint, login: Login): Promise<LoadResult> {
    // Only what was acknowledged before the look can be missed by it: the load may go on.
    const acknowledged = [...this.acknowledged];
    const rows = await this.kept(pooler, login);
    const ids = new Map<string, string[]>();
    const byEngine: Record<string, number> = {};
    for (const { key, id, node } of rows) {
      ids.set(key, [...(ids.get(key) ?? []), id]);
      byEngine[node] = (byEngine[node] ?? 0) + 1;
    }
    let lost = 0;
    let duplicates = 0;
    for (const [key, id] of acknowledged) {
      const kept = ids.get(key);
      if (kept === undefined) lost += 1;
      else if (kept[0] !== id) duplicates += 1;
      Object.assign(this.placed.get(key) ?? {}, {
        lost: kept === undefined,
        double: kept !== undefined && kept[0] !== id,
      });
    }
    for (const [key, kept] of ids) {
      duplicates += kept.length - 1;
      if (kept.length > 1) Object.assign(this.placed.get(key) ?? {}, { double: true });
    }
    const sorted = [...this.placed.values()].flatMap(({ ms }) => ms ?? []).sort((a, b) => a - b);
    return {
      attempts: this.sent,
      acknowledged: acknowledged.length,
      failed: this.sent - acknowledged.length,
      failures: this.failures,
      lost,
      duplicates,
      unacknowledged: [...ids.keys()].filter((key) => !this.acknowledged.has(key)).length,
      gapMs: Math.round(this.gapMs),
      slowestMs: Math.round(sorted.at(-1) ?? 0),
      medianMs: Math.round((sorted[sorted.length >> 1] ?? 0) * 10) / 10,
      byEngine,
    };
  }

  private async kept(pooler: Endpoint, login: Login) {
    const client = new Client({ ...pooler, ...login, connectionTimeoutMillis: 10_000 });
    await patiently(() => client.connect());
    try {
      const { rows } = await client.query<{ key: string; id: string; node: string }>(
        'SELECT idempotency_key AS key, id, node FROM veloz_engine.orders WHERE idempotency_key LIKE $1',
        [`${this.prefix}-%`],
      );
      return rows;
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}

/** The longest time between two neighbours of some moments. */
export function longestGap(moments: readonly number[]): number {
  const sorted = [...moments].sort((a, b) => a - b);
  return sorted.reduce((longest, at, index) => Math.max(longest, at - (sorted[index - 1] ?? at)), 0);
}

/** How many orders an engine has in an epoch: it must not grow after the epoch is over. */
export async function ordersOf(pooler: Endpoint, login: Login, node: string, epoch: number): Promise<number> {
  const client = new Client({ ...pooler, ...login, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    const { rows } = await client.query<{ count: string }>(
      'SELECT count(*) FROM veloz_engine.orders WHERE node = $1 AND epoch = $2',
      [node, epoch],
    );
    return Number(rows[0]?.count);
  } finally {
    await client.end().catch(() => undefined);
  }
}
