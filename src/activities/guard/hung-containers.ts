import {
  failsItsCheck,
  HANGS_MS,
  hungContainer,
  lifeQuestions,
  lockOf,
  othersLike,
  RESTARTS,
} from '../../cluster/guard/ended-containers';
import type { LeftOver } from '../../cluster/guard/mending';
import { anyAnswers, type LifeQuestion } from '../../systems/sign-of-life';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { endAndStart, staysStopped } from '../end-and-start';
import { keptOf, lastKeptOf } from '../kept-attempts';
import { countAttempt } from '../start-again';
import { Overtaken } from '../still-mine';
import { messageOf, withinLimit } from './probe';

/** How long Docker may take to answer, in milliseconds. */
const LIMIT_MS = 1000;
/** How long a process may take for its last chance, in milliseconds: a machine without processor time is slow, and nobody hangs. */
const ANSWER_LIMIT_MS = 5000;
/**
 * One that was asked is asked again after this time at the earliest, in milliseconds, and where it may not be ended: others wait for the
 * same look.
 */
const ASK_EVERY_MS = 5000;
const ASK_IN_VAIN_EVERY_MS = 60_000;
/** One that was seen hanging before a gap as long as this may have been well in it, in milliseconds. */
const GAP_MS = 60_000;
/** One that was ended and started is well within this time, in milliseconds, or is waited for by its like no longer. */
const STARTS_MS = 60_000;

/** Asks from here; a test hands in its own. */
export type AskForLife = (name: string, questions: readonly LifeQuestion[]) => Promise<boolean>;

const askFromHere: AskForLife = (_name, questions) => anyAnswers(questions, ANSWER_LIMIT_MS);

/**
 * Ends and starts engines, HAProxy and Sentinels whose process hangs. Two independent ways have to agree: Docker's own check, which asks
 * from inside, and a question from here, to which any answer is life. Nothing is ended while a run holds the lock of its tier, nor beside
 * another one of its kind that was ended just now. What was tried is kept by this worker ({@link keptOf}).
 */
export class HungContainers {
  /** Where one is being ended: the names of those that have to go on meanwhile. */
  private readonly spared = new Set<string>();

  constructor(
    private readonly deps: Pick<ActivityDeps, 'docker' | 'lockHolder'>,
    private readonly access: Pick<ClusterAccess, 'name' | 'topology'>,
    private readonly mayAct: boolean,
    private readonly ask: AskForLife = askFromHere,
  ) {}

  /** What Docker has just said of one. @returns what is to be told; undefined where its check is well, or has not ended */
  see(name: string, state: { status: string; health?: string }): LeftOver | undefined {
    const now = performance.now();
    if (!failsItsCheck(state)) {
      const before = lastKeptOf(this.deps, name);
      delete before?.since;
      delete before?.answered;
      delete before?.problem;
      return undefined;
    }
    const seenAt = lastKeptOf(this.deps, name)?.seenAt ?? -Infinity;
    const kept = keptOf(this.deps, name, now);
    if (kept.since === undefined || now - seenAt >= GAP_MS) kept.since = now;
    return hungContainer(name, kept);
  }

  /**
   * Asks one whose check fails, once that has lasted, and ends and starts it where it does not answer. Never throws.
   * @returns what was done, in a sentence; undefined where nothing was
   */
  async mend(name: string): Promise<string | undefined> {
    const kept = lastKeptOf(this.deps, name);
    const now = performance.now();
    if (kept?.since === undefined || now - kept.since < HANGS_MS) return undefined;
    const mayTry = this.mayAct && (kept.restarts ?? 0) < RESTARTS && now >= kept.notBefore;
    const askedMs = now - (kept.askedAt ?? -Infinity);
    if (askedMs < ASK_EVERY_MS) return undefined;
    const mayEnd = mayTry && (await this.mayEnd(name));
    if (!mayEnd && askedMs < ASK_IN_VAIN_EVERY_MS) return undefined;
    const { topology } = this.access;
    const answered = await this.ask(name, lifeQuestions(name, topology));
    kept.askedAt = performance.now();
    kept.answered = answered;
    if (answered || !mayEnd || this.spared.has(name)) return undefined;
    const others = othersLike(name, topology);
    for (const each of others) this.spared.add(each);
    try {
      // A run may have begun while it was asked, or a person has frozen it.
      if (!failsItsCheck(await withinLimit(this.deps.docker.inspect(name), LIMIT_MS))) return undefined;
      if (!(await this.mayEnd(name))) return undefined;
      // The stretch before this one may have been at it while this one asked.
      if (performance.now() < kept.notBefore) return undefined;
      kept.triedAt = performance.now();
      countAttempt(kept, kept.triedAt, topology.guard);
      const started = await endAndStart(this.deps.docker, name);
      delete kept.problem;
      if (started) kept.restarts = (kept.restarts ?? 0) + 1;
      return started ? `${name} was started again: ${hungContainer(name, { answered }).says}` : staysStopped(name);
    } catch (error) {
      if (!(error instanceof Overtaken)) kept.problem = messageOf(error);
      return undefined;
    } finally {
      for (const each of others) this.spared.delete(each);
    }
  }

  /** No run holds the lock of its tier, and none of its kind was ended a moment ago. Where nobody can tell it may not. */
  private async mayEnd(name: string): Promise<boolean> {
    const { name: cluster, topology } = this.access;
    try {
      const holder = await withinLimit(this.deps.lockHolder(cluster, lockOf(name, topology)), LIMIT_MS);
      if (holder !== undefined) return false;
      const others = othersLike(name, topology);
      return !this.anyGoesFirst(name, others) && !(await this.anyStarts(others));
    } catch {
      return false;
    }
  }

  /** Another one hangs, too, and was tried less often: else the first one could keep it waiting by each of its own attempts. */
  private anyGoesFirst(name: string, names: readonly string[]): boolean {
    const now = performance.now();
    const attempts = lastKeptOf(this.deps, name)?.attempts ?? 0;
    return names.some((each) => {
      const its = lastKeptOf(this.deps, each);
      const hangs = its?.since !== undefined && its.answered !== true && now - its.seenAt < GAP_MS;
      return hangs && its.attempts < attempts;
    });
  }

  /** Another one was ended a moment ago, and Docker's check has not found it well since. @throws Error when Docker gives no answer */
  private async anyStarts(names: readonly string[]): Promise<boolean> {
    const now = performance.now();
    const lately = names.filter((each) => now - (lastKeptOf(this.deps, each)?.triedAt ?? -Infinity) < STARTS_MS);
    const states = await Promise.all(lately.map((each) => withinLimit(this.deps.docker.inspect(each), LIMIT_MS)));
    return states.some(({ status, health = 'healthy' }) => status !== 'running' || health !== 'healthy');
  }
}
