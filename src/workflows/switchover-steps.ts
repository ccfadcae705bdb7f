import { ApplicationFailure } from '@temporalio/workflow';
import type { Activities, MoveRequest, MoveResult } from '../activities';
import { switchoverCommand } from '../cluster/commands';
import { formatMs } from '../cluster/duration';
import { act, changing, holding, leaving } from './runbook/activity-options';
import type { Run } from './runbook/run';
import { proveAndWatch } from './runbook/soak';
import type { Step } from './runbook/runner';
import { settleBeside } from './settle-beside';

/** Gives every node of a move back. */
export async function releaseMove(run: Run, move: Parameters<Activities['releaseNodes']>[0]): Promise<void> {
  await act(changing, 'Give the nodes back')
    .releaseNodes(move)
    .catch(() => run.warn('the nodes could not be given back; the next run takes them over'));
}

/** The runbook, as a list that a newcomer can read aloud. */
export function switchoverSteps(
  run: Run,
  move: MoveRequest,
  soakMs: number,
  facts: { move?: MoveResult; protectedAt?: number; timeline?: number },
): Step[] {
  const { source, target } = move;
  return [
    {
      id: 'prepare',
      says: `Prepare ${target}: slots, followers, synchronous names`,
      run: async () => ({ detail: await act(changing, `Prepare ${target} to be followed`).prepareMove(move) }),
      undo: {
        says: `Put back the settings and slots of ${target}`,
        run: () => act(changing, `Undo the preparation of ${target}`).unprepareMove(move),
      },
    },
    {
      id: 'checkpoint',
      says: 'CHECKPOINT on both nodes, then timed on the primary',
      givesWayFor: () => source,
      run: async () => {
        const { ms, limitMs } = await act(
          { ...leaving, heartbeatTimeout: '2s' },
          'CHECKPOINT on both nodes, so that the stop is short',
        ).checkpointNodes(move);
        if (ms > limitMs)
          throw ApplicationFailure.nonRetryable(
            `D4: a CHECKPOINT takes ${formatMs(ms)} (limit: ${formatMs(limitMs)}, limits.checkpoint); the stop would take as long. Next: ${switchoverCommand(move.cluster, '--plan')}`,
            'Refused',
          );
        return { detail: `${formatMs(ms)} (limit ${formatMs(limitMs)})` };
      },
    },
    {
      id: 'move',
      says: `Hold clients, move the primary from ${source} to ${target}, let clients go`,
      pointOfNoReturn: { rollBack: () => act(changing, `Put ${source} back as primary`).rollBackMove(move) },
      run: async () => {
        const result = await act(holding, `Hold clients at PgBouncer and move the primary to ${target}`).movePrimary(
          move,
        );
        facts.move = result;
        if (result.canaryFailures > 0)
          run.warn(`K4: the canary at the front door saw ${result.canaryFailures} failed commits during the move`);
        const held =
          result.heldMs === null
            ? 'held for an unknown time (its worker died)'
            : `clients waited ${formatMs(result.heldMs)}`;
        return {
          detail: `${held}${result.receivedByTarget === null ? '' : `; ${target} had ${result.receivedByTarget}, beyond the shutdown checkpoint ${result.shutdownCheckpoint ?? ''}`}`,
          subSteps: result.subSteps,
          warnings: result.warnings,
        };
      },
    },
    {
      id: 'settle',
      says: `${source} catches up as synchronous standby; stale slots are dropped`,
      run: async () => {
        const result = await settleBeside(run, move);
        facts.protectedAt = result.protectedAt;
        facts.timeline = result.timeline;
        return { detail: result.detail, warnings: result.warnings ?? [] };
      },
    },
    {
      id: 'verify',
      says: `Verify through the front door${soakMs > 0 ? `, and watch for ${formatMs(soakMs)}` : ''}`,
      givesWayFor: () => target,
      run: async () => {
        const verify = act(leaving, 'Prove the new state through the front door');
        const result = await proveAndWatch(
          run,
          soakMs,
          (watchMs) => verify.verifyMove(move, watchMs),
          () => releaseMove(run, move),
        );
        return { detail: result.detail, warnings: result.warnings };
      },
    },
  ];
}
