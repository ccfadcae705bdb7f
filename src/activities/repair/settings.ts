import { CATCH_UP_LIMIT_MS, firstReceived } from '../caught-up';
import { keepBeating } from '../context';
import { accessCluster, withSession, type ActivityDeps } from '../deps';
import { protect, streamingNodes } from '../rejoin/settle';
import { stillAsked, unlessLeft } from '../give-way';
import { requirePrimary } from './parts';

/**
 * Has commits wait for the standbys that stream (H4, K2), once one of them has caught up (K1): if all were far behind, every commit would
 * wait for them. Returns when one has confirmed. Idempotent.
 */
export async function restoreNames(
  deps: ActivityDeps,
  request: { cluster: string; primary: string },
): Promise<{ detail: string; protectedAt?: number }> {
  const access = accessCluster(deps, request.cluster);
  const { primary } = request;
  const stopBeating = keepBeating(() => 'restoring synchronous_standby_names');
  try {
    await requirePrimary(deps, access, primary);
    return await withSession(access.sql(primary, CATCH_UP_LIMIT_MS), async (session) => {
      const standbys = await streamingNodes(access, session);
      if (standbys.length === 0)
        return { detail: `no standby streams from ${primary}: with names every commit would wait for ever` };
      // Nobody may answer to the names as they are: what is written to see a standby catch up must not wait for them.
      await session.query(`SET synchronous_commit = local`);
      // Whoever has it on its disk can confirm: the first of them may replay with a delay, or be far behind.
      const { late } = await unlessLeft(firstReceived(access, session, standbys));
      // Not RESET: that would take the server's word.
      await session.query(`SET synchronous_commit = on`);
      stillAsked();
      const names = await unlessLeft(protect(access, primary, session, standbys, standbys));
      const detail = `synchronous_standby_names '${names}', and a standby confirmed`;
      return { detail: late === undefined ? detail : `${detail}; ${late}`, protectedAt: Date.now() };
    });
  } finally {
    stopBeating();
  }
}

/** Drops a slot that nobody uses, unless somebody has begun to, or it is gone (J10). Idempotent. */
export async function dropSlot(
  deps: ActivityDeps,
  request: { cluster: string; node: string; slot: string },
): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const dropped = await withSession(access.sql(request.node), (session) =>
    session.query(
      `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
       WHERE slot_name = $1 AND NOT active AND slot_type = 'physical'`,
      [request.slot],
    ),
  );
  return dropped.length > 0
    ? `slot ${request.slot} of ${request.node} was dropped`
    : `${request.node} has no unused slot ${request.slot}`;
}
