import { ApplicationFailure, CancellationScope, condition, setWorkflowOptions } from '@temporalio/workflow';
import type { ClusterDescription } from '../activities';
import { refusalSentence, splitNext } from '../cluster/check';
import { wholeStatus } from '../cluster/commands';
import { durationMs, formatMs } from '../cluster/duration';
import { maintenanceCommand, maintenanceStart, scopeName } from '../cluster/maintenance/commands';
import { decideBack, moveSays, type TierMove } from '../cluster/maintenance/decide';
import type { TierRoles } from '../cluster/maintenance/roles';
import { tierName } from '../cluster/maintenance/sides';
import { Children } from './maintenance-children';
import { parseMaintenanceInput, type MaintenanceInput, type MaintenanceRequest } from './maintenance-input';
import { lookAtTiers, planMoves, refusedBy } from './maintenance-look';
import { MoveFailure, Moves } from './maintenance-moves';
import { MaintenancePeople, type Wish } from './maintenance-people';
import { askFirst, keepOthersAway, prepare } from './maintenance-prepare';
import { awaySays, blindSays, heldSays, nextByHand, restOf, stepSays, tierStatusOf } from './maintenance-words';
import { describeCluster, requestOf } from './runbook/begin';
import { Run } from './runbook/run';
import { initialStepStates, runSteps } from './runbook/runner';
import type { MaintenanceState, Outcome, Report } from './run-state';

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

class Maintenance {
  private readonly held: MaintenanceState;
  private readonly children: Children;
  private readonly moves: Moves;
  private readonly people: MaintenancePeople;
  private described!: ClusterDescription;
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
    this.moves = new Moves(run, this.held, this.children);
    this.people = new MaintenancePeople(run, this.held);
    this.people.listen();
  }

  async conduct(): Promise<Report> {
    const { run, request, held, children } = this;
    const { state } = run;
    const described = await describeCluster(request.cluster);
    this.described = described;
    state.cluster = described.name;
    run.enter('checking', 'Looking who is active where');
    if (request.mode === 'run' && !(await keepOthersAway(run))) {
      const next = this.command('status');
      return run.end(
        'busy',
        `E1: another maintenance of cluster ${state.cluster} is under way (limit: one at a time). Nothing was changed. Next: ${next}`,
        { next: [{ command: next, why: 'says what it holds, and since when' }] },
      );
    }
    const preparing = { run, request, described, held, children };
    const first = await prepare(preparing);
    if ('report' in first) return first.report;
    const { moves } = first;
    if (request.mode === 'plan')
      return run.end(
        'planned',
        `All checks passed, and so did the plan of every tier. Nothing was changed. ${held.scope} would be cleared: ${moves.map(moveSays).join(', then ')}`,
        { ...this.rest(), plan: state.plan, next: [{ command: this.start(), why: 'carries the plan out' }] },
      );
    if (request.approval === 'required') {
      const answered = await askFirst(preparing, moves);
      if (answered !== undefined) return answered;
    }
    this.people.listenForAbort();
    return this.moveAway(moves);
  }

  private async moveAway(moves: readonly TierMove[]): Promise<Report> {
    const { run, held } = this;
    const { state } = run;
    const steps = moves.map((move) => this.moves.step(move, move.tier));
    const expected = new Map(state.plan?.steps.map(({ id, expectedMs }) => [id, expectedMs]));
    for (const step of steps) step.expectedMs = expected.get(step.id);
    state.steps = initialStepStates(steps);
    run.enter('running', 'Moving away, one tier after the other');
    const outcome = await runSteps(
      steps,
      state.steps,
      this.moves.host(() => this.people.stopped()),
    );
    switch (outcome.kind) {
      case 'done':
        break;
      case 'aborted':
        if (held.away.length === 0) return run.end('aborted', `${outcome.why}, before anything was moved`, this.rest());
        this.moves.dropPending();
        return (await this.moveBack(outcome.why)) ?? this.hold();
      default: {
        const { cause } = outcome;
        if (!(cause instanceof MoveFailure)) throw cause;
        const ended = this.failedAway(cause, moves);
        if (ended !== undefined) return ended;
      }
    }
    // Asked for while the last tier was being moved.
    const late = this.people.stopped();
    if (late !== undefined) return (await this.moveBack(late)) ?? this.hold();
    if (this.request.back === 'never')
      return run.end('completed', `${held.scope} is clear: ${awaySays(held)}. It is not held`, {
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
      this.moves.dropPending();
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
    const { run, request, held, people } = this;
    held.heldSince ??= Date.now();
    // It is carried out; what comes next is decided anew when it is asked for.
    delete run.state.plan;
    if (request.hold !== undefined && this.returns === 0) held.heldUntil = held.heldSince + durationMs(request.hold);
    for (;;) {
      people.wish = undefined;
      run.enter('held', heldSays(held, run.state.cluster));
      const limit = held.heldUntil === undefined ? undefined : Math.max(1, held.heldUntil - Date.now());
      const asked = () => people.wish !== undefined || run.abortRequested() !== undefined;
      if (limit === undefined) await condition(asked);
      else await condition(asked, limit, { summary: 'Held until somebody asks to move back' });
      // A wish of a person, which the handlers set meanwhile, comes before everything else.
      const wish = people.wish as Wish | undefined;
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
        `${by}${this.partly ? `Only a part of ${held.scope} was cleared` : `${held.scope} stays clear`}; nothing was moved back: ${awaySays(held)}. Next: ${this.nextByHand()[0]?.command ?? this.command('status')}`,
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
      return this.stays(`${blindSays(error)}. Nothing was moved back. Next: ${wholeStatus(state.cluster)}`);
    }
    const { checks, moves } = decideBack(state.cluster, roles, held.away);
    state.checks = checks;
    const refusal = refusalSentence(checks, 'Nothing was moved back');
    if (refusal !== undefined) return this.stays(refusal);
    const planned = await planMoves(this.children, moves);
    if ('refused' in planned) return this.stays(`${refusedBy(planned.refused).says}`, 'Nothing was moved back');

    const suffix = this.returns === 1 ? '' : `-${this.returns}`;
    const steps = moves.map((move) => this.moves.step(move, `back-${move.tier}${suffix}`, true));
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
      this.moves.host(() => undefined),
    );
    if (outcome.kind !== 'done') {
      const cause = 'cause' in outcome ? outcome.cause : undefined;
      if (!(cause instanceof MoveFailure))
        throw cause instanceof Error
          ? cause
          : ApplicationFailure.nonRetryable('moving back ended without a cause', 'Refused');
      this.moves.dropPending();
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

  private command(what: 'back' | 'finish' | 'status'): string {
    return maintenanceCommand(what, this.run.state.cluster);
  }

  private start(): string {
    return maintenanceStart(this.run.state.cluster, this.request);
  }

  private nextByHand(): Report['next'] {
    return nextByHand(this.held, this.run.state.cluster);
  }

  private rest(): Partial<Report> {
    return restOf(this.held, this.run.state);
  }
}

/** A run whose move ended so did not do what it was asked for. */
const endsBadly = (outcome: Outcome): boolean =>
  outcome !== 'completed' && outcome !== 'completed with warnings' && outcome !== 'planned';
