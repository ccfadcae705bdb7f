import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { Endpoint } from '../cluster/topology';
import type { Login } from '../systems/postgres';
import { destroy } from './writers';

/** A standby refuses to write, by SQLSTATE. It may be promoted while somebody is connected. */
export const READ_ONLY = '25006';

/** What somebody beside a server does there, again and again. */
export interface InsideWork {
  /** The statement that comes next, without its semicolon. */
  statement: () => string;
  /** A line that psql printed: a row, once its commit was acknowledged. */
  heard: (line: string) => void;
  /** From an answer to the next statement, in milliseconds. */
  everyMs: number;
  /** psql starts anew this long after it has ended, in milliseconds. */
  againMs: number;
}

/** The ways by which writers come to single nodes: connections of their own, and psql inside the nodes' containers. All end at once. */
export class NodeClients {
  private ended = false;
  private readonly clients = new Set<Client>();
  private readonly children = new Set<ChildProcess>();

  /** @param name shown in pg_stat_activity */
  constructor(
    private readonly login: Login,
    private readonly name: string,
  ) {}

  /** Nobody is to write any more. */
  get stopping(): boolean {
    return this.ended;
  }

  /** @throws Error when the server does not take the connection within `limitMs` */
  async connect(address: Endpoint, limitMs: number): Promise<Client> {
    const { user, password, database } = this.login;
    const client = new Client({
      ...address,
      user,
      password,
      database,
      application_name: this.name,
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

  /** Ends a connection at once. */
  drop(client: Client): void {
    this.clients.delete(client);
    destroy(client);
  }

  /** Makes an empty table, and ends the connection. */
  async makeTable(admin: Client, table: string, columns: string): Promise<void> {
    try {
      await admin.query(`DROP TABLE IF EXISTS ${table}`);
      await admin.query(`CREATE TABLE ${table} (${columns})`);
    } finally {
      this.drop(admin);
    }
  }

  /** psql beside the server, on its Unix socket, where a cut network is not felt. Goes on until {@link stop}. */
  async workInside(node: string, { statement, heard, everyMs, againMs }: InsideWork): Promise<void> {
    const { user, database } = this.login;
    while (!this.ended) {
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
        if (this.ended || !child.stdin.writable) return;
        child.stdin.write(`${statement()};\n\\echo done\n`);
      };
      let buffered = '';
      child.stdout.on('data', (chunk: Buffer) => {
        const lines = (buffered + chunk.toString()).split('\n');
        buffered = lines.pop() ?? '';
        for (const line of lines) {
          if (line === 'done') setTimeout(next, everyMs).unref();
          else heard(line);
        }
      });
      next();
      await ended;
      this.children.delete(child);
      await sleep(againMs, undefined, { ref: false });
    }
  }

  /** Ends every connection and psql, and waits a little for those who used them. */
  async stop(users: readonly Promise<void>[]): Promise<void> {
    this.ended = true;
    for (const client of this.clients) this.drop(client);
    for (const child of this.children) child.kill('SIGKILL');
    await Promise.race([Promise.all(users), sleep(2000)]);
  }
}

/** Waits for an answer. @throws Error when it does not come within `limitMs`; it may be carried out all the same */
export async function answerWithin<T extends object>(answer: Promise<T>, limitMs: number): Promise<T> {
  answer.catch(() => undefined);
  const limit = sleep(limitMs, 'late' as const, { ref: false });
  const answered = await Promise.race([answer, limit]);
  if (answered === 'late') throw new Error(`no answer within ${limitMs} ms`);
  return answered;
}
