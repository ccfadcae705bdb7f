import { steadyMs } from '../clock';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { requireNoPrimary } from './no-primary';

/** A look follows the one before it after this time, in milliseconds. */
const LOOK_EVERY_MS = 1000;
/** A look that is older says nothing, in milliseconds. */
const FRESH_MS = 3000;

/**
 * Whether commits could be let go on without a standby, as far as the other nodes go. A run that holds the lock may be about to end the
 * very node that stands in the way: where relaxing would be refused for it, to ask that run to give way would only keep it from that.
 */
export class RelaxingProof {
  private provenAt: number | undefined;
  private lookedAt: number | undefined;
  private looking = false;

  constructor(
    private readonly deps: Pick<ActivityDeps, 'docker'>,
    private readonly access: Pick<ClusterAccess, 'agent' | 'name' | 'topology'>,
    private readonly primary: string | null,
  ) {}

  /** Whether the newest look proved that no other node is a primary. Has another look made beside; waits for none. */
  holds(): boolean {
    void this.look();
    return this.provenAt !== undefined && steadyMs() - this.provenAt < FRESH_MS;
  }

  /** Never throws. */
  private async look(): Promise<void> {
    if (this.looking || (this.lookedAt !== undefined && steadyMs() - this.lookedAt < LOOK_EVERY_MS)) return;
    this.looking = true;
    const others = this.access.topology.postgres.nodes.filter(({ name }) => name !== this.primary);
    try {
      await Promise.all(others.map(({ name }) => requireNoPrimary(this.deps, this.access, name)));
      this.provenAt = steadyMs();
    } catch {
      this.provenAt = undefined;
    } finally {
      this.looking = false;
      this.lookedAt = steadyMs();
    }
  }
}
