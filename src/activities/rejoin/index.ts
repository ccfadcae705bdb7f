import type { ActivityDeps } from '../deps';
import { rewindOrCopy, type RejoinWork, type RejoinWorkRequest } from './data';
import { lookAtRejoin, type RejoinLook } from './look';
import type { RejoinRequest } from './parts';
import { keepStandby, releaseStandby, retireStandby, type RemovalRequest } from './remove';
import { settleRejoin, type RejoinSettled } from './settle';
import { endSilentNode } from './silent';
import { startAsStandby, type StartResult } from './start';
import { giveBack, verifyStandbys, type StandbysRequest } from './verify';

export type { RejoinWork } from './data';
export type { RejoinLook } from './look';
export type { RejoinRequest } from './parts';

/** What makes a node a standby, and lets one go. */
export interface RejoinActivities {
  endSilentNode(request: RejoinRequest): Promise<string>;
  lookAtRejoin(request: RejoinRequest): Promise<RejoinLook>;
  rewindOrCopy(request: RejoinWorkRequest): Promise<RejoinWork>;
  startAsStandby(request: RejoinRequest): Promise<StartResult>;
  settleRejoin(request: RejoinRequest): Promise<RejoinSettled>;
  verifyStandbys(request: StandbysRequest, soakMs: number): Promise<{ detail: string; soakedMs: number }>;
  releaseStandby(request: RemovalRequest): Promise<string>;
  keepStandby(request: RemovalRequest): Promise<string>;
  retireStandby(request: RemovalRequest): Promise<string>;
  giveBack(request: { cluster: string; run: string; nodes: string[] }): Promise<void>;
}

/** Makes them from their dependencies. */
export function rejoinActivities(deps: ActivityDeps): RejoinActivities {
  return {
    endSilentNode: (request) => endSilentNode(deps, request),
    lookAtRejoin: (request) => lookAtRejoin(deps, request),
    rewindOrCopy: (request) => rewindOrCopy(deps, request),
    startAsStandby: (request) => startAsStandby(deps, request),
    settleRejoin: (request) => settleRejoin(deps, request),
    verifyStandbys: (request, soakMs) => verifyStandbys(deps, request, soakMs),
    releaseStandby: (request) => releaseStandby(deps, request),
    keepStandby: (request) => keepStandby(deps, request),
    retireStandby: (request) => retireStandby(deps, request),
    giveBack: (request) => giveBack(deps, request),
  };
}
