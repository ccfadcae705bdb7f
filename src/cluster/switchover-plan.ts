import { formatMs } from './duration';
import type { SwitchoverDecision } from './switchover/decide';
import type { ClusterTopology } from './topology';

/** A numbered plan: what would be done. */
export interface SwitchoverPlan {
  primary: string;
  target: string;
  protection: ClusterTopology['protection'];
  steps: { id: string; says: string; expectedMs?: number; pointOfNoReturn: boolean; undo?: string }[];
  expectedHoldMs: number;
  expectedHoldBasis: string;
  holdLimitMs: number;
}

/** Longest gap of clients in milliseconds that docs/benchmarks.md records for each way, rounded. */
const measuredHold = { zeroLossTwo: 190, zeroLossThree: 140, fast: 120 };
/** Milliseconds of work in the other steps, without hand-overs. */
const work = { prepare: 150, checkpoint: 100, settle: 300, verify: 60 };

/** Lays a decision out as a plan. Pure. */
export function planSwitchover(
  decision: SwitchoverDecision & { source: string; target: string },
  limits: { holdLimitMs: number; soakMs: number },
  handover: { medianMs: number } | undefined,
): SwitchoverPlan {
  const { source, target, others, heldUp, protection } = decision;
  const three = others.length > 0;
  const hold =
    protection === 'fast' ? measuredHold.fast : three ? measuredHold.zeroLossThree : measuredHold.zeroLossTwo;
  // A hand-over on a server whose cost is not known yet is taken as that of a server as shipped.
  const each = handover?.medianMs ?? 100;
  const confirm =
    protection === 'fast' && !three
      ? 'clients go on before a standby confirms'
      : three
        ? `${others.join(', ')} confirm${others.length === 1 ? 's' : ''} before clients go on`
        : `${source} confirms as standby before clients go on`;
  return {
    primary: source,
    target,
    protection,
    holdLimitMs: limits.holdLimitMs,
    expectedHoldMs: hold,
    expectedHoldBasis: `measured for this sequence; none of Temporal's hand-overs (${handover === undefined ? 'cost not measured yet' : `${formatMs(handover.medianMs)} each here`}) is inside the hold`,
    steps: [
      {
        id: 'prepare',
        says: `Prepare ${target}: slots, followers, synchronous names`,
        expectedMs: work.prepare + each,
        pointOfNoReturn: false,
        undo: 'settings and slots are put back',
      },
      {
        id: 'checkpoint',
        says: 'CHECKPOINT on both nodes, then timed on the primary',
        expectedMs: work.checkpoint + each,
        pointOfNoReturn: false,
      },
      {
        id: 'move',
        says: `Hold clients, stop ${source} cleanly, prove that ${target} has everything, fence, promote, route; ${confirm}; let clients go`,
        expectedMs: hold + 150 + each,
        pointOfNoReturn: true,
        undo: `until the promotion: ${source} is started again and clients go on`,
      },
      {
        id: 'settle',
        says: `${source} catches up as synchronous standby; stale slots are dropped${heldUp.length === 0 ? '' : `; ${heldUp.join(', ')} will follow once replay goes on there`}`,
        expectedMs: work.settle + each,
        pointOfNoReturn: false,
      },
      {
        id: 'verify',
        says: `Verify through the front door${limits.soakMs > 0 ? `, and watch for ${formatMs(limits.soakMs)}` : ''}`,
        expectedMs: limits.soakMs + work.verify + each,
        pointOfNoReturn: false,
      },
    ],
  };
}
