import type { ObservedEngines } from '../../cluster/engine/observed';
import type { ActivityDeps } from '../deps';
import { handOverEngine, putBackEngine, type HandoverResult } from './handover';
import { observeEngines } from './observe';
import type { HandoverRequest, ServiceRequest } from './parts';
import { drainEngine, readyEngine } from './service';
import { verifyEngines, type EngineProof } from './verify';

export type { HandoverResult } from './handover';
export type { HandoverRequest, ServiceRequest } from './parts';
export type { EngineProof } from './verify';

/** What moves the engines' lock, and takes engines out of service and back. */
export interface EngineActivities {
  observeEngines(cluster: string): Promise<ObservedEngines>;
  handOverEngine(request: HandoverRequest): Promise<HandoverResult>;
  putBackEngine(request: HandoverRequest): Promise<boolean>;
  drainEngine(request: ServiceRequest): Promise<string>;
  readyEngine(request: ServiceRequest): Promise<string>;
  verifyEngines(proof: EngineProof, soakMs: number): Promise<{ detail: string; soakedMs: number }>;
}

/** Makes them from their dependencies. */
export function engineActivities(deps: ActivityDeps): EngineActivities {
  return {
    observeEngines: (cluster) => observeEngines(deps, cluster),
    handOverEngine: (request) => handOverEngine(deps, request),
    putBackEngine: (request) => putBackEngine(deps, request),
    drainEngine: (request) => drainEngine(deps, request),
    readyEngine: (request) => readyEngine(deps, request),
    verifyEngines: (proof, soakMs) => verifyEngines(deps, proof, soakMs),
  };
}
