import { containerWords, wasStoppedByHand } from '../../cluster/guard/mending';
import { connectCommand } from '../../cluster/off-networks';
import { decideRejoin, type ComparedNode } from '../../cluster/rejoin/decide';
import type { Lsn } from '../../cluster/lsn';
import { formatSize } from '../../cluster/size';
import { COPY_MARGIN } from '../../cluster/standbys/room';
import { AgentError, type PostgresAgent, type PostgresObservation } from '../../systems/agent';
import type { PostgresSession } from '../../systems/postgres';
import { finalFailure, keepBeating } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { stillAsked, unlessLeft } from '../give-way';
import { messageOf } from '../guard/probe';
import { howItEnded } from '../how-it-ended';
import { putBack, putBackWords } from '../put-back';
import { requireCopyable, requireCopyableNow } from './copyable';
import { requireLetIn } from './let-in';
import {
  checkpointed,
  ensureReservedSlot,
  fencedAgent,
  rejoinToken,
  samePlace,
  streamsTo,
  type RejoinPlan,
  type RejoinRequest,
} from './parts';

/** What was found. */
export type RejoinLook =
  /** It follows the primary: nothing has to be done to its data, and nothing was done to it. */
  | { state: 'streams'; says: string }
  /** It has no data and copies the primary by itself, as at any first start. */
  | { state: 'prepares'; says: string }
  /** Its container was told to stop, and nothing was done to it: only where the request leaves such a node. */
  | { state: 'left'; says: string }
  /** It is fenced and stopped, and this has to be done. */
  | {
      state: 'fenced';
      plan: RejoinPlan;
      says: string;
    };

/** Comparing reads the WAL to its end; on a slow disk that takes a while. In milliseconds. */
const COMPARE_LIMIT_MS = 120_000;
/** How long Docker may take to answer, in milliseconds. */
const DOCKER_LIMIT_MS = 5000;

/**
 * Fences the node unless it follows the primary as it should, compares its history with the primary's, and decides. Idempotent;
 * the node's data is not touched. A run that gives way leaves it at a safe point: the node is as it was, or fenced.
 * @throws ApplicationFailure `Refused` when the node must not be touched
 */
export async function lookAtRejoin(deps: ActivityDeps, request: RejoinRequest): Promise<RejoinLook> {
  const access = accessCluster(deps, request.cluster);
  const { node, primary } = request;
  const primaryAt = access.internal(primary);
  const stopBeating = keepBeating(() => `looking at ${node}`);
  try {
    const stopped = request.leavesStopped === true ? await stoppedByHand(deps, node) : undefined;
    if (stopped !== undefined) return { state: 'left', says: stopped };
    return await withSession(access.sql(primary, 60_000), async (session) => {
      await checkpointed(session, primary);
      if (request.method === 'auto' && (await followsNow(access, session, request)))
        return { state: 'streams', says: `${node} streams from ${primary}${await unmarked(deps, node)}` };
      stillAsked();
      await unlessLeft(requireLetIn(access, request));
      stillAsked();
      const copies = request.method === 'copy';
      if (copies) await unlessLeft(requireCopyableNow(access, request));
      stillAsked();
      await ensureReservedSlot(session, node);
      const token = rejoinToken(request);
      const { agent, seen, says } = await fencedAgent(deps, access, token, node, primaryAt, copies);
      try {
        if (seen.desired !== 'fenced') return { state: 'prepares', says };
        const compared = await unlessLeft(compare(deps, request, agent, seen, access, session)).catch(
          async (error: unknown) => {
            stillAsked();
            throw await withNetworks(deps, node, error);
          },
        );
        const decision = decideRejoin(compared, { method: request.method });
        if (decision.method === 'refuse')
          throw finalFailure(
            'Refused',
            `A4: ${node} stays fenced and is not touched: ${decision.why} (limit: data of the system of ${primary}). Next: docker exec ${node} pg_controldata ${seen.dataDirectory.path}`,
          );
        if (decision.method === 'copy') {
          await roomForCopy(session, seen, node);
          if (!copies) await unlessLeft(requireCopyable(access, request, agent, 'It stays fenced'));
        }
        return { state: 'fenced', plan: decision, says };
      } finally {
        agent.close();
      }
    });
  } finally {
    stopBeating();
  }
}

/** That somebody told the node's container to stop, in a sentence; undefined where nobody did. One that was never started is another matter. */
async function stoppedByHand({ docker }: ActivityDeps, node: string): Promise<string | undefined> {
  const container = await howItEnded(docker, node, DOCKER_LIMIT_MS);
  if (container.status === 'created' || !wasStoppedByHand(container)) return undefined;
  return `${node} was told to stop (${containerWords(container)}), and stays so`;
}

/** Somebody was faster: a mark that stays would have the next one whom a person takes off the networks put back. */
async function unmarked(deps: ActivityDeps, node: string): Promise<string> {
  return putBackWords(await putBack(deps.docker, node));
}

/** The node is a standby of the primary, as both of them say. */
async function followsNow(access: ClusterAccess, session: PostgresSession, request: RejoinRequest): Promise<boolean> {
  if (!(await streamsTo(session, request.node))) return false;
  const seen = await withSession(access.agent(request.node), (agent) => agent.call('observe', {})).catch(
    () => undefined,
  );
  return seen?.desired === 'up' && seen.signals.standby && samePlace(seen.upstream, access.internal(request.primary));
}

/** Both histories: the primary's from the primary, the node's own from its files. */
async function compare(
  deps: ActivityDeps,
  { node, primary }: RejoinRequest,
  agent: PostgresAgent,
  seen: PostgresObservation,
  access: ClusterAccess,
  session: PostgresSession,
): Promise<ComparedNode> {
  let compared: ComparedNode;
  try {
    compared = await agent.call('compare', { upstream: access.internal(primary) }, COMPARE_LIMIT_MS);
  } catch (error) {
    if (!(error instanceof AgentError) || error.type !== 'CompareTimeout') throw error;
    return withoutItsWal(session, seen);
  }
  const { timeline } = compared.local;
  if (timeline === null || compared.local.history !== undefined) return compared;
  const history = timeline === 1 ? [] : await ownHistory(deps, node, seen, timeline);
  return history === undefined ? compared : { ...compared, local: { ...compared.local, history } };
}

/** A node that somebody took off its networks compares with nobody; that is told, and left to them. */
async function withNetworks(deps: ActivityDeps, node: string, error: unknown): Promise<unknown> {
  const { home, networks } = await deps.docker.attachments(node).catch(() => ({ home: '', networks: ['unknown'] }));
  if (networks.length > 0) return error;
  return new Error(
    `${node} is on no Docker network, and no run took it off: ${messageOf(error).replace(/\.$/, '')}. It stays fenced. Next: ${connectCommand(node, { home })}`,
  );
}

/** The node's WAL can't be read in reasonable time: what the control file and the primary tell has to do. */
async function withoutItsWal(session: PostgresSession, { control }: PostgresObservation): Promise<ComparedNode> {
  const [row] = await session.query<{ system: string; timeline: number; lsn: Lsn }>(
    `SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system, timeline_id AS timeline, pg_current_wal_lsn()::text AS lsn FROM pg_control_checkpoint()`,
  );
  if (row === undefined) throw new Error('the primary returned no row');
  return {
    upstream: { systemIdentifier: row.system, timeline: row.timeline, writable: true, lsn: row.lsn },
    history: [],
    local: {
      systemIdentifier: control?.systemIdentifier ?? null,
      timeline: control?.timeline ?? null,
      state: control?.state ?? null,
      checkpointLsn: control?.checkpointLsn ?? null,
      walEnd: null,
      checksums: control?.checksums ?? false,
      rewindBegun: false,
      dataBytes: 0,
    },
  };
}

/** Where a node's timeline came from, by its own history file: a line is a former timeline and where it was left. */
async function ownHistory(
  deps: ActivityDeps,
  node: string,
  seen: PostgresObservation,
  timeline: number,
): Promise<ComparedNode['local']['history']> {
  const file = `${seen.dataDirectory.path}/pg_wal/${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
  const { exitCode, output } = await deps.docker.run(node, ['cat', file], 5000, { user: 'postgres' });
  return exitCode === 0 ? parseHistory(output) : undefined;
}

/** The lines of a timeline history file. */
export function parseHistory(text: string): { timeline: number; endLsn: Lsn }[] {
  return text.split('\n').flatMap((line) => {
    const [, timeline, endLsn] = /^\s*(\d+)\s+([0-9A-F]+\/[0-9A-F]+)/i.exec(line) ?? [];
    return timeline === undefined || endLsn === undefined ? [] : [{ timeline: Number(timeline), endLsn }];
  });
}

/** C9, where the node's agent answers only now. */
async function roomForCopy(session: PostgresSession, seen: PostgresObservation, node: string): Promise<void> {
  const [row] = await session.query<{ bytes: string }>(
    `SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint AS bytes FROM pg_database WHERE datallowconn`,
  );
  const needed = Math.ceil(Number(row?.bytes ?? 0) * COPY_MARGIN);
  const { freeBytes } = seen.disk;
  if (freeBytes < needed)
    throw finalFailure(
      'Refused',
      `C9: ${node} needs a full copy and has no room for it: ${formatSize(freeBytes)} free (limit: at least ${formatSize(needed)}). It stays fenced. Next: docker exec ${node} df -h ${seen.dataDirectory.path}`,
    );
}
