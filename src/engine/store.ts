import { Pool, type PoolClient } from 'pg';
import { fingerprint, type Order, type OrderRequest } from './order';
import { schemaSql, schemaVersionSql, SCHEMA_VERSION, STALE_EPOCH } from './schema';
import type { EngineSettings } from './settings';

/** Who may accept orders, as PostgreSQL says. */
export interface EpochRow {
  epoch: number;
  node: string;
  url: string;
}

/** Another engine may accept orders, this one may not. Nothing was written. */
export class StaleEpoch extends Error {
  constructor(readonly allowed: EpochRow) {
    super(`the epoch is ${allowed.epoch}, of ${allowed.node}`);
    this.name = 'StaleEpoch';
  }
}

/** PostgreSQL did not answer, or not so that the outcome is known. */
export class StoreUnavailable extends Error {
  constructor(
    why: string,
    /** `false`: certainly nothing was written. `true`: it may have been. */
    readonly maybeWritten: boolean,
    options?: { cause: unknown },
  ) {
    super(why, options);
    this.name = 'StoreUnavailable';
  }
}

/** What became of an order: written now, or there already. */
export type Accepted = { order: Order; again: boolean; sameBody: boolean };

/** A statement whose answer does not come for this long is given up with its connection; it may still be carried out. */
const STATEMENT_LIMIT_MS = 3000;
/** Connections through the pooler. It shares 20 of its own among all clients. */
const CONNECTIONS = 16;
/**
 * Orders whose answer did not come in time and that may still wait in PostgreSQL, each with a server process of its own
 * that nothing ends before its commit is confirmed (SyncRep) or its disk answers. With more than these no further order
 * is sent until fewer wait: else a standby that is gone for a minute uses up `max_connections`.
 */
const HANGING_LIMIT = CONNECTIONS;
/** PostgreSQL is asked this often how many of them wait. */
const HANGING_ASKED_EVERY_MS = 500;
/** How many orders of this role have been waiting in PostgreSQL for longer than a commit takes. */
const hangingSql = `SELECT count(*)::int AS hanging FROM pg_catalog.pg_stat_activity
  WHERE usename = current_user AND datname = pg_catalog.current_database() AND state = 'active'
    AND pid <> pg_catalog.pg_backend_pid() AND query LIKE '%veloz_engine.accept%'
    AND query_start < pg_catalog.clock_timestamp() - interval '1 second'`;

/** SQLSTATEs after which the same statement may go well on another connection, or later. */
const isPassing = (code: string) => /^(?:08|53|57P|25006|40|55P03|XX|3F000|42P01|42883|26000)/.test(code);
/** Of these, the ones that were answered by a server which had then certainly not committed. */
const isRefusal = (code: string) => /^(?:53|25006|40|55P03|3F000|42P01|42883|26000)/.test(code);
/** The schema is not there: a new database. */
const isMissingSchema = (code: string) => /^(?:3F000|42P01|42883)/.test(code);

/** The engine's part of PostgreSQL, through the pooler. Every statement stands alone: the pooler pools transactions. */
export class Store {
  private readonly pool: Pool;
  private schemaMade = false;
  private warming = false;
  /** Orders that were given up since PostgreSQL last said how many hang, and those that it said hang. */
  private hanging = 0;
  private hangingAskedAt = -Infinity;
  /** When PostgreSQL last answered, by `performance.now()`. */
  answeredAt = -Infinity;

  constructor(settings: EngineSettings['postgres'], node: string) {
    this.pool = new Pool({
      host: settings.host,
      port: settings.port,
      user: settings.user,
      password: settings.password,
      database: settings.database,
      application_name: node,
      max: CONNECTIONS,
      idleTimeoutMillis: 0,
      connectionTimeoutMillis: 1500,
      keepAlive: true,
      keepAliveInitialDelayMillis: 1000,
    });
    // A connection that breaks while nobody uses it; the pool makes a new one.
    this.pool.on('error', () => undefined);
  }

  /**
   * Opens the connections that are missing, so that no order waits for one: what costs milliseconds one by one costs a
   * second when all of them look up the pooler's name and log in together. Does nothing while all are there.
   */
  async warm(): Promise<void> {
    if (this.warming || this.pool.totalCount >= CONNECTIONS) return;
    this.warming = true;
    // Asked for at once: those that are idle are given out first, and only the rest are opened.
    const connections = Array.from({ length: CONNECTIONS }, () =>
      this.pool.connect().then(
        (client) => client.release(),
        () => undefined,
      ),
    );
    await Promise.all(connections);
    this.warming = false;
  }

  /** Makes the schema where it is missing. @throws StoreUnavailable */
  async ensureSchema(): Promise<void> {
    if (this.schemaMade) return;
    const [seen] = await this.run<{ there: boolean }>('schema there', schemaVersionSql, []);
    const [newest] = seen?.there
      ? await this.run<{ version: number }>(
          'schema version',
          'SELECT max(version) AS version FROM veloz_engine.schema_version',
          [],
        )
      : [];
    if ((newest?.version ?? 0) < SCHEMA_VERSION) await this.run('', schemaSql, []);
    this.schemaMade = true;
  }

  /** Makes this engine the one that may accept orders. Asked twice, it has two epochs, and the later one counts. */
  async claim(node: string, url: string): Promise<number> {
    await this.ensureSchema();
    const [row] = await this.run<{ epoch: string }>(
      'claim',
      'UPDATE veloz_engine.epoch SET epoch = epoch + 1, node = $1, url = $2, at = clock_timestamp() RETURNING epoch',
      [node, url],
    );
    if (row === undefined) throw new StoreUnavailable('veloz_engine.epoch has no row', false);
    return Number(row.epoch);
  }

  /** Who may accept orders; asked every second, so connections that broke are replaced soon. @throws StoreUnavailable */
  async epoch(): Promise<EpochRow> {
    await this.ensureSchema();
    const [row] = await this.run<{ epoch: string; node: string; url: string }>(
      'epoch',
      'SELECT epoch, node, url FROM veloz_engine.epoch',
      [],
    );
    if (row === undefined) throw new StoreUnavailable('veloz_engine.epoch has no row', false);
    void this.warm();
    return { epoch: Number(row.epoch), node: row.node, url: row.url };
  }

  /**
   * Writes an order, or finds the one with this key; returns when it is durable, on the synchronous standby too.
   * @throws StaleEpoch, StoreUnavailable
   */
  async accept(
    asked: OrderRequest,
    key: string,
    identity: { id: string; node: string; epoch: number; at: Date },
  ): Promise<Accepted> {
    const print = fingerprint(asked);
    await this.brake();
    const [row] = await this.run<{ earlier: { fingerprint: string; order: Order } | null }>(
      'accept',
      'SELECT veloz_engine.accept($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS earlier',
      [
        identity.id,
        key,
        print,
        asked.symbol,
        asked.side,
        asked.type,
        asked.quantity,
        asked.price ?? null,
        identity.node,
        identity.epoch,
        identity.at.toISOString(),
      ],
    );
    if (row === undefined) throw new StoreUnavailable('the answer had no row', true);
    if (row.earlier !== null)
      return { order: row.earlier.order, again: true, sameBody: row.earlier.fingerprint === print };
    const order: Order = {
      id: identity.id,
      symbol: asked.symbol,
      side: asked.side,
      type: asked.type,
      quantity: asked.quantity,
      price: asked.price ?? null,
      status: 'accepted',
      node: identity.node,
      epoch: identity.epoch,
      acceptedAt: identity.at.toISOString(),
      idempotencyKey: key,
    };
    return { order, again: false, sameBody: true };
  }

  /**
   * Holds an order back while too many earlier ones hang in PostgreSQL.
   * @throws StoreUnavailable when they do: this order is not written
   */
  private async brake(): Promise<void> {
    if (this.hanging < HANGING_LIMIT) return;
    if (performance.now() - this.hangingAskedAt > HANGING_ASKED_EVERY_MS) {
      this.hangingAskedAt = performance.now();
      const [row] = await this.run<{ hanging: number }>('hanging', hangingSql, []);
      this.hanging = row?.hanging ?? 0;
      if (this.hanging < HANGING_LIMIT) return;
    }
    throw new StoreUnavailable(
      `${this.hanging} earlier orders wait for their commit in PostgreSQL (limit: ${HANGING_LIMIT})`,
      false,
    );
  }

  /** One order, by its id. @throws StoreUnavailable */
  async find(id: string): Promise<Order | undefined> {
    await this.ensureSchema();
    const [row] = await this.run<{ order: Order }>(
      'find',
      'SELECT veloz_engine.shown(o) AS order FROM veloz_engine.orders o WHERE id = $1',
      [id],
    );
    return row?.order;
  }

  /** What all orders come to. @throws StoreUnavailable */
  async summary(): Promise<{ orders: number; last: Order | null; symbols: unknown[] }> {
    await this.ensureSchema();
    const [row] = await this.run<{ orders: string; last: Order | null; symbols: unknown[] }>(
      'summary',
      `SELECT (SELECT count(*) FROM veloz_engine.orders) AS orders,
         (SELECT veloz_engine.shown(o) FROM veloz_engine.orders o ORDER BY accepted_at DESC LIMIT 1) AS last,
         (SELECT coalesce(jsonb_agg(s ORDER BY s.symbol), '[]') FROM (
            SELECT symbol, count(*) AS orders,
              trim_scale(sum(CASE side WHEN 'buy' THEN quantity ELSE 0 END))::text AS bought,
              trim_scale(sum(CASE side WHEN 'sell' THEN quantity ELSE 0 END))::text AS sold
            FROM veloz_engine.orders GROUP BY symbol) s) AS symbols`,
      [],
    );
    return { orders: Number(row?.orders ?? 0), last: row?.last ?? null, symbols: row?.symbols ?? [] };
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    await this.pool.end();
  }

  private async run<Row extends object>(name: string, text: string, values: readonly unknown[]): Promise<Row[]> {
    let client: PoolClient;
    try {
      client = await this.pool.connect();
    } catch (error) {
      throw new StoreUnavailable(`no connection: ${(error as Error).message}`, false, { cause: error });
    }
    let timer: NodeJS.Timeout | undefined;
    let broken = true;
    // The pool listens only to connections that it holds.
    const ignore = () => undefined;
    client.on('error', ignore);
    try {
      const query = name === '' ? client.query<Row>(text) : client.query<Row>({ name, text, values: [...values] });
      query.catch(ignore);
      const limit = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => {
          if (name === 'accept') this.hanging += 1;
          reject(new StoreUnavailable(`no answer within ${STATEMENT_LIMIT_MS} ms`, true));
        }, STATEMENT_LIMIT_MS);
      });
      const result = await Promise.race([query, limit]);
      broken = false;
      this.answeredAt = performance.now();
      return result.rows;
    } catch (error) {
      if (error instanceof StoreUnavailable) throw error;
      const { code = '', detail, message } = error as { code?: string; detail?: string; message: string };
      if (code === STALE_EPOCH) {
        broken = false;
        this.answeredAt = performance.now();
        throw new StaleEpoch(JSON.parse(detail ?? '{}') as EpochRow);
      }
      if (isMissingSchema(code)) this.schemaMade = false;
      // No SQLSTATE: the connection broke.
      if (!/^[0-9A-Z]{5}$/.test(code) || isPassing(code))
        throw new StoreUnavailable(message, !isRefusal(code), { cause: error });
      throw error;
    } finally {
      clearTimeout(timer);
      client.removeListener('error', ignore);
      client.release(broken);
    }
  }
}
