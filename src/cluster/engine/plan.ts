import { formatMs } from '../duration';
import type { EngineDecision, EngineRunbookKind } from './decide';

/** One step of a plan. */
export interface PlannedStep {
  id: 'hand over' | 'drain' | 'ready' | 'verify';
  says: string;
  expectedMs: number;
  pointOfNoReturn: boolean;
  undo?: string;
}

/** HAProxy ends a drain of a ready engine by itself after this long, in milliseconds (VELOZ_HAPROXY_DRAIN_LIMIT_MS). */
export const DRAIN_LIMIT_MS = 2000;

/** Milliseconds for which requests waited in docs/benchmarks.md, and what the other steps take without hand-overs. */
const measured = { hold: 60, settle: 200, service: 50, verify: 50 };

/** What was decided. */
export type DecidedEngines = EngineDecision & { target: string };

/** Whether the lock goes to another engine. */
export const handsOver = (kind: EngineRunbookKind, { source, target, node }: DecidedEngines): boolean =>
  source !== undefined && target !== source && (kind === 'switchover' || node === source);

/** Lays a decision out as numbered steps. Pure. */
export function planEngines(
  kind: EngineRunbookKind,
  decision: DecidedEngines,
  soakMs: number,
  handover: { medianMs: number } | undefined,
): { steps: PlannedStep[]; expectedHoldMs: number; expectedHoldBasis: string; holdLimitMs: number } {
  const { source = '', target, node = '' } = decision;
  const each = handover?.medianMs ?? 100;
  const moves = handsOver(kind, decision);
  const steps: PlannedStep[] = [];
  if (moves)
    steps.push({
      id: 'hand over',
      says: `Hold requests at HAProxy, hand the lock from ${source} to ${target}, send requests to ${target}`,
      expectedMs: measured.hold + measured.settle + each,
      pointOfNoReturn: true,
      undo: `until ${target} has the lock: HAProxy sends requests to ${source} again`,
    });
  if (kind === 'drain')
    steps.push({
      id: 'drain',
      says: `Take ${node} out of service: no lock, no requests`,
      expectedMs: measured.service + each,
      pointOfNoReturn: false,
      undo: `${node} is put back into service`,
    });
  if (kind === 'ready')
    steps.push({
      id: 'ready',
      says: `Put ${node} back into service`,
      expectedMs: measured.service + each,
      pointOfNoReturn: false,
      undo: `${node} is drained again`,
    });
  steps.push({
    id: 'verify',
    says: `Verify through the front door${soakMs > 0 ? `, and watch for ${formatMs(soakMs)}` : ''}`,
    expectedMs: measured.verify + soakMs + each,
    pointOfNoReturn: false,
  });
  return {
    steps,
    expectedHoldMs: moves ? measured.hold : 0,
    expectedHoldBasis: moves
      ? "measured for this sequence; none of Temporal's hand-overs is inside the hold"
      : source === ''
        ? 'no engine is active'
        : `${source} takes orders as before`,
    holdLimitMs: moves ? DRAIN_LIMIT_MS : 0,
  };
}
