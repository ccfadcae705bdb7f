import { ApplicationFailure } from '@temporalio/workflow';
import type { ClusterDescription } from '../activities';
import { commandsOf, refusalSentence, splitNext } from '../cluster/check';
import { clusterStatus } from '../cluster/commands';
import { durationMs, formatMs } from '../cluster/duration';
import { copyLock } from '../cluster/locks';
import { membersOf } from '../cluster/members';
import { isSilent, type ObservedCluster } from '../cluster/observed';
import type { StandbyChoice } from '../cluster/rejoin/choose';
import type { ClusterTopology } from '../cluster/topology';
import { planQuestion } from '../report/runbooks';
import type { RejoinStory } from './rejoin-steps';
import { act, changing, leaving, reading } from './runbook/activity-options';
import { approvedOrEnd, warnOf } from './runbook/ask';
import { aloneOrEnd, describeCluster, letGo, lockOrEnd, othersOf } from './runbook/begin';
import type { Run } from './runbook/run';
import { initialStepStates, rootMessage, rootType, runSteps, type Step } from './runbook/runner';
import { proveAndWatch } from './runbook/soak';
import type { Report } from './run-state';
import type { RejoinRequest, StandbyRequest } from './standby-input';

/** What was chosen, once nothing refuses. */
export interface Chosen {
  cluster: string;
  /** The run's id, as agents know it. */
  run: string;
  primary: string;
  node: string;
  /** Other standbys, which stream from the primary. */
  others: string[];
  /** The node's container runs, and neither its agent nor its server gives an answer. */
  silent: boolean;
}

/** A runbook that makes one node a standby, or lets one go. */
export interface StandbyRunbook {
  /** The command that starts it, without cluster and node: `veloz-ha postgres rejoin`. */
  start: string;
  /** It is begun beside no other run. One that puts a fault right goes on beside runs of other tiers. */
  planned: boolean;
  choose(topology: ClusterTopology, observed: ObservedCluster, node: string | undefined): StandbyChoice;
  steps(chosen: Chosen, story: RejoinStory): Step[];
  /** Nodes that must stream from the primary at the end. */
  standbysAfter(chosen: Chosen): string[];
  /** The end of a run that is done, without full stop. */
  done(chosen: Chosen, story: RejoinStory): string;
  /** What is so when it stops on the way, without full stop. */
  stays(chosen: Chosen): string;
  /** Commands to run after a run that is done. */
  next?(chosen: Chosen): Report['next'];
}

/** The command that starts a runbook for a node, or for the one that it chooses. */
const startOf = ({ start }: StandbyRunbook, cluster: string, node: string | undefined): string =>
  `${start} --cluster ${cluster}${node === undefined ? '' : ` ${node}`}`;

/** Looks, plans, asks, carries out, verifies and reports: what runbooks about one standby have in common. */
export async function conductStandbyRun(
  run: Run,
  request: RejoinRequest | StandbyRequest,
  runbook: StandbyRunbook,
): Promise<Report> {
  const { state } = run;
  const described = await describeCluster(request.cluster);
  state.cluster = described.name;
  const start = startOf(runbook, state.cluster, request.node);
  run.enter('checking', 'Taking the lock of PostgreSQL');
  if (request.mode === 'run') {
    const busy = await lockOrEnd(run, start, { alone: runbook.planned ? othersOf(run, described) : [] });
    if (busy !== undefined) return busy;
  }
  const first = await look(run, described, runbook, request.node);
  if ('report' in first) return first.report;
  const { chosen } = first;
  if (request.mode === 'run') {
    // A node is left to the run that copies its data: that one goes on without the lock of PostgreSQL.
    const copied = await aloneOrEnd(run, startOf(runbook, state.cluster, chosen.node), [copyLock(chosen.node)]);
    if (copied !== undefined) return copied;
  }
  const membersBefore = state.members;
  const soakMs = request.soak === undefined ? described.topology.soak : durationMs(request.soak);
  const story: RejoinStory = {};
  const steps = [...runbook.steps(chosen, story), verifyStep(run, chosen, runbook, soakMs)];
  state.plan = {
    primary: chosen.primary,
    target: chosen.node,
    protection: described.topology.protection,
    steps: steps.map(({ id, says, expectedMs, undo }) => ({
      id,
      says,
      ...(expectedMs === undefined ? {} : { expectedMs }),
      pointOfNoReturn: false,
      ...(undo === undefined ? {} : { undo: undo.says }),
    })),
    expectedHoldMs: 0,
    expectedHoldBasis: `they go on at ${chosen.primary}`,
    holdLimitMs: 0,
  };
  const command = startOf(runbook, state.cluster, chosen.node);
  const rest = (): Partial<Report> => ({
    primaryBefore: chosen.primary,
    primaryAfter: chosen.primary,
    membersBefore,
  });
  if (request.mode === 'plan') {
    return run.end('planned', `All checks passed. Nothing was changed. ${planSentence(run, runbook, chosen)}`, {
      ...rest(),
      plan: state.plan,
      next: [{ command, why: 'carries the plan out' }],
    });
  }
  state.steps = initialStepStates(steps);

  let since = state.startedAt;
  if (request.approval === 'required') {
    const ended = await approve(run, described, runbook, request, chosen, rest());
    if (ended !== undefined) return ended;
    // A person's time to think is no part of what the run took.
    since = Date.now();
  }

  run.enter('running', 'Starting');
  const outcome = await runSteps(steps, state.steps, run);
  run.leaveWhenAsked();
  // Not without the lock: whoever has it by then may have the node too.
  if (!run.locksByTier || run.holdsLock) await giveBack(run, chosen);
  letGo(run);
  const after = await act(reading, 'Look at every system once more')
    .observe(state.cluster)
    .catch(() => undefined);
  if (after !== undefined) state.members = membersOf(after);

  const report: Partial<Report> = {
    ...rest(),
    ...(after === undefined ? {} : { membersAfter: state.members }),
    ...(story.timeline === undefined ? {} : { timelineAfter: story.timeline }),
    ...(story.rejoin === undefined ? {} : { rejoin: story.rejoin }),
    ...(story.protectedAt === undefined
      ? {}
      : { protectedAgainMs: story.protectedAt - since, protectedSince: story.protectedAt }),
  };
  const status = { command: clusterStatus(state.cluster), why: 'shows what is' };
  switch (outcome.kind) {
    case 'done':
      return run.end('completed', runbook.done(chosen, story), { ...report, next: runbook.next?.(chosen) ?? [] });
    case 'aborted': {
      const begun = state.steps.some((step) => step.state !== 'pending');
      const what = begun ? `${runbook.stays(chosen)}. Next: ${command}` : 'Nothing was changed';
      return run.end('aborted', `${outcome.why}. ${what}`, {
        ...report,
        next: [...(begun ? [{ command, why: 'goes on with it' }] : []), status],
      });
    }
    case 'rolled back':
    case 'incomplete': {
      const { what, next } = splitNext(rootMessage(outcome.cause));
      const says = steps.find((step) => step.id === outcome.step)?.says ?? outcome.step;
      const commands = [
        ...(next === undefined ? [] : [{ command: next, why: 'takes the cause away' }]),
        { command, why: 'goes on with it' },
        status,
      ];
      if (rootType(outcome.cause) === 'Refused')
        return run.end('refused', `${what}. Next: ${next ?? command}`, { ...report, next: commands });
      return run.end(
        'incomplete',
        `Step "${says}" did not finish: ${what}. ${runbook.stays(chosen)}. Next: ${next ?? command}`,
        { ...report, next: commands },
      );
    }
    case 'undo failed':
      return run.end(
        'failed',
        `Step "${outcome.step}" failed and could not be put back: ${rootMessage(outcome.undoCause)} (first failure: ${rootMessage(outcome.cause)}). Next: ${status.command}`,
        { ...report, next: [status, { command, why: 'goes on with it' }] },
      );
  }
}

/** Observes, chooses, and ends the run when it is refused or there is nothing to do. */
async function look(
  run: Run,
  described: ClusterDescription,
  runbook: StandbyRunbook,
  node: string | undefined,
): Promise<{ report: Report } | { chosen: Chosen }> {
  const { state } = run;
  // A copy needs room for all databases.
  const observed = await act(reading, 'Look at every system of the cluster').observe(state.cluster, { sizes: true });
  state.members = membersOf(observed);
  const choice = runbook.choose(described.topology, observed, node);
  state.checks = choice.checks;
  const common = { primaryBefore: choice.primary, membersBefore: state.members };
  const refusal = refusalSentence(choice.checks, 'Nothing was changed');
  if (refusal !== undefined)
    return { report: run.end('refused', refusal, { ...common, next: commandsOf(choice.checks) }) };
  if (choice.alreadyDone !== undefined) {
    return {
      report: run.end('completed', `${choice.alreadyDone}. Nothing was changed`, {
        ...common,
        primaryAfter: choice.primary,
        membersAfter: state.members,
      }),
    };
  }
  if (choice.primary === undefined || choice.node === undefined)
    throw ApplicationFailure.nonRetryable('the checks named neither a node nor a refusal', 'Failed');
  warnOf(run, choice.checks);
  const seen = observed.nodes.find(({ name }) => name === choice.node);
  const { cluster, workflowId, runId } = state;
  return {
    chosen: {
      cluster,
      run: `${workflowId}/${runId}`,
      primary: choice.primary,
      node: choice.node,
      others: choice.others,
      silent: isSilent(seen),
    },
  };
}

/** Waits for a person. Returns the report of a run that ends here. */
async function approve(
  run: Run,
  described: ClusterDescription,
  runbook: StandbyRunbook,
  request: RejoinRequest | StandbyRequest,
  chosen: Chosen,
  rest: Partial<Report>,
): Promise<Report | undefined> {
  const { state } = run;
  const start = startOf(runbook, state.cluster, chosen.node);
  const ended = await approvedOrEnd(run, {
    asks: planQuestion(state.runbook, state.plan),
    approvalTimeout: request.approvalTimeout,
    usualMs: described.topology.approvalTimeout,
    again: start,
    lock: { alone: [...(runbook.planned ? othersOf(run, described) : []), copyLock(chosen.node)] },
    rest,
  });
  if (ended !== undefined) return ended;
  run.enter('checking', 'Approved; looking once more');
  const again = await look(run, described, runbook, chosen.node);
  if ('report' in again) return again.report;
  if (again.chosen.primary !== chosen.primary) {
    return run.end(
      'refused',
      `A1: the primary is ${again.chosen.primary} now (limit: ${chosen.primary}, as in the plan that was approved). Nothing was changed. Next: ${start}`,
      { ...rest, next: [{ command: start, why: 'plans it anew' }] },
    );
  }
  return undefined;
}

async function giveBack(run: Run, { cluster, run: token, node }: Chosen): Promise<void> {
  await act(changing, 'Give the node back')
    .giveBack({ cluster, run: token, nodes: [node] })
    .catch(() => run.warn('the node could not be given back; the next run takes it over'));
}

function verifyStep(run: Run, chosen: Chosen, runbook: StandbyRunbook, soakMs: number): Step {
  return {
    id: 'verify',
    says: `Verify one primary and its standbys${soakMs > 0 ? `, and watch for ${formatMs(soakMs)}` : ''}`,
    expectedMs: soakMs + 100,
    givesWayFor: () => chosen.primary,
    run: async () => {
      const { cluster, primary } = chosen;
      const request = { cluster, primary, standbys: runbook.standbysAfter(chosen) };
      const verify = act(leaving, 'Prove the new state');
      const { detail } = await proveAndWatch(
        run,
        soakMs,
        (watchMs) => verify.verifyStandbys(request, watchMs),
        () => giveBack(run, chosen),
      );
      return { detail };
    },
  };
}

const planSentence = (run: Run, runbook: StandbyRunbook, chosen: Chosen): string =>
  `${planQuestion(run.state.runbook, run.state.plan)} Next: ${startOf(runbook, chosen.cluster, chosen.node)}`;
