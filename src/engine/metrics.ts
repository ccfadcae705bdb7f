import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What `/metrics` shows. */
export interface EngineMetrics {
  registry: Registry;
  health: Gauge;
  ready: Gauge;
  active: Gauge;
  epoch: Gauge;
  drained: Gauge;
  inFlight: Gauge;
  /** By what the client was told. */
  orders: Counter<'outcome'>;
  /** Seconds from the request's arrival to its answer. */
  orderSeconds: Histogram<'outcome'>;
  requests: Counter<'route' | 'status'>;
  storeAnswered: Gauge;
  redisAnswered: Gauge;
}

/** @param collect called before each reading, to set the gauges */
export function createMetrics(node: string, collect: (metrics: EngineMetrics) => void): EngineMetrics {
  const registry = new Registry();
  registry.setDefaultLabels({ node });
  const registers = [registry];
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
  const metrics: EngineMetrics = {
    registry,
    health: new Gauge({
      name: 'veloz_engine_health',
      help: '1 where the engine can serve or take over, else 0',
      registers,
      collect: () => collect(metrics),
    }),
    ready: gauge('veloz_engine_ready', '1 where the engine takes orders'),
    active: gauge('veloz_engine_active', '1 where the engine is the active one, 0 where it is the standby'),
    epoch: gauge('veloz_engine_epoch', 'The epoch that counts, as far as the engine knows'),
    drained: gauge('veloz_engine_drained', '1 where the engine is drained'),
    inFlight: gauge('veloz_engine_orders_in_flight', 'Orders that were taken up and are not durable yet'),
    orders: new Counter({
      name: 'veloz_engine_orders_total',
      help: 'Orders by what the client was told',
      labelNames: ['outcome'],
      registers,
    }),
    orderSeconds: new Histogram({
      name: 'veloz_engine_order_seconds',
      help: 'From the arrival of an order to its answer',
      labelNames: ['outcome'],
      buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
      registers,
    }),
    requests: new Counter({
      name: 'veloz_engine_http_requests_total',
      help: 'Requests by route and status',
      labelNames: ['route', 'status'],
      registers,
    }),
    storeAnswered: gauge('veloz_engine_postgres_answer_age_seconds', 'Since PostgreSQL last answered'),
    redisAnswered: gauge('veloz_engine_redis_answer_age_seconds', 'Since Redis last answered'),
  };
  return metrics;
}
