import type { Door } from '../../cluster/repair/round';
import type { ActivityDeps } from '../deps';
import { endClaims, takeNodes } from './claims';
import { lookThroughDoor, restartPooler, startPooler } from './door';
import type { RepairRequest } from './parts';
import { promoteStandby, type PromotionDone } from './promote';
import { fenceSecondPrimary } from './second-primary';
import { dropSlot, restoreNames } from './settings';
import { startOldPrimary } from './start-primary';
import { letClientsGo, routeClients } from './traffic';
import { verifyRepair, type RepairedRequest } from './verify';
import { wakeNode, type WakeRequest, type Woken } from './wake';

export type { RepairRequest } from './parts';
export type { PromotionDone } from './promote';

/** What a repair is made of, beside the parts of a failover and of a rejoin. */
export interface RepairActivities {
  lookThroughDoor(cluster: string): Promise<Door>;
  takeNodes(request: RepairRequest): Promise<string>;
  wakeNode(request: WakeRequest): Promise<Woken>;
  fenceSecondPrimary(request: RepairRequest & { node: string; primary: string }): Promise<string>;
  startOldPrimary(request: RepairRequest & { node: string }): Promise<string>;
  promoteStandby(request: RepairRequest): Promise<PromotionDone>;
  routeClients(request: RepairRequest & { primary: string }): Promise<string>;
  letClientsGo(request: RepairRequest & { primary: string }): Promise<string>;
  startPooler(cluster: string): Promise<Woken>;
  restartPooler(request: { cluster: string; primary: string }): Promise<string>;
  restoreNames(request: { cluster: string; primary: string }): Promise<{ detail: string; protectedAt?: number }>;
  dropSlot(request: { cluster: string; node: string; slot: string }): Promise<string>;
  endClaims(request: Pick<RepairRequest, 'cluster' | 'run'>): Promise<string>;
  verifyRepair(request: RepairedRequest, soakMs: number): Promise<string>;
}

/** Makes them from their dependencies. */
export function repairActivities(deps: ActivityDeps): RepairActivities {
  return {
    lookThroughDoor: (cluster) => lookThroughDoor(deps, cluster),
    takeNodes: (request) => takeNodes(deps, request),
    wakeNode: (request) => wakeNode(deps, request),
    fenceSecondPrimary: (request) => fenceSecondPrimary(deps, request),
    startOldPrimary: (request) => startOldPrimary(deps, request),
    promoteStandby: (request) => promoteStandby(deps, request),
    routeClients: (request) => routeClients(deps, request),
    letClientsGo: (request) => letClientsGo(deps, request),
    startPooler: (cluster) => startPooler(deps, cluster),
    restartPooler: (request) => restartPooler(deps, request),
    restoreNames: (request) => restoreNames(deps, request),
    dropSlot: (request) => dropSlot(deps, request),
    endClaims: (request) => endClaims(deps, request),
    verifyRepair: (request, soakMs) => verifyRepair(deps, request, soakMs),
  };
}
