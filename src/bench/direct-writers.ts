import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Endpoint } from '../cluster/topology';
import type { Login } from '../systems/postgres';
import type { Acknowledgement } from './dual-writes';
import { destroy, patiently } from './writers';

const TABLE = 'veloz_bench_direct';
const EVERY_MS = 50;
const CONNECT_LIMIT_MS = 500;
/** A commit that waits for its standby is left alone for this long; then the client goes, and the commit stays where it is. */
const ANSWER_LIMIT_MS = 2000;

/** A direct write that was acknowledged. */
interface DirectWrite extends Acknowledgement {
  seq: number;
}

/** What the direct writers lived through in one window. */
export interface DirectResult {
  acknowledgements: Acknowledgement[];
  /** Acknowledged direct writes that are not there afterwards. */
  lost: number;
}

/**
 * Clients that do not use the front door: each tries an autocommit insert on one node every 50 ms, like somebody who was told the
 * wrong address, or sits on the wrong side of a cut network. On a standby the insert is refused; what is acknowledged tells when
 * a node was a primary.
 */
export class DirectWriters {
  private stopping = false;
  private seq = 0;
  private loops: Promise<void>[] = [];
  private acknowledged: DirectWrite[] = [];
  private readonly clients = new Set<Client>();
  private readonly children = new Set<ChildProcess>();

  /**
   * @param inside also write from inside each node's container, where a cut network is not felt
   */
  constructor(
    private readonly nodes: readonly { name: string; address: Endpoint }[],
    private readonly door: Endpoint,
    private readonly login: Login,
    private readonly inside: boolean,
  ) {}

  /** Makes an empty table and starts writing. */
  async start(): Promise<void> {
    const admin = await this.connect(this.door);
    try {
      await admin.query(`DROP TABLE IF EXISTS ${TABLE}`);
      await admin.query(`CREATE TABLE ${TABLE} (seq bigint PRIMARY KEY, node text NOT NULL)`);
    } finally {
      this.drop(admin);
    }
    this.loops = this.nodes.flatMap((node) => [
      this.writeOutside(node.name, node.address),
      ...(this.inside ? [this.writeInside(node.name)] : []),
    ]);
  }

  private async connect(endpoint: Endpoint, limitMs = CONNECT_LIMIT_MS): Promise<Client> {
    const { user, password, database } = this.login;
    const client = new Client({
      ...endpoint,
      user,
      password,
      database,
      application_name: 'bench direct writer',
      connectionTimeoutMillis: limitMs,
    });
    client.on('error', () => undefined);
    this.clients.add(client);
    try {
      await client.connect();
    } catch (error) {
      this.drop(client);
      throw error;
    }
    return client;
  }

  private drop(client: Client): void {
    this.clients.delete(client);
    destroy(client);
  }

  private async writeOutside(node: string, address: Endpoint): Promise<void> {
    let client: Client | undefined;
    while (!this.stopping) {
      const seq = ++this.seq;
      try {
        client ??= await this.connect(address);
        const answer = client.query(`INSERT INTO ${TABLE} VALUES ($1, $2)`, [seq, node]);
        answer.catch(() => undefined);
        const limit = sleep(ANSWER_LIMIT_MS, 'late' as const, { ref: false });
        if ((await Promise.race([answer, limit])) === 'late') throw new Error('no answer');
        this.acknowledged.push({ node, seq, at: performance.now() });
      } catch (error) {
        // 25006: this is a standby now. It may be promoted while we are connected.
        if (client !== undefined && (error as { code?: string }).code !== '25006') {
          this.drop(client);
          client = undefined;
        }
      }
      await sleep(EVERY_MS, undefined, { ref: false });
    }
    if (client !== undefined) this.drop(client);
  }

  /** psql beside the server, on its Unix socket. It prints the number of a row once its commit was acknowledged. */
  private async writeInside(node: string): Promise<void> {
    const { user, database } = this.login;
    while (!this.stopping) {
      const child = spawn('docker', ['exec', '-i', node, 'psql', '-XqAt', '-U', user, '-d', database], {
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      this.children.add(child);
      const ended = new Promise<void>((resolve) => {
        child.once('exit', () => resolve());
        child.once('error', () => resolve());
      });
      child.stdin.on('error', () => undefined);
      const next = () => {
        if (this.stopping || !child.stdin.writable) return;
        child.stdin.write(`INSERT INTO ${TABLE} VALUES (${++this.seq}, '${node}') RETURNING seq;\n\\echo done\n`);
      };
      let buffered = '';
      child.stdout.on('data', (chunk: Buffer) => {
        const lines = (buffered + chunk.toString()).split('\n');
        buffered = lines.pop() ?? '';
        for (const line of lines) {
          if (line === 'done') setTimeout(next, EVERY_MS).unref();
          else if (/^\d+$/.test(line)) this.acknowledged.push({ node, seq: Number(line), at: performance.now() });
        }
      });
      next();
      await ended;
      this.children.delete(child);
      await sleep(250, undefined, { ref: false });
    }
  }

  /** Begins a window: what came before is forgotten. */
  beginWindow(): void {
    this.acknowledged = [];
  }

  /** Ends the window, and looks its rows up through the front door. The writers go on. */
  async endWindow(): Promise<DirectResult> {
    const acknowledgements = this.acknowledged;
    this.acknowledged = [];
    if (acknowledgements.length === 0) return { acknowledgements, lost: 0 };
    const reader = await patiently(() => this.connect(this.door, 5000));
    try {
      const rows = await reader.query<{ seq: string }>(`SELECT seq FROM ${TABLE}`);
      const there = new Set(rows.rows.map((row) => Number(row.seq)));
      return { acknowledgements, lost: acknowledgements.filter((write) => !there.has(write.seq)).length };
    } finally {
      this.drop(reader);
    }
  }

  /** Stops writing and closes the connections. */
  async stop(): Promise<void> {
    this.stopping = true;
    for (const client of this.clients) this.drop(client);
    for (const child of this.children) child.kill('SIGKILL');
    await Promise.race([Promise.all(this.loops), sleep(2000)]);
  }
}
