import type { ObservedServer } from '../../cluster/engine/observed';
import { EngineRefusal, type EngineHealthAnswer } from '../../systems/engine';
import { sleep } from '../context';
import type { EngineAccess } from './access';

/** A hand-over of the engines' lock. */
export interface HandoverRequest {
  cluster: string;
  /** The run's id, which the engines are told. */
  run: string;
  /** The engine that is active before. */
  source: string;
  target: string;
  /** The epoch before: a later one proves that the lock was taken anew. */
  epoch: number;
}

/** One engine that is taken out of service or put back. */
export interface ServiceRequest {
  cluster: string;
  run: string;
  node: string;
}

/** Requests that are with the source when it is drained may take this long to end, in milliseconds; else all is put back. */
export const IN_FLIGHT_LIMIT_MS = 500;
/** From the step-down until somebody is active, in milliseconds: the lock's heir, or after its two seconds anybody. */
export const TAKE_OVER_LIMIT_MS = 5000;
/** HAProxy's checks run ten times a second where something changed. */
export const CHECKS_LIMIT_MS = 3000;

/** Who is active, as the two engines themselves say; null where neither is. */
export async function whoIsActive(access: EngineAccess, names: readonly string[]): Promise<EngineHealthAnswer | null> {
  const answers = await Promise.all(
    names.map((name) =>
      access
        .engine(name)
        .health()
        .catch(() => undefined),
    ),
  );
  const active = answers.filter((answer) => answer?.role === 'active');
  // Where both say so, the later epoch is the one that can write.
  return active.reduce<EngineHealthAnswer | null>(
    (best, one) => (one !== undefined && (best === null || one.epoch > best.epoch) ? one : best),
    null,
  );
}

/** HAProxy's server of an engine. @throws Error when it has none */
export async function serverNow(access: EngineAccess, engine: string): Promise<ObservedServer> {
  const { backend, name } = access.haproxy;
  const server = (await access.proxy.servers(backend)).find((one) => one.name === engine);
  if (server === undefined) throw new Error(`${name} has no server ${engine} in its backend ${backend}`);
  return server;
}

/**
 * Sets a server's administrative state where it is another one. One that is to be ready also gets its share of requests, and is checked:
 * with a weight of 0, or without checks, it is as good as drained.
 */
export async function ensureState(
  access: EngineAccess,
  engine: string,
  state: 'ready' | 'drain',
): Promise<'changed' | 'unchanged'> {
  const { proxy } = access;
  const { backend } = access.haproxy;
  const { admin, weight, checked } = await serverNow(access, engine);
  const orders = [
    ...(admin === state ? [] : [() => proxy.setState(backend, engine, state)]),
    ...(state === 'ready' && weight === 0 ? [() => proxy.restoreWeight(backend, engine)] : []),
    ...(state === 'ready' && checked === false ? [() => proxy.enableChecks(backend, engine)] : []),
  ];
  for (const order of orders) await order();
  return orders.length === 0 ? 'unchanged' : 'changed';
}

/** A refusal as half a sentence; what could not be asked for is the same to the caller. */
export const refusalOf = (error: unknown): string =>
  error instanceof EngineRefusal || error instanceof Error ? error.message : String(error);

/** Repeats a look every few milliseconds. Returns undefined when the time is over. */
export async function soon<T>(
  limitMs: number,
  everyMs: number,
  look: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const began = performance.now();
  for (;;) {
    const found = await look();
    if (found !== undefined || performance.now() - began > limitMs) return found;
    await sleep(everyMs);
  }
}
