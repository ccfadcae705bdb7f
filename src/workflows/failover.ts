import { CancellationScope, setWorkflowOptions } from '@temporalio/workflow';
import type { FailoverMove, FailoverResult } from '../activities';
import { type Check, commandsOf, insteadOf, refusalSentence, splitNext } from '../cluster/check';
import { clusterStatus, logs, repairCommand } from '../cluster/commands';
import { durationMs } from '../cluster/duration';
import { promoteCommand, rejoinCommand } from '../cluster/failover/commands';
import { plannedWords, questionWords } from '../cluster/failover/plan';
import type { Ledger } from '../cluster/guard/ledger';
import { membersOf } from '../cluster/members';
import { formatSize } from '../cluster/size';
import { parseFailoverInput, type FailoverInput, type FailoverRequest } from './failover-input';
import { findFailed, lookOnceMore } from './failover-look';
import { lookUntilPutBack, putBackIn, putBackWords } from './failover-put-back';
import { failoverSteps, releaseFailover, type FailoverStory } from './failover-steps';
import { act, reading } from './runbook/activity-options';
import { approvedOrEnd } from './runbook/ask';
import { describeCluster, letGo, lockOrEnd, requestOf } from './runbook/begin';
import { Run } from './runbook/run';
import { initialStepStates, rootDetails, rootMessage, rootType, runSteps, type StepsOutcome } from './runbook/runner';
import type { FailoverFacts, Report } from './run-state';

const START = 'veloz-ha postgres promote';
/** The guard may be trying at this very moment what a person wants to do: its attempts that are refused are over soon. */
const LOCK_TRIES = 15;
/** The guard starts it while nobody holds the lock; only a run that began at this very moment may have been faster. */
const GUARD_LOCK_TRIES = 5;

/**
 * Replaces a primary that failed: proves that it takes no write, promotes the most advanced standby, routes clients, and makes the
 * old primary a standby again. Refuses where it can't be proven that no acknowledged commit is lost, unless a person accepts a
 * bounded loss. Started by the guard, or by a person; with an empty form it plans for the default cluster and waits for approval.
 */
export async function failover(input?: FailoverInput | null): Promise<Report> {
  const request = requestOf(parseFailoverInput(input), START);
  const run = new Run('failover', request);
  return CancellationScope.nonCancellable(() => conduct(run, request));
}
setWorkflowOptions({ failureExceptionTypes: [Error] }, failover);

async function conduct(run: Run, request: FailoverRequest): Promise<Report> {
  const { state } = run;
  // The guard names the cluster as its topology does: then the lock is taken while the topology is read.
  if (request.incident !== undefined && request.cluster !== undefined) state.cluster = request.cluster;
  const known = state.cluster === request.cluster;
  const ahead = known ? lockOrEnd(run, promoteCommand(state.cluster), { tries: GUARD_LOCK_TRIES }) : undefined;
  ahead?.catch(() => undefined);
  const described = await describeCluster(request.cluster);
  state.cluster = described.name;
  if (!known) run.enter('checking', 'Taking the lock of PostgreSQL');
  if (request.mode === 'run') {
    const busy = await (ahead ?? lockOrEnd(run, promoteCommand(state.cluster), { tries: LOCK_TRIES }));
    if (busy !== undefined) return busy;
  }
  const found = await findFailed(run, described, request);
  if ('report' in found) return found.report;
  const { move, looked } = found;
  const membersBefore = state.members;
  // A person's time to think is no part of what the run took.
  let since = request.incident?.since ?? state.startedAt;

  if (request.mode === 'plan' || request.approval === 'required') {
    const planned = await act(reading, 'See who could be promoted').planFailOver(move);
    state.checks = planned.checks;
    state.plan = planned.plan;
    const refusal = refusalSentence(planned.checks, 'Nothing was changed');
    if (refusal !== undefined)
      return run.end('refused', refusal, {
        membersBefore,
        failover: factsOf(request, move.ledger),
        next: commandsOf(planned.checks),
      });
    if (request.mode === 'plan')
      return run.end('planned', plannedWords(move.source, planned), {
        primaryBefore: move.source,
        membersBefore,
        ...(planned.plan === undefined ? {} : { plan: planned.plan }),
        next: [
          {
            command: `${promoteCommand(state.cluster)} --expected-primary ${move.source}`,
            why: 'carries the plan out',
          },
        ],
      });
    const bound =
      request.allowDataLoss === undefined ? '' : `, and lose ${sizeOf(request.allowDataLoss.maxBytes)} at most`;
    const ended = await approvedOrEnd(run, {
      asks: questionWords(move.source, planned, bound),
      approvalTimeout: request.approvalTimeout,
      usualMs: described.topology.approvalTimeout,
      again: promoteCommand(state.cluster),
      lock: { tries: LOCK_TRIES },
      rest: { membersBefore },
    });
    if (ended !== undefined) return ended;
    since = Date.now();
    if (run.locksByTier) {
      const changed = await lookOnceMore(run, described, request, move);
      if (changed !== undefined) return changed;
    }
    // The guard's certainty is as old as the question.
    delete move.decidedAt;
    // What was approved is who is promoted.
    if (planned.target !== undefined) move.target = planned.target;
    run.enter('checking', 'Approved; the failover looks once more before it changes anything');
  }

  const soakMs = request.soak === undefined ? described.topology.soak : durationMs(request.soak);
  const story: FailoverStory = {};
  const leavesStopped = request.incident !== undefined;
  const rejoins = request.oldPrimary === 'rejoin';
  const steps = failoverSteps(run, described, move, { soakMs, rejoins, leavesStopped }, story);
  state.steps = initialStepStates(steps);
  // A failover by the guard enters no phase before the hold ends: that would be one more hand-over while clients wait.
  if (request.incident === undefined) run.enter('running', 'Starting');
  else run.changed('Failing over');
  const outcome = await runSteps(steps, state.steps, run);
  run.leaveWhenAsked();
  // Not without the lock: whoever has it by then has the nodes too.
  if (!run.locksByTier || run.holdsLock) await releaseFailover(run, move);
  letGo(run);
  let after = await act(reading, 'Look at every system once more')
    .observe(state.cluster)
    .catch(() => undefined);
  // The guard looks itself.
  if (request.incident === undefined && wasFencedInVain(outcome))
    after = await lookUntilPutBack(state.cluster, move.source, after);
  if (after !== undefined) state.members = membersOf(after);

  const { result } = story;
  if (result !== undefined) state.checks = result.checks;
  const status = { command: clusterStatus(state.cluster), why: 'shows what is' };
  const repair = {
    command: repairCommand(state.cluster),
    why: 'looks at what is, and plans what is missing',
  };
  const timelineBefore = result?.timelineBefore ?? move.ledger?.timeline;
  const rest: Partial<Report> = {
    primaryBefore: move.source,
    ...(result === undefined ? {} : { primaryAfter: result.target }),
    ...(timelineBefore == null ? {} : { timelineBefore }),
    ...(looked ? { membersBefore } : {}),
    ...(after === undefined ? {} : { membersAfter: state.members }),
    ...(story.timeline === undefined ? {} : { timelineAfter: story.timeline }),
    ...(story.protectedAt === undefined
      ? {}
      : { protectedAgainMs: story.protectedAt - since, protectedSince: story.protectedAt }),
    ...(result?.marks.releasedAt == null ? {} : { heldMs: Math.max(0, result.marks.releasedAt - since) }),
    ...(story.rejoin === undefined ? {} : { rejoin: story.rejoin }),
    failover: factsOf(request, move.ledger, result ?? ofTheWatch(move), since),
  };
  switch (outcome.kind) {
    case 'done': {
      const lost =
        result?.lossBound === 0
          ? `no acknowledged row was lost${result.proof === undefined ? '' : ` (${result.proof})`}`
          : request.allowDataLoss === undefined
            ? 'that no acknowledged row was lost is not proven'
            : `at most ${sizeOf(result?.lossBound ?? null)} of acknowledged WAL may be lost, as ${request.allowDataLoss.by} accepted`;
      return run.end(
        'completed',
        `${result?.target ?? '?'} is the primary now: ${lost}. ${story.after ?? `${move.source} was left as it is, fenced`}`,
        story.left === undefined
          ? rest
          : {
              ...rest,
              next: [{ command: `docker start ${move.source}`, why: 'has it become a standby, by the guard in auto' }],
            },
      );
    }
    case 'aborted':
      return run.end('aborted', `${outcome.why}. Nothing was promoted`, { ...rest, next: [status] });
    case 'rolled back': {
      const { what, next } = splitNext(rootMessage(outcome.cause));
      const refused = rootType(outcome.cause) === 'Refused';
      const { checks, fence } = detailsOf(outcome.cause);
      const putBack = wasFencedInVain(outcome) ? putBackIn(after, move.source) : undefined;
      const commands = [
        ...(next === undefined || putBack !== undefined ? [] : [{ command: next, why: 'is what the check suggests' }]),
        // A node that was fenced with its container is not started again by anybody.
        ...(fence === undefined || putBack === 'writes' || next === repair.command ? [] : [repair]),
        status,
        ...(putBack === undefined ? insteadOf(checks ?? []) : []),
      ];
      if (refused) state.checks = checks ?? state.checks;
      if (rest.failover !== undefined) {
        if (fence !== undefined) rest.failover.fence = `${fence}, by an attempt that promoted nobody`;
        else if (!refused) rest.failover.fence = `nobody can tell whether ${move.source} was fenced`;
      }
      return run.end(
        refused ? 'refused' : 'rolled back',
        refused
          ? putBack === undefined
            ? `${what}. Next: ${next ?? status.command}`
            : `${what}. ${putBackWords(move.source, putBack)}. Next: ${status.command}`
          : `Step "${outcome.step}" failed: ${what}. Nobody was promoted, and clients were let go. Next: ${next ?? repair.command}`,
        { ...rest, next: commands },
      );
    }
    case 'undo failed':
      return run.end(
        'failed',
        `Step "${outcome.step}" failed and could not be put back: ${rootMessage(outcome.undoCause)} (first failure: ${rootMessage(outcome.cause)}). Next: ${repair.command}`,
        { ...rest, next: [repair, status] },
      );
    case 'incomplete':
      return run.end(
        'incomplete',
        `${result?.target ?? 'A standby'} was promoted, but step "${outcome.step}" did not finish: ${splitNext(rootMessage(outcome.cause)).what}. Next: ${rejoinCommand(state.cluster, move.source)}`,
        {
          ...rest,
          next: [
            { command: rejoinCommand(state.cluster, move.source), why: 'makes the old primary a standby again' },
            status,
            { command: logs(move.source), why: 'says why the old primary does not follow' },
          ],
        },
      );
  }
}

const sizeOf = (bytes: number | null): string =>
  bytes === null || bytes >= Number.MAX_SAFE_INTEGER ? 'an unknown amount' : formatSize(bytes);

type Done = Pick<FailoverResult, 'fence' | 'lossBound' | 'proof' | 'marks'>;

/** What the watch saw through, where no step of the run came to say so. */
function ofTheWatch({ journal }: FailoverMove): Done | undefined {
  if (journal === undefined || journal.marks.promotedAt === null) return undefined;
  const { fence = 'it is not fenced yet', lossBound = null, proof, marks } = journal;
  return { fence, lossBound, ...(proof === undefined ? {} : { proof }), marks };
}

function factsOf(request: FailoverRequest, ledger: Ledger | null, result?: Done, since?: number): FailoverFacts {
  const { incident } = request;
  const released = result?.marks.releasedAt ?? null;
  return {
    kind: incident?.kind ?? 'dead',
    says: incident?.says ?? 'a person said that the primary failed, and no primary could be reached',
    signals: incident?.signals ?? [],
    ledger,
    detectMs: incident === undefined ? null : incident.decidedAt - incident.since,
    fence: result?.fence ?? 'it was not fenced',
    fenceMs: result?.marks.fenceMs ?? null,
    ...(result?.marks.fenceBeside === true ? { fenceBeside: true as const } : {}),
    promoteMs: result?.marks.promoteMs ?? null,
    routeMs: result?.marks.routeMs ?? null,
    totalMs: since === undefined || released === null ? null : released - since,
    lossBound: result === undefined ? null : result.lossBound,
    ...(result?.proof === undefined ? {} : { proof: result.proof }),
    ...(request.allowDataLoss === undefined ? {} : { dataLoss: request.allowDataLoss }),
  };
}

/** The old primary was fenced, and what was found then refused to promote anybody. */
const wasFencedInVain = (outcome: StepsOutcome): boolean =>
  outcome.kind === 'rolled back' &&
  rootType(outcome.cause) === 'Refused' &&
  detailsOf(outcome.cause).fence !== undefined;

/** What an attempt that promoted nobody tells beside its reason. */
const detailsOf = (error: unknown): { checks?: Check[]; fence?: string } => rootDetails(error);
