import { keepBeating } from '../context';
import { accessCluster, withSession, type ActivityDeps } from '../deps';
import { observePooledDatabase } from '../../systems/pgbouncer';
import { tokenOf } from '../token';
import { stillAsked } from '../give-way';
import { requirePrimary, take, type RepairRequest } from './parts';

/** How long open transactions may keep a PAUSE waiting that only serves to take an earlier one back, in milliseconds. */
const PAUSE_LIMIT_MS = 5000;

/** Leads clients to the primary, after it was asked whether it is one (F4). Idempotent. */
export async function routeClients(deps: ActivityDeps, request: RepairRequest & { primary: string }): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const token = tokenOf(request.run, 'settle', request.turn);
  const stopBeating = keepBeating(() => 'routing clients');
  try {
    await requirePrimary(deps, access, request.primary);
    return await withSession(access.pooler(), async (pooler) => {
      await take(pooler, token);
      stillAsked();
      const { already } = await pooler.call('route', { token, ...access.internal(request.primary) });
      return already
        ? `clients' route led to ${request.primary} already`
        : `clients' route leads to ${request.primary}`;
    });
  } finally {
    stopBeating();
  }
}

/** Lets clients go towards the primary (F2), whoever held them: a run that is over, or nobody who could be named. Idempotent. */
export async function letClientsGo(deps: ActivityDeps, request: RepairRequest & { primary: string }): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const token = tokenOf(request.run, 'settle', request.turn);
  const stopBeating = keepBeating(() => 'letting clients go');
  const paused = async () =>
    (await observePooledDatabase(access.poolerEndpoint, access.adminLogin(), access.pooledDatabase)).paused;
  try {
    await requirePrimary(deps, access, request.primary);
    return await withSession(access.pooler(), async (pooler) => {
      // An armed hold of a run that is over lets go by itself, and its agent is busy until then.
      await take(pooler, token);
      stillAsked();
      await pooler.call('release', { token });
      // The agent is asked first: it has a session with a PgBouncer that is suspended, and nobody else is let in there.
      if (!(await pooler.call('observe', {})).paused && !(await paused())) return 'clients go on';
      // Paused, and by no hold that the agent knows of: one that it knows takes the pause over, and its end ends it.
      const candidates = [access.internal(request.primary)];
      await pooler.call(
        'hold',
        { token, pauseLimitMs: PAUSE_LIMIT_MS, limitMs: 2 * PAUSE_LIMIT_MS, candidates },
        PAUSE_LIMIT_MS + 2000,
      );
      await pooler.call('release', { token });
      if (await paused()) throw new Error(`${access.poolerName} is paused still`);
      return 'clients were paused by nobody who held them, and go on';
    });
  } finally {
    stopBeating();
  }
}
