import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Endpoint } from '../../../src/cluster/topology';

/** An answer of an engine. */
export interface Answer {
  status: number;
  body: Record<string, unknown>;
}

/** Asks an engine. @throws Error when it does not answer within `limitMs` */
export async function ask(
  at: Endpoint,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: unknown; limitMs?: number } = {},
): Promise<Answer> {
  const response = await fetch(`http://${at.host}:${at.port}${path}`, {
    method: options.method ?? 'GET',
    headers: { 'content-type': 'application/json', ...options.headers },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    signal: AbortSignal.timeout(options.limitMs ?? 12_000),
  });
  const text = await response.text();
  return { status: response.status, body: (text.startsWith('{') ? JSON.parse(text) : { text }) as Answer['body'] };
}

/** Sends one order. */
export function order(at: Endpoint, key: string, body: unknown = anOrder, limitMs?: number): Promise<Answer> {
  return ask(at, '/api/orders', { method: 'POST', headers: { 'idempotency-key': key }, body, limitMs });
}

/** An order that every engine accepts. */
export const anOrder = { symbol: 'BTCUSDT', side: 'buy', quantity: '1', price: '100.5' };

/** Orders under way at a time. */
const MOST_OPEN = 300;

/** What the clients lived through. */
export interface Flow {
  sent: number;
  /** The key of each acknowledged order, and its id. */
  acknowledged: Map<string, string>;
  /** Answers and errors of single attempts, counted. */
  attempts: Record<string, number>;
  /** Longest time between two acknowledgements, in milliseconds. */
  gapMs: number;
  /** From the first attempt to the acknowledgement, in milliseconds. */
  slowestMs: number;
}

/**
 * Clients that send orders at a fixed rate, each with a key of its own, to one engine and then the other until one of them
 * acknowledges it: what a proxy that retries does.
 */
export class OrderFlow {
  private readonly agent = new Agent({ keepAlive: true });
  private readonly flow: Flow = { sent: 0, acknowledged: new Map(), attempts: {}, gapMs: 0, slowestMs: 0 };
  private last = performance.now();
  private ended = false;
  private abandoned = false;
  private readonly all: Promise<void>[] = [];
  private readonly loop: Promise<void>;

  constructor(
    private readonly engines: readonly Endpoint[],
    private readonly prefix: string,
    private readonly rate = 100,
  ) {
    this.loop = this.run();
  }

  private async run(): Promise<void> {
    const began = performance.now();
    while (!this.ended) {
      const due = Math.floor(((performance.now() - began) / 1000) * this.rate);
      // A machine that is too slow for the rate gets fewer orders, and not ever more connections.
      while (this.flow.sent < due && this.flow.sent - this.flow.acknowledged.size < MOST_OPEN)
        this.all.push(this.place(this.flow.sent++));
      await sleep(5);
    }
  }

  private async place(number: number): Promise<void> {
    const key = `${this.prefix}-${number}`;
    const began = performance.now();
    for (let turn = number; ; turn += 1) {
      const { outcome, id } = await this.attempt(this.engines[turn % this.engines.length] as Endpoint, key);
      this.flow.attempts[outcome] = (this.flow.attempts[outcome] ?? 0) + 1;
      if (id !== undefined) {
        const now = performance.now();
        this.flow.gapMs = Math.max(this.flow.gapMs, now - this.last);
        this.last = now;
        this.flow.slowestMs = Math.max(this.flow.slowestMs, now - began);
        this.flow.acknowledged.set(key, id);
        return;
      }
      if (this.abandoned || (this.ended && performance.now() - began > 30_000)) return;
      await sleep(10);
    }
  }

  private attempt(at: Endpoint, key: string): Promise<{ outcome: string; id?: string }> {
    return new Promise((resolve) => {
      const call = request(
        {
          host: at.host,
          port: at.port,
          agent: this.agent,
          method: 'POST',
          path: '/api/orders',
          headers: { 'idempotency-key': key, 'content-type': 'application/json' },
        },
        (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => (text += chunk.toString()));
          response.on('error', () => end({ outcome: 'cut off' }));
          response.on('end', () => {
            const { statusCode = 0 } = response;
            const outcome = String(statusCode);
            end(
              statusCode === 200 || statusCode === 201
                ? { outcome, id: (JSON.parse(text) as { id: string }).id }
                : { outcome },
            );
          });
        },
      );
      const end = (answer: { outcome: string; id?: string }) => {
        clearTimeout(limit);
        resolve(answer);
      };
      const limit = setTimeout(() => call.destroy(new Error('no answer')), 2000);
      call.on('error', (error: NodeJS.ErrnoException) => end({ outcome: error.code ?? error.message }));
      call.end(JSON.stringify(anOrder));
    });
  }

  /** Sends no more, waits for what is under way, and tells. */
  async stop(): Promise<Flow> {
    this.ended = true;
    await this.loop;
    await Promise.all(this.all);
    this.agent.destroy();
    return this.flow;
  }

  /** Ends it at once, after a test that failed. Without effect on one that has ended. */
  async abandon(): Promise<void> {
    this.abandoned = true;
    await this.stop();
  }
}
