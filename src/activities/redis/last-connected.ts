import { SILENT_MS } from '../../cluster/redis/decision';
import { answeringNodes, upstreamOf } from '../../cluster/redis/observed';
import type { RedisRound } from '../../cluster/redis/watch';

/** What was seen before a gap as long as this, in milliseconds, says nothing of what became of a replica in it. */
const GAP_MS = 10_000;

/**
 * Which replicas of one master were connected to it when it was last heard, as the watches on this worker saw them. A replica that was
 * killed tells nothing of that any more, and one that is started reads its files, of whatever age they are. All times in milliseconds on
 * the clock that only goes forward.
 */
export class LastConnected {
  /** Since when a replica has not been connected to a master that answers; null while it is. Absent: it was never seen connected. */
  private readonly lostAt = new Map<string, number | null>();
  private heardAt = -Infinity;
  private seenAt = -Infinity;

  constructor(readonly master: string) {}

  /** One round of questions, in order. */
  see({ answer, picture }: Pick<RedisRound, 'answer' | 'picture'>, now: number): void {
    if (now - this.seenAt > GAP_MS) this.lostAt.clear();
    this.seenAt = now;
    if (!answer.answered || answer.role === 'replica') return;
    this.heardAt = now;
    if (picture === undefined) return;
    const connected = answeringNodes(picture)
      .filter((node) => node.state.upstream?.up === true && upstreamOf(picture, node) === this.master)
      .map(({ name }) => name);
    for (const name of this.lostAt.keys())
      if (!connected.includes(name) && this.lostAt.get(name) === null) this.lostAt.set(name, now);
    for (const name of connected) this.lostAt.set(name, null);
  }

  /** Whether a replica was connected until the master was last heard, or lost it in the last {@link SILENT_MS} before that. */
  hadAll(replica: string): boolean {
    const lostAt = this.lostAt.get(replica);
    return lostAt === null || (lostAt !== undefined && this.heardAt - lostAt <= SILENT_MS);
  }
}

const remembered = new WeakMap<object, Map<string, LastConnected>>();

/** What this worker knows of the replicas of a cluster's master; nothing yet where another one was the master before. */
export function lastConnectedTo(deps: object, cluster: string, master: string): LastConnected {
  const clusters = remembered.get(deps) ?? new Map<string, LastConnected>();
  remembered.set(deps, clusters);
  const known = clusters.get(cluster);
  if (known?.master === master) return known;
  const made = new LastConnected(master);
  clusters.set(cluster, made);
  return made;
}
