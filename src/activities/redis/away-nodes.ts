import { apartFrom, notConnected } from '../../cluster/redis/apart';
import { AWAY_MS, awayFrom, isLooping, type Away } from '../../cluster/redis/away';
import type { ObservedRedis } from '../../cluster/redis/observed';

/** Tells of nodes and Sentinels that have given no answer for long beside a master that is well, and of replicas that are not connected to it. */
export class AwayNodes {
  /** Since when each of them gives no answer, or is not connected, in milliseconds. */
  private readonly since = new Map<string, number>();
  /** Those that Docker was seen restarting since then. */
  private readonly looping = new Set<string>();
  private away: Away[] = [];
  private now = 0;

  /** What a look at everything has just shown beside that master. */
  see(observed: ObservedRedis, master: string, now: number): void {
    this.now = now;
    const apart = apartFrom(observed, master);
    // One that is being copied is not back before that is over: a copy may break off again and again.
    const waits = notConnected(observed, master);
    for (const { name, state, container } of [...observed.nodes, ...observed.sentinels]) {
      // One that reads its files is not back yet, and may end over them.
      const reads = state !== null && 'loading' in state && state.loading;
      if (state === null || apart.some((one) => one.name === name)) this.since.set(name, this.since.get(name) ?? now);
      else if (!reads && !waits.includes(name)) {
        this.since.delete(name);
        this.looping.delete(name);
      }
      if (state === null && isLooping(container)) this.looping.add(name);
    }
    this.away = [...awayFrom(observed, master, this.looping), ...apart];
  }

  /** Who is away for long, in a sentence without full stop, with the next command; undefined where nobody is. */
  get trouble(): string | undefined {
    const long = this.away.filter(({ name }) => this.now - (this.since.get(name) ?? this.now) >= AWAY_MS);
    const [first] = long;
    return first === undefined ? undefined : `${long.map(({ says }) => says).join('; ')}. Next: ${first.next}`;
  }

  /** There is one of which it is not known yet whether it is back in a moment. */
  get pending(): boolean {
    return this.away.length > 0 && this.trouble === undefined;
  }
}
