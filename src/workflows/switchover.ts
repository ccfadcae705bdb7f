import { ApplicationFailure, CancellationScope, setWorkflowOptions } from '@temporalio/workflow';
import type { MoveRequest, MoveResult } from '../activities';
import { splitNext } from '../cluster/check';
import { clusterStatus, switchoverCommand } from '../cluster/commands';
import { durationMs, formatMs } from '../cluster/duration';
import { membersOf } from '../cluster/members';
import { planSwitchover } from '../cluster/switchover-plan';
import { act, reading } from './runbook/activity-options';
import { approvedOrEnd } from './runbook/ask';
import { describeCluster, letGo, lockOrEnd, othersOf, requestOf } from './runbook/begin';
import { Run } from './runbook/run';
import { initialStepStates, rootMessage, runSteps } from './runbook/runner';
import type { Report } from './run-state';
import { parseSwitchoverInput, type SwitchoverInput, type SwitchoverRequest } from './switchover-input';
import { limitsOf, look } from './switchover-look';
import { releaseMove, switchoverSteps } from './switchover-steps';

const cluster = (state: { cluster: string }) => state.cluster;

const START = 'veloz-ha postgres switchover';

/**
 * Moves the PostgreSQL primary to a standby, planned: no failed transaction, no lost row. Started with nothing (an empty form
 * of the Web UI) it plans for the default cluster and waits for approval.
 *
 * Ends with a {@link Report} as its result, or fails with the report in the failure's details and the outcome as its type.
 */
export async function switchover(input: SwitchoverInput = {}): Promise<Report> {
  const request = requestOf(parseSwitchoverInput(input), START);
  const run = new Run('switchover', request);
  // Cancellation is an abort: asked for between steps, never in the middle of one.
  return CancellationScope.nonCancellable(() => conduct(run, request));
}
setWorkflowOptions({ failureExceptionTypes: [Error] }, switchover);

async function conduct(run: Run, request: SwitchoverRequest): Promise<Report> {
  const { state } = run;
  const described = await describeCluster(request.cluster);
  state.cluster = described.name;
  const start = switchoverCommand(state.cluster);
  run.enter('checking', 'Taking the lock of PostgreSQL');
  if (request.notAfter !== undefined && Date.now() > Date.parse(request.notAfter)) {
    return run.end(
      'refused',
      `E7: it is too late to start: it is ${new Date(Date.now()).toISOString()} (limit: notAfter ${request.notAfter}). Nothing was changed. Next: ${start}`,
      { next: [{ command: start, why: 'starts it now, without a time limit' }] },
    );
  }
  if (request.mode === 'run') {
    const busy = await lockOrEnd(run, start, { alone: othersOf(run, described) });
    if (busy !== undefined) return busy;
  }

  const first = await look(run, described, request);
  if ('report' in first) return first.report;
  const { decision, observed } = first;
  const membersBefore = state.members;
  const timelineBefore = observed.nodes.find((node) => node.name === decision.source)?.sql?.timeline ?? 0;
  const soakMs = request.soak === undefined ? described.topology.soak : durationMs(request.soak);
  state.plan = planSwitchover(decision, { ...limitsOf(described, request), soakMs }, described.handover);

  if (request.mode === 'plan') {
    return run.end(
      'planned',
      `All checks passed. Nothing was changed. ${state.plan.primary} → ${state.plan.target} would hold clients for about ${formatMs(state.plan.expectedHoldMs)}`,
      {
        primaryBefore: decision.source,
        protection: decision.protection,
        membersBefore,
        plan: state.plan,
        next: [{ command: switchoverCommand(state.cluster, `--to ${decision.target}`), why: 'carries the plan out' }],
      },
    );
  }

  const move: MoveRequest = {
    cluster: state.cluster,
    run: `${state.workflowId}/${state.runId}`,
    source: decision.source,
    target: decision.target,
    others: decision.others,
    ...(decision.heldUp.length === 0 ? {} : { heldUp: decision.heldUp }),
    protection: decision.protection,
    ...limitsOf(described, request),
    timeline: timelineBefore,
  };
  const facts: { move?: MoveResult; protectedAt?: number; timeline?: number } = {};
  const steps = switchoverSteps(run, move, soakMs, facts);
  const expected = new Map(state.plan.steps.map((step) => [step.id, step.expectedMs]));
  for (const step of steps) step.expectedMs = expected.get(step.id);
  state.steps = initialStepStates(steps);

  // A person's time to think is no part of what the run took.
  let since = state.startedAt;
  if (request.approval === 'required') {
    const ended = await approvedOrEnd(run, {
      asks: `Move the primary from ${move.source} to ${move.target}?`,
      approvalTimeout: request.approvalTimeout,
      usualMs: described.topology.approvalTimeout,
      again: start,
      lock: { alone: othersOf(run, described) },
      rest: { membersBefore },
    });
    if (ended !== undefined) return ended;
    since = Date.now();
    run.enter('checking', 'Approved; looking once more');
    // Minutes may have passed: the picture on which the plan rests is taken anew, and the plan must still be the one approved.
    const again = await look(run, described, { ...request, target: move.target, expectedPrimary: move.source });
    if ('report' in again) return again.report;
  }

  run.enter('running', 'Starting');
  const outcome = await runSteps(steps, state.steps, run);
  const left = run.leaveWhenAsked();
  await giveBack(run, move);
  letGo(run);
  const after = await act(reading, 'Look at every system once more')
    .observe(cluster(state))
    .catch(() => undefined);
  if (after !== undefined) state.members = membersOf(after);

  const status = { command: clusterStatus(state.cluster), why: 'shows what is' };
  const rest: Partial<Report> = {
    primaryBefore: move.source,
    protection: move.protection,
    timelineBefore,
    membersBefore,
    ...(after === undefined ? {} : { membersAfter: state.members }),
    ...(facts.timeline === undefined ? {} : { timelineAfter: facts.timeline }),
    ...(facts.protectedAt === undefined ? {} : { protectedAgainMs: facts.protectedAt - since }),
    ...(facts.move === undefined ? {} : factsOfMove(facts.move, move.target)),
  };
  switch (outcome.kind) {
    case 'done': {
      const held = facts.move?.heldMs;
      // The target's record names this run only where it asked for the promotion, which it does behind the proof.
      const lost = facts.move?.promotedByOthers
        ? 'that no acknowledged row was lost is not proven'
        : `no acknowledged row was lost${rest.rpo === undefined ? '' : ': the shutdown checkpoint was received'}`;
      return run.end(
        'completed',
        `${move.target} is the primary now, ${move.source} ${move.others.length === 0 ? 'its synchronous standby' : 'a standby of it'}. Clients waited ${held == null ? 'for a time that its worker took to the grave' : formatMs(held)}; ${lost}`,
        { ...rest, primaryAfter: move.target },
      );
    }
    case 'aborted':
      return run.end('aborted', `${outcome.why}. Everything was put back: ${move.source} is primary as before`, {
        ...rest,
        primaryAfter: move.source,
        next: [status],
      });
    case 'rolled back': {
      const { what, next } = splitNext(rootMessage(outcome.cause));
      const commands = next === undefined ? [status] : [{ command: next, why: 'takes the cause away' }, status];
      // A limit that only a step could measure is a refusal all the same: everything is as before.
      const refused = failureTypeOf(outcome.cause) === 'Refused';
      return run.end(
        refused ? 'refused' : 'rolled back',
        refused
          ? `${what}. Everything was put back. Next: ${next ?? status.command}`
          : `Step "${outcome.step}" failed: ${what}. ${left ? 'What was prepared is put back' : `${move.source} is primary as before`}. Next: ${next ?? status.command}`,
        { ...rest, primaryAfter: move.source, next: commands },
      );
    }
    case 'undo failed':
      return run.end(
        'failed',
        `Step "${outcome.step}" failed and could not be put back: ${rootMessage(outcome.undoCause)} (first failure: ${rootMessage(outcome.cause)})`,
        {
          ...rest,
          next: [
            status,
            { command: `docker logs --tail 50 ${move.source}`, why: 'says why the old primary does not come back' },
          ],
        },
      );
    case 'incomplete':
      return run.end(
        'incomplete',
        `${move.target} was promoted, but step "${outcome.step}" did not finish: ${rootMessage(outcome.cause)}`,
        {
          ...rest,
          next: [
            status,
            { command: `docker logs --tail 50 ${move.source}`, why: 'says why the old primary does not follow' },
          ],
        },
      );
  }
}

/** Not without the lock: whoever has it by then has the nodes too. */
async function giveBack(run: Run, move: MoveRequest): Promise<void> {
  if (run.locksByTier && !run.holdsLock) return;
  await releaseMove(run, move);
}

/** The type of the innermost failure of a chain of causes. */
function failureTypeOf(error: unknown): string | undefined {
  let current = error;
  while (current instanceof Error && current.cause instanceof Error) current = current.cause;
  return current instanceof ApplicationFailure ? (current.type ?? undefined) : undefined;
}

function factsOfMove(move: MoveResult, target: string): Partial<Report> {
  return {
    ...(move.heldMs === null ? {} : { heldMs: move.heldMs }),
    ...(move.canaryGapMs === undefined ? {} : { canaryGapMs: move.canaryGapMs }),
    ...(move.shutdownCheckpoint === null || move.receivedByTarget === null
      ? {}
      : {
          rpo: {
            lostBytes: move.promotedByOthers ? null : 0,
            shutdownCheckpoint: move.shutdownCheckpoint,
            receivedByTarget: move.receivedByTarget,
            ...(move.promotedByOthers
              ? {}
              : {
                  proof: `the old primary stopped cleanly at ${move.shutdownCheckpoint}, and ${target} had received up to ${move.receivedByTarget} before it was promoted`,
                }),
          },
        }),
  };
}
