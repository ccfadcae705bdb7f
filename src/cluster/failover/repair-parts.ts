import type { Ledger } from '../guard/ledger';
import type { ObservedCluster, ObservedNode } from '../observed';
import type { Checklist } from '../switchover/checklist';
import type { ClusterTopology } from '../topology';

/** What a repair does, in the order in which safety wants it. */
export type RepairKind =
  /** Stop a second writable node. */
  | 'fence'
  /** Promote the most advanced standby, as a failover does. */
  | 'failover'
  /** Start the old primary as a primary again: nobody else was promoted. */
  | 'start-primary'
  /** Lead clients to the primary. */
  | 'route'
  /** Let clients go. */
  | 'release'
  /** Make a node a standby of the primary. */
  | 'rejoin'
  /** Set `synchronous_standby_names`. */
  | 'restore-names'
  /** Drop a slot that nobody uses. */
  | 'drop-slot'
  /** Give back the claim of a run that is over. */
  | 'forget-claim'
  | 'nothing';

/** One action, as data. */
export interface RepairAction {
  kind: RepairKind;
  /** The node that it is done to, or the pooler; absent for `nothing`. */
  node?: string;
  /** Why, in half a sentence with what was measured. */
  why: string;
  /** The check of the safety checklist that finds it. */
  check: string;
  /** Only after this time, in milliseconds: a dead-man switch of the run that is over is still armed, and its agent says `Busy`. */
  afterMs?: number;
  /** `rejoin`, `fence`: the node to follow. `route`: where clients go. */
  upstream?: string;
  /** `drop-slot`. */
  slot?: string;
  /** `restore-names`. */
  names?: string;
  /** `forget-claim`: the run that left it. */
  run?: string;
}

/** What is being collected. */
export interface Repair {
  topology: ClusterTopology;
  observed: ObservedCluster;
  ledger: Ledger | null;
  /**
   * The same, for the question who may have what nobody else has: also where its primary can't be started, and it counts for nothing else.
   * Null as well in a run that was begun by a version which did not ask.
   */
  names: Ledger | null;
  isLive: (run: string | null | undefined) => boolean;
  list: Checklist;
  actions: RepairAction[];
  /** What the ledger names kept everybody from being started or promoted: that comes before whatever else is wrong. */
  keptByLedger?: true;
}

/** An armed dead-man switch acts first, and its agent refuses another run until then. */
export function waitFor({ isLive }: Repair, { agent }: ObservedNode): { afterMs?: number } {
  if (agent === null || agent.deadmanInMs === null || isLive(agent.claimedBy)) return {};
  return { afterMs: agent.deadmanInMs };
}
