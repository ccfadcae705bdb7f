import type { EngineRunbookKind } from '../cluster/engine/decide';
import type { DecidedEngines, PlannedStep } from '../cluster/engine/plan';
import type { HandoverResult } from '../activities';
import { formatMs } from '../cluster/duration';
import { act, changing, holding } from './runbook/activity-options';
import type { Run } from './runbook/run';
import type { Step } from './runbook/runner';

/** What the steps find out. */
export interface EngineStory {
  handover?: HandoverResult;
}

/** The runbook's planned steps with what carries them out. */
export function engineSteps(
  run: Run,
  kind: EngineRunbookKind,
  decision: DecidedEngines,
  planned: readonly PlannedStep[],
  soakMs: number,
  story: EngineStory,
): Step[] {
  const { cluster, workflowId, runId } = run.state;
  const { source = '', target, node = '', epoch } = decision;
  const id = `${workflowId}/${runId}`;
  const service = { cluster, run: id, node };
  const move = { cluster, run: id, source, target, epoch };
  const out = act(changing, `Take ${node} out of service`);
  const back = act(changing, `Put ${node} back into service`);
  return planned.map((step): Step => {
    const { says, expectedMs } = step;
    const named = { id: step.id, says, expectedMs };
    switch (step.id) {
      case 'hand over':
        return {
          ...named,
          pointOfNoReturn: { rollBack: () => act(changing, `Send requests to ${source} again`).putBackEngine(move) },
          run: async () => {
            const result = await act(holding, `Hand the lock from ${source} to ${target}`).handOverEngine(move);
            story.handover = result;
            const held = result.heldMs === null ? 'for an unknown time (its worker died)' : formatMs(result.heldMs);
            return { detail: `requests waited ${held}; epoch ${epoch} → ${result.epoch}`, subSteps: result.subSteps };
          },
        };
      case 'drain':
        return {
          ...named,
          run: async () => ({ detail: await out.drainEngine(service) }),
          undo: { says: `Put ${node} back into service`, run: () => back.readyEngine(service) },
        };
      case 'ready':
        return {
          ...named,
          run: async () => ({ detail: await back.readyEngine(service) }),
          undo: { says: `Drain ${node} again`, run: () => out.drainEngine(service) },
        };
      case 'verify':
        return {
          ...named,
          run: async () => {
            const proof = {
              cluster,
              epoch: story.handover?.epoch ?? epoch,
              ...(source === '' && kind === 'ready' ? {} : { active: target }),
              ...(kind === 'drain' ? { drained: [node] } : {}),
            };
            const { detail } = await act(changing, 'Prove the new state through the front door').verifyEngines(
              proof,
              soakMs,
            );
            return { detail };
          },
        };
    }
  });
}
