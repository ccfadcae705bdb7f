import { selectCluster, type ClusterTopology } from '../cluster/topology';
import type { Ledger } from '../cluster/guard/ledger';
import type { HeldLock, LockName } from '../cluster/locks';
import type { ObservedCluster } from '../cluster/observed';
import type { HandoverCost } from '../workflows/messages';
import { finalFailure } from './context';
import { engineActivities, type EngineActivities } from './engine';
import type { ActivityDeps } from './deps';
import { movePrimary, type MoveResult } from './move';
import type { MoveRequest } from './move-parts';
import { rollBackMove } from './move-undo';
import { observeCluster } from './observe';
import { failOver } from './failover/fail-over';
import type { FailoverMove, FailoverResult } from './failover/move';
import { planFailOver, type FailoverOutlook } from './failover/plan';
import { undoFailOver } from './failover/undo';
import { recordPromotion, type RecordResult } from './failover/record';
import type { RunEnd } from '../cluster/guard/run-end';
import { awaitRunEnd, type AwaitedRun } from './guard/await-run-end';
import { fenceRogue, type RogueRequest } from './guard/fence-rogue';
import type { LostStandbys } from '../cluster/guard/standby-loss';
import { relaxSynchrony, restoreSynchrony } from './guard/synchrony';
import { watchCluster, type WatchRequest, type WatchResult } from './guard/watch';
import { watchMembers, type MembersWatchRequest, type MembersWatchResult } from './guard/watch-members';
import { checkpointNodes, prepareMove, unprepareMove } from './prepare';
import { redisActivities, type RedisActivities } from './redis';
import { watchRedis, type RedisWatchRequest, type RedisWatchResult } from './redis/watch';
import { rejoinActivities, type RejoinActivities } from './rejoin';
import { repairActivities, type RepairActivities } from './repair';
import { releaseNodes, settleMove, verifyMove, type SettleResult, type VerifyResult } from './settle';

export type { MoveResult } from './move';
export type { MoveRequest } from './move-parts';
export type { SettleResult } from './settle';
export type { FailoverJournal } from './failover/journal';
export type { FailoverMove, FailoverResult } from './failover/move';
export type { EngineProof, HandoverRequest, HandoverResult, ServiceRequest } from './engine';
export type { RedisMove, RedisMoveResult, RedisProof, RedisRemedy } from './redis';
export type { WatchCounts, WatchRequest, WatchResult } from './guard/watch';
export type { MembersWatchRequest, MembersWatchResult } from './guard/watch-members';
export type { RedisWatchRequest, RedisWatchResult } from './redis/watch';
export type { RejoinLook, RejoinRequest, RejoinWork } from './rejoin';

/** A cluster as its worker knows it. Names of secrets, never secrets. */
export interface ClusterDescription {
  name: string;
  topology: ClusterTopology;
  /** What a hand-over costs on this server; absent until the worker has measured it. */
  handover?: HandoverCost;
}

/** The activities of a worker. Each observes, decides, acts where needed and verifies, and may run twice. */
export interface Activities extends RejoinActivities, RepairActivities, EngineActivities, RedisActivities {
  describeCluster(cluster?: string): Promise<ClusterDescription>;
  /** `sizes`: with the size of the databases, for those who may copy them. */
  observe(cluster: string, options?: { sizes?: boolean }): Promise<ObservedCluster>;
  lockHolder(cluster: string, lock?: LockName): Promise<string | undefined>;
  heldLocks(cluster: string, locks: readonly LockName[]): Promise<HeldLock[]>;
  prepareMove(request: MoveRequest): Promise<string>;
  unprepareMove(request: MoveRequest): Promise<string>;
  checkpointNodes(request: MoveRequest): Promise<{ ms: number; limitMs: number }>;
  movePrimary(request: MoveRequest): Promise<MoveResult>;
  rollBackMove(request: MoveRequest): Promise<boolean>;
  settleMove(request: MoveRequest): Promise<SettleResult>;
  verifyMove(request: MoveRequest, soakMs: number): Promise<VerifyResult>;
  releaseNodes(request: Pick<MoveRequest, 'cluster' | 'run' | 'source' | 'target' | 'others'>): Promise<void>;
  watchCluster(request: WatchRequest): Promise<WatchResult>;
  watchMembers(request: MembersWatchRequest): Promise<MembersWatchResult>;
  watchRedis(request: RedisWatchRequest): Promise<RedisWatchResult>;
  awaitRunEnd(run: AwaitedRun): Promise<RunEnd | undefined>;
  relaxSynchrony(cluster: string, primary: string, lost?: Pick<LostStandbys, 'mark'>): Promise<string>;
  restoreSynchrony(cluster: string, primary: string): Promise<string>;
  fenceRogue(request: RogueRequest): Promise<string>;
  readLedger(cluster: string): Promise<Ledger | undefined>;
  planFailOver(request: FailoverMove): Promise<FailoverOutlook>;
  failOver(request: FailoverMove): Promise<FailoverResult>;
  undoFailOver(request: FailoverMove): Promise<boolean>;
  recordPromotion(request: { cluster: string; run: string; target: string }): Promise<RecordResult>;
  handover(): Promise<{ at: number; worker: string }>;
}

/** Makes the activities from their dependencies. */
export function createActivities(deps: ActivityDeps): Activities {
  const activities: Activities = {
    ...rejoinActivities(deps),
    ...repairActivities(deps),
    ...engineActivities(deps),
    ...redisActivities(deps),
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
    observe: (cluster, options) => observeCluster(deps, cluster, options),
    lockHolder: (cluster, lock) => deps.lockHolder(cluster, lock),
    heldLocks: async (cluster, locks) => {
      const holders = await Promise.all(locks.map((lock) => deps.lockHolder(cluster, lock)));
      return locks.flatMap((lock, index) => {
        const holder = holders[index];
        return holder === undefined ? [] : [{ lock, holder }];
      });
    },
    prepareMove: (request) => prepareMove(deps, request),
    unprepareMove: (request) => unprepareMove(deps, request),
    checkpointNodes: (request) => checkpointNodes(deps, request),
    movePrimary: (request) => movePrimary(deps, request),
    rollBackMove: (request) => rollBackMove(deps, request),
    settleMove: (request) => settleMove(deps, request),
    verifyMove: (request, soakMs) => verifyMove(deps, request, soakMs),
    releaseNodes: (request) => releaseNodes(deps, request),
    watchCluster: (request) => watchCluster(deps, request),
    watchMembers: (request) => watchMembers(deps, request),
    watchRedis: (request) => watchRedis(deps, request),
    awaitRunEnd: (run) => awaitRunEnd(deps, run),
    relaxSynchrony: (cluster, primary, lost) => relaxSynchrony(deps, cluster, primary, lost),
    restoreSynchrony: (cluster, primary) => restoreSynchrony(deps, cluster, primary),
    fenceRogue: (request) => fenceRogue(deps, request),
    readLedger: async (cluster) => (await deps.guardState?.(cluster))?.ledger,
    planFailOver: (request) => planFailOver(deps, request),
    failOver: (request) => failOver(deps, request),
    undoFailOver: (request) => undoFailOver(deps, request),
    recordPromotion: (request) => recordPromotion(deps, request),
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
