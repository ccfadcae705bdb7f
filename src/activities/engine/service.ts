import { finalFailure, keepBeating, until } from '../context';
import type { ActivityDeps } from '../deps';
import { stillMine } from '../still-mine';
import { accessEngines } from './access';
import { CHECKS_LIMIT_MS, ensureState, serverNow, type ServiceRequest } from './parts';

/**
 * Takes a standby out of service: it takes no lock and says not ready, and HAProxy sends it nothing. Idempotent.
 * @throws ApplicationFailure `Refused` when it is the active engine
 */
export async function drainEngine(deps: ActivityDeps, { cluster, run, node }: ServiceRequest): Promise<string> {
  const access = accessEngines(deps, cluster);
  const engine = access.engine(node);
  const stopBeating = keepBeating(() => `draining ${node}`);
  try {
    const before = await engine.health();
    if (before.role === 'active')
      throw finalFailure(
        'Refused',
        `L5: ${node} is the active engine (limit: standby). Next: veloz-ha engine switchover --cluster ${access.cluster}`,
      );
    await stillMine(`drain ${node}`);
    if (!before.drained) await engine.drain(run);
    await ensureState(access, node, 'drain');
    await until(`${node} being drained`, CHECKS_LIMIT_MS, 20, async () =>
      (await engine.health()).drained && !(await engine.ready()) ? true : undefined,
    );
    const { sessions } = await serverNow(access, node);
    return `${before.drained ? 'it was drained already' : 'drained'}; ${sessions} requests in it`;
  } finally {
    stopBeating();
  }
}

/** Puts an engine back into service: as a standby, unless nobody else is active. Idempotent. */
export async function readyEngine(deps: ActivityDeps, { cluster, run, node }: ServiceRequest): Promise<string> {
  const access = accessEngines(deps, cluster);
  const engine = access.engine(node);
  const stopBeating = keepBeating(() => `readying ${node}`);
  try {
    const { drained } = await engine.health();
    await stillMine(`put ${node} back into service`);
    if (drained) await engine.undrain(run);
    await ensureState(access, node, 'ready');
    const { role, status } = await until(`${node} being able to take over`, CHECKS_LIMIT_MS, 20, async () => {
      const health = await engine.health();
      return !health.drained && health.httpStatus === 200 ? health : undefined;
    });
    return `${role}, ${status}`;
  } finally {
    stopBeating();
  }
}
