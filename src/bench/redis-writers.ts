import { setTimeout as sleep } from 'node:timers/promises';
import { openControl } from '../systems/redis';
import { RedisWriter, type RedisDoor } from './redis-writer';
import { patiently } from './writers';

/** What the clients lived through. Times are milliseconds. */
export interface RedisWindow {
  /** Writes that were begun. */
  attempts: number;
  acknowledged: number;
  /** Of these, of clients that wait for a replica. */
  acknowledgedWaited: number;
  /** Errors that a client saw although it is set to send again. */
  failed: number;
  /** Acknowledged writes that the master does not have, of clients that wait for a replica, and of the others. */
  lostWaited: number;
  lostUnwaited: number;
  /** Writes that the master has more than once, the same way. */
  duplicatesWaited: number;
  duplicatesUnwaited: number;
  /** Longest time between two acknowledgements of all clients together. */
  gapMs: number;
  /** The same of the clients that wait for a replica alone. */
  gapWaitedMs: number;
  /** The slowest acknowledged write, from its beginning on, whatever it took. */
  slowestMs: number;
  /** How often a client wrote anew what had not been confirmed: WAIT clients do it themselves. */
  resent: number;
  /** Clients that their library had given up, and that were made anew. */
  recreated: number;
  /** What the failures said, counted. */
  failures: Record<string, number>;
}

/** Clients of Redis, every second of which waits with `WAIT 1` for a replica. */
export class RedisWriters {
  private readonly writers: RedisWriter[];
  private loops: Promise<void>[] = [];
  private readonly last: Record<'all' | 'waited', number | undefined> = { all: undefined, waited: undefined };
  private readonly gap = { all: 0, waited: 0 };

  /**
   * @param prefix of the lists' keys
   * @param rate writes a second of each client
   */
  constructor(
    private readonly door: RedisDoor,
    private readonly prefix: string,
    clients: number,
    private readonly rate: number,
  ) {
    this.writers = Array.from(
      { length: clients },
      (_, index) => new RedisWriter(door, `${prefix}:${index}`, index % 2 === 0),
    );
  }

  /** Starts writing; returns when every client has had an acknowledgement. @throws Error when one has none after 10 s */
  async start(): Promise<void> {
    this.loops = this.writers.map((writer) => writer.write(1000 / this.rate, (waits) => this.acknowledge(waits)));
    for (const until = Date.now() + 10_000; this.writers.some(({ acknowledged }) => acknowledged.size === 0);) {
      if (Date.now() > until) throw new Error("the clients can't write to Redis");
      await sleep(20);
    }
    this.gap.all = this.gap.waited = 0;
  }

  private acknowledge(waits: boolean): void {
    for (const which of waits ? (['all', 'waited'] as const) : (['all'] as const)) {
      const now = performance.now();
      const last = this.last[which];
      if (last !== undefined) this.gap[which] = Math.max(this.gap[which], now - last);
      this.last[which] = now;
    }
  }

  /** Milliseconds since the last acknowledgement of any client that waits for a replica. */
  silentMs(): number {
    return performance.now() - (this.last.waited ?? performance.now());
  }

  acknowledgedSoFar(): number {
    return total(this.writers, ({ acknowledged }) => acknowledged.size);
  }

  failedSoFar(): number {
    return total(this.writers, ({ failed }) => failed);
  }

  /** Stops writing; a write that is under way may end. */
  async stop(limitMs = 5000): Promise<void> {
    for (const writer of this.writers) writer.end();
    await Promise.race([Promise.all(this.loops), sleep(limitMs)]);
    for (const writer of this.writers) writer.close();
  }

  /**
   * Looks every write up that has been acknowledged so far, while the clients go on.
   * @param master the node to ask
   * @returns writes of clients that wait for a replica: acknowledged ones, and those of them that the master does not have; and writes of
   *   the others that it does not have
   */
  async lookUp(master: string): Promise<{ acknowledgedWaited: number; lostWaited: string[]; lostAlone: string[] }> {
    // Only what was acknowledged before the look can be missed by it.
    const promised = this.writers.map(({ waits, list, acknowledged }) => ({ waits, list, ids: [...acknowledged] }));
    const kept = await this.kept(master, false);
    const lost = (wanted: boolean) =>
      promised
        .filter(({ waits }) => waits === wanted)
        .flatMap(({ list, ids }) => {
          const there = new Set(kept.get(list));
          return ids.filter((id) => !there.has(id)).map((id) => `${list} ${id}`);
        });
    const waited = promised.filter(({ waits }) => waits);
    return {
      acknowledgedWaited: total(waited, ({ ids }) => ids.length),
      lostWaited: lost(true),
      lostAlone: lost(false),
    };
  }

  /**
   * Looks every acknowledged write up on the master, and removes the lists. Call it once, after `stop`.
   * @param master the node to ask
   */
  async result(master: string): Promise<RedisWindow> {
    const kept = await this.kept(master, true);
    const of = (waits: boolean) => {
      const writers = this.writers.filter((writer) => writer.waits === waits);
      const lists = writers.map(({ list, acknowledged }) => compare(acknowledged, kept.get(list) ?? []));
      return {
        acknowledged: total(writers, ({ acknowledged }) => acknowledged.size),
        lost: total(lists, ({ lost }) => lost),
        duplicates: total(lists, ({ duplicates }) => duplicates),
      };
    };
    const [waited, unwaited] = [of(true), of(false)];
    const failures: Record<string, number> = {};
    for (const writer of this.writers)
      for (const [what, times] of Object.entries(writer.failures)) failures[what] = (failures[what] ?? 0) + times;
    return {
      attempts: total(this.writers, ({ attempts }) => attempts),
      acknowledged: waited.acknowledged + unwaited.acknowledged,
      acknowledgedWaited: waited.acknowledged,
      failed: this.failedSoFar(),
      lostWaited: waited.lost,
      lostUnwaited: unwaited.lost,
      duplicatesWaited: waited.duplicates,
      duplicatesUnwaited: unwaited.duplicates,
      gapMs: Math.round(this.gap.all),
      gapWaitedMs: Math.round(this.gap.waited),
      slowestMs: Math.round(Math.max(...this.writers.map(({ slowestMs }) => slowestMs))),
      resent: total(this.writers, ({ resent }) => resent),
      recreated: total(this.writers, ({ recreated }) => recreated),
      failures,
    };
  }

  /**
   * What the master has, by the lists' keys.
   * @param remove the lists are of no more use
   */
  private async kept(master: string, remove: boolean): Promise<Map<string, string[]>> {
    const { topology, password } = this.door;
    const node = topology.nodes.find(({ name }) => name === master);
    if (node === undefined) throw new Error(`the topology has no Redis node ${master}`);
    const redis = await patiently(() => openControl(node.address, password, 5000));
    try {
      const kept = new Map<string, string[]>();
      for (const { list } of this.writers) kept.set(list, await redis.lrange(list, 0, -1));
      if (remove) await redis.del(this.writers.flatMap(({ list }) => [list, `${list}:again`]));
      return kept;
    } finally {
      redis.disconnect();
    }
  }
}

/** What a list lacks, and what it has too often. */
export function compare(
  acknowledged: ReadonlySet<string>,
  kept: readonly string[],
): { lost: number; duplicates: number } {
  const there = new Set(kept);
  return { lost: [...acknowledged].filter((id) => !there.has(id)).length, duplicates: kept.length - there.size };
}

const total = <T>(all: readonly T[], of: (one: T) => number): number => all.reduce((sum, one) => sum + of(one), 0);
