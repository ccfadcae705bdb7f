import { sleep } from '@temporalio/workflow';
import type { TierMove } from '../cluster/maintenance/decide';
import { tierName, tiers } from '../cluster/maintenance/sides';
import type { ChildEnd, Children } from './maintenance-children';
import { stepSays } from './maintenance-words';
import { act, reading } from './runbook/activity-options';
import type { Run } from './runbook/run';
import type { RunnerHost, Step } from './runbook/runner';
import type { MaintenanceState } from './run-state';

/** The lock of a tier goes a moment after the run that held it has ended; a run of somebody else may take longer. */
const LOCK_LOOKS = 40;
const LOCK_LOOK_EVERY = '250ms';

/** A move that came to nothing. */
export class MoveFailure extends Error {
  constructor(
    readonly move: TierMove,
    readonly end: ChildEnd,
  ) {
    super(end.says);
  }
}

/** The moves of the tiers as steps of a maintenance, and the account of what is away. */
export class Moves {
  constructor(
    private readonly run: Run,
    private readonly held: MaintenanceState,
    private readonly children: Children,
  ) {}

  /** A move as a step. It throws {@link MoveFailure} where it came to nothing. */
  step(move: TierMove, id: string, back = false): Step {
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

  /** Who hears of the steps. None of them is a point of no return: each move is undone by another one. */
  host(abortRequested: () => string | undefined): RunnerHost {
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
  dropPending(): void {
    const { state } = this.run;
    state.steps = state.steps.filter((step) => step.state !== 'pending');
  }
}
