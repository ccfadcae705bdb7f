import { ApplicationFailure, patched, sleep } from '@temporalio/workflow';
import type { ClusterDescription } from '../activities';
import { commandsOf, refusalSentence, splitNext } from '../cluster/check';
import { durationMs, formatMs } from '../cluster/duration';
import type { LockName } from '../cluster/locks';
import { redisFailover, redisStatus, startContainer } from '../cluster/redis/commands';
import { decideRedis } from '../cluster/redis/decide';
import type { RedisDecision, RedisRequest } from '../cluster/redis/decision';
import { redisMembers } from '../cluster/redis/members';
import type { ObservedRedis } from '../cluster/redis/observed';
import { planRedis, type DecidedRedis } from '../cluster/redis/plan';
import { moveProof } from '../cluster/redis/proof';
import type { RedisTopology } from '../cluster/topology';
import { planHeadline, planQuestion } from '../report/runbooks';
import type { RedisFailoverRequest } from './redis-input';
import { redisSteps, type RedisStory } from './redis-steps';
import { act, reading } from './runbook/activity-options';
import { approvedOrEnd, warnOf } from './runbook/ask';
import { aloneOrEnd, describeCluster, letGo, lockOrEnd, othersOf } from './runbook/begin';
import type { Run } from './runbook/run';
import { initialStepStates, rootMessage, rootType, runSteps, type StepsOutcome } from './runbook/runner';
import type { Report } from './run-state';

/** How often the lock is asked for, a second apart: a run that is about to end may hold it. */
const LOCK_TRIES = 3;

/** A master that froze this moment was heard of a moment ago: how often is looked, with how many milliseconds between. */
const LOOKS = 6;
const LOOK_AGAIN_MS = 300;

/** Looks, decides between a move, a forced failover and a repair, asks, carries out, verifies and reports. */
export function conductRedisRun(run: Run, request: RedisFailoverRequest): Promise<Report> {
  return new RedisRun(run, request).conduct();
}

class RedisRun {
  private readonly story: RedisStory = {};
  private described!: ClusterDescription;
  private topology!: RedisTopology;
  private before: Report['redisBefore'];
  /** Why writes acknowledged with WAIT 1 may be lost too, by the last look before the failover. */
  private doubt: string | undefined;
  /** Why nobody knows whether they are, by the same look. */
  private unseen: string | undefined;

  constructor(
    private readonly run: Run,
    private readonly request: RedisFailoverRequest,
  ) {}

  async conduct(): Promise<Report> {
    const { run, request } = this;
    const { state } = run;
    const ahead = this.beginAhead();
    this.described = await describeCluster(request.cluster);
    state.cluster = this.described.name;
    this.topology = redisOf(this.described);
    run.enter('checking', 'Taking the lock of Redis');
    const locked = (await ahead?.lock) === true;
    if (request.mode === 'run' && !locked) {
      const busy = await lockOrEnd(run, redisFailover(state.cluster), { tries: LOCK_TRIES });
      if (busy !== undefined) return busy;
    }
    const { soak } = this.described.topology;
    const first = await this.look(this.question(), locked ? await ahead?.picture : undefined);
    this.before = state.redis;
    if ('report' in first) return first.report;
    const { decision } = first;
    if (request.mode === 'run') {
      const busy = await aloneOrEnd(run, redisFailover(state.cluster), this.beside(decision));
      if (busy !== undefined) return busy;
    }
    const soakMs = request.soak === undefined ? soak : durationMs(request.soak);
    const { steps: planned, ...hold } = planRedis(this.topology, decision, soakMs, this.described.handover);
    state.plan = {
      kind: decision.kind === 'none' ? 'repair' : decision.kind,
      primary: decision.source,
      target: decision.target,
      protection: this.described.topology.protection,
      steps: planned.map(({ fault: _fault, ...step }) => step),
      ...hold,
    };
    const again = redisFailover(state.cluster, decision.kind === 'repair' ? '' : `--to ${decision.target}`);
    if (request.mode === 'plan')
      return run.end(
        'planned',
        `All checks passed. Nothing was changed. The plan: ${planHeadline(state.runbook, state.plan)}`,
        {
          ...this.rest(decision),
          plan: state.plan,
          next: [{ command: again, why: 'carries the plan out' }],
        },
      );
    if (decision.without !== undefined) this.story.without = decision.without;
    const steps = redisSteps(run, decision, planned, soakMs, this.story);
    state.steps = initialStepStates(steps);
    if (request.approval === 'required') {
      const ended = await this.ask(decision, again);
      if (ended !== undefined) return ended;
    }
    run.enter('running', 'Starting');
    const outcome = await runSteps(steps, state.steps, run);
    letGo(run);
    await this.observe().catch(() => run.warn('Redis could not be looked at once more'));
    return this.end(decision, outcome, again);
  }

  /**
   * A run that is told which master failed takes the lock and looks at Redis while the topology is read: writes fail until it is
   * done. What it sees before the lock is its own counts for a forced failover only, which proves everything again right before.
   */
  private beginAhead(): { lock: Promise<boolean>; picture: Promise<ObservedRedis | undefined> } | undefined {
    const { run, request } = this;
    const { cluster, only, expectedMaster, mode } = request;
    if (cluster === undefined || only === undefined || expectedMaster === undefined || mode === 'plan')
      return undefined;
    run.state.cluster = cluster;
    const lock = run.lock();
    // An unknown cluster is told by the topology.
    lock.catch(() => undefined);
    return { lock, picture: this.observe().catch(() => undefined) };
  }

  /** What must not be under way beside it. Only a planned move waits for others: what replaces or mends a failed master does not. */
  private beside({ kind }: DecidedRedis): readonly LockName[] {
    return kind === 'planned' ? othersOf(this.run, this.described) : [];
  }

  private question(): RedisRequest {
    const { target, expectedMaster, only, leaveStopped } = this.request;
    return {
      ...(target === undefined ? {} : { target }),
      ...(expectedMaster === undefined ? {} : { expectedMaster }),
      ...(only === undefined ? {} : { only }),
      ...(leaveStopped === undefined ? {} : { leaveStopped }),
    };
  }

  private async observe() {
    const { state } = this.run;
    const observed = await act(reading, 'Look at Redis and its Sentinels').observeRedis(state.cluster);
    state.redis = redisMembers(observed);
    return observed;
  }

  /** A run that began when something was not looked at yet is replayed as it went. */
  private decide(observed: ObservedRedis, question: RedisRequest): RedisDecision {
    const decide = (asked: RedisRequest) => decideRedis(this.topology, observed, asked);
    const byDeafest: RedisRequest = { ...question, byDeafest: true };
    const leaving: RedisRequest = { ...byDeafest, leaveApart: true };
    const judged = newer(decide(question), decide(byDeafest), () => patched('fresh-redis'));
    const decision = newer(judged, decide(leaving), () => patched('apart-redis'));
    const before = decide({ ...leaving, asBefore: true });
    return newer(decision, before, () => patched('killed-and-empty-redis'));
  }

  /** Observes and decides. Ends the run when it is refused, or when there is nothing to do. */
  private async look(
    question: RedisRequest,
    seen?: ObservedRedis,
  ): Promise<{ report: Report } | { decision: DecidedRedis }> {
    const { run } = this;
    const { state } = run;
    let decision = this.decide(seen ?? (await this.observe()), question);
    if (seen !== undefined && decision.kind !== 'forced') decision = this.decide(await this.observe(), question);
    for (let looks = 1; looks < LOOKS && isRefusedBy(decision, 'I2'); looks++) {
      run.changed('The master is silent, and others heard from it a moment ago; looking again');
      await sleep(LOOK_AGAIN_MS, { summary: 'Until the others would have heard from the master again' });
      decision = this.decide(await this.observe(), question);
    }
    state.checks = decision.checks;
    this.doubt = decision.doubt;
    this.unseen = decision.unseen;
    const refusal = refusalSentence(decision.checks, 'Nothing was changed');
    if (refusal !== undefined)
      return {
        report: run.end('refused', refusal, {
          ...this.rest(decision),
          next: commandsOf(decision.checks),
        }),
      };
    const { source, target, alreadyDone } = decision;
    if (alreadyDone !== undefined)
      return {
        report: run.end('completed', `${alreadyDone}. Nothing was changed`, {
          ...this.rest(decision),
          ...(target === undefined ? {} : { primaryAfter: target }),
          ...(state.redis === undefined ? {} : { redisAfter: state.redis }),
        }),
      };
    if (source === undefined || target === undefined)
      throw ApplicationFailure.nonRetryable('the checks named neither a master nor a refusal', 'Failed');
    // What is mended, and that no master answers, is the reason of the run, and no warning about it.
    warnOf(
      run,
      decision.checks.filter(({ id }) => decision.kind === 'planned' || id !== 'L3'),
    );
    return { decision: { ...decision, source, target } };
  }

  /** Waits for approval, and looks once more then: the plan must still be the one approved. */
  private async ask(decision: DecidedRedis, again: string): Promise<Report | undefined> {
    const { run } = this;
    const { state } = run;
    const rest = this.rest(decision);
    const ended = await approvedOrEnd(run, {
      asks: planQuestion(state.runbook, state.plan),
      approvalTimeout: this.request.approvalTimeout,
      usualMs: this.described.topology.approvalTimeout,
      again,
      lock: { tries: LOCK_TRIES, alone: this.beside(decision) },
      rest,
    });
    if (ended !== undefined) return ended;
    run.enter('checking', 'Approved; looking once more');
    const second = await this.look({
      ...this.question(),
      ...(decision.kind === 'repair' ? {} : { target: decision.target, expectedMaster: decision.source }),
    });
    if ('report' in second) return second.report;
    if (sameAs(decision, second.decision)) return undefined;
    return run.end(
      'refused',
      `A1: what was approved is no longer what would be done: ${second.decision.kind}, ${second.decision.source} to ${second.decision.target} (approved: ${decision.kind}, ${decision.source} to ${decision.target}). Nothing was changed. Next: ${again}`,
      { ...rest, next: [{ command: again, why: 'plans it anew' }] },
    );
  }

  private rest({ source }: Pick<RedisDecision, 'source'>): Partial<Report> {
    const { move } = this.story;
    return {
      ...(source === undefined ? {} : { primaryBefore: source }),
      ...(this.before === undefined ? {} : { redisBefore: this.before }),
      ...(move?.heldMs == null ? {} : { heldMs: move.heldMs }),
    };
  }

  private end(decision: DecidedRedis, outcome: StepsOutcome, again: string): Report {
    const { run, story } = this;
    const { state } = run;
    const { source, target, kind } = decision;
    const moved = story.move !== undefined;
    const rest: Partial<Report> = {
      ...this.rest(decision),
      ...(state.redis === undefined ? {} : { redisAfter: state.redis }),
    };
    const status = { command: redisStatus(state.cluster), why: 'shows what is' };
    const start = { command: startContainer(source), why: `has ${source} come back as a replica` };
    switch (outcome.kind) {
      case 'done':
        return run.end('completed', this.done(decision), {
          ...rest,
          primaryAfter: target,
          ...(story.without === undefined ? {} : { next: [...(staysStopped(decision) ? [start] : []), status] }),
        });
      case 'aborted':
        return run.end('aborted', `${outcome.why}. ${kind === 'repair' ? this.mended() : 'Everything was put back'}`, {
          ...rest,
          next: [status],
        });
      case 'rolled back': {
        const { what, next } = splitNext(rootMessage(outcome.cause));
        const refused = rootType(outcome.cause) === 'Refused';
        const asBefore =
          kind === 'planned' ? `. ${source} is the master as before` : kind === 'repair' ? `. ${this.mended()}` : '';
        return run.end(
          refused ? 'refused' : 'rolled back',
          `${refused ? what : `Step "${outcome.step}" failed: ${what}`}${asBefore}. Next: ${next ?? status.command}`,
          {
            ...rest,
            ...(kind === 'planned' ? { primaryAfter: source } : {}),
            next: [...(next === undefined ? [] : [{ command: next, why: 'takes the cause away' }]), status],
          },
        );
      }
      case 'undo failed': {
        const { what, next } = splitNext(rootMessage(outcome.undoCause));
        return run.end(
          'failed',
          `Step "${outcome.step}" failed and could not be put back: ${what} (first failure: ${splitNext(rootMessage(outcome.cause)).what}). Next: ${next ?? again}`,
          { ...rest, next: [{ command: next ?? again, why: 'looks again, and does what is needed' }, status] },
        );
      }
      case 'incomplete':
        return run.end(
          'incomplete',
          `${moved || kind === 'repair' ? `${target} is the master` : `${target} was promoted`}, but step "${outcome.step}" did not finish: ${rootMessage(outcome.cause)}. Next: ${redisFailover(state.cluster, '--repair')}`,
          {
            ...rest,
            ...(moved ? { primaryAfter: target } : {}),
            next: [{ command: redisFailover(state.cluster, '--repair'), why: 'mends what is left' }, status],
          },
        );
    }
  }

  /** What a repair that did not come to its end has done, without full stop: nothing puts that back. */
  private mended(): string {
    const done = this.run.state.steps.filter(({ state }) => state === 'done');
    if (done.length === 0) return 'Nothing was mended before';
    const words = done.map(({ says, detail }) => `"${says}"${detail === undefined ? '' : ` (${detail})`}`);
    return `What was mended before stays: ${words.join(' and ')}`;
  }

  /** What a forced failover lost, without full stop. */
  private loss(target: string): string {
    const lost = `Writes that ${target} did not have are lost`;
    if (this.doubt !== undefined) return `${lost}, and those acknowledged with WAIT 1 may be among them: ${this.doubt}`;
    return this.unseen === undefined
      ? 'Writes that no replica had are lost; those acknowledged with WAIT 1 are not'
      : `${lost}; whether those acknowledged with WAIT 1 are among them is not known: ${this.unseen}`;
  }

  /** The end of a run that is done, without full stop. */
  private done(decision: DecidedRedis): string {
    const { kind, source, target, faults } = decision;
    const { move, without } = this.story;
    switch (kind) {
      case 'planned': {
        const proof = move === undefined || move.unproven ? undefined : moveProof(move.subSteps);
        const held = move?.heldMs == null ? 'for a time that its worker took to the grave' : formatMs(move.heldMs);
        return `${target} is the master now, and ${source} its replica; writes waited ${held}, and ${proof === undefined ? `whether ${target} had all that ${source} had taken is not known: this run did not compare them and promote it by itself` : `no acknowledged one is lost: ${proof}`}`;
      }
      case 'forced':
        return `${target} took over from ${source}, which ${staysStopped(decision) ? 'was told to stop, and stays so' : without === undefined ? 'is its replica now' : 'did not come back'}. ${this.loss(target)}`;
      default:
        return `${faults.length === 1 ? 'One thing was' : `${faults.length} things were`} mended; ${target} is the master`;
    }
  }
}

/** The master that failed was stopped by a person, and is not started. */
const staysStopped = ({ kind, source, without }: DecidedRedis): boolean => kind === 'forced' && without === source;

/** @throws ApplicationFailure `BadInput` when the cluster has no Redis */
function redisOf({ name, topology: { redis } }: ClusterDescription): RedisTopology {
  if (redis !== undefined) return redis;
  throw ApplicationFailure.nonRetryable(
    `cluster ${name} has no redis section in the topology. Nothing was changed. Next: add it (docs/topology.md), then ${redisStatus(name)}`,
    'BadInput',
  );
}

/** Whether that is the only check that refuses. */
const isRefusedBy = ({ checks }: RedisDecision, id: string): boolean => {
  const refused = checks.filter(({ result }) => result === 'refuse');
  return refused.length > 0 && refused.every((check) => check.id === id);
};

const sameAs = (one: DecidedRedis, other: DecidedRedis): boolean =>
  one.kind === other.kind && one.source === other.source && one.target === other.target;

/** A decision, or what was decided before the run's version knew what makes the difference. */
function newer(decision: RedisDecision, before: RedisDecision, isNewer: () => boolean): RedisDecision {
  const same =
    decision.kind === before.kind &&
    decision.source === before.source &&
    decision.target === before.target &&
    JSON.stringify(decision.faults) === JSON.stringify(before.faults);
  return same || isNewer() ? decision : before;
}
