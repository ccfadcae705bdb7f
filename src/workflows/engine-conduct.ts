import { ApplicationFailure } from '@temporalio/workflow';
import type { ClusterDescription } from '../activities';
import { commandsOf, refusalSentence, splitNext } from '../cluster/check';
import { durationMs, formatMs } from '../cluster/duration';
import { engineCommand, engineStatus } from '../cluster/engine/commands';
import {
  decideEngines,
  type EngineDecision,
  type EngineQuestion,
  type EngineRunbookKind,
} from '../cluster/engine/decide';
import { engineMembers } from '../cluster/engine/members';
import { handsOver, planEngines, type DecidedEngines } from '../cluster/engine/plan';
import { planHeadline, planQuestion } from '../report/runbooks';
import { engineSteps, type EngineStory } from './engine-steps';
import { act, reading } from './runbook/activity-options';
import { approvedOrEnd, warnOf } from './runbook/ask';
import { describeCluster, lockOrEnd, othersOf } from './runbook/begin';
import type { Run } from './runbook/run';
import { initialStepStates, rootMessage, rootType, runSteps, type StepsOutcome } from './runbook/runner';
import type { Report } from './run-state';

/** What a person asked for, whichever of the three runbooks it is. */
export interface EngineRequest {
  cluster?: string | undefined;
  mode: 'run' | 'plan';
  approval: 'required' | 'given';
  approvalTimeout?: string | undefined;
  soak?: string | undefined;
  target?: string | undefined;
  expectedActive?: string | undefined;
  node?: string | undefined;
}

/** Looks, plans, asks, carries out, verifies and reports: what the runbooks of the engines have in common. */
export function conductEngineRun(run: Run, kind: EngineRunbookKind, request: EngineRequest): Promise<Report> {
  return new EngineRun(run, kind, request).conduct();
}

class EngineRun {
  private readonly story: EngineStory = {};
  private described!: ClusterDescription;
  private before: Report['enginesBefore'];

  constructor(
    private readonly run: Run,
    private readonly kind: EngineRunbookKind,
    private readonly request: EngineRequest,
  ) {}

  async conduct(): Promise<Report> {
    const { run, request, kind } = this;
    const { state } = run;
    this.described = await describeCluster(request.cluster);
    state.cluster = this.described.name;
    run.enter('checking', 'Taking the lock of the engine');
    if (request.mode === 'run') {
      const busy = await lockOrEnd(run, engineCommand(kind, state.cluster, this.question().node), {
        alone: othersOf(run, this.described),
      });
      if (busy !== undefined) return busy;
    }
    const { soak } = this.described.topology;
    const first = await this.look(this.question());
    this.before = state.engines;
    if ('report' in first) return first.report;
    const { decision } = first;
    const soakMs = request.soak === undefined ? soak : durationMs(request.soak);
    const plan = planEngines(kind, decision, soakMs, this.described.handover);
    state.plan = {
      primary: decision.source ?? decision.target,
      target: kind === 'switchover' ? decision.target : (decision.node ?? decision.target),
      protection: this.described.topology.protection,
      ...plan,
      holdEnds: 'HAProxy sends requests to the engine that is ready again',
    };
    const again = engineCommand(kind, state.cluster, kind === 'switchover' ? decision.target : decision.node);
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
    const steps = engineSteps(run, kind, decision, plan.steps, soakMs, this.story);
    state.steps = initialStepStates(steps);
    if (request.approval === 'required') {
      const ended = await this.ask(decision, again);
      if (ended !== undefined) return ended;
    }
    run.enter('running', 'Starting');
    const outcome = await runSteps(steps, state.steps, run);
    await this.observe().catch(() => run.warn('the engines could not be looked at once more'));
    return this.end(decision, outcome, again);
  }

  private question(): EngineQuestion {
    const { kind, request } = this;
    const node = kind === 'switchover' ? request.target : request.node;
    return {
      kind,
      ...(node === undefined ? {} : { node }),
      ...(request.expectedActive === undefined ? {} : { expectedActive: request.expectedActive }),
    };
  }

  private async observe() {
    const { state } = this.run;
    const observed = await act(reading, 'Look at the engines and HAProxy').observeEngines(state.cluster);
    state.engines = engineMembers(observed);
    return observed;
  }

  /** Observes and decides. Ends the run when it is refused, or when there is nothing to do. */
  private async look(question: EngineQuestion): Promise<{ report: Report } | { decision: DecidedEngines }> {
    const { run } = this;
    const { state } = run;
    let decision: EngineDecision;
    try {
      decision = decideEngines(await this.observe(), question);
    } catch (error) {
      if (rootType(error) === 'BadInput') throw ApplicationFailure.nonRetryable(rootMessage(error), 'BadInput');
      throw error;
    }
    state.checks = decision.checks;
    const refusal = refusalSentence(decision.checks, 'Nothing was changed');
    if (refusal !== undefined)
      return {
        report: run.end('refused', refusal, {
          ...this.rest(decision),
          next: commandsOf(decision.checks),
        }),
      };
    const { target } = decision;
    if (target === undefined)
      throw ApplicationFailure.nonRetryable('the checks named neither an engine nor a refusal', 'Failed');
    if (decision.alreadyDone)
      return {
        report: run.end('completed', `${this.soAlready({ ...decision, target })}. Nothing was changed`, {
          ...this.rest(decision),
          primaryAfter: decision.source ?? target,
          enginesAfter: state.engines,
        }),
      };
    warnOf(run, decision.checks);
    return { decision: { ...decision, target } };
  }

  private soAlready({ target, node }: DecidedEngines): string {
    switch (this.kind) {
      case 'switchover':
        return `${target} is the active engine already`;
      case 'drain':
        return `${node} is drained already`;
      case 'ready':
        return `${node} is in service already`;
    }
  }

  /** Waits for approval, and looks once more then: the plan must still be the one approved. */
  private async ask(decision: DecidedEngines, again: string): Promise<Report | undefined> {
    const { run, kind } = this;
    const { state } = run;
    const rest = this.rest(decision);
    const ended = await approvedOrEnd(run, {
      asks: planQuestion(state.runbook, state.plan),
      approvalTimeout: this.request.approvalTimeout,
      usualMs: this.described.topology.approvalTimeout,
      again,
      lock: { alone: othersOf(run, this.described) },
      rest,
    });
    if (ended !== undefined) return ended;
    run.enter('checking', 'Approved; looking once more');
    const second = await this.look({
      kind,
      ...(kind === 'switchover' ? { node: decision.target } : { node: decision.node ?? '' }),
      ...(decision.source === undefined || kind === 'ready' ? {} : { expectedActive: decision.source }),
    });
    return 'report' in second ? second.report : undefined;
  }

  private rest({ source }: EngineDecision): Partial<Report> {
    const { handover } = this.story;
    return {
      ...(source === undefined ? {} : { primaryBefore: source }),
      ...(this.before === undefined ? {} : { enginesBefore: this.before }),
      ...(handover?.heldMs == null ? {} : { heldMs: handover.heldMs }),
    };
  }

  private end(decision: DecidedEngines, outcome: StepsOutcome, again: string): Report {
    const { run, kind, story } = this;
    const { state } = run;
    const { source, target, epoch } = decision;
    const moves = handsOver(kind, decision);
    const moved = story.handover !== undefined;
    const rest: Partial<Report> = {
      ...this.rest(decision),
      ...(moved ? { epochBefore: epoch, epochAfter: story.handover?.epoch ?? epoch } : {}),
      ...(state.engines === undefined ? {} : { enginesAfter: state.engines }),
    };
    const status = { command: engineStatus(state.cluster), why: 'shows what is' };
    switch (outcome.kind) {
      case 'done':
        return run.end('completed', this.done(decision, moves), { ...rest, primaryAfter: target });
      case 'aborted':
        return run.end('aborted', `${outcome.why}. Everything was put back`, { ...rest, next: [status] });
      case 'rolled back': {
        const { what, next } = splitNext(rootMessage(outcome.cause));
        const refused = rootType(outcome.cause) === 'Refused';
        const asBefore = source === undefined ? 'Everything was put back' : `${source} is the active engine as before`;
        return run.end(
          refused ? 'refused' : 'rolled back',
          `${refused ? what : `Step "${outcome.step}" failed: ${what}`}. ${asBefore}. Next: ${next ?? status.command}`,
          {
            ...rest,
            ...(source === undefined ? {} : { primaryAfter: source }),
            next: [...(next === undefined ? [] : [{ command: next, why: 'takes the cause away' }]), status],
          },
        );
      }
      case 'undo failed':
        return run.end(
          'failed',
          `Step "${outcome.step}" failed and could not be put back: ${rootMessage(outcome.undoCause)} (first failure: ${rootMessage(outcome.cause)}). HAProxy ends a drain of an engine that is ready by itself. Next: ${status.command}`,
          { ...rest, next: [status] },
        );
      case 'incomplete':
        return run.end(
          'incomplete',
          `${moved ? `${target} is the active engine` : 'The lock was handed over'}, but step "${outcome.step}" did not finish: ${rootMessage(outcome.cause)}. Next: ${status.command}`,
          {
            ...rest,
            ...(moved ? { primaryAfter: target } : {}),
            next: [status, { command: again, why: 'goes on with it' }],
          },
        );
    }
  }

  /** The end of a run that is done, without full stop. */
  private done({ source, target, node, epoch }: DecidedEngines, moves: boolean): string {
    const { handover } = this.story;
    const held = handover?.heldMs == null ? 'for a time that its worker took to the grave' : formatMs(handover.heldMs);
    const handed = `${target} is the active engine now, in epoch ${handover?.epoch ?? epoch}; requests waited ${held}`;
    switch (this.kind) {
      case 'switchover':
        return `${handed}. ${source} is its hot standby`;
      case 'drain':
        return moves
          ? `${handed}. ${node} is out of service`
          : `${node} is out of service; ${target} takes orders as before`;
      case 'ready':
        return `${node} is in service again${source === undefined || source === node ? '' : `; ${source} takes orders as before`}`;
    }
  }
}
