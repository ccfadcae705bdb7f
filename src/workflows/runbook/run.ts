import {
  ApplicationFailure,
  CancellationScope,
  condition,
  isCancellation,
  log,
  patched,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import type { Tier } from '../../cluster/maintenance/sides';
import type { FailureType } from '../../failures';
import {
  abortUpdate,
  approveUpdate,
  giveWaySignal,
  rejectUpdate,
  searchAttributeNames,
  statusQuery,
  type Decision,
} from '../messages';
import type { Outcome, Phase, Report, RunState } from '../run-state';
import { renderDetails } from './details';
import { Lock } from './lock';
import type { RunnerHost } from './runner';

const keys = {
  cluster: defineSearchAttributeKey(searchAttributeNames.cluster, SearchAttributeType.KEYWORD),
  runbook: defineSearchAttributeKey(searchAttributeNames.runbook, SearchAttributeType.KEYWORD),
  phase: defineSearchAttributeKey(searchAttributeNames.phase, SearchAttributeType.KEYWORD),
  outcome: defineSearchAttributeKey(searchAttributeNames.outcome, SearchAttributeType.KEYWORD),
  heldMs: defineSearchAttributeKey(searchAttributeNames.heldMs, SearchAttributeType.INT),
};

/** The failure with which a run of a bad outcome ends; the outcomes without one end with the report as result. */
const failureOf: Partial<Record<Outcome, FailureType>> = {
  refused: 'Refused',
  busy: 'Busy',
  rejected: 'Rejected',
  'not approved in time': 'NotApproved',
  'rolled back': 'RolledBack',
  aborted: 'Aborted',
  failed: 'Failed',
  incomplete: 'Incomplete',
};

/** Who started a run and why, as every runbook's input has it. */
export interface RunOrigin {
  startedBy?: string;
  reason?: string;
  ticket?: string;
}

const nameOf = (decision: Decision | undefined | null): string => decision?.by ?? 'somebody who gave no name';
const because = (decision: Decision | undefined | null): string =>
  decision?.why === undefined ? '' : `: ${decision.why}`;

/**
 * One run of a runbook inside its workflow: the state that people see, the messages that they send, the lock, and the end.
 * Every runbook is made of it.
 */
export class Run implements RunnerHost {
  readonly state: RunState;
  private decision: { kind: 'approved' | 'rejected'; by: string; why?: string } | undefined;
  private abort: string | undefined;
  /** Why another run has to act now, once the guard said so. */
  private way: string | undefined;
  /** What may be left in its middle, while it is under way. */
  private leavable: { scope: CancellationScope; primary: string } | undefined;
  /**
   * Each tier has a lock of its own, and it is let go of where the run only waits or watches. False in a run that was begun by a
   * version with one lock for all tiers, which is held until the end: it goes on as it began.
   */
  readonly locksByTier = patched('lock-by-tier');
  private readonly tierLock: Lock;

  /** @param tier what it changes: runs of the same tier exclude each other */
  constructor(
    runbook: string,
    origin: RunOrigin,
    readonly tier: Tier = 'postgres',
  ) {
    const info = workflowInfo();
    this.state = {
      version: 1,
      runbook,
      cluster: '?',
      workflowId: info.workflowId,
      runId: info.runId,
      phase: 'starting',
      says: 'Starting',
      startedBy: origin.startedBy ?? 'the Web UI or an API client',
      ...(origin.reason === undefined ? {} : { reason: origin.reason }),
      ...(origin.ticket === undefined ? {} : { ticket: origin.ticket }),
      startedAt: info.startTime.getTime(),
      approval: { state: 'not needed' },
      pointOfNoReturnPassed: false,
      checks: [],
      steps: [],
      members: [],
      warnings: [],
    };
    this.tierLock = new Lock(this.state, this.locksByTier ? tier : 'postgres', () => this.lockWasEnded());
    this.listen();
  }

  private listen(): void {
    setHandler(statusQuery, () => this.state, { description: 'The whole live state of the run' });
    const whenWaiting = (_decision?: Decision) => {
      if (this.state.phase !== 'awaiting approval') {
        throw ApplicationFailure.nonRetryable(
          `the run does not wait for approval: it is ${this.state.phase} (${this.state.says})`,
          'Refused',
        );
      }
      if (this.decision !== undefined)
        throw ApplicationFailure.nonRetryable(
          `the run was ${this.decision.kind} by ${this.decision.by} already`,
          'Refused',
        );
    };
    const decide = (kind: 'approved' | 'rejected') => (decision?: Decision) => {
      this.decision = { kind, by: nameOf(decision), ...(decision?.why === undefined ? {} : { why: decision.why }) };
      return kind === 'approved' ? 'approved: the run looks once more, then goes on' : 'rejected: nothing was changed';
    };
    setHandler(approveUpdate, decide('approved'), { validator: whenWaiting, description: 'Go on with the plan' });
    setHandler(rejectUpdate, decide('rejected'), {
      validator: whenWaiting,
      description: 'End the run; nothing has been changed',
    });
    setHandler(
      abortUpdate,
      (decision?: Decision) => {
        this.abort = `aborted by ${nameOf(decision)}${because(decision)}`;
        return 'aborting: no further step begins, and what a move has changed is put back; what a repair has mended stays';
      },
      {
        validator: (_decision?: Decision) => {
          if (this.state.phase === 'ended') throw ApplicationFailure.nonRetryable('the run has ended', 'Refused');
          if (this.state.pointOfNoReturnPassed) {
            throw ApplicationFailure.nonRetryable(
              `the point of no return is passed: the run goes forward and then ends by itself. To go back, switch over again when it has ended`,
              'Refused',
            );
          }
          if (this.state.steps.some((step) => step.state === 'running' && step.pointOfNoReturn)) {
            throw ApplicationFailure.nonRetryable(
              'the primary is being moved at this very moment: within a second that is done, or has put itself back',
              'Refused',
            );
          }
          if (this.abort !== undefined)
            throw ApplicationFailure.nonRetryable(`the run is being ${this.abort} already`, 'Refused');
        },
        description: 'Stop before the point of no return and put back what a move has changed',
      },
    );
    setHandler(
      giveWaySignal,
      ({ primary, why }) => {
        const { leavable } = this;
        // Without the lock it is in nobody's way; and the primary that it has moved away from may have been asked about too late.
        if (!this.locksByTier || !this.holdsLock || leavable?.primary !== primary) return;
        this.way = why;
        leavable.scope.cancel();
      },
      { description: 'Leave what only waits: others have to act now' },
    );
    // A cancellation from the UI or the SDK is an abort by another name; it must not tear an activity apart.
    CancellationScope.current().cancelRequested.catch(() => {
      this.abort ??= 'cancelled';
      if (this.state.pointOfNoReturnPassed)
        this.warn('the run was cancelled after the point of no return, and went forward');
    });
  }

  now(): number {
    return Date.now();
  }

  abortRequested(): string | undefined {
    return this.abort;
  }

  /** It gave way to another run: nothing of it may hold that one up any more. The lock is let go of, unless it is gone already. */
  leaveWhenAsked(): boolean {
    if (this.way === undefined) return false;
    void this.unlock();
    return true;
  }

  async untilAsked<T>(primary: string, work: () => Promise<T>): Promise<T> {
    const scope = new CancellationScope();
    // What was asked of an earlier part that came to its end all the same is of no matter any more.
    this.way = undefined;
    this.leavable = { scope, primary };
    try {
      return await scope.run(work);
    } catch (error) {
      if (this.way !== undefined && isCancellation(error)) throw this.left(this.way);
      throw error;
    } finally {
      this.leavable = undefined;
    }
  }

  private left(why: string): ApplicationFailure {
    return ApplicationFailure.nonRetryable(`it gave way, since others have to act now: ${why}`, 'Failed');
  }

  changed(says: string): void {
    this.state.says = says;
    setCurrentDetails(renderDetails(this.state));
  }

  warn(warning: string): void {
    if (!this.state.warnings.includes(warning)) this.state.warnings.push(warning);
  }

  pointOfNoReturnPassed(): void {
    this.state.pointOfNoReturnPassed = true;
  }

  /** Enters a phase: shown, and searchable. Never called while clients are held: it is a command to the server. */
  enter(phase: Phase, says: string): void {
    this.state.phase = phase;
    this.changed(says);
    upsertSearchAttributes([
      { key: keys.phase, value: phase },
      { key: keys.runbook, value: this.state.runbook },
      { key: keys.cluster, value: this.state.cluster },
    ]);
  }

  /** The lock of its tier is its own now. */
  get holdsLock(): boolean {
    return this.tierLock.held;
  }

  /**
   * Takes the lock of its tier until it lets go, or ends.
   * @returns false when another run holds it
   */
  lock(): Promise<boolean> {
    return this.tierLock.take();
  }

  /**
   * Lets go of the lock before the end of the run: for what takes long, and does no harm beside another run. Resolves when it is free;
   * whoever does not need to know that need not wait.
   */
  unlock(): Promise<void> {
    return this.tierLock.release();
  }

  /** From now on another run may take the lock, and change what this one is at work on. */
  private lockWasEnded(): void {
    if (this.state.phase === 'ended' || !patched('lock-ended')) return;
    const says = 'its lock was ended by somebody';
    if (this.state.pointOfNoReturnPassed)
      this.warn(`${says} after the point of no return: it went forward, and another run may have begun beside it`);
    else this.abort ??= `aborted: ${says}`;
  }

  /** Waits until somebody approves. */
  async approval(timeoutMs: number, says: string): Promise<'approved' | 'rejected' | 'expired' | 'aborted'> {
    const { approval } = this.state;
    approval.state = 'waiting';
    approval.deadline = Date.now() + timeoutMs;
    this.enter('awaiting approval', says);
    try {
      const decided = await condition(() => this.decision !== undefined || this.abort !== undefined, timeoutMs, {
        summary: 'Waiting for approval',
      });
      if (!decided) {
        approval.state = 'expired';
        return 'expired';
      }
    } catch (error) {
      if (!isCancellation(error)) throw error;
      this.abort ??= 'cancelled';
    }
    if (this.decision === undefined) return 'aborted';
    approval.state = this.decision.kind;
    approval.by = this.decision.by;
    if (this.decision.why !== undefined) approval.why = this.decision.why;
    return this.decision.kind;
  }

  /** Ends the run: the report is the result, or the details of the failure. */
  end(outcome: Outcome, says: string, rest: Partial<Report> = {}): Report {
    const { state } = this;
    const final: Outcome = outcome === 'completed' && state.warnings.length > 0 ? 'completed with warnings' : outcome;
    const report: Report = {
      version: 1,
      runbook: state.runbook,
      cluster: state.cluster,
      workflowId: state.workflowId,
      runId: state.runId,
      outcome: final,
      says,
      startedBy: state.startedBy,
      ...(state.reason === undefined ? {} : { reason: state.reason }),
      ...(state.ticket === undefined ? {} : { ticket: state.ticket }),
      startedAt: state.startedAt,
      endedAt: Date.now(),
      steps: state.steps,
      checks: state.checks,
      warnings: state.warnings,
      next: [],
      ...rest,
    };
    state.report = report;
    this.enter('ended', says);
    upsertSearchAttributes([
      { key: keys.outcome, value: final },
      ...(report.heldMs === undefined ? [] : [{ key: keys.heldMs, value: Math.round(report.heldMs) }]),
    ]);
    log.info(says, { outcome: final });
    const type = failureOf[final];
    if (type !== undefined)
      throw ApplicationFailure.create({ type, message: says, nonRetryable: true, details: [report] });
    return report;
  }
}
