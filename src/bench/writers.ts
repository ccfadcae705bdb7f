import { Client } from 'pg';
import type { Endpoint } from '../cluster/topology';
import type { Login } from '../systems/postgres';

/** What the writers lived through in one window. */
export interface WindowResult {
  acknowledged: number;
  /** Transactions that a client saw fail. */
  failed: number;
  /** Acknowledged rows that are not there. */
  lost: number;
  /** Longest time between two acknowledged commits of all writers together, in milliseconds. */
  gapMs: number;
  /** The most failures that one client saw. */
  failedPerClientMax: number;
  /** What the failures said, each once. */
  failures: string[];
}

interface WriterState {
  id: number;
  client: Client | undefined;
  seq: number;
  /** The first acknowledged number of the window is above this one. */
  acknowledged: Set<number>;
  failed: number;
}

const TABLE = 'veloz_bench_row';
/** A client that failed tries again this much later. */
const RETRY_MS = 50;

/** How the clients behave. Every one has a default. */
export interface WriterOptions {
  /**
   * Milliseconds after which a client gives an unanswered attempt up, and drops its connection; the attempt has failed then.
   * Default: it waits for ever.
   */
  attemptLimitMs?: number;
}

/** Ends a connection at once, whatever it waits for. */
export function destroy(client: Client): void {
  const { stream } = (client as unknown as { connection: { stream: { destroy(): void } } }).connection;
  void client.end().catch(() => undefined);
  // `end` alone waits for the server, which may be gone or frozen.
  setTimeout(() => stream.destroy(), 20).unref();
}

/** Tries again for a while: who looks rows up afterwards may come while a server still starts. */
export async function patiently<T>(connect: () => Promise<T>, limitMs = 30_000): Promise<T> {
  for (const until = Date.now() + limitMs; ;) {
    try {
      return await connect();
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

/**
 * Clients that write through the front door: each inserts a row with its own id and sequence number, autocommit, at a fixed rate,
 * one after the other. Every acknowledged row can be looked up afterwards.
 */
export class Writers {
  private readonly writers: WriterState[];
  private stopping = false;
  private loops: Promise<void>[] = [];
  private lastCommit: number | undefined;
  private gapMs = 0;
  private gapEndedAt: number | undefined;
  private readonly failures = new Set<string>();

  /**
   * @param rate inserts a second of each client
   */
  constructor(
    private readonly door: Endpoint,
    private readonly login: Login,
    clients: number,
    private readonly rate: number,
    private readonly options: WriterOptions = {},
  ) {
    this.writers = Array.from({ length: clients }, (_, id) => ({
      id,
      client: undefined,
      seq: 0,
      acknowledged: new Set<number>(),
      failed: 0,
    }));
  }

  private async connect(): Promise<Client> {
    const client = new Client({
      ...this.door,
      user: this.login.user,
      password: this.login.password,
      database: this.login.database,
      application_name: 'bench writer',
      connectionTimeoutMillis: this.options.attemptLimitMs ?? 30_000,
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
    } catch (error) {
      destroy(client);
      throw error;
    }
    return client;
  }

  /** Makes an empty table and starts writing; returns when every client has had a commit. */
  async start(): Promise<void> {
    const admin = await this.connect();
    await admin.query(`DROP TABLE IF EXISTS ${TABLE}`);
    await admin.query(`CREATE TABLE ${TABLE} (writer int NOT NULL, seq bigint NOT NULL, PRIMARY KEY (writer, seq))`);
    await admin.end();
    this.loops = this.writers.map((writer) => this.write(writer));
    const deadline = Date.now() + 10_000;
    while (this.writers.some((writer) => writer.acknowledged.size === 0)) {
      if (Date.now() > deadline)
        throw new Error(`the writers can't write: ${[...this.failures].join('; ') || 'no answer'}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  private async write(writer: WriterState): Promise<void> {
    const interval = 1000 / this.rate;
    // Spread over the interval, so that the clients do not commit in step.
    let next = performance.now() + (interval * writer.id) / this.writers.length;
    while (!this.stopping) {
      const wait = next - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      next = Math.max(next + interval, performance.now());
      const seq = ++writer.seq;
      try {
        writer.client ??= await this.connect();
        await this.insert(writer.client, writer.id, seq);
        const now = performance.now();
        if (this.lastCommit !== undefined && now - this.lastCommit > this.gapMs) {
          this.gapMs = now - this.lastCommit;
          this.gapEndedAt = Date.now();
        }
        this.lastCommit = now;
        writer.acknowledged.add(seq);
      } catch (error) {
        if (this.stopping) return;
        writer.failed += 1;
        this.failures.add((error as Error).message);
        if (writer.client !== undefined) destroy(writer.client);
        writer.client = undefined;
        next = performance.now() + RETRY_MS;
      }
    }
  }

  private async insert(client: Client, writer: number, seq: number): Promise<void> {
    const answer = client.query({
      name: 'insert',
      text: `INSERT INTO ${TABLE} VALUES ($1, $2)`,
      values: [writer, seq],
    });
    const limitMs = this.options.attemptLimitMs;
    if (limitMs === undefined) return void (await answer);
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${limitMs} ms`)), limitMs);
    });
    try {
      await Promise.race([answer, limit]);
    } finally {
      clearTimeout(timer);
      answer.catch(() => undefined);
    }
  }

  /** Begins a window: what came before is forgotten. */
  beginWindow(): void {
    for (const writer of this.writers) {
      writer.acknowledged = new Set();
      writer.failed = 0;
    }
    this.gapMs = 0;
    this.gapEndedAt = undefined;
    this.failures.clear();
  }

  /** Time since the last commit, in milliseconds. */
  currentGapMs(): number {
    return this.lastCommit === undefined ? 0 : performance.now() - this.lastCommit;
  }

  /** Commits acknowledged in this window so far. */
  acknowledgedSoFar(): number {
    return this.writers.reduce((sum, writer) => sum + writer.acknowledged.size, 0);
  }

  /** Longest time between two commits of this window so far, in milliseconds. */
  longestGapMs(): number {
    return this.gapMs;
  }

  /** When the longest gap of this window ended, in milliseconds since the epoch. */
  resumedAt(): number | undefined {
    return this.gapEndedAt;
  }

  /** Ends the window: looks up every acknowledged row on the primary. The writers go on. */
  async endWindow(): Promise<WindowResult> {
    // Includes a gap that has not ended.
    const gapMs = Math.round(Math.max(this.gapMs, this.currentGapMs()));
    const promised = this.writers.map((writer) => ({
      id: writer.id,
      rows: writer.acknowledged,
      failed: writer.failed,
    }));
    for (const writer of this.writers) writer.acknowledged = new Set();
    const reader = await patiently(() => this.connect());
    let lost = 0;
    let acknowledged = 0;
    try {
      for (const { id, rows } of promised) {
        acknowledged += rows.size;
        if (rows.size === 0) continue;
        const found = await reader.query<{ seq: string }>(`SELECT seq FROM ${TABLE} WHERE writer = $1 AND seq >= $2`, [
          id,
          Math.min(...rows),
        ]);
        const there = new Set(found.rows.map((row) => Number(row.seq)));
        for (const seq of rows) if (!there.has(seq)) lost += 1;
      }
    } finally {
      await reader.end().catch(() => undefined);
    }
    return {
      acknowledged,
      failed: promised.reduce((sum, writer) => sum + writer.failed, 0),
      lost,
      gapMs,
      failedPerClientMax: Math.max(...promised.map((writer) => writer.failed)),
      failures: [...this.failures],
    };
  }

  /** Stops writing and closes the connections. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.race([Promise.all(this.loops), new Promise((resolve) => setTimeout(resolve, 2000))]);
    for (const writer of this.writers) if (writer.client !== undefined) destroy(writer.client);
  }
}
