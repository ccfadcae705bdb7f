import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Endpoint } from '../cluster/topology';
import type { Login } from '../systems/postgres';
import type { Acknowledgement } from './dual-writes';
import { answerWithin, NodeClients, READ_ONLY } from './node-clients';
import { patiently } from './writers';

const TABLE = 'veloz_bench_direct';
const EVERY_MS = 50;
/** A writer inside a container starts anew this much later. */
const AGAIN_INSIDE_MS = 250;
const CONNECT_LIMIT_MS = 500;
/** The same for who looks rows up afterwards. */
const READER_LIMIT_MS = 5000;
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
  private seq = 0;
  private loops: Promise<void>[] = [];
  private acknowledged: DirectWrite[] = [];
  private readonly clients: NodeClients;

  /**
   * @param inside also write from inside each node's container, where a cut network is not felt
   */
  constructor(
    private readonly nodes: readonly { name: string; address: Endpoint }[],
    private readonly door: Endpoint,
    login: Login,
    private readonly inside: boolean,
  ) {
    this.clients = new NodeClients(login, 'bench direct writer');
  }

  /** Makes an empty table and starts writing. */
  async start(): Promise<void> {
    const admin = await this.clients.connect(this.door, CONNECT_LIMIT_MS);
    await this.clients.makeTable(admin, TABLE, 'seq bigint PRIMARY KEY, node text NOT NULL');
    this.loops = this.nodes.flatMap((node) => [
      this.writeOutside(node.name, node.address),
      ...(this.inside ? [this.writeInside(node.name)] : []),
    ]);
  }

  private async writeOutside(node: string, address: Endpoint): Promise<void> {
    let client: Client | undefined;
    while (!this.clients.stopping) {
      const seq = ++this.seq;
      try {
        client ??= await this.clients.connect(address, CONNECT_LIMIT_MS);
        await answerWithin(client.query(`INSERT INTO ${TABLE} VALUES ($1, $2)`, [seq, node]), ANSWER_LIMIT_MS);
        this.acknowledged.push({ node, seq, at: performance.now() });
      } catch (error) {
        // A standby may be promoted while somebody is connected.
        if (client !== undefined && (error as { code?: string }).code !== READ_ONLY) {
          this.clients.drop(client);
          client = undefined;
        }
      }
      await sleep(EVERY_MS, undefined, { ref: false });
    }
    if (client !== undefined) this.clients.drop(client);
  }

  private writeInside(node: string): Promise<void> {
    return this.clients.workInside(node, {
      statement: () => `INSERT INTO ${TABLE} VALUES (${++this.seq}, '${node}') RETURNING seq`,
      heard: (line) => {
        if (/^\d+$/.test(line)) this.acknowledged.push({ node, seq: Number(line), at: performance.now() });
      },
      everyMs: EVERY_MS,
      againMs: AGAIN_INSIDE_MS,
    });
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
    const reader = await patiently(() => this.clients.connect(this.door, READER_LIMIT_MS));
    try {
      const rows = await reader.query<{ seq: string }>(`SELECT seq FROM ${TABLE}`);
      const there = new Set(rows.rows.map((row) => Number(row.seq)));
      return { acknowledgements, lost: acknowledgements.filter((write) => !there.has(write.seq)).length };
    } finally {
      this.clients.drop(reader);
    }
  }

  /** Stops writing and closes the connections. */
  async stop(): Promise<void> {
    await this.clients.stop(this.loops);
  }
}
