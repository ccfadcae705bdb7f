import type { ObservedRedis } from '../../cluster/redis/observed';
import { keepBeating } from '../context';
import type { ActivityDeps } from '../deps';
import { accessRedis } from './access';
import { mendRedis, returnRedisNode, type RedisRemedy } from './mend';
import { moveMaster, putBackMaster } from './move';
import { observeRedis } from './observe';
import type { RedisMove, RedisMoveResult } from './parts';
import { abandonTakeOver, takeOverMaster } from './take-over';
import { verifyRedis, type RedisProof } from './verify';

export type { RedisRemedy } from './mend';
export type { RedisMove, RedisMoveResult } from './parts';
export type { RedisProof } from './verify';

/** A node that is silent for this long, in milliseconds, is told as silent: a run that may be a failover can't wait. */
const LOOK_LIMIT_MS = 500;

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
        return await observeRedis({ ...deps, limitMs: LOOK_LIMIT_MS }, access.cluster, access.topology);
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
