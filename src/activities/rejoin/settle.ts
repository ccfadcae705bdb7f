import { formatSize } from '../../cluster/size';
import { synchronousNamesFor } from '../../cluster/synchronous-names';
import { slotName } from '../../cluster/topology';
import type { PostgresSession } from '../../systems/postgres';
import { CATCH_UP_LIMIT_MS, requireCaughtUp } from '../caught-up';
import { keepBeating, until } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { requireWait } from '../names-in-force';
import { dropIdleSlot, ensureSynchronousNames } from '../prepare';
import { synchronousNodes } from '../settle';
import { answeringAgent, claim, rejoinToken, type RejoinRequest } from './parts';

/** How long a checkpoint may keep PostgreSQL from having commits wait, in milliseconds. */
const IN_FORCE_LIMIT_MS = 10_000;

/** What became of the node. */
export interface RejoinSettled {
  /** Milliseconds since the epoch at which a standby had confirmed a commit and the names were right. */
  protectedAt: number;
  timeline: number;
  /** `synchronous_standby_names` of the primary. */
  names: string;
  detail: string;
  /** Bytes of the data directory that a copy had replaced, and that is gone now; 0 when there was none. */
  freedBytes: number;
  warnings: string[];
}

/** The nodes that stream from the primary, by their slots. */
export async function streamingNodes(access: ClusterAccess, session: PostgresSession): Promise<string[]> {
  const rows = await session.query<{ slot_name: string }>(
    `SELECT s.slot_name FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE state = 'streaming'`,
  );
  const slots = new Set(rows.map((row) => row.slot_name));
  return access.topology.postgres.nodes.map(({ name }) => name).filter((name) => slots.has(slotName(name)));
}

/**
 * The primary waits for those who stream from it, each of them counts, and a commit that waits has returned: from here on nothing
 * acknowledged can be lost (K2).
 * @param needed the standbys of which one must be among those who confirm
 */
export async function protect(
  access: ClusterAccess,
  primary: string,
  session: PostgresSession,
  standbys: readonly string[],
  needed: readonly string[],
): Promise<string> {
  const configured = access.topology.postgres.synchronousStandbyNames;
  const names = synchronousNamesFor(access.topology, standbys.length);
  await ensureSynchronousNames(session, names);
  let seen = 'nobody';
  await until(
    `${needed.join(' or ')} being synchronous`,
    CATCH_UP_LIMIT_MS,
    10,
    async () => {
      const synchronous = await synchronousNodes(session);
      seen = synchronous.join(', ') || 'nobody';
      // Names that the topology says by itself may mean that another standby comes first.
      const enough =
        names === configured && standbys.length > 1
          ? synchronous.length > 0
          : needed.some((node) => synchronous.includes(slotName(node)));
      return enough ? true : undefined;
    },
    () => `synchronous: ${seen}`,
  );
  await requireWaitOn(access, primary, session);
  return names;
}

/** @throws Error when no commit on the primary is seen to wait for a standby: a checkpoint may be under way */
export async function requireWaitOn(access: ClusterAccess, primary: string, session: PostgresSession): Promise<void> {
  await withSession(access.sql(primary), (watcher) => requireWait(primary, session, watcher, IN_FORCE_LIMIT_MS));
}

/**
 * The node is caught up to a position sampled now (K1), synchronous again (K2), the primary has a checkpoint, slots that nobody uses
 * are gone (J10), and so is the data that a copy had replaced (J8: only now). Only forward, idempotent.
 */
export async function settleRejoin(deps: ActivityDeps, request: RejoinRequest): Promise<RejoinSettled> {
  const access = accessCluster(deps, request.cluster);
  const { node, primary } = request;
  const stopBeating = keepBeating(() => `${node} catching up`);
  try {
    return await withSession(access.sql(primary, CATCH_UP_LIMIT_MS), async (session) => {
      const late = await requireCaughtUp(access, session, node);
      const standbys = await streamingNodes(access, session);
      if (!standbys.includes(node)) throw new Error(`${node} does not stream from ${primary} any more`);
      const names = await protect(access, primary, session, standbys, [node]);
      const protectedAt = Date.now();
      await session.query('CHECKPOINT');
      await dropIdleSlot(session, primary);
      for (const standby of standbys) await dropSlotsOf(access, standby);
      const { freedBytes, leftBecause } = await discard(access, request);
      const [row] = await session.query<{ timeline: number }>(
        `SELECT timeline_id AS timeline FROM pg_control_checkpoint()`,
      );
      const synchronous = await synchronousNodes(session);
      return {
        protectedAt,
        timeline: row?.timeline ?? 0,
        names,
        freedBytes,
        warnings: [
          ...(late === undefined ? [] : [late]),
          ...(await restartPolicies(deps, [node])),
          ...(leftBecause === undefined
            ? []
            : [
                `J8: the data that the copy replaced stays on the volume of ${node}: ${leftBecause}. Next, once nobody needs it: docker exec ${node} sh -c 'rm -r /var/lib/postgresql/data.replaced-*'`,
              ]),
        ],
        detail: [
          `synchronous_standby_names '${names}'`,
          `synchronous: ${synchronous.join(', ')}`,
          ...(freedBytes > 0 ? [`${formatSize(freedBytes)} of replaced data were removed`] : []),
        ].join('; '),
      };
    });
  } finally {
    stopBeating();
  }
}

/** A standby has nobody behind it: slots that were copied along, or date from when it was a primary, only fill its disk. */
async function dropSlotsOf(access: ClusterAccess, standby: string): Promise<void> {
  await withSession(access.sql(standby), async (session) => {
    for (const { name } of access.topology.postgres.nodes) await dropIdleSlot(session, name);
  });
}

/** J8: what a copy replaced is removed, unless it is the last place of rows that only this node had. */
async function discard(
  access: ClusterAccess,
  request: RejoinRequest,
): Promise<{ freedBytes: number; leftBecause?: string }> {
  const token = rejoinToken(request);
  return withSession(answeringAgent(access, request.node), async (agent) => {
    await claim(agent, token);
    const { job } = await agent.call('observe', {});
    const lost = job?.kind === 'copy' && job.run === request.run ? job.lost : null;
    if (lost?.complete === false)
      return { freedBytes: 0, leftBecause: 'nobody can tell whether it has rows that nobody else has' };
    if (lost?.kept === false)
      return {
        freedBytes: 0,
        leftBecause: 'it has rows that nobody else has, and that were too much to keep otherwise',
      };
    return { freedBytes: (await agent.call('discard', { token }, 120_000)).freedBytes };
  });
}

/** K6: nodes that would stay down after a crash of their container, or a reboot. */
export async function restartPolicies(deps: ActivityDeps, nodes: readonly string[]): Promise<string[]> {
  const states = await Promise.all(nodes.map((node) => deps.docker.inspect(node)));
  return nodes
    .filter((_node, index) => ['', 'no'].includes(states[index]?.restartPolicy ?? ''))
    .map(
      (node) =>
        `K6: ${node} has no restart policy: it stays down after a crash or a reboot. Next: docker update --restart unless-stopped ${node}`,
    );
}
