import { keepBeating } from '../context';
import { accessCluster, withSession, type ActivityDeps } from '../deps';
import { messageOf } from '../guard/probe';
import { tellLeftBehind } from '../left-behind';

/** What the new primary says of itself after a promotion. */
export interface RecordResult {
  timeline: number;
  /** The number of this promotion, as it stands in PostgreSQL; null when it could not be written. */
  epoch: number | null;
  detail: string;
  warnings: string[];
}

/**
 * After a promotion: a CHECKPOINT, because a rewind reads the source's timeline from its control file (H8), and the epoch, which grows
 * with each promotion and tells an old primary's data from a new one's (H1). Tells what the promotion emptied or left behind (M6).
 * Idempotent: a run has one epoch.
 */
export async function recordPromotion(
  deps: ActivityDeps,
  request: { cluster: string; run: string; target: string },
): Promise<RecordResult> {
  const access = accessCluster(deps, request.cluster);
  const stopBeating = keepBeating(() => 'recording the promotion');
  const leftBehind = tellLeftBehind(deps, access, { target: request.target });
  try {
    const recorded = await withSession(access.sql(request.target, 60_000), async (session) => {
      await session.query('CHECKPOINT');
      const [row] = await session.query<{ timeline: number }>(
        `SELECT timeline_id AS timeline FROM pg_control_checkpoint()`,
      );
      const timeline = row?.timeline ?? 0;
      try {
        await session.query(
          `INSERT INTO veloz_ha.epoch (epoch, node, timeline, run)
           SELECT coalesce(max(epoch), 0) + 1, $1, $2, $3 FROM veloz_ha.epoch
           HAVING NOT EXISTS (SELECT FROM veloz_ha.epoch WHERE run = $3)`,
          [request.target, timeline, request.run],
        );
        const [written] = await session.query<{ epoch: string }>(`SELECT epoch FROM veloz_ha.epoch WHERE run = $1`, [
          request.run,
        ]);
        const epoch = Number(written?.epoch ?? 0);
        return { timeline, epoch, detail: `epoch ${epoch}, timeline ${timeline}, CHECKPOINT done`, warnings: [] };
      } catch (error) {
        const warning = `the epoch could not be written into PostgreSQL: ${messageOf(error)}`;
        return { timeline, epoch: null, detail: `timeline ${timeline}, CHECKPOINT done`, warnings: [warning] };
      }
    });
    return { ...recorded, warnings: [...recorded.warnings, ...(await leftBehind)] };
  } finally {
    stopBeating();
  }
}
