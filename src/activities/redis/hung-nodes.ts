import { mendingBackoffMs, wasStoppedByHand } from '../../cluster/guard/mending';
import type { GuardPolicy } from '../../cluster/guard/policy';
import type { ActivityDeps } from '../deps';
import { endAndStart, staysStopped } from '../end-and-start';
import { endContainer } from '../end-container';
import { messageOf, withinLimit } from '../guard/probe';
import { howItEnded } from '../how-it-ended';
import { keptOf } from '../kept-attempts';
import { startAgain } from '../start-again';
import { accessRedis, withConnection } from './access';

/**
 * A node that has not answered for this long hangs, in milliseconds. A replica that drops a large set of keys before a copy, or runs a long
 * script, is busy for shorter, or says so.
 */
export const HANGS_MS = 30_000;
/** How long Docker may take to answer, in milliseconds. */
const LIMIT_MS = 1000;
/** How long the engine may take to say how one ended, in milliseconds. */
const SAYS_LIMIT_MS = 5000;
/** One that was seen hanging before a gap as long as this may have been well in it, in milliseconds. */
const GAP_MS = 10_000;
/** It gives no answer here, and one to Docker's check: it is looked at again after this time, in milliseconds. */
const LOOK_AGAIN_MS = 5000;
/** How long the node may take for its last chance, in milliseconds. */
const ANSWER_LIMIT_MS = 2000;

/** One that gives no answer. Times in milliseconds. */
interface Silent {
  since: number;
  busy: boolean;
  /** It is the master, and nobody can take over from it. */
  leads: boolean;
  /** Why the last attempt was in vain. */
  trouble?: string;
}

/**
 * Ends and starts Redis nodes whose process hangs: beside a master that is well, or as the master from which nobody can take over. Docker
 * restarts what ended, and not what hangs. Two ways have to agree: no answer here, and none to Docker's own check, which asks from inside.
 * The watch of the master waits for none of it. Attempts are kept when a node answers, and over the stretches of the watch
 * ({@link keptOf}), so that one that hangs again and again is left in peace for longer; since when one hangs is kept over the stretches,
 * too, since each run that is refused begins a new one.
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

  /** One is being ended and started at this moment, or asked for the last time. */
  get busy(): boolean {
    return [...this.silent.values()].some(({ busy }) => busy);
  }

  /** This one is, as the master. */
  revives(name: string): boolean {
    const silent = this.silent.get(name);
    return silent !== undefined && silent.busy && silent.leads;
  }

  /**
   * The nodes that a look at everything has just shown as running without an answer. One that is not among them any more hangs no more.
   * @param now milliseconds on the clock that only goes forward, which is the same in each stretch (steadyMs)
   * @param leads it is the master, and nobody can take over from it: one that is frozen counts, too
   */
  see(names: readonly string[], now: number, leads = false): void {
    const counted = countedBy(this.deps);
    for (const name of this.silent.keys())
      if (!names.includes(name)) {
        this.silent.delete(name);
        counted.delete(name);
      }
    for (const name of names) {
      const before = counted.get(name);
      const since = before === undefined || now - before.seenAt >= GAP_MS ? now : before.since;
      counted.set(name, { since, seenAt: now });
      const silent = this.silent.get(name);
      if (silent === undefined) this.silent.set(name, { since, busy: false, leads });
      else silent.leads = leads;
    }
  }

  /** Begins to end and start those that have been silent for long. Never throws. */
  restartDue(now: number): void {
    for (const [name, silent] of this.silent) {
      const kept = keptOf(this.deps, name, now);
      const { attempts, notBefore } = kept;
      if (silent.busy || now < notBefore || now - silent.since < HANGS_MS) continue;
      silent.busy = true;
      kept.attempts = attempts + 1;
      kept.notBefore = now + Math.max(HANGS_MS, mendingBackoffMs(attempts + 1, this.policy));
      void this.restart(name, silent.leads).then(
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
  private async restart(name: string, leads: boolean): Promise<string | undefined> {
    const { docker } = this.deps;
    const { status, health } = await withinLimit(docker.inspect(name), LIMIT_MS);
    const frozen = leads && status === 'paused';
    if (!frozen && (status !== 'running' || health !== 'unhealthy')) return undefined;
    if ((await this.answers(name)) || (await this.holder()) !== undefined) return undefined;
    const why = frozen ? 'it was frozen, and nobody could take over' : 'it ran, and its process answered nobody';
    const done = leads ? await this.restartMaster(name, why) : await endAndStart(docker, name);
    this.silent.delete(name);
    countedBy(this.deps).delete(name);
    if (typeof done === 'string') return done;
    return done ? `${name} was ended and started again: ${why}` : staysStopped(name);
  }

  /**
   * The same of the master. A run that has taken the lock meanwhile may have a replica take over, and starts the old master itself: started
   * here it could take writes beside that one.
   * @returns whether it was started; a sentence where a run goes on with it
   */
  private async restartMaster(name: string, why: string): Promise<boolean | string> {
    const { docker } = this.deps;
    await endContainer(docker, name);
    if (wasStoppedByHand(await howItEnded(docker, name, SAYS_LIMIT_MS))) return false;
    const holder = await this.holder();
    if (holder !== undefined) return `${name} was ended: ${why}; run ${holder} goes on with it`;
    await startAgain(docker, name);
    return true;
  }

  private holder(): Promise<string | undefined> {
    return this.deps.lockHolder(this.cluster, 'redis');
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

/** Since when nodes hang, by name, and when each was seen so last, on the clock that only goes forward. */
const counts = new WeakMap<object, Map<string, { since: number; seenAt: number }>>();

function countedBy(deps: object): Map<string, { since: number; seenAt: number }> {
  const known = counts.get(deps);
  if (known !== undefined) return known;
  const made = new Map<string, { since: number; seenAt: number }>();
  counts.set(deps, made);
  return made;
}
