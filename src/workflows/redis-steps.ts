import { patched } from '@temporalio/workflow';
import type { RedisMoveResult } from '../activities';
import { formatMs } from '../cluster/duration';
import type { DecidedRedis, PlannedRedisStep } from '../cluster/redis/plan';
import { act, changing, holding } from './runbook/activity-options';
import type { Run } from './runbook/run';
import { rootMessage, type Step } from './runbook/runner';
import { proveAndWatch } from './runbook/soak';

/** What the steps find out. */
export interface RedisStory {
  move?: RedisMoveResult;
  /** A node that failed and could not be started again, or that is not for this run to bring back. */
  without?: string;
}

/** The runbook's planned steps with what carries them out. */
export function redisSteps(
  run: Run,
  decision: DecidedRedis,
  planned: readonly PlannedRedisStep[],
  soakMs: number,
  story: RedisStory,
): Step[] {
  const { cluster, workflowId, runId } = run.state;
  const { source, target, leaves } = decision;
  const id = `${workflowId}/${runId}`;
  const move = { cluster, run: id, source, target };
  return planned.map((step): Step => {
    const { says, expectedMs, fault } = step;
    const named = { id: step.id, says, expectedMs };
    switch (step.id) {
      case 'move':
        return {
          ...named,
          pointOfNoReturn: { rollBack: () => act(changing, `Make ${source} the master again`).putBackMaster(move) },
          run: async () => {
            const result = await act(holding, `Move the master from ${source} to ${target}`).moveMaster(move);
            story.move = result;
            const held = result.heldMs === null ? 'for an unknown time (its worker died)' : formatMs(result.heldMs);
            return { detail: `writes waited ${held}`, subSteps: result.subSteps };
          },
        };
      case 'take over':
        return {
          ...named,
          pointOfNoReturn: {
            rollBack: () => act(changing, `Ask whether ${target} is the master`).abandonTakeOver(move),
          },
          run: async () => {
            const result = await act(holding, `Have ${target} take over from ${source}`).takeOverMaster(move);
            story.move = result;
            return { subSteps: result.subSteps };
          },
        };
      case 'return':
        return {
          ...named,
          run: async () => {
            // Roles are settled. A container that does not start may take minutes, and the next failover may need the lock.
            void run.unlock();
            try {
              const detail = await act(changing, `Start ${source}`).returnRedisNode({ cluster, node: source });
              return { detail };
            } catch (error) {
              // Clients have their master; a node that does not start is no reason to leave the rest unproven.
              story.without = source;
              const why = rootMessage(error);
              return { detail: `failed: ${why}`, warnings: [`L1: ${source} did not come back: ${why}`] };
            }
          },
        };
      case 'verify':
        return {
          ...named,
          run: async () => {
            // Roles are settled. It only looks and waits, and what fails meanwhile is not to wait for it.
            if (run.holdsLock && patched('redis-proof-without-lock')) void run.unlock();
            const { without } = story;
            const proof = {
              cluster,
              run: id,
              master: target,
              ...(without === undefined ? {} : { without }),
              ...(leaves === undefined ? {} : { leaves }),
            };
            const verify = act(changing, 'Prove the new state');
            const { detail } = await proveAndWatch(run, soakMs, (watchMs) => verify.verifyRedis(proof, watchMs));
            return { detail };
          },
        };
      default:
        return {
          ...named,
          run: async () => {
            if (fault === undefined) throw new Error(`step ${step.id} has no fault`);
            // These come last: nothing but the start of containers is left.
            if (fault.kind === 'stopped' || fault.kind === 'cut off') void run.unlock();
            const remedy = { cluster, run: id, fault, master: target };
            return { detail: await act(changing, says).mendRedis(remedy) };
          },
        };
    }
  });
}
