import type { Logger } from 'pino';
import { Desk } from './desk';
import { serve } from './http';
import { Leader } from './leader';
import { Lock } from './lock';
import { createMetrics } from './metrics';
import { createPassOn } from './pass-on';
import { createRoutes, healthOf } from './routes';
import type { EngineSettings } from './settings';
import { Store } from './store';

/** An engine that runs. */
export interface Engine {
  port: number;
  /** Hands over where it is active, finishes what it has taken up, and ends. */
  stop(): Promise<void>;
}

/** What the active engine is doing is written to Redis this often, where it has changed. */
const PUBLISH_EVERY_MS = 250;

/** Starts an engine. Stores that are out of reach are tried again for as long as it runs. */
export async function startEngine(settings: EngineSettings, log: Logger): Promise<Engine> {
  const { node, times } = settings;
  const store = new Store(settings.postgres, node);
  const lock = new Lock(
    settings.redis,
    node,
    settings.url,
    times.lockTtlMs,
    () => leader.wake(),
    (sentence) => log.info(sentence),
  );
  const leader = new Leader(node, settings.url, times, lock, store, log);
  const { passOn, close: closePassOn } = createPassOn(node);
  const desk = new Desk(node, times, leader, store, passOn, log);
  const metrics = createMetrics(node, (all) => {
    const health = healthOf({ node, leader, lock, store });
    all.health.set(health.status === 'healthy' || health.status === 'degraded' ? 1 : 0);
    all.ready.set(health.ready ? 1 : 0);
    all.active.set(health.role === 'active' ? 1 : 0);
    all.epoch.set(health.epoch);
    all.drained.set(health.drained ? 1 : 0);
    all.inFlight.set(health.ordersInFlight);
    const seconds = (ms: number | null) => (ms === null ? NaN : ms / 1000);
    all.storeAnswered.set(seconds(health.postgres.answeredMsAgo));
    all.redisAnswered.set(seconds(health.redis.answeredMsAgo));
  });
  const handle = createRoutes({ node, adminToken: settings.adminToken, leader, lock, store, desk, metrics });
  const server = await serve(
    settings.listen,
    handle,
    (answer) => metrics.requests.inc({ route: answer.route, status: String(answer.status) }),
    (error) => log.error({ err: error }, 'a request failed'),
  );
  void store
    .ensureSchema()
    .then(() => store.warm())
    .catch((error: Error) => log.warn(`PostgreSQL is not there yet: ${error.message}`));
  leader.start();
  const publishing = publish(leader, lock, desk);
  log.info({ port: server.port, url: settings.url }, `${node} listens on port ${server.port}`);
  return {
    port: server.port,
    async stop() {
      clearInterval(publishing);
      if (leader.role !== 'standby')
        await leader.stepDown({ run: `stop of ${node}` }).catch(async (error: Error) => {
          log.warn(error.message);
          // Nobody takes over now; whoever starts next need not wait for the lock to end.
          await lock.release().catch(() => undefined);
        });
      await server.close();
      await leader.stop();
      lock.close();
      closePassOn();
      await store.close();
    },
  };
}

/** Keeps the hot state in Redis: who is active, and how far it has come. */
function publish(leader: Leader, lock: Lock, desk: Desk): NodeJS.Timeout {
  let published = '';
  return setInterval(() => {
    if (leader.role !== 'active') return;
    const state = { node: lock.node, accepted: desk.accepted, lastOrder: desk.lastOrder ?? '' };
    const text = JSON.stringify([leader.epoch, state]);
    if (text === published) return;
    void lock.publishState(leader.epoch, { ...state, at: new Date().toISOString() }).then(
      () => (published = text),
      () => undefined,
    );
  }, PUBLISH_EVERY_MS);
}
