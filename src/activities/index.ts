import { selectCluster, type ClusterTopology } from '../cluster/topology';
import type { ObservedCluster } from '../cluster/observed';
import type { HandoverCost } from '../workflows/messages';
import { finalFailure } from './context';
import type { ActivityDeps } from './deps';
import { movePrimary, type MoveResult } from './move';
import type { MoveRequest } from './move-parts';
import { rollBackMove } from './move-undo';
import { observeCluster } from './observe';
import { checkpointNodes, prepareMove, unprepareMove } from './prepare';
import { releaseNodes, settleMove, verifyMove, type SettleResult, type VerifyResult } from './settle';

export type { MoveResult } from './move';
export type { MoveRequest } from './move-parts';

/** A cluster as its worker knows it. Names of secrets, never secrets. */
export interface ClusterDescription {
  name: string;
  topology: ClusterTopology;
  /** What a hand-over costs on this server; absent until the worker has measured it. */
  handover?: HandoverCost;
}

/** The activities of a worker. Each observes, decides, acts where needed and verifies, and may run twice. */
export interface Activities {
  describeCluster(cluster?: string): Promise<ClusterDescription>;
  observe(cluster: string): Promise<ObservedCluster>;
  lockHolder(cluster: string): Promise<string | undefined>;
  prepareMove(request: MoveRequest): Promise<string>;
  unprepareMove(request: MoveRequest): Promise<string>;
  checkpointNodes(request: MoveRequest): Promise<{ ms: number; limitMs: number }>;
  movePrimary(request: MoveRequest): Promise<MoveResult>;
  rollBackMove(request: MoveRequest): Promise<boolean>;
  settleMove(request: MoveRequest): Promise<SettleResult>;
  verifyMove(request: MoveRequest, soakMs: number): Promise<VerifyResult>;
  releaseNodes(request: MoveRequest): Promise<void>;
  handover(): Promise<{ at: number; worker: string }>;
}

/** Makes the activities from their dependencies. */
export function createActivities(deps: ActivityDeps): Activities {
  const activities: Activities = {
    // eslint-disable-next-line @typescript-eslint/require-await -- activities are promises by contract
    async describeCluster(cluster) {
      const selected = selectCluster(deps.topology, cluster);
      if ('error' in selected) {
        const [known] = Object.keys(deps.topology.clusters);
        throw finalFailure(
          'BadInput',
          `${selected.error}. Nothing was changed. Next: veloz-ha postgres switchover --cluster ${known}`,
        );
      }
      const handover = deps.handoverCost();
      return { name: selected.name, topology: selected.cluster, ...(handover === undefined ? {} : { handover }) };
    },
    observe: (cluster) => observeCluster(deps, cluster),
    lockHolder: (cluster) => deps.lockHolder(cluster),
    prepareMove: (request) => prepareMove(deps, request),
    unprepareMove: (request) => unprepareMove(deps, request),
    checkpointNodes: (request) => checkpointNodes(deps, request),
    movePrimary: (request) => movePrimary(deps, request),
    rollBackMove: (request) => rollBackMove(deps, request),
    settleMove: (request) => settleMove(deps, request),
    verifyMove: (request, soakMs) => verifyMove(deps, request, soakMs),
    releaseNodes: (request) => releaseNodes(deps, request),
    // eslint-disable-next-line @typescript-eslint/require-await -- activities are promises by contract
    async handover() {
      return { at: performance.timeOrigin + performance.now(), worker: deps.identity };
    },
  };
  const faultPoint = deps.faultPoint?.bind(deps);
  if (faultPoint === undefined) return activities;
  return Object.fromEntries(
    Object.entries(activities).map(([name, activity]) => [
      name,
      async (...args: unknown[]): Promise<unknown> => {
        faultPoint(`before:${name}`);
        const result = await (activity as (...values: unknown[]) => Promise<unknown>)(...args);
        faultPoint(`after:${name}`);
        return result;
      },
    ]),
  ) as unknown as Activities;
}
