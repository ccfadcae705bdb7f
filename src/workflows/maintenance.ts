import {
  ApplicationFailure,
  CancellationScope,
  condition,
  ParentClosePolicy,
  setHandler,
  setWorkflowOptions,
  sleep,
  startChild,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { ClusterDescription } from '../activities';
import { commandsOf, refusalSentence, splitNext } from '../cluster/check';
import { durationMs, formatMs } from '../cluster/duration';
import { maintenanceCommand, maintenanceStart, moveCommand, scopeName } from '../cluster/maintenance/commands';
import { decideAway, decideBack, moveSays, type TierMove } from '../cluster/maintenance/decide';
import type { TierRoles } from '../cluster/maintenance/roles';
import { tierName, tiers } from '../cluster/maintenance/sides';
import { planQuestion } from '../report/runbooks';
import { clusterLock } from './cluster-lock';
import { Children, type ChildEnd } from './maintenance-children';
import { parseMaintenanceInput, type MaintenanceInput, type MaintenanceRequest } from './maintenance-input';
import { lookAtTiers, planMoves, planOf, refusedBy } from './maintenance-look';
import { finishUpdate, maintenanceLockId, moveBackUpdate } from './maintenance-messages';
import { abortUpdate, type Decision } from './messages';
import { act, reading } from './runbook/activity-options';
import { approvedOrEnd } from './runbook/ask';
import { describeCluster, requestOf } from './runbook/begin';
import { Run } from './runbook/run';
import { initialStepStates, rootMessage, runSteps, type RunnerHost, type Step } from './runbook/runner';
import type { MaintenanceState, Outcome, Report } from './run-state';

/** The lock of a tier goes a moment after the run that held it has ended; a run of somebody else may take longer. */
const LOCK_LOOKS = 40;
const LOCK_LOOK_EVERY = '250ms';

/**
 * Clears one side of a cluster, or some of its nodes, for somebody who wants to work on them: moves away whatever is active there, one
 * tier after the other, holds it, and moves it back on request. Each move is a run of its tier's own runbook.
 *
 * Ends with a {@link Report} as its result, or fails with the report in the failure's details and the outcome as its type.
 */
export async function maintenance(input?: MaintenanceInput | null): Promise<Report> {
  const request = requestOf(parseMaintenanceInput(input), 'veloz-ha maintenance start');
  const run = new Run('maintenance', request);
  // Cancellation is an abort: asked for between moves, never in the middle of one.
  return CancellationScope.nonCancellable(() => new Maintenance(run, request).conduct());
}
setWorkflowOptions({ failureExceptionTypes: [Error] }, maintenance);

/** What a person, or the clock, wants of a maintenance that is held. */
type Wish = { kind: 'move back' | 'finish'; by: string; why?: string };

/** A move that came to nothing. */
class MoveFailure extends Error {
  constructor(
    readonly move: TierMove,
    readonly end: ChildEnd,
  ) {
    super(end.says);
  }
}

const nameOf = (decision: Decision | null | undefined): string => decision?.by ?? 'somebody who gave no name';
const refuse = (says: string) => ApplicationFailure.nonRetryable(says, 'Refused');

class Maintenance {
  private readonly held: MaintenanceState;
  private readonly children: Children;
  private described!: ClusterDescription;
  private wish: Wish | undefined;
  /** Why it stops moving away, once somebody asked; everything is moved back then. */
  private stop: string | undefined;
  /** Not everything could be moved away. */
  private partly = false;
  /** Moving back that began counts up, so that its steps have ids of their own. */
  private returns = 0;

  constructor(
    private readonly run: Run,
    private readonly request: MaintenanceRequest,
  ) {
    this.children = new Children(run, request.soak);
    this.held = { scope: scopeName(request), away: [], moves: [], back: request.back };
    run.state.maintenance = this.held;
    this.listen();
  }

  async conduct(): Promise<Report> {
    const { run, request } = this;
    const { state } = run;
    this.described = await describeCluster(request.cluster);
    state.cluster = this.described.name;
    run.enter('checking', 'Looking who is active where');
    if (request.mode === 'run' && !(await this.lock())) {
      const next = this.command('status');
      return run.end(
        'busy',
        `E1: another maintenance of cluster ${state.cluster} is under way (limit: one at a time). Nothing was changed. Next: ${next}`,
        { next: [{ command: next, why: 'says what it holds, and since when' }] },
      );
    }
    const first = await this.prepare();
    if ('report' in first) return first.report;
    const { moves } = first;
    if (request.mode === 'plan')
      return run.end(
        'planned',
        `All checks passed, and so did the plan of every tier. Nothing was changed. ${this.held.scope} would be cleared: ${moves.map(moveSays).join(', then ')}`,
        { ...this.rest(), plan: state.plan, next: [{ command: this.start(), why: 'carries the plan out' }] },
      );
    if (request.approval === 'required') {
      const answered = await this.ask(moves);
      if (answered !== undefined) return answered;
    }
    this.listenForAbort();
    return this.moveAway(moves);
  }

  // ---- what people may say

  private listen(): void {
    const { state } = this.run;
    const onlyHeld = (what: string) => (_decision?: Decision | null) => {
      if (state.phase !== 'held')
        throw refuse(
          `nothing is held that could be ${what}: the maintenance is ${state.phase} (${state.says}). Next: ${this.command('status')}`,
        );
      if (this.wish !== undefined)
        throw refuse(`the maintenance is to ${this.wish.kind} already: ${this.wish.by} said so`);
    };
    const wishFor = (kind: Wish['kind']) => (decision?: Decision | null) => {
      this.wish = { kind, by: nameOf(decision), ...(decision?.why === undefined ? {} : { why: decision.why }) };
      // From here on a look at the state shows that it goes on, and a second wish is refused.
      state.phase = 'checking';
      return kind === 'finish'
        ? 'finished: everything stays where it is'
        : `moving back, one tier after the other: ${[...this.held.away]
            .reverse()
            .map(({ tier }) => tierName[tier])
            .join(', then ')}`;
    };
    setHandler(moveBackUpdate, wishFor('move back'), {
      validator: onlyHeld('moved back'),
      description: 'Move everything back to where it was',
    });
    setHandler(finishUpdate, wishFor('finish'), {
      validator: onlyHeld('finished'),
      description: 'End the maintenance; everything stays where it is',
    });
  }

  /** From the first move on an abort means another thing than before it: a move is never torn apart. */
  private listenForAbort(): void {
    const { state } = this.run;
    setHandler(
      abortUpdate,
      (decision?: Decision) => {
        this.stop = `aborted by ${nameOf(decision)}${decision?.why === undefined ? '' : `: ${decision.why}`}`;
        return 'aborting: the move that is under way is finished, then everything is moved back';
      },
      {
        validator: (_decision?: Decision) => {
          if (state.phase === 'ended') throw refuse('the run has ended');
          if (state.phase === 'held')
            throw refuse(
              `the maintenance is held. To move back: ${this.command('back')}. To end it and move nothing: ${this.command('finish')}`,
            );
          if (state.phase === 'undoing' || this.wish !== undefined)
            throw refuse('everything is being moved back already, or the maintenance is being finished');
          if (this.stop !== undefined) throw refuse(`the run is being ${this.stop} already`);
        },
        description: 'Stop moving away, and move everything back',
      },
    );
  }

  private stopped(): string | undefined {
    return this.stop ?? this.run.abortRequested();
  }

  // ---- before anything is moved

  /** Keeps a second maintenance away for as long as this workflow is open. */
  private async lock(): Promise<boolean> {
    const { cluster, runbook, workflowId, runId } = this.run.state;
    try {
      await startChild(clusterLock, {
        workflowId: maintenanceLockId(cluster),
        parentClosePolicy: ParentClosePolicy.TERMINATE,
        staticSummary: `One maintenance of cluster ${cluster} at a time: ${workflowId}`,
        args: [{ cluster, runbook, holder: workflowId, holderRunId: runId }],
      });
      return true;
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
      throw error;
    }
  }

  /** Looks, decides, and has every tier's runbook plan its move. Ends the run where something refuses, or nothing is to be moved. */
  private async prepare(): Promise<{ report: Report } | { moves: TierMove[] }> {
    const { run, request, described } = this;
    const { state } = run;
    let roles: TierRoles[];
    try {
      roles = await lookAtTiers(run, described.topology);
    } catch (error) {
      return {
        report: run.end('refused', `E4: ${blind(error)}. Nothing was changed. Next: veloz-ha status`, {
          next: [{ command: 'veloz-ha status', why: 'shows what answers, and what does not' }],
        }),
      };
    }
    const { checks, moves } = decideAway(described.topology, state.cluster, roles, request);
    state.checks = checks;
    const refusal = refusalSentence(checks, 'Nothing was changed');
    if (refusal !== undefined) {
      return { report: run.end('refused', refusal, { ...this.rest(), next: commandsOf(checks) }) };
    }
    if (moves.length === 0)
      return {
        report: run.end(
          'completed',
          `Nothing that is active lives on ${this.held.scope}. Nothing was changed, and nothing is held`,
          this.rest(),
        ),
      };
    run.changed('Asking the runbook of each tier for its plan');
    const planned = await planMoves(this.children, moves);
    if ('refused' in planned) {
      const { says, rest } = refusedBy(planned.refused);
      const outcome = planned.refused.end.report?.outcome === 'busy' ? 'busy' : 'refused';
      const [what, next] = says.split('. Next: ');
      return {
        report: run.end(outcome, `${what}. Nothing was changed${next === undefined ? '' : `. Next: ${next}`}`, {
          ...this.rest(),
          ...rest,
        }),
      };
    }
    const undo = request.back === 'never' ? undefined : this.command('back');
    state.plan = planOf(this.held.scope, moves, planned.plans, stepSays, described.topology.protection, undo);
    return { moves };
  }

  private async ask(moves: readonly TierMove[]): Promise<Report | undefined> {
    const { run, request, described } = this;
    const { state } = run;
    const ended = await approvedOrEnd(run, {
      asks: planQuestion('maintenance', state.plan),
      approvalTimeout: request.approvalTimeout,
      usualMs: described.topology.approvalTimeout,
      again: this.start(),
    });
    if (ended !== undefined) return ended;
    run.enter('checking', 'Approved; looking once more');
    // Minutes may have passed. What was approved is what is done, or nothing.
    const again = await this.prepare();
    if ('report' in again) return again.report;
    const [was, is] = [moves, again.moves].map((all) => all.map(moveSays).join(', '));
    if (was !== is)
      return run.end(
        'refused',
        `What was approved is no more what had to be done: approved ${was}, now ${is}. Nothing was changed. Next: ${this.start()}`,
        { ...this.rest(), next: [{ command: this.start(), why: 'plans it anew' }] },
      );
    return undefined;
  }

  // ---- away, held, back

  private async moveAway(moves: readonly TierMove[]): Promise<Report> {
    const { run, held } = this;
    const { state } = run;
    const steps = moves.map((move) => this.step(move, move.tier));
    const expected = new Map(state.plan?.steps.map(({ id, expectedMs }) => [id, expectedMs]));
    for (const step of steps) step.expectedMs = expected.get(step.id);
    state.steps = initialStepStates(steps);
    run.enter('running', 'Moving away, one tier after the other');
    const outcome = await runSteps(
      steps,
      state.steps,
      this.host(() => this.stopped()),
    );
    switch (outcome.kind) {
      case 'done':
        break;
      case 'aborted':
        if (held.away.length === 0) return run.end('aborted', `${outcome.why}, before anything was moved`, this.rest());
        this.dropPending();
        return (await this.moveBack(outcome.why)) ?? this.hold();
      default: {
        const { cause } = outcome;
        if (!(cause instanceof MoveFailure)) throw cause;
        const ended = this.failedAway(cause, moves);
        if (ended !== undefined) return ended;
      }
    }
    // Asked for while the last tier was being moved.
    const late = this.stopped();
    if (late !== undefined) return (await this.moveBack(late)) ?? this.hold();
    if (this.request.back === 'never')
      return run.end('completed', `${held.scope} is clear: ${this.awaySays()}. It is not held`, {
        ...this.rest(),
        next: this.nextByHand(),
      });
    return this.hold();
  }

  /** The move of a tier failed. What was moved before it stays away, and is held; without any the run ends. */
  private failedAway({ move, end }: MoveFailure, moves: readonly TierMove[]): Report | undefined {
    const { run, held } = this;
    const { what, next } = splitNext(end.says);
    const moved = held.away.map(({ tier }) => tierName[tier]);
    const left = moves.slice(moves.indexOf(move)).map(({ tier }) => tierName[tier]);
    const story = `${stepSays(move)} failed: ${what}. Moved away: ${moved.length === 0 ? 'nothing' : moved.join(', ')}; not moved: ${left.join(', ')}${end.asBefore ? '' : `, of which ${tierName[move.tier]} may be anywhere between`}`;
    const cause =
      next === undefined ? [] : [{ command: next, why: `is what the runbook of ${tierName[move.tier]} says` }];
    if (moved.length > 0 && this.request.back === 'on request') {
      this.partly = true;
      held.trouble = `${story}. Next: ${this.command('back')}, or ${this.command('finish')}${next === undefined ? '' : `; for the cause: ${next}`}`;
      run.warn(held.trouble);
      this.dropPending();
      return undefined;
    }
    const asTheirs = moved.length === 0 && end.report !== undefined && endsBadly(end.report.outcome);
    return run.end(
      asTheirs ? (end.report?.outcome ?? 'incomplete') : moved.length === 0 && end.asBefore ? 'refused' : 'incomplete',
      `${story}. Next: ${next ?? tierStatusOf(move, run.state.cluster)}`,
      { ...this.rest(), next: [...cause, ...this.nextByHand()] },
    );
  }

  /** Holds what was moved away until somebody says what next. */
  private async hold(): Promise<Report> {
    const { run, request, held } = this;
    held.heldSince ??= Date.now();
    // It is carried out; what comes next is decided anew when it is asked for.
    delete run.state.plan;
    if (request.hold !== undefined && this.returns === 0) held.heldUntil = held.heldSince + durationMs(request.hold);
    for (;;) {
      this.wish = undefined;
      run.enter('held', this.heldSays());
      const limit = held.heldUntil === undefined ? undefined : Math.max(1, held.heldUntil - Date.now());
      const asked = () => this.wish !== undefined || run.abortRequested() !== undefined;
      if (limit === undefined) await condition(asked);
      else await condition(asked, limit, { summary: 'Held until somebody asks to move back' });
      // A wish of a person, which the handlers set meanwhile, comes before everything else.
      const wish = this.wish as Wish | undefined;
      if (wish?.kind === 'move back') {
        const report = await this.moveBack();
        if (report !== undefined) return report;
        // Somebody is at it: the clock must not end it under their hands.
        delete held.heldUntil;
        continue;
      }
      if (wish === undefined)
        run.warn(
          run.abortRequested() === undefined
            ? `the time for which it was to be held (${request.hold ?? ''}) is up: nothing was moved back`
            : 'it was cancelled while it was held: nothing was moved back',
        );
      if (held.trouble !== undefined && !this.partly) run.warn(held.trouble);
      const by = wish === undefined ? '' : `Finished by ${wish.by}${wish.why === undefined ? '' : `: ${wish.why}`}. `;
      return run.end(
        this.partly ? 'incomplete' : 'completed',
        `${by}${this.partly ? `Only a part of ${held.scope} was cleared` : `${held.scope} stays clear`}; nothing was moved back: ${this.awaySays()}. Next: ${this.nextByHand()[0]?.command ?? this.command('status')}`,
        { ...this.rest(), next: this.nextByHand() },
      );
    }
  }

  /**
   * Moves everything back, in the reverse order.
   * @param aborted why, where nobody asked for it but by an abort
   * @returns undefined when it could not be done: what is still away stays held, and says why
   */
  private async moveBack(aborted?: string): Promise<Report | undefined> {
    const { run, held } = this;
    const { state } = run;
    this.returns += 1;
    delete state.plan;
    run.enter('undoing', 'Looking who is active where');
    let roles: TierRoles[];
    try {
      roles = await lookAtTiers(run, this.described.topology);
    } catch (error) {
      return this.stays(`${blind(error)}. Nothing was moved back. Next: veloz-ha status`);
    }
    const { checks, moves } = decideBack(state.cluster, roles, held.away);
    state.checks = checks;
    const refusal = refusalSentence(checks, 'Nothing was moved back');
    if (refusal !== undefined) return this.stays(refusal);
    const planned = await planMoves(this.children, moves);
    if ('refused' in planned) return this.stays(`${refusedBy(planned.refused).says}`, 'Nothing was moved back');

    const suffix = this.returns === 1 ? '' : `-${this.returns}`;
    const steps = moves.map((move) => this.step(move, `back-${move.tier}${suffix}`, true));
    const states = initialStepStates(steps);
    state.steps.push(...states);
    // What somebody else has moved back meanwhile is back.
    const toMove = new Set(moves.map(({ tier }) => tier));
    const found = held.away.filter(({ tier }) => !toMove.has(tier));
    held.away = held.away.filter(({ tier }) => toMove.has(tier));
    run.enter('undoing', 'Moving back, one tier after the other');
    const outcome = await runSteps(
      steps,
      states,
      this.host(() => undefined),
    );
    if (outcome.kind !== 'done') {
      const cause = 'cause' in outcome ? outcome.cause : undefined;
      if (!(cause instanceof MoveFailure))
        throw cause instanceof Error ? cause : refuse('moving back ended without a cause');
      this.dropPending();
      const { what, next } = splitNext(cause.end.says);
      const left = held.away.map(({ tier }) => tierName[tier]).join(', ');
      return this.stays(
        `${stepSays(cause.move, true)} failed: ${what}. Still away: ${left}${next === undefined ? '' : `. Next: ${next}`}`,
      );
    }
    delete held.trouble;
    await lookAtTiers(run, this.described.topology).catch(() => undefined);
    const already =
      found.length === 0 ? '' : ` (${found.map(({ tier }) => tierName[tier]).join(', ')} by somebody else)`;
    const forSince = held.heldSince === undefined ? '' : `, after ${formatMs(Date.now() - held.heldSince)}`;
    const home = `everything is back where it was${already}${forSince}`;
    if (aborted !== undefined) return run.end('aborted', `${aborted}; ${home}`, this.rest());
    if (this.partly)
      return run.end(
        'rolled back',
        `Not everything could be moved away from ${held.scope}; ${home}. Next: ${this.start()}`,
        { ...this.rest(), next: [{ command: this.start(), why: 'tries it again' }] },
      );
    return run.end('completed', `${held.scope} was cleared and held; ${home}`, this.rest());
  }

  /** Moving back came to nothing, or stopped on its way. */
  private stays(why: string, aside?: string): undefined {
    const { what, next } = splitNext(why);
    this.held.trouble = `${what}${aside === undefined ? '' : `. ${aside}`}. Next: ${next === undefined ? '' : `${next}, then `}${this.command('back')}`;
    return undefined;
  }

  // ---- one move

  private step(move: TierMove, id: string, back = false): Step {
    const { run, held, children } = this;
    return {
      id,
      says: stepSays(move, back),
      run: async () => {
        await this.untilUnlocked();
        const end = await children.conduct(move, 'run');
        if (!end.good) throw new MoveFailure(move, end);
        const { tier, from, to } = move;
        const heldMs = end.report?.heldMs;
        held.moves.push({ tier, from, to, back, run: end.workflowId, ...(heldMs === undefined ? {} : { heldMs }) });
        if (back) held.away = held.away.filter((one) => one.tier !== tier);
        else held.away.push({ ...move, at: Date.now(), run: end.workflowId });
        const warnings = (end.report?.warnings ?? []).map((warning) => `${tierName[tier]}: ${warning}`);
        if (back && run.abortRequested() !== undefined)
          warnings.push('the run was cancelled while it moved back, and went on');
        return { detail: `${end.says} (${end.workflowId})`, warnings };
      },
    };
  }

  /** The lock of the run before is gone a moment after that run. Whoever else holds one makes the next run end as busy. */
  private async untilUnlocked(): Promise<void> {
    for (let looks = 0; looks < LOCK_LOOKS; looks++) {
      // The runbook that comes next takes its lock, or says that it could not.
      if (!(await this.isLocked().catch(() => false))) return;
      await sleep(LOCK_LOOK_EVERY, { summary: 'Waiting until no tier of the cluster is locked' });
    }
  }

  private async isLocked(): Promise<boolean> {
    const { cluster } = this.run.state;
    const asking = act(reading, 'Ask whether a tier of the cluster is locked');
    if (!this.run.locksByTier) return (await asking.lockHolder(cluster)) !== undefined;
    return (await asking.heldLocks(cluster, tiers)).length > 0;
  }

  private host(abortRequested: () => string | undefined): RunnerHost {
    const { run } = this;
    return {
      now: () => run.now(),
      abortRequested,
      changed: (says) => run.changed(says),
      warn: (warning) => run.warn(warning),
      pointOfNoReturnPassed: () => undefined,
    };
  }

  /** Steps that will not be begun any more. */
  private dropPending(): void {
    const { state } = this.run;
    state.steps = state.steps.filter((step) => step.state !== 'pending');
  }

  // ---- words

  private command(what: 'back' | 'finish' | 'status'): string {
    return maintenanceCommand(what, this.run.state.cluster);
  }

  private start(): string {
    return maintenanceStart(this.run.state.cluster, this.request);
  }

  private awaySays(): string {
    return this.held.away.map((move) => moveSays(move)).join('; ');
  }

  private heldSays(): string {
    const { held } = this;
    const head = held.trouble ?? `${held.scope} is clear: ${this.awaySays()}`;
    const until =
      held.heldUntil === undefined
        ? ''
        : ` until ${new Date(held.heldUntil).toISOString().replace(/\.\d+Z$/, 'Z')}, then it ends as it is`;
    return held.trouble === undefined ? `${head}. Held${until}. Next: ${this.command('back')}` : head;
  }

  /** What takes each tier back where it was, in the right order, without this run. */
  private nextByHand(): Report['next'] {
    const { cluster } = this.run.state;
    return [...this.held.away].reverse().map(({ tier, from }) => ({
      command: moveCommand(tier, from, cluster),
      why: `takes ${tierName[tier]} back to ${from}`,
    }));
  }

  private rest(): Partial<Report> {
    const { members, engines, redis } = this.run.state;
    return {
      maintenance: this.held,
      ...(members.length === 0 ? {} : { membersAfter: members }),
      ...(engines === undefined ? {} : { enginesAfter: engines }),
      ...(redis === undefined ? {} : { redisAfter: redis }),
    };
  }
}

const blind = (error: unknown): string => `not every tier could be looked at: ${rootMessage(error)}`;

const stepSays = ({ tier, from, to }: TierMove, back = false): string =>
  `Move ${tierName[tier]} ${back ? 'back ' : ''}from ${from} to ${to}`;

const tierStatusOf = ({ tier }: TierMove, cluster: string): string => `veloz-ha ${tier} status --cluster ${cluster}`;

/** A run whose move ended so did not do what it was asked for. */
const endsBadly = (outcome: Outcome): boolean =>
  outcome !== 'completed' && outcome !== 'completed with warnings' && outcome !== 'planned';
