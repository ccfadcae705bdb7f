import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Endpoint } from '../../cluster/topology';
import type { Login } from '../../systems/postgres';
import { answerWithin, NodeClients, READ_ONLY } from '../node-clients';
import { patiently } from '../writers';
import type { AcknowledgedRow } from './account';

const TABLE = 'veloz_chaos_row';
/** What the server says of the row that it wrote: on which timeline, and who it is. Unqualified names are safe: it is the client's own session. */
const RETURNING = `RETURNING left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS timeline, current_setting('cluster_name') AS node`;
const CONNECT_LIMIT_MS = 2000;
/** An unanswered attempt is given up after this long, and its connection dropped; the row may be there all the same. */
const ANSWER_LIMIT_MS = 5000;
const AGAIN_MS = 50;
/** A writer inside a container starts anew this much later. */
const AGAIN_INSIDE_MS = 500;

/** Where a writer writes. */
export interface RowDoor {
  name: string;
  address: Endpoint;
  /** Clients that should be served through it: their gaps and errors count. A writer past the pooler only tells who takes writes. */
  front: boolean;
  clients: number;
  /** Rows a second of each client. */
  rate: number;
}

/** What the writers lived through since the window began. */
export interface RowWindow {
  acknowledged: AcknowledgedRow[];
  /** SQLSTATE 25006 through the front door. */
  readOnlyErrors: number;
  /** Longest time between two acknowledged rows of all writers at the front door, in milliseconds. */
  gapMs: number;
  /** What the failures at the front door said, counted. */
  failures: Record<string, number>;
}

/**
 * Writers of rows that can each be looked up: through the front door, past it on each node, and from inside each node, where a cut
 * network is not felt. Every acknowledgement comes with the timeline on which the server wrote.
 */
export class RowWriters {
  private loops: Promise<void>[] = [];
  private readonly clients: NodeClients;
  private acknowledged: AcknowledgedRow[] = [];
  private readOnlyErrors = 0;
  private failures: Record<string, number> = {};
  private gapMs = 0;
  private lastAt: number | undefined;

  /**
   * @param inside containers of PostgreSQL in which somebody writes too
   * @param era told apart from the writers of an earlier database
   */
  constructor(
    private readonly doors: readonly RowDoor[],
    private readonly inside: readonly string[],
    login: Login,
    private readonly era: string,
  ) {
    this.clients = new NodeClients(login, 'chaos writer');
  }

  /** Makes an empty table and starts writing; returns when a row has come through each front door. @throws Error after 20 s */
  async start(): Promise<void> {
    const admin = await patiently(() => this.connect(this.front()));
    await this.clients.makeTable(admin, TABLE, 'writer text NOT NULL, seq bigint NOT NULL, PRIMARY KEY (writer, seq)');
    this.loops = [
      ...this.doors.flatMap((door) =>
        Array.from({ length: door.clients }, (_, index) => this.write(door, `${this.era}/${door.name}/${index}`)),
      ),
      ...this.inside.map((node) => this.writeInside(node, `${this.era}/in ${node}`)),
    ];
    for (const until = Date.now() + 20_000; this.lastAt === undefined; await sleep(20))
      if (Date.now() > until) throw new Error(`nobody can write: ${Object.keys(this.failures).join('; ')}`);
  }

  private front(): Endpoint {
    const door = this.doors.find(({ front }) => front);
    if (door === undefined) throw new Error('there is no front door');
    return door.address;
  }

  private connect(address: Endpoint): Promise<Client> {
    return this.clients.connect(address, CONNECT_LIMIT_MS);
  }

  private keep(row: Omit<AcknowledgedRow, 'acknowledgedAt' | 'at'>, front: boolean): void {
    const acknowledgedAt = performance.now();
    this.acknowledged.push({ ...row, acknowledgedAt, at: Date.now() });
    if (!front) return;
    if (this.lastAt !== undefined) this.gapMs = Math.max(this.gapMs, acknowledgedAt - this.lastAt);
    this.lastAt = acknowledgedAt;
  }

  private async write(door: RowDoor, writer: string): Promise<void> {
    const { front } = door;
    const interval = 1000 / door.rate;
    let client: Client | undefined;
    let next = performance.now() + interval * Math.random();
    for (let seq = 1; !this.clients.stopping; seq++) {
      const wait = next - performance.now();
      if (wait > 0) await sleep(wait, undefined, { ref: false });
      next = Math.max(next + interval, performance.now());
      try {
        client ??= await this.connect(door.address);
        const sentAt = performance.now();
        const answer = client.query<{ timeline: string; node: string }>({
          name: 'chaos',
          text: `INSERT INTO ${TABLE} VALUES ($1, $2) ${RETURNING}`,
          values: [writer, seq],
        });
        const answered = await answerWithin(answer, ANSWER_LIMIT_MS);
        const [row] = answered.rows;
        this.keep({ writer, seq, sentAt, timeline: Number.parseInt(row?.timeline ?? '', 16), node: row?.node }, front);
      } catch (error) {
        if (this.clients.stopping) break;
        const { code, message } = error as Error & { code?: string };
        if (front) {
          if (code === READ_ONLY) this.readOnlyErrors += 1;
          const what = `${code === undefined ? '' : `${code} `}${message}`.slice(0, 120);
          this.failures[what] = (this.failures[what] ?? 0) + 1;
        }
        // A standby may be promoted while somebody is connected, who is then the first to write.
        if (client !== undefined && (front || code !== READ_ONLY)) {
          this.clients.drop(client);
          client = undefined;
        }
        next = performance.now() + AGAIN_MS;
      }
    }
    if (client !== undefined) this.clients.drop(client);
  }

  private writeInside(node: string, writer: string): Promise<void> {
    let seq = 0;
    let sentAt = 0;
    return this.clients.workInside(node, {
      statement: () => {
        sentAt = performance.now();
        return `INSERT INTO ${TABLE} VALUES ('${writer}', ${++seq}) ${RETURNING}`;
      },
      heard: (line) => {
        const [timeline = '', name] = line.split('|');
        if (/^[0-9A-F]{8}$/.test(timeline))
          this.keep({ writer, seq, sentAt, timeline: Number.parseInt(timeline, 16), node: name }, false);
      },
      everyMs: 4 * AGAIN_MS,
      againMs: AGAIN_INSIDE_MS,
    });
  }

  /** Milliseconds since the last acknowledged row at the front door. */
  silentMs(): number {
    return performance.now() - (this.lastAt ?? performance.now());
  }

  /** What came since the last call. The writers go on. */
  take(): RowWindow {
    const window = {
      acknowledged: this.acknowledged,
      readOnlyErrors: this.readOnlyErrors,
      gapMs: Math.round(Math.max(this.gapMs, this.silentMs())),
      failures: this.failures,
    };
    this.acknowledged = [];
    this.readOnlyErrors = 0;
    this.gapMs = 0;
    this.failures = {};
    return window;
  }

  /** The rows that the database has now, by writer. @throws Error when it can't be asked for 30 s */
  async there(): Promise<(writer: string, seq: number) => boolean> {
    const found = await patiently(async () => {
      const reader = await this.connect(this.front());
      try {
        return await reader.query<{ writer: string; seqs: string[] }>(
          `SELECT writer, array_agg(seq) AS seqs FROM ${TABLE} GROUP BY writer`,
        );
      } finally {
        this.clients.drop(reader);
      }
    });
    const rows = new Map(found.rows.map(({ writer, seqs }) => [writer, new Set(seqs.map(Number))]));
    return (writer, seq) => rows.get(writer)?.has(seq) === true;
  }

  /** Stops writing and closes the connections. */
  async stop(): Promise<void> {
    await this.clients.stop(this.loops);
  }
}
