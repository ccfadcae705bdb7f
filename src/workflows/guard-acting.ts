import { getExternalWorkflowHandle, patched } from '@temporalio/workflow';
import type { WatchResult } from '../activities';
import type { RunEnd } from '../cluster/guard/run-end';
import type { FailoverInput } from './failover-input';
import type { GuardBackOff } from './guard-back-off';
import type { GuardShared } from './guard-host';
import { actedWords, incidentOf } from './guard-incident';
import type { GuardState } from './guard-messages';
import { GuardRuns, newRunId } from './guard-runs';
import type { ToRejoin } from './guard-split-brain';
import { forget } from './guard-state';
import { rootMessage } from './runbook/runner';
import type { RejoinInput } from './standby-input';

/** The guard, as the part of it that starts runs for PostgreSQL needs it. */
export interface ActingHost extends GuardShared {
  readonly backOff: GuardBackOff;
  /** Fenced nodes that wait for their turn to become standbys. */
  readonly toRejoin: ToRejoin[];
  /** The run that the watch has taken nodes and held clients under: its workflow id, and more after a slash. */
  incidentRun(): string;
  /** The state was changed: people are shown it, and the watch begins a new stretch. */
  changed(): void;
}

/**
 * Starts the runs for PostgreSQL: the failover from a primary that failed, and the rejoin of a node that was fenced. Each lives on by
 * itself; its end is listened for, and what did not end well is waited after.
 */
export class ActingGuard {
  private readonly runs = new GuardRuns();
  /** A run is being started, and is not shown yet. */
  private starting = false;
  /** The failover that it has a person asked about, and the primary whose failure is the reason. */
  private asking: { workflowId: string; primary: string | null; withdrawn?: string } | undefined;

  constructor(private readonly host: ActingHost) {}

  /** A run is being started, and is not shown yet. */
  get isStarting(): boolean {
    return this.starting;
  }

  /** An earlier history started a run that goes on: without this nobody would hear its end, and nothing else would ever be started. */
  hearAgain(): void {
    const { acting } = this.host.state;
    if (
      acting === undefined ||
      !this.runs.hearAgain(acting, (end) => this.runEnded(acting.workflowId, acting.what, end))
    )
      return;
    if (acting.asks !== undefined) this.asking = { workflowId: acting.workflowId, primary: acting.asks.primary };
    this.host.note('failover', `${acting.what} goes on, which an earlier history started`, acting.workflowId);
  }

  /** A person is asked about a failure of the very primary that the ledger names. */
  asksAboutPrimary(): boolean {
    return this.asking !== undefined && this.asking.primary === this.host.state.ledger.primary;
  }

  /**
   * A failure is told only while nobody holds the lock of PostgreSQL. So a run of its own that is under way waits for a copy, or only
   * watches: the next failover is not held up by it. Only one that asks a person about this very primary is.
   */
  mayActBeside(): boolean {
    return !this.asksAboutPrimary() && patched('lock-by-tier');
  }

  async failOver(result: WatchResult, approval: 'given' | 'required'): Promise<void> {
    const { state } = this.host;
    const { failure } = result;
    if (failure === undefined) return;
    const incidentRun = this.host.incidentRun();
    const [workflowId = newRunId('failover', state.cluster)] = incidentRun.split('/');
    const input: FailoverInput = {
      cluster: state.cluster,
      approval,
      startedBy: `guard of ${state.cluster}`,
      reason: result.sees,
      ...(state.ledger.primary === null ? {} : { expectedPrimary: state.ledger.primary }),
      incident: incidentOf(result, failure, state.ledger, incidentRun),
    };
    if (failure.acted !== undefined) this.host.note('failover', actedWords(failure.acted), workflowId);
    await this.start('failover', workflowId, input);
    const { acting } = state;
    if (acting?.workflowId === workflowId && input.expectedPrimary !== undefined) acting.about = input.expectedPrimary;
    if (input.approval === 'required' && state.acting !== undefined) {
      this.asking = { workflowId, primary: state.ledger.primary };
      state.acting.asks = { primary: state.ledger.primary };
    }
  }

  /** Takes back the question whether to fail over. */
  async withdraw(why: string): Promise<void> {
    if (this.asking === undefined) return;
    this.asking.withdrawn = why;
    // It may have ended this moment.
    await getExternalWorkflowHandle(this.asking.workflowId)
      .cancel()
      .catch(() => undefined);
  }

  /** Has the next of the fenced nodes become a standby, unless another run goes on or people keep the guard from it. */
  async rejoinNext(): Promise<void> {
    const { state, toRejoin } = this.host;
    if (state.acting !== undefined || state.maintenance !== undefined || state.mode === 'off') return;
    const next = toRejoin.shift();
    if (next === undefined) return;
    await this.start('rejoin', newRunId('rejoin', state.cluster), {
      cluster: state.cluster,
      node: next.node,
      approval: 'given',
      startedBy: `guard of ${state.cluster}`,
      reason: next.reason,
    });
  }

  /** Starts a runbook that lives on by itself, and listens for its end. */
  private async start(
    what: 'failover' | 'rejoin',
    workflowId: string,
    input: FailoverInput | RejoinInput,
  ): Promise<void> {
    const { host } = this;
    const { state } = host;
    this.starting = true;
    let run;
    try {
      run = await this.runs.start({
        type: what,
        workflowId,
        input,
        summary: `Started by the guard: ${state.sees}`,
      });
    } catch (error) {
      const says = `the ${what} could not be started: ${rootMessage(error)}`;
      if (what === 'failover' || !patched('guard-back-off-of-failovers')) host.backOff.begin(says);
      else host.note('failover', says);
      return;
    } finally {
      this.starting = false;
    }
    state.acting = { workflowId, runId: run.firstExecutionRunId, since: Date.now(), what };
    host.note('failover', `${what} started: ${workflowId}`, workflowId);
    this.runs.hear(run, (end) => this.runEnded(workflowId, what, end));
  }

  private runEnded(workflowId: string, what: string, end: RunEnd): void {
    const { host } = this;
    const { state, known } = host;
    const withdrawn = this.asking?.workflowId === workflowId ? this.asking.withdrawn : undefined;
    const says = `${what} ${workflowId} did not end well: ${end.says}`;
    if (end.well) {
      host.note('failover', `${what} ended: ${end.says}`, workflowId);
      known.failures = 0;
    } else if (withdrawn !== undefined) {
      forget(known);
      host.note('failover', `${what} withdrawn before anybody approved it: ${withdrawn}`, workflowId);
    } else if (what === 'failover' && end.type === 'Incomplete' && patched('lock-by-tier')) {
      // It promoted: the failure of the new primary is another one, and waits for nothing. It may have come before anybody saw that one.
      if (
        state.acting?.workflowId === workflowId &&
        patched('guard-news-of-epoch') &&
        this.isAnothersFailure(state.acting)
      )
        forget(known);
      host.note('failover', says, workflowId);
    } else if (what === 'failover' && !known.failed && patched('guard-acts-in-back-off')) {
      // It was refused because the primary came back meanwhile, or lost its reason: nothing is to be tried again.
      host.note('failover', says, workflowId);
    } else if (what !== 'failover' && patched('guard-back-off-of-failovers')) {
      // Whatever else is left of a node is brought back with a back-off of the node's own, and keeps no failover waiting.
      host.note('failover', says, workflowId);
    } else host.backOff.begin(says, workflowId);
    this.ended(workflowId);
  }

  /**
   * The ledger knows another primary than the one that the run was about. Until it does, the failure that is told again would be that of
   * the node which was replaced: failed over once more, what the new primary acknowledged could be lost.
   */
  private isAnothersFailure({ about }: NonNullable<GuardState['acting']>): boolean {
    const { primary } = this.host.state.ledger;
    // A guard that was started by a version which told it all the same goes on as it began, until its history begins anew.
    return (about !== undefined && about !== primary) || !patched('guard-failure-of-replaced');
  }

  private ended(workflowId: string): void {
    const { state, known } = this.host;
    // A failover that was started beside it goes on, and is still the one that acts.
    if (state.acting?.workflowId === workflowId) delete state.acting;
    if (this.asking?.workflowId === workflowId) this.asking = undefined;
    // Two writable nodes are left to the run that acts; what is so afterwards is to be told.
    known.splitBrain = false;
    // The stretch takes a moment to end, and only then the next one begins.
    this.host.changed();
  }
}
