import type { ClusterTopology } from '../../cluster/topology';
import { readSecret } from '../../systems/secrets';
import { OrderLoad } from '../order-load';
import { RedisWriters } from '../redis-writers';
import type { Target } from '../target';
import { dualRows, lostRows, type AcknowledgedRow, type Loss } from './account';
import { RowWriters, type RowWindow } from './rows';

/** How much is written, and by whom. */
export interface WatcherOptions {
  /** Writers through the pooler. */
  clients: number;
  /** Rows a second of each of them. */
  rate: number;
  /** Tiers besides PostgreSQL that are watched. */
  orders: boolean;
  redis: boolean;
  standbys: 1 | 2;
}

/** What one round cost, as those who wrote saw it. */
export interface WatchedRound extends Omit<RowWindow, 'acknowledged'> {
  acknowledged: number;
  lost: Loss[];
  /** Writes to Redis that waited for no replica. */
  aloneLost: Loss[];
  dualWrites: number;
  /** The second primary's rows, the first of them, in words. */
  dual: string[];
  ordersAcknowledged: number;
  ordersDouble: number;
  redisAcknowledged: number;
}

const DIRECT_RATE = 10;
const ORDER_RATE = 10;
/** An order without an answer is sent again with its key: it must not stand there twice. */
const ORDER_TRIES = 3;
const REDIS_CLIENTS = 4;
const REDIS_RATE = 10;

/** Everybody who writes during a campaign, and the proofs of what they were promised. */
export class Watchers {
  private readonly rows: RowWriters;
  private readonly orders: OrderLoad | undefined;
  private readonly redis: RedisWriters | undefined;
  /** Every acknowledged row so far: looked up once more at the end. */
  private readonly promised: AcknowledgedRow[] = [];
  /** The first row of each timeline: what later rows of an older one are held against. */
  private readonly firstRows = new Map<number, AcknowledgedRow>();
  private readonly known = { lostRows: new Set<string>(), orders: 0, ordersDouble: 0, ordersAcknowledged: 0 };
  private readonly lostWrites = new Set<string>();
  private redisAcknowledged = 0;

  /** @param era tells the writers of one database from those of an earlier one */
  constructor(
    private readonly target: Target,
    options: WatcherOptions,
    era: string,
  ) {
    const { cluster, door, login } = target;
    const nodes = cluster.postgres.nodes.filter((node) => options.standbys === 2 || !node.optional);
    this.rows = new RowWriters(
      [
        { name: 'pooler', address: door, front: true, clients: options.clients, rate: options.rate },
        ...nodes.map(({ name, address }) => ({ name, address, front: false, clients: 1, rate: DIRECT_RATE })),
      ],
      nodes.map(({ name }) => name),
      login,
      era,
    );
    const { haproxy, redis } = cluster;
    this.orders =
      options.orders && haproxy !== undefined
        ? new OrderLoad(haproxy.address, `chaos-${era}`, ORDER_RATE, ORDER_TRIES)
        : undefined;
    this.redis =
      options.redis && redis !== undefined
        ? new RedisWriters(doorOf(redis), `veloz:chaos:${era}`, REDIS_CLIENTS, REDIS_RATE)
        : undefined;
  }

  /** Starts writing. @throws Error when somebody can't write although all is well */
  async start(): Promise<void> {
    await this.rows.start();
    await this.redis?.start();
    this.orders?.start();
  }

  /** Who does not write, in words; empty while everybody does. @param limitMs without an acknowledgement for longer is silent */
  silent(limitMs: number): string[] {
    return [
      ...(this.rows.silentMs() > limitMs ? ['no row is acknowledged through the pooler'] : []),
      ...((this.redis?.silentMs() ?? 0) > limitMs ? ['no write with WAIT is acknowledged by Redis'] : []),
      ...((this.orders?.silentMs() ?? 0) > limitMs ? ['no order is acknowledged'] : []),
    ];
  }

  /** Milliseconds since the last acknowledged row through the pooler. */
  rowsSilentMs(): number {
    return this.rows.silentMs();
  }

  /** Begins a round: what came before is not of it. */
  begin(): void {
    this.keep(this.rows.take());
  }

  private keep({ acknowledged }: RowWindow): void {
    for (const row of acknowledged) {
      this.promised.push(row);
      if (!this.firstRows.has(row.timeline)) this.firstRows.set(row.timeline, row);
    }
  }

  /**
   * Ends a round: looks up everything that was acknowledged in it. Everybody goes on.
   * @param began of the round, in milliseconds since the epoch
   * @param master of Redis
   */
  async end(began: number, master: string): Promise<WatchedRound> {
    const window = this.rows.take();
    const isThere = await this.rows.there();
    const lost = lostRows(window.acknowledged, isThere);
    for (const { says } of lost) this.known.lostRows.add(says);
    const earlier = [...this.firstRows.values()];
    const dual = dualRows([...earlier, ...window.acknowledged]).filter((row) => !earlier.includes(row));
    this.keep(window);

    const orders = await this.orders?.result(this.target.door, this.target.login);
    const ordersLost = Math.max(0, (orders?.lost ?? 0) - this.known.orders);
    const ordersDouble = Math.max(0, (orders?.duplicates ?? 0) - this.known.ordersDouble);
    const ordersAcknowledged = (orders?.acknowledged ?? 0) - this.known.ordersAcknowledged;
    this.known.orders += ordersLost;
    this.known.ordersDouble += ordersDouble;
    this.known.ordersAcknowledged += ordersAcknowledged;

    const redis = await this.redis?.lookUp(master);
    const lostWrites = (redis?.lostWaited ?? []).filter((write) => !this.lostWrites.has(write));
    for (const write of lostWrites) this.lostWrites.add(write);
    const aloneLost = (redis?.lostAlone ?? []).filter((write) => !this.lostWrites.has(write));
    for (const write of aloneLost) this.lostWrites.add(write);
    const redisAcknowledged = (redis?.acknowledgedWaited ?? 0) - this.redisAcknowledged;
    this.redisAcknowledged += redisAcknowledged;

    return {
      ...window,
      acknowledged: window.acknowledged.length,
      lost: [
        ...lost,
        ...Array.from({ length: ordersLost }, (): Loss => ({ tier: 'orders', at: began, says: 'an order' })),
        ...lostWrites.map((write): Loss => ({ tier: 'redis', at: began, says: `the write ${write}` })),
      ],
      aloneLost: aloneLost.map((write): Loss => ({
        tier: 'redis',
        at: began,
        aloneUntil: Date.now(),
        says: `the write ${write}, which waited for no replica`,
      })),
      dualWrites: dual.length,
      dual: dual
        .slice(0, 3)
        .map(
          ({ writer, seq, timeline, node, at }) =>
            `row ${seq} of ${writer} on timeline ${timeline} of ${node} at ${new Date(at).toISOString()}`,
        ),
      ordersAcknowledged,
      ordersDouble,
      redisAcknowledged,
    };
  }

  /** Ends a round whose rows nobody can be asked for: none counts as acknowledged. */
  unverified(): WatchedRound {
    const none = {
      lost: [],
      aloneLost: [],
      dualWrites: 0,
      dual: [],
      ordersAcknowledged: 0,
      ordersDouble: 0,
      redisAcknowledged: 0,
    };
    return { ...this.rows.take(), acknowledged: 0, ...none };
  }

  /** Looks every row of the whole campaign up once more: what was there after its round, and is gone. */
  async lookUpAll(): Promise<Loss[]> {
    this.keep(this.rows.take());
    const isThere = await this.rows.there();
    return lostRows(this.promised, isThere).filter(({ says }) => !this.known.lostRows.has(says));
  }

  /** Stops everybody. */
  async stop(): Promise<void> {
    await Promise.all([this.rows.stop(), this.redis?.stop(), this.orders?.stop()]);
  }
}

const doorOf = (topology: NonNullable<ClusterTopology['redis']>) => ({
  topology,
  password: readSecret(topology.passwordFrom, process.env),
});
