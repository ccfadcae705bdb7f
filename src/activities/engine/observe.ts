import type { ObservedDoor, ObservedEngine, ObservedEngines, ObservedProxy } from '../../cluster/engine/observed';
import { readHealth } from '../../systems/engine';
import { keepBeating } from '../context';
import type { ActivityDeps } from '../deps';
import { accessEngines, type EngineAccess } from './access';

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Why a connection failed stands in the cause.
  return error.message === 'fetch failed' && error.cause instanceof Error ? error.cause.message : error.message;
}

/** Looks at every engine and at HAProxy, at once. What does not answer is part of the picture and no error. */
export async function observeEngines(deps: ActivityDeps, cluster: string): Promise<ObservedEngines> {
  const access = accessEngines(deps, cluster);
  const stopBeating = keepBeating(() => 'looking at the engines');
  try {
    const [engines, proxy, door] = await Promise.all([
      Promise.all(access.nodes.map(({ name }) => observeEngine(deps, access, name))),
      observeProxy(deps, access),
      observeDoor(access),
    ]);
    return { cluster: access.cluster, backend: access.haproxy.backend, engines, proxy, door };
  } finally {
    stopBeating();
  }
}

async function observeEngine(deps: ActivityDeps, access: EngineAccess, name: string): Promise<ObservedEngine> {
  const engine = access.engine(name);
  const [container, health, ready] = await Promise.all([
    containerOf(deps, name),
    engine.health().catch(messageOf),
    engine.ready().catch(() => false),
  ]);
  if (typeof health === 'string') return { name, container, health: null, ready: false, error: health };
  const { httpStatus, node, role, status, epoch, drained, why } = health;
  if (node !== name)
    return { name, container, health: null, ready: false, error: `${node} answers at the address of ${name}` };
  const said = { node, role, status, epoch, drained, able: httpStatus === 200 };
  return { name, container, health: why === undefined ? said : { ...said, why }, ready };
}

async function observeProxy(deps: ActivityDeps, access: EngineAccess): Promise<ObservedProxy> {
  const { name, backend } = access.haproxy;
  const [container, servers] = await Promise.all([
    containerOf(deps, name),
    access.proxy.servers(backend).catch(messageOf),
  ]);
  return typeof servers === 'string'
    ? { name, container, servers: null, error: servers }
    : { name, container, servers };
}

/** Which engine an ordinary client reaches. */
export async function observeDoor(access: EngineAccess): Promise<ObservedDoor> {
  try {
    const { status, body } = await access.door();
    if (status !== 200) return { node: null, role: null, error: `GET /health was answered ${status}` };
    const { node, role } = readHealth(status, body, 'the front door: ');
    return { node, role };
  } catch (error) {
    return { node: null, role: null, error: messageOf(error) };
  }
}

async function containerOf(deps: ActivityDeps, name: string): Promise<ObservedEngine['container']> {
  try {
    const { exists, running, status } = await deps.docker.inspect(name);
    return { exists, running, status };
  } catch (error) {
    return { exists: false, running: false, status: 'unknown', error: messageOf(error) };
  }
}
