import type { LeftOver, MembersRound } from '../../cluster/guard/mending';
import type { ActivityDeps } from '../deps';

/** So much between two looks, in milliseconds, and nobody knows what was in between: counting begins anew. */
const GAP_MS = 5000;

interface Since {
  key: string;
  /** Since when it has been so, by a clock that nobody sets. */
  at: number;
  /** When it was found last. */
  foundAt: number;
}

/**
 * Since when each node has been as it should not be. A stretch of watching ends for many reasons, and a look may say nothing of a node:
 * neither makes a node well, so neither begins the count anew.
 */
export class Astray {
  private readonly since = new Map<string, Since>();

  /** What this worker knows of a cluster, also from the stretches before. */
  static of(deps: ActivityDeps, cluster: string): Astray {
    const clusters = remembered.get(deps) ?? new Map<string, Astray>();
    remembered.set(deps, clusters);
    const known = clusters.get(cluster) ?? new Astray();
    clusters.set(cluster, known);
    return known;
  }

  /**
   * Takes note of a look.
   * @param now milliseconds of a clock that nobody sets
   * @param anew nodes at which an attempt has just ended: what it left has its own time
   */
  look(found: readonly LeftOver[], round: MembersRound, now: number, anew: readonly string[] = []): void {
    for (const [node, { foundAt }] of this.since) {
      const here = found.some((each) => each.node === node);
      if (now - foundAt > GAP_MS || (!here && !saysNothing(node, round))) this.since.delete(node);
    }
    for (const { node, key } of found) {
      const before = this.since.get(node);
      const at = before?.key === key && !anew.includes(node) ? before.at : now;
      this.since.set(node, { key, at, foundAt: now });
    }
  }

  /** For how long a node has been so, in milliseconds; 0 where that has just begun. */
  forMs(node: string, now: number): number {
    return now - (this.since.get(node)?.at ?? now);
  }
}

/** By cluster; the key is what a worker's activities are made of. */
const remembered = new WeakMap<ActivityDeps, Map<string, Astray>>();

/** Where nobody takes writes, or two do, nothing is told of a single node; and Docker may give no answer about one. */
function saysNothing(node: string, { writable, members }: MembersRound): boolean {
  const member = members.find(({ name }) => name === node);
  return member !== undefined && (writable.length !== 1 || member.container.status === 'unknown');
}
