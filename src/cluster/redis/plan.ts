import { formatMs } from '../duration';
import type { RedisTopology } from '../topology';
import type { RedisDecision } from './decision';
import { remedySays, type RedisFault } from './faults';

/** One step of a plan. */
export interface PlannedRedisStep {
  /** `mend 1`, `mend 2`, …: one fault each. */
  id: 'move' | 'take over' | 'return' | 'verify' | `mend ${number}`;
  says: string;
  expectedMs: number;
  pointOfNoReturn: boolean;
  undo?: string;
  /** Of a `mend` step. */
  fault?: RedisFault;
}

/** What was decided, with both of its nodes known. */
export type DecidedRedis = RedisDecision & { source: string; target: string };

/** Redis itself lets held writes go this long after the run would have, in milliseconds: when everything died. */
export const HOLD_MARGIN_MS = 500;

/** Milliseconds for which writes waited in docs/benchmarks.md, and what the other steps take without hand-overs. */
const measured = { hold: 90, settle: 100, takeOver: 700, start: 1500, mend: 200, verify: 300 };

/** Lays a decision out as numbered steps. Pure. */
export function planRedis(
  topology: RedisTopology,
  decision: DecidedRedis,
  soakMs: number,
  handover: { medianMs: number } | undefined,
): {
  steps: PlannedRedisStep[];
  expectedHoldMs: number;
  expectedHoldBasis: string;
  holdLimitMs: number;
  holdEnds?: string;
} {
  const { kind, source, target, faults, without } = decision;
  const each = handover?.medianMs ?? 100;
  const steps: PlannedRedisStep[] = [];
  if (kind === 'planned')
    steps.push({
      id: 'move',
      says: `Hold writes, make ${source} a replica and ${target} the master, tell the Sentinels`,
      expectedMs: measured.hold + measured.settle + each,
      pointOfNoReturn: true,
      undo: `until ${target} is the master: ${source} is the master again, and writes go on`,
    });
  if (kind === 'forced') {
    steps.push({
      id: 'take over',
      says: `Prove that ${source} is gone, end it, make ${target} the master, tell the Sentinels`,
      expectedMs: measured.takeOver + each,
      pointOfNoReturn: true,
      undo: `until ${target} is the master: nothing to put back; ${source} can be started again`,
    });
    if (without !== source)
      steps.push({
        id: 'return',
        says: `Start ${source}, which comes back as a replica of ${target}`,
        expectedMs: measured.start + each,
        pointOfNoReturn: false,
      });
  }
  if (kind === 'repair')
    faults.forEach((fault, index) =>
      steps.push({
        id: `mend ${index + 1}`,
        says: remedySays(fault),
        expectedMs: measured.mend + each,
        pointOfNoReturn: false,
        fault,
      }),
    );
  steps.push({
    id: 'verify',
    says: `Verify: one master, all Sentinels name it, a write reaches a replica${soakMs > 0 ? `; watch for ${formatMs(soakMs)}` : ''}`,
    expectedMs: measured.verify + soakMs + each,
    pointOfNoReturn: false,
  });
  return { steps, ...holdOf(topology, decision) };
}

function holdOf(topology: RedisTopology, { kind, source, target }: DecidedRedis) {
  switch (kind) {
    case 'planned':
      return {
        expectedHoldMs: measured.hold,
        expectedHoldBasis: "measured for this sequence; none of Temporal's hand-overs is inside the hold",
        holdLimitMs: topology.limits.hold + HOLD_MARGIN_MS,
        holdEnds: `Redis lets held writes go by itself, to whoever is the master then,`,
      };
    case 'forced':
      return {
        expectedHoldMs: measured.takeOver,
        expectedHoldBasis: `clients wait since ${source} failed; they find ${target} through the Sentinels`,
        holdLimitMs: topology.limits.promote + topology.limits.agree,
        holdEnds: 'the Sentinels fail over',
      };
    default:
      return { expectedHoldMs: 0, expectedHoldBasis: 'nothing is moved', holdLimitMs: 0 };
  }
}
