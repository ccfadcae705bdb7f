import { spread, type Spread } from '../summary';

/** An acknowledged row. Moments are milliseconds of one monotonic clock. */
export interface AcknowledgedRow {
  writer: string;
  seq: number;
  /** The timeline on which the server wrote it. */
  timeline: number;
  /** The node that was written to, where the writer goes past the pooler. */
  node?: string;
  /** When it was sent, and when its acknowledgement arrived. */
  sentAt: number;
  acknowledgedAt: number;
  /** The acknowledgement in milliseconds since the epoch. */
  at: number;
}

/** Which tier lost something. */
export type LossTier = 'postgres' | 'orders' | 'redis';

/** Something that was acknowledged and is not there. */
export interface Loss {
  tier: LossTier;
  /** Milliseconds since the epoch: when it was acknowledged, or, where that is not kept, when its round began. */
  at: number;
  timeline?: number;
  /**
   * A write to Redis that waited for no replica: it is lost with its master, and only the claim of a planned move is about it. Until when
   * it may have been acknowledged, in milliseconds since the epoch.
   */
  aloneUntil?: number;
  says: string;
}

/** What a report claims: that nothing acknowledged was lost in its run. Moments are milliseconds since the epoch. */
export interface Claim {
  run: string;
  tier: 'postgres' | 'redis';
  /** Redis: also of the writes that waited for no replica. */
  ofAll?: true;
  says: string;
  startedAt: number;
  endedAt: number;
  timelineBefore?: number;
  timelineAfter?: number;
}

/** The acknowledged rows that are not there. */
export function lostRows(
  acknowledged: readonly AcknowledgedRow[],
  isThere: (writer: string, seq: number) => boolean,
): Loss[] {
  return acknowledged
    .filter(({ writer, seq }) => !isThere(writer, seq))
    .map(({ writer, seq, at, timeline }) => ({
      tier: 'postgres',
      at,
      timeline,
      says: `row ${seq} of ${writer}, acknowledged on timeline ${timeline} at ${new Date(at).toISOString()}`,
    }));
}

/**
 * Rows that a second primary acknowledged. A row of an older timeline that was sent after one of a newer timeline had been
 * acknowledged is one; an acknowledgement that was only late (sent before) is none, for a frozen pooler may hold one back. On the
 * same timeline only one node can be the primary, so rows of two nodes on it are one too.
 */
export function dualRows(acknowledged: readonly AcknowledgedRow[]): AcknowledgedRow[] {
  const firstOn = new Map<number, number>();
  const nodeOf = new Map<number, string>();
  const inOrder = [...acknowledged].sort((a, b) => a.acknowledgedAt - b.acknowledgedAt);
  for (const { timeline, acknowledgedAt, node } of inOrder) {
    if (!firstOn.has(timeline)) firstOn.set(timeline, acknowledgedAt);
    if (node !== undefined && !nodeOf.has(timeline)) nodeOf.set(timeline, node);
  }
  return inOrder.filter(({ timeline, sentAt, node }) => {
    const another = node !== undefined && nodeOf.get(timeline) !== node;
    return another || [...firstOn].some(([newer, since]) => newer > timeline && since < sentAt);
  });
}

/** A run is about what was acknowledged up to this long before it began, in milliseconds: it begins when something has failed. */
const BEFORE_RUN_MS = 120_000;

/** The claims that a loss contradicts, each once. */
export function falseClaims(claims: readonly Claim[], losses: readonly Loss[]): Claim[] {
  return claims.filter((claim) => losses.some((loss) => contradicts(claim, loss)));
}

function contradicts(claim: Claim, loss: Loss): boolean {
  const tier = loss.tier === 'orders' ? 'postgres' : loss.tier;
  if (tier !== claim.tier || loss.at > claim.endedAt) return false;
  if (loss.aloneUntil !== undefined)
    return claim.ofAll === true && loss.at <= claim.startedAt && claim.startedAt <= loss.aloneUntil;
  const { timelineBefore, timelineAfter } = claim;
  // What a move of the primary lost was written before it on the timeline that it ended.
  if (loss.timeline !== undefined && timelineBefore !== undefined && timelineAfter !== undefined)
    return timelineBefore <= loss.timeline && loss.timeline < timelineAfter;
  return loss.at >= claim.startedAt - BEFORE_RUN_MS;
}

/** What one round did and cost. */
export interface Round {
  round: number;
  /** Milliseconds since the epoch. */
  began: number;
  /** What was done, as `--do` repeats it. */
  did: string;
  /** What became of each action, in words. */
  told: string[];
  faults: number;
  acknowledged: number;
  lost: Loss[];
  /** Writes to Redis that waited for no replica, where nothing but planned moves of it was done: those lose none. */
  aloneLost: Loss[];
  dualWrites: number;
  ordersAcknowledged: number;
  ordersDouble: number;
  redisAcknowledged: number;
  readOnlyErrors: number;
  /** Longest time without an acknowledged row of any writer through the pooler. */
  gapMs: number;
  /** From the moment at which the last fault was taken back; null where it took a person. */
  protectedAgainMs: number | null;
  /** Why a person was needed; absent where nobody was. */
  needsHelp?: string;
  /** What the harness did then. */
  helpedBy?: string;
  /** Workflow ids of the runs that began in it. */
  runs: string[];
}

/** `summary.chaos` of the document. */
export interface ChaosSummary {
  rounds: number;
  faults: number;
  acknowledged: number;
  lost: number;
  dualWrites: number;
  ordersAcknowledged: number;
  ordersLost: number;
  ordersDouble: number;
  redisAcknowledged: number;
  redisLost: number;
  falselyTold: number;
  needsHelp: number;
  readOnlyErrors: number;
  worstGapMs: number;
  protectedAgainMs: Spread | null;
}

/** Sums a campaign up. Losses that only the last look found are given besides the rounds. */
export function chaosSummary(
  rounds: readonly Round[],
  claims: readonly Claim[],
  foundLate: readonly Loss[] = [],
): ChaosSummary {
  const losses = [...rounds.flatMap(({ lost }) => lost), ...foundLate];
  const sum = (of: (round: Round) => number) => rounds.reduce((total, round) => total + of(round), 0);
  const lostOf = (tier: LossTier) => losses.filter((loss) => loss.tier === tier).length;
  return {
    rounds: rounds.length,
    faults: sum(({ faults }) => faults),
    acknowledged: sum(({ acknowledged }) => acknowledged),
    lost: lostOf('postgres'),
    dualWrites: sum(({ dualWrites }) => dualWrites),
    ordersAcknowledged: sum(({ ordersAcknowledged }) => ordersAcknowledged),
    ordersLost: lostOf('orders'),
    ordersDouble: sum(({ ordersDouble }) => ordersDouble),
    redisAcknowledged: sum(({ redisAcknowledged }) => redisAcknowledged),
    redisLost: lostOf('redis'),
    falselyTold: falseClaims(claims, [...losses, ...rounds.flatMap(({ aloneLost }) => aloneLost)]).length,
    needsHelp: rounds.filter(({ needsHelp }) => needsHelp !== undefined).length,
    readOnlyErrors: sum(({ readOnlyErrors }) => readOnlyErrors),
    worstGapMs: Math.max(0, ...rounds.map(({ gapMs }) => gapMs)),
    protectedAgainMs: spread(rounds.flatMap(({ protectedAgainMs }) => protectedAgainMs ?? [])) ?? null,
  };
}

/** Whether a campaign, or a round of one, found nothing wrong. */
export const isClean = (summary: ChaosSummary): boolean =>
  summary.lost +
    summary.dualWrites +
    summary.ordersLost +
    summary.ordersDouble +
    summary.redisLost +
    summary.falselyTold +
    summary.needsHelp +
    summary.readOnlyErrors ===
  0;
