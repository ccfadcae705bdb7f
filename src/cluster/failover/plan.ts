import { formatMs } from '../duration';
import type { Protection } from '../topology';

/** A numbered plan of a failover: what would be done. */
export interface FailoverPlan {
  /** The node that failed. */
  primary: string;
  target: string;
  protection: Protection;
  steps: { id: string; says: string; expectedMs?: number; pointOfNoReturn: boolean; undo?: string }[];
  expectedHoldMs: number;
  expectedHoldBasis: string;
  holdLimitMs: number;
  /** The failed primary's WAL is read behind its fence, and decides whether the target is promoted. */
  readsFirst?: true;
}

/** What a plan is made of. */
export interface FailoverPlanInput {
  /** The node that failed. */
  source: string;
  target: string;
  /** Standbys that follow the target at once. */
  others: readonly string[];
  protection: Protection;
  holdLimitMs: number;
  /** What a hand-over by Temporal costs here; undefined while nobody has measured it. */
  handover: { medianMs: number } | undefined;
  /** Is the old primary made a standby as part of the run? Default: yes. */
  rejoins?: boolean;
  /** Only the failed primary's own WAL can tell whether the target has everything. Default: that is known. */
  readsFirst?: boolean;
  /** How long the new state is watched, in milliseconds. Default: not at all. */
  soakMs?: number;
}

/**
 * Milliseconds for which clients wait, in the middle of what was measured: 200 for a container that died, 700 for one that has to be
 * killed first. What goes before, until the failure is certain, is not part of the run.
 */
const measuredHold = 450;
/** Milliseconds until the container of a fenced primary is up and its WAL is read: between three and six seconds. */
const readMs = 4500;
/** Milliseconds of work in the other steps, without hand-overs. The rejoin is a rewind; a full copy takes as long as the data is big. */
const work = { record: 100, rejoin: 1200, verify: 60 };

/** Who would be promoted, and by what plan. */
interface Outlook {
  target?: string;
  plan?: { readsFirst?: true };
}

/** What a plan comes to, as sentences without the last full stop. */
export const plannedWords = (source: string, { target = 'A standby', plan }: Outlook): string =>
  plan?.readsFirst === true
    ? `Nothing was changed. ${source} would be fenced and read first: ${target} replaces it where it has all of its WAL; else ${source} is started again in its place`
    : `All checks passed. Nothing was changed. ${target} would replace ${source}`;

/**
 * The question before it is carried out.
 * @param bound what a person accepts to lose, as a clause; empty where that is nothing
 */
export const questionWords = (
  source: string,
  { target = 'the most advanced standby', plan }: Outlook,
  bound: string,
): string =>
  plan?.readsFirst === true
    ? `Fence ${source} and read its WAL, and fail over to ${target}${bound} where that has all of it (else ${source} is started again in its place)?`
    : `Fail over from ${source} to ${target}${bound}?`;

/** Lays a failover out as a plan. Pure. */
export function failoverPlan(input: FailoverPlanInput): FailoverPlan {
  const {
    source,
    target,
    others,
    protection,
    holdLimitMs,
    handover,
    rejoins = true,
    readsFirst = false,
    soakMs = 0,
  } = input;
  // A hand-over on a server whose cost is not known yet is taken as that of a server as shipped.
  const each = handover?.medianMs ?? 100;
  const cost = handover === undefined ? 'cost not measured yet' : `${formatMs(handover.medianMs)} each here`;
  const after =
    others.length > 0
      ? `${others.join(', ')} follow${others.length === 1 ? 's' : ''} and confirm${others.length === 1 ? 's' : ''}`
      : 'commits go on without a standby until one is back';
  const expectedHoldMs = measuredHold + (readsFirst ? readMs : 0);
  const reading = readsFirst ? `, and three to six seconds more to start it behind its fence and to read its WAL` : '';
  return {
    primary: source,
    target,
    protection,
    holdLimitMs,
    ...(readsFirst ? { readsFirst } : {}),
    expectedHoldMs,
    expectedHoldBasis: `measured for this sequence, 200 to 700 ms as ${source} is dead already or has to be killed${reading}; none of Temporal's hand-overs (${cost}) is inside the hold`,
    steps: [
      {
        id: 'failover',
        says: readsFirst
          ? `Hold clients, fence ${source} and prove it, read its WAL; where ${target} has all of it, promote ${target}, route, let clients go; ${after}`
          : `Hold clients, fence ${source} and prove it, promote ${target}, route, let clients go; ${after}`,
        expectedMs: expectedHoldMs + each,
        pointOfNoReturn: true,
        undo: readsFirst
          ? `until the promotion: clients are let go, and ${source} is started again in its place, as the primary`
          : `until the promotion: clients are let go, and ${source}, where it was fenced, is started as it was`,
      },
      {
        id: 'record',
        says: `CHECKPOINT on ${target}, and write the epoch`,
        expectedMs: work.record + each,
        pointOfNoReturn: false,
      },
      ...(rejoins
        ? [
            {
              id: 'rejoin',
              says: `Make ${source} a standby of ${target}: nothing to do, rewind or full copy, as its history says`,
              expectedMs: work.rejoin + each,
              pointOfNoReturn: false,
            },
            {
              id: 'verify',
              says: `Verify through the front door${soakMs > 0 ? `, and watch for ${formatMs(soakMs)}` : ''}`,
              expectedMs: work.verify + soakMs + each,
              pointOfNoReturn: false,
            },
          ]
        : []),
    ],
  };
}
