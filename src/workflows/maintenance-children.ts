import {
  ApplicationFailure,
  ChildWorkflowFailure,
  executeChild,
  ParentClosePolicy,
  TerminatedFailure,
  workflowInfo,
} from '@temporalio/workflow';
import { repairCommand, wholeStatus } from '../cluster/commands';
import type { FailureType } from '../failures';
import type { TierMove } from '../cluster/maintenance/decide';
import { activeWord, type Tier } from '../cluster/maintenance/sides';
import type { EngineSwitchoverInput } from './engine-input';
import type { RedisFailoverInput } from './redis-input';
import { WORKFLOW_TASK_TIMEOUT } from './messages';
import type { Run } from './runbook/run';
import { rootMessage } from './runbook/runner';
import type { Report } from './run-state';
import type { SwitchoverInput } from './switchover-input';

/** How the runbook of one tier ended. */
export interface ChildEnd {
  workflowId: string;
  /** It did what it was asked for, or found it done. */
  good: boolean;
  /** It failed, and left its tier as it was: refused, busy, rolled back, aborted. */
  asBefore: boolean;
  /** How it failed. */
  type?: FailureType;
  /** The whole story in one sentence; of a failure with the next command at its end. */
  says: string;
  report?: Report;
}

/** Failures after which a tier is what it was. */
const asBefore: ReadonlySet<string> = new Set<FailureType>([
  'Refused',
  'Busy',
  'BadInput',
  'RolledBack',
  'Aborted',
  'Rejected',
  'NotApproved',
]);

/** The runbook of each tier: the workflow's type, and the first part of its runs' ids. */
const runbooks: Readonly<Record<Tier, { workflow: string; id: string }>> = {
  engine: { workflow: 'engineSwitchover', id: 'engine-switchover' },
  redis: { workflow: 'redisFailover', id: 'redis-failover' },
  postgres: { workflow: 'switchover', id: 'switchover' },
};

/** What one tier's runbook is asked for: this very move, or a refusal. */
function inputOf(run: Run, { tier, from, to }: TierMove, mode: 'plan' | 'run', soak: string | undefined): object {
  const { state } = run;
  const why = `maintenance ${state.workflowId}`;
  const common = {
    cluster: state.cluster,
    mode,
    // Whoever approved the maintenance has approved all of its moves.
    approval: 'given',
    startedBy: state.approval.by ?? state.startedBy,
    reason: state.reason === undefined ? why : `${state.reason} (${why})`,
    ...(state.ticket === undefined ? {} : { ticket: state.ticket }),
    ...(soak === undefined ? {} : { soak }),
  } as const;
  switch (tier) {
    case 'engine':
      return { ...common, target: to, expectedActive: from } satisfies EngineSwitchoverInput;
    case 'redis':
      return { ...common, target: to, expectedMaster: from } satisfies RedisFailoverInput;
    case 'postgres':
      return { ...common, target: to, expectedPrimary: from } satisfies SwitchoverInput;
  }
}

/** Starts the runbooks of the tiers as children, and tells how each ended. */
export class Children {
  private started = 0;

  constructor(
    private readonly run: Run,
    private readonly soak: string | undefined,
  ) {}

  /** Carries out one tier's runbook, or its plan, to its end. Throws nothing that the child did. */
  async conduct(move: TierMove, mode: 'plan' | 'run'): Promise<ChildEnd> {
    const { workflow, id } = runbooks[move.tier];
    const { runId } = workflowInfo();
    // The end of a run's id: its beginning is the time, which runs that follow each other share.
    const workflowId = `${id}/${this.run.state.cluster}/maintenance-${runId.slice(-8)}-${++this.started}`;
    try {
      const report = (await executeChild(workflow, {
        workflowId,
        args: [inputOf(this.run, move, mode, this.soak)],
        workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
        // The end of the maintenance, whatever ends it, must not tear a move apart.
        parentClosePolicy: ParentClosePolicy.ABANDON,
        staticSummary: `${mode === 'plan' ? 'Plan of the move' : 'Move'} of the ${activeWord[move.tier]} to ${move.to}, for maintenance`,
      })) as Report;
      return verified({ workflowId, report }, move, mode);
    } catch (error) {
      return failed(workflowId, this.run.state.cluster, error);
    }
  }
}

/** A move counts as done only when its own report says who is active now. */
function verified(
  { workflowId, report }: { workflowId: string; report: Report },
  { tier, to }: TierMove,
  mode: 'plan' | 'run',
): ChildEnd {
  const { outcome, says } = report;
  const moved = outcome === 'completed' || outcome === 'completed with warnings';
  if (mode === 'plan' ? outcome === 'planned' || moved : moved && (report.primaryAfter ?? to) === to)
    return { workflowId, good: true, asBefore: false, says, report };
  return {
    workflowId,
    good: false,
    asBefore: false,
    says: `the report of ${workflowId} does not say that ${to} is the ${activeWord[tier]} now: ${outcome}, ${says}. Next: veloz-ha show ${workflowId}`,
    report,
  };
}

function failed(workflowId: string, cluster: string, error: unknown): ChildEnd {
  if (!(error instanceof ChildWorkflowFailure))
    return {
      workflowId,
      good: false,
      asBefore: true,
      type: 'Refused',
      says: `${workflowId} could not be started: ${rootMessage(error)}. Next: ${wholeStatus(cluster)}`,
    };
  const { cause } = error;
  if (cause instanceof ApplicationFailure) {
    const type = cause.type ?? 'Failed';
    const report = cause.details?.[0] as Report | undefined;
    return {
      workflowId,
      good: false,
      asBefore: asBefore.has(type),
      type: type as FailureType,
      says: cause.message,
      ...(report == null ? {} : { report }),
    };
  }
  const how =
    cause instanceof TerminatedFailure ? 'was terminated in its middle' : `left no report (${rootMessage(error)})`;
  return {
    workflowId,
    good: false,
    asBefore: false,
    type: 'Incomplete',
    says: `${workflowId} ${how}. Next: ${repairCommand(cluster)}`,
  };
}
