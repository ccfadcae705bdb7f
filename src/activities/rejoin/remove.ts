import { synchronousNamesFor } from '../../cluster/synchronous-names';
import { slotName } from '../../cluster/topology';
import type { PostgresSession } from '../../systems/postgres';
import { CATCH_UP_LIMIT_MS, received } from '../caught-up';
import { finalFailure, keepBeating, until } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { fenceNode } from '../fence';
import { dropIdleSlot, ensureSynchronousNames } from '../prepare';
import { rejoinToken, type RejoinRequest } from './parts';
import { protect, requireWaitOn, streamingNodes } from './settle';

/** What `removeStandby` asks for. */
export type RemovalRequest = Omit<RejoinRequest, 'method'>;

/**
 * Before the node goes: those who stay have everything on their disks, and every commit waits for all who stream, so that whatever is
 * acknowledged from here on is on those who stay. Nobody needs the node then. Idempotent.
 * @throws ApplicationFailure `Refused` when nobody would stay
 */
export async function releaseStandby(deps: ActivityDeps, request: RemovalRequest): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const { node, primary } = request;
  const stopBeating = keepBeating(() => `making ${primary} wait for others than ${node}`);
  try {
    return await withSession(access.sql(primary, CATCH_UP_LIMIT_MS), async (session) => {
      const streaming = await streamingNodes(access, session);
      const staying = streaming.filter((name) => name !== node);
      if (staying.length === 0)
        throw finalFailure(
          'Refused',
          `B2: without ${node} no standby would be left: no other one streams from ${primary} (limit: at least 1 other standby). Next: veloz-ha postgres add-standby --cluster ${request.cluster}`,
        );
      const late: string[] = [];
      for (const name of staying) {
        // What is on its disk stays with it. When it replays that is its own matter.
        const told = await received(access, session, name);
        if (told !== undefined) late.push(told);
      }
      const words = [`${staying.join(', ')} ${staying.length === 1 ? 'stays' : 'stay'}`, ...late].join('; ');
      if (!streaming.includes(node)) return `${words}; ${node} does not stream`;
      const names = await waitForEach(access, primary, session, streaming.length);
      return `${words}; a commit waits for each of them: synchronous_standby_names '${names}'`;
    });
  } finally {
    stopBeating();
  }
}

/** All go by one name, so who stays can't be named: `ANY n` of n waits for each. Names of another form are left alone. */
async function waitForEach(
  access: ClusterAccess,
  primary: string,
  session: PostgresSession,
  standbys: number,
): Promise<string> {
  const any = synchronousNamesFor(access.topology, standbys);
  const names =
    any === access.topology.postgres.synchronousStandbyNames ? any : any.replace(/^ANY 1/, `ANY ${standbys}`);
  await ensureSynchronousNames(session, names);
  await requireWaitOn(access, primary, session);
  return names;
}

/** Undoes {@link releaseStandby}: the names are those of everybody who streams. */
export async function keepStandby(deps: ActivityDeps, request: RemovalRequest): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  return withSession(access.sql(request.primary), async (session) => {
    const names = synchronousNamesFor(access.topology, (await streamingNodes(access, session)).length);
    await ensureSynchronousNames(session, names);
    return `synchronous_standby_names '${names}'`;
  });
}

/**
 * Stops the node for good: fenced, it starts no server whoever starts its container, until a run adds it again. Then the names are
 * those of who stays, and its slot is dropped on every node, so that no WAL is kept for it. Idempotent.
 */
export async function retireStandby(deps: ActivityDeps, request: RemovalRequest): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const { node, primary } = request;
  const stopBeating = keepBeating(() => `stopping ${node} for good`);
  try {
    const fence = await fenceNode(deps, access, rejoinToken(request), node, access.internal(primary));
    return await withSession(access.sql(primary, CATCH_UP_LIMIT_MS), async (session) => {
      // At once: commits wait for the node that is gone.
      const staying = (await streamingNodes(access, session)).filter((name) => name !== node);
      const names = staying.length === 0 ? '' : await protect(access, primary, session, staying, staying);
      await until(`the slot of ${node} becoming free`, 15_000, 20, async () => {
        await dropIdleSlot(session, node);
        const left = await session.query('SELECT 1 FROM pg_replication_slots WHERE slot_name = $1', [slotName(node)]);
        return left.length === 0 ? true : undefined;
      });
      for (const standby of staying) await withSession(access.sql(standby), (other) => dropIdleSlot(other, node));
      return [
        fence.says,
        ...(names === '' ? [] : [`synchronous_standby_names '${names}', confirmed by a commit`]),
        `slot ${slotName(node)} is dropped`,
      ].join('; ');
    });
  } finally {
    stopBeating();
  }
}
