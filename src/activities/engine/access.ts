import { createEngineClient, type EngineClient } from '../../systems/engine';
import { createHaproxyClient, type HaproxyClient } from '../../systems/haproxy';
import { readSecret } from '../../systems/secrets';
import { selectCluster, type Endpoint, type EngineNode, type HaproxyTopology } from '../../cluster/topology';
import { finalFailure } from '../context';
import type { ActivityDeps } from '../deps';

/** The secret of the engines' admin routes. */
export const ENGINE_TOKEN = 'VELOZ_ENGINE_ADMIN_TOKEN';

/** How engines and HAProxy are reached; a test hands in its own. */
export interface EngineSystems {
  engine(at: Endpoint, token: () => string): EngineClient;
  haproxy(at: Endpoint): HaproxyClient;
  /** One ordinary request at the front door: status and body of `GET /health`. */
  door(at: Endpoint): Promise<{ status: number; body: string }>;
}

const DOOR_LIMIT_MS = 2000;

const realSystems: EngineSystems = {
  engine: createEngineClient,
  haproxy: createHaproxyClient,
  async door({ host, port }) {
    const answer = await fetch(`http://${host}:${port}/health`, { signal: AbortSignal.timeout(DOOR_LIMIT_MS) });
    return { status: answer.status, body: await answer.text() };
  },
};

/** The ways to the engines of one cluster and to their front door. */
export interface EngineAccess {
  readonly cluster: string;
  readonly nodes: readonly EngineNode[];
  readonly haproxy: HaproxyTopology;
  /** @throws Error when the cluster has no such engine */
  engine(name: string): EngineClient;
  readonly proxy: HaproxyClient;
  door(): Promise<{ status: number; body: string }>;
}

/** @throws ApplicationFailure `BadInput` when the topology has no such cluster, or the cluster neither engines nor HAProxy */
export function accessEngines(
  deps: Pick<ActivityDeps, 'topology' | 'environment' | 'engineSystems'>,
  cluster: string,
): EngineAccess {
  const selected = selectCluster(deps.topology, cluster);
  if ('error' in selected) throw finalFailure('BadInput', selected.error);
  const { engines, haproxy } = selected.cluster;
  if (engines === undefined || haproxy === undefined)
    throw finalFailure(
      'BadInput',
      `the topology has no ${engines === undefined ? 'engines' : 'haproxy'} section for cluster ${selected.name}. Nothing was changed. Next: add it (docs/topology.md), then veloz-ha engine status --cluster ${selected.name}`,
    );
  const systems = deps.engineSystems ?? realSystems;
  const token = () => readSecret(ENGINE_TOKEN, deps.environment);
  return {
    cluster: selected.name,
    nodes: engines.nodes,
    haproxy,
    engine(name) {
      const node = engines.nodes.find((one) => one.name === name);
      if (node === undefined) throw new Error(`cluster ${selected.name} has no engine ${name}`);
      return systems.engine(node.address, token);
    },
    proxy: systems.haproxy(haproxy.runtime),
    door: () => systems.door(haproxy.address),
  };
}
