import { hostname } from 'node:os';
import { readSecret, type Environment } from '../systems/secrets';
import type { Endpoint } from '../cluster/topology';

/** Everything that an engine is told by its environment (docs/engine.md lists the variables). Times are milliseconds. */
export interface EngineSettings {
  /** Its name for life: the container's. */
  node: string;
  /** Where it listens. Port 0: a free one. */
  listen: Endpoint;
  /** Where other engines reach it, to pass an order on. */
  url: string;
  /** The bearer token of the admin routes. */
  adminToken: string;
  postgres: Endpoint & { user: string; password: string; database: string };
  redis: {
    /** Sentinel's name of the group. */
    master: string;
    sentinels: Endpoint[];
    /** One Redis without Sentinels, instead. */
    address: Endpoint | undefined;
    password: string;
    /** What the Sentinels themselves ask for. Default: the password of Redis. One that asks for none takes any. */
    sentinelPassword: string;
  };
  times: EngineTimes;
}

/** How long things may take. */
export interface EngineTimes {
  /** The lock ends this long after its last renewal. */
  lockTtlMs: number;
  /** The holder renews this often. */
  renewMs: number;
  /** The standby looks this often. */
  pollMs: number;
  /** A holder whose connection to Redis is gone for this long, as its Redis sees it, is taken for dead before its lock ends. */
  absentMs: number;
  /** An order that arrives while no engine is active waits for one for this long. */
  holdMs: number;
  /** An order waits for PostgreSQL for this long. */
  orderLimitMs: number;
  /** A step-down waits this long for the orders in flight, and again for the heir. */
  handoverMs: number;
}

const number = (environment: Environment, name: string, preset: number, min: number, max: number): number => {
  const text = environment[name];
  if (text === undefined || text === '') return preset;
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new Error(`${name} is "${text}": expected a whole number from ${min} to ${max}`);
  return value;
};

const word = (environment: Environment, name: string, preset: string): string => {
  const text = environment[name];
  return text === undefined || text === '' ? preset : text;
};

/** `host:port,host:port`. @throws Error that names the variable */
export function endpoints(name: string, text: string): Endpoint[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const [, host, digits] = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(part) ?? [];
      const port = Number(digits);
      if (host === undefined || port < 1 || port > 65535)
        throw new Error(`${name} has "${part}": expected host:port, such as veloz-redis-sentinel-1:26379`);
      return { host, port };
    });
}

/**
 * The settings that an environment names.
 * @throws Error with a sentence that names the variable, and never a secret
 */
export function readSettings(environment: Environment): EngineSettings {
  const node = word(environment, 'VELOZ_NODE', hostname());
  const port = number(environment, 'VELOZ_ENGINE_PORT', 8080, 0, 65535);
  const sentinels = endpoints(
    'VELOZ_REDIS_SENTINELS',
    word(
      environment,
      'VELOZ_REDIS_SENTINELS',
      'veloz-redis-sentinel-1:26379,veloz-redis-sentinel-2:26379,veloz-redis-sentinel-3:26379',
    ),
  );
  if (sentinels.length === 0) throw new Error('VELOZ_REDIS_SENTINELS names no Sentinel: expected host:port,…');
  const lockTtlMs = number(environment, 'VELOZ_ENGINE_LOCK_TTL_MS', 2000, 200, 60_000);
  const hasSentinelPassword = ['VELOZ_REDIS_SENTINEL_PASSWORD', 'VELOZ_REDIS_SENTINEL_PASSWORD_FILE'].some(
    (name) => (environment[name] ?? '') !== '',
  );
  return {
    node,
    listen: { host: word(environment, 'VELOZ_ENGINE_HOST', '0.0.0.0'), port },
    url: word(environment, 'VELOZ_ENGINE_URL', `http://${node}:${port}`),
    adminToken: readSecret('VELOZ_ENGINE_ADMIN_TOKEN', environment),
    postgres: {
      host: word(environment, 'VELOZ_PG_HOST', 'veloz-pgbouncer'),
      port: number(environment, 'VELOZ_PG_PORT', 6432, 1, 65535),
      user: word(environment, 'VELOZ_PG_USER', 'veloz'),
      password: readSecret('VELOZ_PG_PASSWORD', environment),
      database: word(environment, 'VELOZ_PG_DATABASE', 'veloz'),
    },
    redis: {
      master: word(environment, 'VELOZ_REDIS_MASTER', 'veloz-master'),
      sentinels,
      address: endpoints('VELOZ_REDIS_ADDRESS', word(environment, 'VELOZ_REDIS_ADDRESS', ''))[0],
      password: readSecret('VELOZ_REDIS_PASSWORD', environment),
      sentinelPassword: readSecret(
        hasSentinelPassword ? 'VELOZ_REDIS_SENTINEL_PASSWORD' : 'VELOZ_REDIS_PASSWORD',
        environment,
      ),
    },
    times: {
      lockTtlMs,
      renewMs: number(environment, 'VELOZ_ENGINE_RENEW_MS', Math.floor(lockTtlMs / 4), 20, lockTtlMs - 1),
      pollMs: number(environment, 'VELOZ_ENGINE_POLL_MS', 100, 10, 10_000),
      absentMs: number(environment, 'VELOZ_ENGINE_ABSENT_MS', 200, 0, 60_000),
      holdMs: number(environment, 'VELOZ_ENGINE_HOLD_MS', 800, 0, 60_000),
      orderLimitMs: number(environment, 'VELOZ_ENGINE_ORDER_LIMIT_MS', 8000, 100, 120_000),
      handoverMs: number(environment, 'VELOZ_ENGINE_HANDOVER_MS', 1500, 100, 60_000),
    },
  };
}
