import { mendingBackoffMs } from '../../cluster/guard/mending';
import type { GuardPolicy } from '../../cluster/guard/policy';
import type { ActivityDeps } from '../deps';
import { endAndStart, staysStopped } from '../end-and-start';
import { messageOf, withinLimit } from '../guard/probe';
import { keptOf } from '../kept-attempts';
import { accessRedis, withConnection } from './access';

/**
 * A node that has not answered for this long hangs, in milliseconds. A replica that drops a large set of keys before a copy, or runs a long
 * script, is busy for shorter, or says so.
 */
export const HANGS_MS = 30_000;
/** How long Docker may take to answer, in milliseconds. */
const LIMIT_MS = 1000;
/** It gives no answer here, and one to Docker's check: it is looked at again after this time, in milliseconds. */
const LOOK_AGAIN_MS = 5000;
/** How long the node may take for its last chance, in milliseconds. */
const ANSWER_LIMIT_MS = 2000;

/** One that gives no answer. Times in milliseconds. */
interface Silent {
  since: number;
  busy: boolean;
  /** Why the last attempt was in vain. */
  trouble?: string;
}

/**
 * Ends and starts Redis nodes whose process hangs beside a master that is well: Docker restarts what ended, and not what hangs. Two ways
 * have to agree: no answer here, and none to Docker's own check, which asks from inside. The watch of the master waits for none of it. Attempts are kept when a node answers, and over the stretches of the watch
 * ({@link keptOf}), so that one that hangs again and again is left in peace for longer.
 */
export class HungNodes {
  private readonly silent = new Map<string, Silent>();
  private says: string[] = [];

  constructor(
    private readonly deps: ActivityDeps,
    private readonly cluster: string,
    private readonly policy: Pick<GuardPolicy, 'backoff'>,
  ) {}

  /** What was started since this was last asked, each in a sentence. */
  takeStarted(): string[] {
    return this.says.splice(0);
  }

  /** Why one goes on to hang, in a sentence without full stop; undefined where none does. It is tried again after the back-off. */
  get trouble(): string | undefined {
    return [...this.silent.values()].find(({ trouble }) => trouble !== undefined)?.trouble;
  }

  /**
   * The nodes that a look at everything has just shown as running without an answer. One that is not among them any more hangs no more.
   * @param now milliseconds on the clock that only goes forward, which is the same in each stretch (steadyMs)
   */
  see(names: readonly string[], now: number): void {
    for (const name of this.silent.keys()) if (!names.includes(name)) this.silent.delete(name);
    for (const name of names) if (!this.silent.has(name)) this.silent.set(name, { since: now, busy: false });
  }

  /** Begins to end and start those that have been silent for long. To be called only while the master answers. Never throws. */
  restartDue(now: number): void {
    for (const [name, silent] of this.silent) {
      const kept = keptOf(this.deps, name, now);
      const { attempts, notBefore } = kept;
      if (silent.busy || now < notBefore || now - silent.since < HANGS_MS) continue;
      silent.busy = true;
      kept.attempts = attempts + 1;
      kept.notBefore = now + Math.max(HANGS_MS, mendingBackoffMs(attempts + 1, this.policy));
      void this.restart(name).then(
        (says) => {
          silent.busy = false;
          delete silent.trouble;
          if (says !== undefined) this.says.push(says);
          // Nothing was done, and it is looked at again soon.
          else Object.assign(kept, { attempts, notBefore: now + LOOK_AGAIN_MS });
        },
        (error: unknown) => {
          silent.busy = false;
          silent.trouble = `${name} hangs, and could not be ended and started: ${messageOf(error)}`;
        },
      );
    }
  }

  /** @returns what was done; undefined where it does not hang, or a run has Redis. @throws Error when it does not end, or start */
  private async restart(name: string): Promise<string | undefined> {
    const { docker } = this.deps;
    const { status, health } = await withinLimit(docker.inspect(name), LIMIT_MS);
    if (status !== 'running' || health !== 'unhealthy' || (await this.answers(name))) return undefined;
    if ((await this.deps.lockHolder(this.cluster, 'redis')) !== undefined) return undefined;
    const started = await endAndStart(docker, name);
    this.silent.delete(name);
    return started
      ? `${name} was ended and started again: it ran, and its process answered nobody`
      : staysStopped(name);
  }

  /** An error that Redis itself says is an answer: a wrong password, a script that goes on. */
  private async answers(name: string): Promise<boolean> {
    const access = accessRedis(this.deps, this.cluster);
    return withConnection(access.node(name, ANSWER_LIMIT_MS), (client) => client.role()).then(
      () => true,
      (error: unknown) => (error as Error).name === 'ReplyError',
    );
  }
}
