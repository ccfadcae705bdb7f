import { createHash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { Desk, Outcome } from './desk';
import { readExactJson } from './exact-json';
import type { EngineAnswer, EngineRequest } from './http';
import type { Leader } from './leader';
import type { Lock } from './lock';
import type { EngineMetrics } from './metrics';
import { parseKey, readOrder, type OrderMistake } from './order';
import { PASSED_ON } from './pass-on';
import { StepDownRefused } from './step-down';
import { StoreUnavailable, type Store } from './store';

/** What the routes stand on. */
export interface Parts {
  node: string;
  adminToken: string;
  leader: Leader;
  lock: Lock;
  store: Store;
  desk: Desk;
  metrics: EngineMetrics;
}

/** A store that has not answered for this long is out of reach. */
const OUT_OF_REACH_MS = 5000;
/** Seconds after which a client that got a 503 may come again. */
const RETRY_AFTER = { 'retry-after': '1' };

const stepDownSchema = z.strictObject({
  to: z.string().min(1).optional(),
  run: z.string().min(1).max(200),
});
const runSchema = z.strictObject({ run: z.string().min(1).max(200) });
/** An epoch as an entity tag: `"7"`. */
const IF_MATCH = /^"(\d{1,15})"$/;

/** What an engine says about itself. */
export interface Health {
  /** `healthy`: serves, or takes over. `degraded`: serves while a store does not answer. `unhealthy`: neither. `drained`: kept out. */
  status: 'healthy' | 'degraded' | 'unhealthy' | 'drained';
  role: 'active' | 'standby';
  /** Whether it takes orders now. */
  ready: boolean;
  node: string;
  /** The epoch that counts, as far as this engine knows. */
  epoch: number;
  /** The active engine, as far as this one knows. */
  active: string | null;
  drained: boolean;
  /** What it is doing: `standby`, `taking`, `active` or `leaving`. */
  state: string;
  why: string;
  ordersInFlight: number;
  /** Whole milliseconds since a store last answered; null where it never has. */
  postgres: { reachable: boolean; answeredMsAgo: number | null };
  redis: { reachable: boolean; answeredMsAgo: number | null };
}

const store = (answeredAt: number) => {
  const ms = performance.now() - answeredAt;
  return { reachable: ms < OUT_OF_REACH_MS, answeredMsAgo: Number.isFinite(ms) ? Math.round(ms) : null };
};

/** The engine's health, from what it knows: it asks nobody. */
export function healthOf({
  node,
  leader,
  lock,
  store: kept,
}: Pick<Parts, 'node' | 'leader' | 'lock' | 'store'>): Health {
  const postgres = store(kept.answeredAt);
  const redis = store(lock.answeredAt);
  const active = leader.role === 'active' || leader.role === 'leaving';
  const able = active ? leader.ready && postgres.reachable : postgres.reachable && redis.reachable;
  const silent = [...(postgres.reachable ? [] : ['PostgreSQL']), ...(redis.reachable ? [] : ['Redis'])];
  return {
    status: leader.drained ? 'drained' : !able ? 'unhealthy' : redis.reachable ? 'healthy' : 'degraded',
    role: active ? 'active' : 'standby',
    ready: leader.ready && postgres.reachable,
    node,
    epoch: leader.epoch,
    active: active ? node : (leader.activeElsewhere?.node ?? null),
    drained: leader.drained,
    state: leader.role,
    why: silent.length === 0 ? leader.why : `${silent.join(' and ')} did not answer lately; ${leader.why}`,
    ordersInFlight: leader.inFlightOrders,
    postgres,
    redis,
  };
}

const refuse = (route: string, status: number, code: string, error: string, more: object = {}): EngineAnswer => ({
  route,
  status,
  body: { error, code, ...more },
  headers: status === 503 ? RETRY_AFTER : {},
});

const mistaken = (route: string, mistakes: OrderMistake[]) =>
  refuse(
    route,
    422,
    'bad_order',
    `the order was not accepted: ${mistakes.map(({ field, message }) => `${field}: ${message}`).join('; ')}`,
    { mistakes },
  );

/** A body of the admin routes; nothing where it is no JSON, or has a key twice. */
function parsed(body: string): { value: unknown } | undefined {
  try {
    const { value, repeated } = readExactJson(body.trim() === '' ? '{}' : body);
    return repeated.size > 0 ? undefined : { value };
  } catch {
    return undefined;
  }
}

/** The id in a path; nothing where no order can have it: what is no UTF-8, or has a byte that no text of PostgreSQL has. */
function idIn(path: string): string | undefined {
  try {
    const id = decodeURIComponent(path.slice('/api/orders/'.length));
    return id.includes('\0') ? undefined : id;
  } catch {
    return undefined;
  }
}

/** The engine's routes (docs/engine.md). */
export function createRoutes(parts: Parts): (request: EngineRequest) => Promise<EngineAnswer> {
  const { adminToken, desk, leader, lock, metrics, node } = parts;

  const order = async (request: EngineRequest): Promise<EngineAnswer> => {
    const route = 'POST /api/orders';
    const key = parseKey(request.header('idempotency-key'));
    const asked = readOrder(request.body);
    if ('mistakes' in key || 'mistakes' in asked)
      return mistaken(route, [
        ...('mistakes' in key ? key.mistakes : []),
        ...('mistakes' in asked ? asked.mistakes : []),
      ]);
    const stop = metrics.orderSeconds.startTimer();
    const outcome = await desk.place({
      asked: asked.order,
      key: key.key,
      body: request.body,
      passedOn: request.header(PASSED_ON) !== undefined,
    });
    stop({ outcome: outcome.kind });
    metrics.orders.inc({ outcome: outcome.kind === 'accepted' && outcome.again ? 'again' : outcome.kind });
    return toAnswer(route, outcome, node);
  };

  const orderById = async (path: string): Promise<EngineAnswer> => {
    const route = 'GET /api/orders/:id';
    const id = idIn(path);
    const found = id === undefined ? undefined : await parts.store.find(id);
    if (found === undefined) return refuse(route, 404, 'unknown_order', 'no order has this id');
    return { route, status: 200, body: found };
  };

  const state = async (): Promise<EngineAnswer> => {
    const [summary, live] = await Promise.all([parts.store.summary(), lock.state().catch(() => null)]);
    return {
      route: 'GET /api/orders_state',
      status: 200,
      body: { node, role: healthOf(parts).role, epoch: leader.epoch, ...summary, live },
    };
  };

  const admin = async (request: EngineRequest): Promise<EngineAnswer> => {
    const route = `POST ${request.path}`;
    if (!isAuthorized(request.header('authorization'), adminToken))
      return {
        ...refuse(route, 401, 'unauthorized', 'expected the header Authorization: Bearer <the admin token>'),
        headers: { 'www-authenticate': 'Bearer' },
      };
    const json = parsed(request.body);
    const schema = request.path === '/admin/step-down' ? stepDownSchema : runSchema;
    const asked = schema.safeParse(json?.value);
    if (!asked.success)
      return refuse(route, 422, 'bad_request', z.prettifyError(asked.error).replace(/\s*\n\s*/g, ' '));
    try {
      const { run } = asked.data;
      if (request.path === '/admin/step-down') {
        const tag = request.header('if-match');
        const epoch = tag === undefined ? undefined : IF_MATCH.exec(tag)?.[1];
        if (tag !== undefined && epoch === undefined)
          return refuse(route, 422, 'bad_request', `If-Match is ${tag} (limit: an epoch in quotation marks, like "7")`);
        const body = await leader.stepDown({ ...asked.data, ...(epoch === undefined ? {} : { epoch: Number(epoch) }) });
        return { route, status: 200, body };
      }
      const handed = request.path === '/admin/drain' ? await leader.drain(run) : await leader.undrain();
      return { route, status: 200, body: { node, run, drained: leader.drained, handover: handed ?? null } };
    } catch (error) {
      if (error instanceof StepDownRefused) return refuse(route, error.status, 'refused', error.message);
      return refuse(route, 503, 'unavailable', `Redis did not answer: ${(error as Error).message}`);
    }
  };

  return async (request) => {
    const { method, path } = request;
    try {
      switch (`${method} ${path}`) {
        case 'POST /api/orders':
          return await order(request);
        case 'GET /health': {
          const health = healthOf(parts);
          const well = health.status === 'healthy' || health.status === 'degraded';
          return { route: 'GET /health', status: well ? 200 : 503, body: health };
        }
        case 'GET /health/live':
          return { route: 'GET /health/live', status: 200, body: { status: 'alive', node } };
        case 'GET /health/ready': {
          const { ready, role, epoch, why } = healthOf(parts);
          const body = { status: ready ? 'ready' : 'not ready', role, node, epoch, why };
          return { route: 'GET /health/ready', status: ready ? 200 : 503, body };
        }
        case 'GET /metrics':
          return { route: 'GET /metrics', status: 200, body: await metrics.registry.metrics() };
        case 'GET /api/orders_state':
          return await state();
        case 'POST /admin/step-down':
        case 'POST /admin/drain':
        case 'POST /admin/ready':
          return await admin(request);
        default:
          if (method === 'GET' && path.startsWith('/api/orders/')) return await orderById(path);
          return refuse('unknown', 404, 'unknown_route', `there is no ${method} ${path}`);
      }
    } catch (error) {
      if (error instanceof StoreUnavailable)
        return refuse(`${method} ${path}`, 503, 'unavailable', `PostgreSQL is out of reach: ${error.message}`);
      throw error;
    }
  };
}

function toAnswer(route: string, outcome: Outcome, node: string): EngineAnswer {
  switch (outcome.kind) {
    case 'accepted':
      return { route, status: outcome.again ? 200 : 201, body: outcome.order };
    case 'passed on':
      return { route, status: outcome.status, body: JSON.parse(outcome.body) as unknown };
    case 'conflict':
      return refuse(
        route,
        409,
        'key_conflict',
        `the Idempotency-Key belongs to order ${outcome.order.id}, which has another body`,
        { id: outcome.order.id },
      );
    case 'unavailable':
      return refuse(route, 503, 'not_accepted', `${node} did not accept the order: ${outcome.why}`);
    case 'unknown':
      return {
        ...refuse(
          route,
          504,
          'unknown_outcome',
          `it is not known whether the order was accepted (${outcome.why}): send it again with the same Idempotency-Key`,
        ),
        headers: RETRY_AFTER,
      };
  }
}

/** Compares hashes, which have one length. */
function isAuthorized(header: string | undefined, token: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(header ?? ''), hash(`Bearer ${token}`));
}
