import { RESTART_MS } from '../../cluster/guard/ended-containers';
import { containerWords, isKilled } from '../../cluster/guard/mending';
import type { GuardPolicy } from '../../cluster/guard/policy';
import type { Startable } from '../../cluster/redis/masterless';
import type { ActivityDeps } from '../deps';
import { messageOf } from '../guard/probe';
import { countAttempt, isDue, noAttempts, startAgain, type Attempts } from '../start-again';
import { howItEnded } from '../how-it-ended';

/** How long Docker may take to answer, in milliseconds. */
const LIMIT_MS = 1000;

/** One that was killed. */
interface Left extends Attempts {
  /** An attempt is under way. */
  busy: boolean;
  /** Why the last attempt was in vain. */
  trouble?: string;
}

/**
 * Starts Redis nodes that were killed. Docker starts one again that crashed, and not one that was killed from outside. The watch of the
 * master waits for none of it.
 */
export class KilledNodes {
  private readonly left = new Map<string, Left>();
  private says: string[] = [];

  constructor(
    private readonly deps: Pick<ActivityDeps, 'docker' | 'lockHolder'>,
    private readonly cluster: string,
    private readonly policy: Pick<GuardPolicy, 'backoff'>,
  ) {}

  /** What was started since this was last asked, each in a sentence. */
  takeStarted(): string[] {
    return this.says.splice(0);
  }

  /** Why one does not start, in a sentence without full stop; undefined where all do. It is tried again after the back-off. */
  get trouble(): string | undefined {
    return [...this.left.values()].find(({ trouble }) => trouble !== undefined)?.trouble;
  }

  /** One is being started at this moment. */
  get busy(): boolean {
    return [...this.left.values()].some(({ busy }) => busy);
  }

  /** There is one of which it is not known yet whether it starts. */
  get pending(): boolean {
    return [...this.left.values()].some(({ trouble }) => trouble === undefined);
  }

  /** The nodes that a look at everything has just shown as killed. One that is not among them any more is forgotten. */
  see(names: readonly string[], now: number): void {
    for (const name of this.left.keys()) if (!names.includes(name)) this.left.delete(name);
    for (const name of names) if (!this.left.has(name)) this.left.set(name, { ...noAttempts(now), busy: false });
  }

  /**
   * Begins to start those that Docker has not started by now. Never throws.
   * @param may those that may be started as things are
   */
  startDue(now: number, { nodes, settleMs = RESTART_MS }: Startable): void {
    for (const [name, left] of this.left) {
      if (left.busy || !nodes.includes(name) || !isDue(left, now, settleMs)) continue;
      left.busy = true;
      countAttempt(left, now, this.policy);
      void this.start(name).then(
        (says) => {
          left.busy = false;
          if (says !== undefined) this.says.push(says);
        },
        (error: unknown) => {
          left.busy = false;
          left.trouble = `${name} was killed, and could not be started: ${messageOf(error)}`;
        },
      );
    }
  }

  /** @returns what was done; undefined where it is killed no more, or a run has Redis. @throws Error when it does not start */
  private async start(name: string): Promise<string | undefined> {
    const container = await howItEnded(this.deps.docker, name, LIMIT_MS);
    if (!isKilled(container)) {
      this.left.delete(name);
      return undefined;
    }
    // It may have killed the node itself, and start it a moment later.
    if ((await this.deps.lockHolder(this.cluster, 'redis')) !== undefined) {
      this.left.delete(name);
      return undefined;
    }
    await startAgain(this.deps.docker, name);
    this.left.delete(name);
    return `${name} was started again: ${containerWords(container)}`;
  }
}
