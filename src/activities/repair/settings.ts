import { keepBeating } from '../context';
import { accessCluster, withSession, type ActivityDeps } from '../deps';
import { protect, streamingNodes } from '../rejoin/settle';
import { CATCH_UP_LIMIT_MS, caughtUp } from '../settle';
import { stillAsked, unlessLeft } from '../give-way';
import { requirePrimary } from './parts';

/**
 * Has commits wait for the standbys that stream (H4, K2), once one of them has caught up: one that is far behind would make every
 * commit wait for it. Returns when one has confirmed. Idempotent.
 */
export async function restoreNames(
  deps: ActivityDeps,
  request: { cluster: string; primary: string },
): Promise<{ detail: string; protectedAt?: number }> {
  const access = accessCluster(deps, request.cluster);
  const { primary } = request;
  const stopBeating = keepBeating(() => 'restoring synchronous_standby_names');
  try {
    await requirePrimary(access, primary);
    return await withSession(access.sql(primary, CATCH_UP_LIMIT_MS), async (session) => {
      const standbys = await streamingNodes(access, session);
      const [first] = standbys;
      if (first === undefined)
        return { detail: `no standby streams from ${primary}: with names every commit would wait for ever` };
      // Nobody may answer to the names as they are: what is written to see a standby catch up must not wait for them.
      await session.query(`SET synchronous_commit = local`);
      await unlessLeft(caughtUp(access, session, first));
      // Not RESET: that would take the server's word.
      await session.query(`SET synchronous_commit = on`);
      stillAsked();
      const names = await unlessLeft(protect(access, primary, session, standbys, first));
      return { detail: `synchronous_standby_names '${names}', and a standby confirmed`, protectedAt: Date.now() };
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
