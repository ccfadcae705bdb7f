import { mendingBackoffMs, type LeftOver } from '../../cluster/guard/mending';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { endAndStart, staysStopped } from '../end-and-start';
import { wakeAgent } from '../wake-agent';
import { messageOf, withinLimit } from './probe';

/** How long Docker may take to answer, in milliseconds. */
const LIMIT_MS = 1000;
/** A pooler at which clients are well for this long after its start is whole: the next time counts anew. In milliseconds. */
const WELL_MS = 60_000;

/**
 * Ends and starts a pooler whose agent is silent, and at which no client gets an answer although the primary takes writes: every client
 * hangs by then, and the restart costs none of them anything. The agent is woken first, where somebody only stopped that. A container
 * that is paused, or that a person stopped, stays as it is.
 */
export class HungPooler {
  private attempts = 0;
  private notBefore = -Infinity;
  private triedAt = -Infinity;
  private startedSays: string[] = [];
  private mayStart = false;
  /** Why it could not be restarted when that was tried last. */
  private problem: string | undefined;

  private constructor(
    private readonly deps: Pick<ActivityDeps, 'docker' | 'lockHolder'>,
    private readonly access: ClusterAccess,
  ) {}

  /** What this worker knows of a pooler, also from the stretches before: each restart ends one with its news. */
  static of(deps: Pick<ActivityDeps, 'docker' | 'lockHolder'>, access: ClusterAccess, mayStart: boolean): HungPooler {
    const poolers = remembered.get(deps) ?? new Map<string, HungPooler>();
    remembered.set(deps, poolers);
    const hung = poolers.get(access.poolerName) ?? new HungPooler(deps, access);
    poolers.set(access.poolerName, hung);
    hung.mayStart = mayStart;
    return hung;
  }

  takeStarted(): string[] {
    return this.startedSays.splice(0);
  }

  /** A client got an answer. */
  isWell(now: number): void {
    if (now - this.triedAt >= WELL_MS) this.attempts = 0;
    this.problem = undefined;
  }

  /**
   * Ends and starts it, unless its time has not come, its container does not run, or its agent was only stopped. Never throws; what kept
   * it from that is added to what is told.
   * @returns whether something has changed: then clients are to be asked anew
   */
  async restart(found: LeftOver, now: number): Promise<boolean> {
    const { says } = found;
    if (await this.restartNow(says, now)) return true;
    if (this.problem !== undefined) found.says = `${says}; it could not be restarted: ${this.problem}`;
    return false;
  }

  private async restartNow(says: string, now: number): Promise<boolean> {
    const { docker } = this.deps;
    const { poolerName } = this.access;
    if (!this.mayStart || now < this.notBefore) return false;
    try {
      if (await wakeAgent(docker, poolerName)) return true;
      if ((await withinLimit(docker.inspect(poolerName), LIMIT_MS)).status !== 'running') return false;
      // A run may have taken the lock in the meantime: it holds clients, or restarts the pooler itself.
      if ((await this.deps.lockHolder(this.access.name)) !== undefined) return false;
      this.attempts += 1;
      this.triedAt = now;
      this.notBefore = now + mendingBackoffMs(this.attempts, this.access.topology.guard);
      const started = await endAndStart(docker, poolerName);
      this.startedSays.push(started ? `${poolerName} was ended and started again: ${says}` : staysStopped(poolerName));
      this.problem = undefined;
      return true;
    } catch (error) {
      this.problem = messageOf(error);
      return false;
    }
  }
}

const remembered = new WeakMap<Pick<ActivityDeps, 'docker' | 'lockHolder'>, Map<string, HungPooler>>();
