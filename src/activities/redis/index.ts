import { mastersOf, type ObservedRedis, type SeenReplicas } from '../../cluster/redis/observed';
import { newerSeen } from '../../cluster/redis/strangers';
import { keepBeating } from '../context';
import type { ActivityDeps } from '../deps';
import { withinLimit } from '../guard/probe';
import { accessRedis } from './access';
import { mendRedis, returnRedisNode, type RedisRemedy } from './mend';
import { moveMaster, putBackMaster } from './move';
import { observeRedis } from './observe';
import type { RedisMove, RedisMoveResult } from './parts';
import { abandonTakeOver, takeOverMaster } from './take-over';
import { verifyRedis, type RedisProof } from './verify';
import { seenReplicas } from './watch';

export type { RedisRemedy } from './mend';
export type { RedisMove, RedisMoveResult } from './parts';
export type { RedisProof } from './verify';

/** A node that is silent for this long, in milliseconds, is told as silent: a run that may be a failover can't wait. */
const LOOK_LIMIT_MS = 500;
/** How long the guard may take to tell what it saw before, in milliseconds: a failover waits for it. */
const GUARD_LIMIT_MS = 300;

/** What moves the Redis master, and mends what a failover left. */
export interface RedisActivities {
  observeRedis(cluster: string): Promise<ObservedRedis>;
  moveMaster(move: RedisMove): Promise<RedisMoveResult>;
  putBackMaster(move: RedisMove): Promise<boolean>;
  takeOverMaster(move: RedisMove): Promise<RedisMoveResult>;
  abandonTakeOver(move: RedisMove): Promise<boolean>;
  returnRedisNode(request: { cluster: string; node: string }): Promise<string>;
  mendRedis(remedy: RedisRemedy): Promise<string>;
  verifyRedis(proof: RedisProof, soakMs: number): Promise<{ detail: string; soakedMs: number }>;
}

/** Makes them from their dependencies. */
export function redisActivities(deps: ActivityDeps): RedisActivities {
  return {
    async observeRedis(cluster) {
      const access = accessRedis(deps, cluster);
      // A frozen node takes its time to be silent.
      const stopBeating = keepBeating(() => 'looking at Redis');
      try {
        const asked = seenByGuard(deps, access.cluster);
        const observed = await observeRedis({ ...deps, limitMs: LOOK_LIMIT_MS }, access.cluster, access.topology);
        if (mastersOf(observed).length > 0) return observed;
        const seen = await asked;
        return seen === undefined ? observed : { ...observed, seen };
      } finally {
        stopBeating();
      }
    },
    moveMaster: (move) => moveMaster(deps, move),
    putBackMaster: (move) => putBackMaster(deps, move),
    takeOverMaster: (move) => takeOverMaster(deps, move),
    abandonTakeOver: (move) => abandonTakeOver(deps, move),
    returnRedisNode: (request) => returnRedisNode(deps, request),
    mendRedis: (remedy) => mendRedis(deps, remedy),
    verifyRedis: (proof, soakMs) => verifyRedis(deps, proof, soakMs),
  };
}

/** What the guard saw last in the list of a master that may be gone now. Never throws; undefined where nobody knows. */
async function seenByGuard(deps: ActivityDeps, cluster: string): Promise<SeenReplicas | undefined> {
  const here = seenReplicas(deps, cluster);
  if (deps.guardState === undefined) return here;
  const state = await withinLimit(deps.guardState(cluster), GUARD_LIMIT_MS).catch(() => undefined);
  return newerSeen(here, state?.redis?.seen);
}
