import type { ClusterTopology } from '../cluster/topology';
import { nodesOfSide, type Side } from '../cluster/maintenance/sides';
import type { Outcome, Report } from '../workflows/run-state';
import type { FaultName } from './faults';

/** What may be under way when the fault comes. */
export const duringNames = ['none', 'engine-switchover', 'maintenance', 'add-standby', 'rejoin-copy'] as const;
export type DuringName = (typeof duringNames)[number];
/** A runbook that is under way. */
export type Accompanied = Exclude<DuringName, 'none'>;

/** A fault comes this long after the start of a switchover of engines: from and to, in milliseconds. */
export const ENGINE_OFFSET_MS = [50, 150] as const;
/** So large a database takes some seconds to copy, in MB. */
const COPIED_MB = 512;

/** What was under way when a fault came. Times are lengths in milliseconds. */
export interface DuringRun {
  runbook: Accompanied;
  workflowId: string;
  /** The node that was being copied; absent where none was. */
  node?: string;
  /** From the start of the run until the fault. */
  startedBeforeMs: number;
  /** What it did just before the fault, in its own words. */
  atFault: string;
  /** Its middle had not ended when the fault came, by its own report. */
  underWay: boolean;
  /** How it ended; null where it left no report. */
  outcome: Outcome | null;
  /** The same in a sentence. */
  says: string | null;
  /** What it left did not mend itself, and the bench had to put it right. */
  helped: boolean;
}

/** What is asked of the bench, as far as it may not go together. */
export interface DuringWish {
  during: DuringName;
  fault: FaultName;
  standbys: 1 | 2;
  /** MB. */
  fill: number;
}

/** Copies a node's data, so that it takes the longer the more there are. */
export const copies = (during: DuringName): boolean => during === 'add-standby' || during === 'rejoin-copy';

/** How large the database is made before anything is measured, in MB: as asked for, and else large enough for a copy to last. */
export const fillOf = (during: DuringName, asked: number | undefined): number =>
  asked ?? (copies(during) ? COPIED_MB : 0);

/** What of the stack has to run. */
export const partOf = (during: DuringName): 'postgres' | 'all of it' =>
  during === 'engine-switchover' || during === 'maintenance' ? 'all of it' : 'postgres';

/** Why these can't go together, with the next command; undefined where they can. Pure. */
export function mistakeOf(wish: DuringWish, cluster: ClusterTopology): string | undefined {
  const { during, fault, standbys, fill } = wish;
  const { nodes } = cluster.postgres;
  const same = `npm run -s bench:failover -- --fault ${fault} --during ${during}`;
  if (fault === 'disk-full' && (during !== 'none' || fill > 0))
    return `--fault disk-full uses small, empty disks: ${during === 'none' ? '--fill' : `--during ${during}`} does not go with it. Next: npm run -s bench:failover -- --fault kill --during ${during}`;
  switch (during) {
    case 'none':
    case 'maintenance':
      return undefined;
    case 'engine-switchover':
      if ((cluster.engines?.nodes.length ?? 0) < 2 || cluster.haproxy === undefined)
        return '--during engine-switchover needs two engines and HAProxy, which the topology does not have. Next: npm run -s bench:failover -- --during none';
      return undefined;
    case 'rejoin-copy':
      if (nodes.length < 3)
        return `--during rejoin-copy needs three nodes, and the topology has ${nodes.length}. Next: npm run -s bench:failover -- --during none`;
      if (standbys === 1)
        return `--during rejoin-copy with one standby leaves nobody who could be promoted while that one is copied. Next: ${same} --standbys 2`;
      return undefined;
    case 'add-standby':
      if (nodeToAdd(cluster) === undefined)
        return '--during add-standby needs an optional node, and the topology has none. Next: npm run -s bench:failover -- --during none';
      if (standbys === 2)
        return `--during add-standby with two standbys leaves no node that could be added. Next: ${same} --standbys 1`;
      return undefined;
  }
}

/** The node that is added: the topology's first optional one. */
export const nodeToAdd = (cluster: ClusterTopology): string | undefined =>
  cluster.postgres.nodes.find(({ optional }) => optional)?.name;

/** The standby that is copied anew: of those that are not the primary the topology's last, so that the other one is promoted. */
export function nodeToCopy(cluster: ClusterTopology, primary: string): string {
  const node = cluster.postgres.nodes.filter(({ name }) => name !== primary).at(-1);
  if (node === undefined) throw new Error(`there is no node besides ${primary} that could be copied`);
  return node.name;
}

/** What a maintenance clears: the primary's side, and the primary alone where it is on none. */
export function scopeOf(cluster: ClusterTopology, primary: string): { side: Side } | { nodes: [string] } {
  const side = ([1, 2] as const).find((one) => nodesOfSide(cluster, one).includes(primary));
  return side === undefined ? { nodes: [primary] } : { side };
}

/**
 * Whether the fault came into the middle of the run, by its report. Pure. A run that left none had not ended: it was waited for, and
 * then terminated.
 * @param at the fault, in milliseconds since the epoch
 */
export function wasUnderWay(runbook: Accompanied, report: Report | undefined, at: number): boolean {
  if (report === undefined) return true;
  if (at > report.endedAt) return false;
  switch (runbook) {
    case 'engine-switchover':
      return report.steps.some(({ startedAt }) => startedAt !== undefined && startedAt <= at);
    case 'maintenance': {
      const since = report.maintenance?.heldSince;
      return since !== undefined && since <= at;
    }
    case 'add-standby':
    case 'rejoin-copy':
      return report.steps.some(
        ({ id, startedAt, ms }) =>
          id === 'data' && startedAt !== undefined && startedAt <= at && (ms === undefined || at <= startedAt + ms),
      );
  }
}

/** One line about it. */
export function duringLine({ runbook, node, startedBeforeMs, atFault, underWay, outcome, helped }: DuringRun): string {
  const of = node === undefined ? '' : ` of ${node}`;
  return `during ${runbook}${of}, ${Math.round(startedBeforeMs)} ms after its start: ${atFault}${underWay ? '' : ' (NOT under way any more)'}; it ended: ${outcome ?? 'without a report'}${helped ? ', HELPED' : ''}`;
}
