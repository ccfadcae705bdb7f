import type { LostWal } from '../../cluster/rejoin/decide';
import { AgentError, type AgentJob, type PostgresAgent } from '../../systems/agent';
import { keepBeating, sleep } from '../context';
import { accessCluster, type ActivityDeps, type ClusterAccess } from '../deps';
import {
  answeringAgent,
  claim,
  fencedAgent,
  prepares,
  rejoinToken,
  type RejoinPlan,
  type RejoinRequest,
} from './parts';
import { stillMine } from '../still-mine';
import { steadyMs } from '../clock';

/** How far the data of a node is. */
export interface RejoinWork {
  done: boolean;
  method: 'rewind' | 'copy';
  /** What happens now: "pg_rewind", "pg_basebackup". */
  phase: string;
  doneBytes: number;
  totalBytes: number | null;
  bytesPerSecond: number | null;
  remainingMs: number | null;
  /** When the job began, in milliseconds since the epoch: by this it is found again. */
  startedAtMs: number;
  ms: number;
  /** WAL and commits that only this node had; null when none, or when nobody can tell. */
  lost: LostWal | null;
  /** Folder on the node's volume that keeps what is lost. */
  quarantine: string | null;
  /** Why a copy was made where a rewind was meant to do; absent when that is not so. */
  fellBack?: string;
  /** Why the copy failed; the next call begins it anew. Absent when it did not. */
  failed?: string;
}

/** What a call of {@link rewindOrCopy} is told. */
export interface RejoinWorkRequest extends RejoinRequest {
  /** Undefined: the node makes its data directory by itself. */
  plan?: RejoinPlan & { method: 'rewind' | 'copy' };
  /** `startedAtMs` of the job that an earlier call saw. */
  startedAtMs?: number;
  /** Why it is a copy by now. */
  fellBack?: string;
}

/** How often the agent is asked, in milliseconds. */
const POLL_MS = 50;
/** A call returns after this long, so that whoever waits for it can show how far it is; the first one sooner. In milliseconds. */
const FIRST_WINDOW_MS = 2000;
const WINDOW_MS = 5000;
const LONGEST_WINDOW_MS = 60_000;
/**
 * Each call costs the run's history six events of the 51 200 that Temporal allows. Windows that grow with the work, a tenth of what
 * it has taken, show a short one closely, and let one of days end: five days are some 7 300 calls, 44 000 events.
 * @param ageMs how long the work has been going on; undefined at the first call
 */
export const windowMs = (ageMs: number | undefined): number =>
  ageMs === undefined ? FIRST_WINDOW_MS : Math.min(LONGEST_WINDOW_MS, Math.max(WINDOW_MS, ageMs / 10));
const windowEnd = ({ startedAtMs }: RejoinWorkRequest): number =>
  steadyMs() + windowMs(startedAtMs === undefined ? undefined : Date.now() - startedAtMs);

/**
 * Has the node's agent rewind or copy, and returns when it is done, or after some seconds with how far it is: called again it goes
 * on. The work itself is the agent's, so the death of a worker does not interrupt it; a call that finds it under way joins it. A
 * rewind that fails becomes a copy (J6); a copy that fails is told, and the next call begins it anew.
 */
export async function rewindOrCopy(deps: ActivityDeps, request: RejoinWorkRequest): Promise<RejoinWork> {
  const access = accessCluster(deps, request.cluster);
  let phase = 'reaching the agent';
  const stopBeating = keepBeating(() => phase);
  const agent = await reachAgent(deps, access, request);
  try {
    return await (request.plan === undefined
      ? untilPrepared(agent, request)
      : work(agent, access, { ...request, plan: request.plan }, (now) => (phase = now)));
  } finally {
    stopBeating();
    agent.close();
  }
}

/** A container that ended meanwhile is started again: its agent keeps its fence, and tells how far the work had come. */
async function reachAgent(
  deps: ActivityDeps,
  access: ClusterAccess,
  request: RejoinWorkRequest,
): Promise<PostgresAgent> {
  const { node } = request;
  const token = rejoinToken(request);
  const { running } = await deps.docker.inspect(node);
  if (!running && request.plan !== undefined)
    return (await fencedAgent(deps, access, token, node, access.internal(request.primary))).agent;
  if (!running) {
    await stillMine(`start ${node}`);
    await deps.docker.start(node);
  }
  const agent = await answeringAgent(access, node);
  try {
    await claim(agent, token);
    return agent;
  } catch (error) {
    agent.close();
    throw error;
  }
}

/** The node copies the primary at its own first start. */
async function untilPrepared(agent: PostgresAgent, request: RejoinWorkRequest): Promise<RejoinWork> {
  const until = windowEnd(request);
  for (;;) {
    const seen = await agent.call('observe', {});
    const startedAtMs = request.startedAtMs ?? seen.postgres.sinceMs;
    const done = !prepares(seen) && seen.control !== null;
    if (done || steadyMs() > until) {
      const says = seen.startGuard ?? 'the first start';
      return {
        done,
        method: 'copy',
        phase: says,
        doneBytes: 0,
        totalBytes: null,
        bytesPerSecond: null,
        remainingMs: null,
        startedAtMs,
        ms: Math.max(0, Date.now() - startedAtMs),
        lost: null,
        quarantine: null,
        // It waits, or tries again and again: what it says tells why, and the run does better.
        ...(done || says.startsWith('Copying') || request.startedAtMs === undefined ? {} : { failed: says }),
      };
    }
    await sleep(POLL_MS);
  }
}

async function work(
  agent: PostgresAgent,
  access: ClusterAccess,
  request: RejoinWorkRequest & { plan: NonNullable<RejoinWorkRequest['plan']> },
  says: (phase: string) => void,
): Promise<RejoinWork> {
  const until = windowEnd(request);
  let { fellBack } = request;
  let { job, fellBackNow } = await begin(agent, access, request);
  fellBack ??= fellBackNow;
  const first = { at: steadyMs(), bytes: job.doneBytes, started: job.startedAtMs };
  for (;;) {
    says(job.phase);
    if (job.state === 'done' || (job.state === 'running' && steadyMs() > until))
      return progressOf(job, first, fellBack);
    if (job.state !== 'running') {
      if (job.kind === 'copy') return { ...progressOf(job, first, fellBack), failed: failure(job) };
      fellBack = failure(job);
      ({ job, fellBackNow } = await begin(agent, access, { ...request, plan: copyInstead(request.plan), fellBack }));
      Object.assign(first, { at: steadyMs(), bytes: job.doneBytes, started: job.startedAtMs });
    }
    await sleep(POLL_MS);
    const seen = await agent.call('observe', {});
    if (seen.job === null) throw new Error(`${request.node} knows nothing of the ${job.kind} that it was asked for`);
    job = seen.job;
  }
}

/** Joins what runs, takes what an earlier attempt finished, or begins. */
async function begin(
  agent: PostgresAgent,
  access: ClusterAccess,
  request: RejoinWorkRequest & { plan: NonNullable<RejoinWorkRequest['plan']> },
): Promise<{ job: AgentJob; fellBackNow?: string }> {
  const { plan, run } = request;
  const token = rejoinToken(request);
  const upstream = access.internal(request.primary);
  const { job } = await agent.call('observe', {});
  const ours = job !== null && (job.run === run || job.startedAtMs === request.startedAtMs);
  // Whoever asked for it: two at a time would write to one directory.
  if (job?.state === 'running') return { job };
  if (ours && job.state === 'done' && (job.kind === plan.method || job.kind === 'copy')) return { job };
  const { divergedAt, divergedTimeline } = plan;
  const diverged = divergedAt === undefined || divergedTimeline === undefined ? {} : { divergedAt, divergedTimeline };
  const copy = async () => (await agent.call('copy', { token, upstream, ...diverged }, 10_000)).job;
  if (plan.method === 'copy') return { job: await copy() };
  // A rewind is tried once: what it left behind is no state to rewind from.
  if (ours && job.kind === 'rewind' && job.state !== 'done') return { job: await copy(), fellBackNow: failure(job) };
  if (divergedAt === undefined || divergedTimeline === undefined)
    return { job: await copy(), fellBackNow: 'it is not known from where on to rewind' };
  try {
    return { job: (await agent.call('rewind', { token, upstream, divergedAt, divergedTimeline }, 10_000)).job };
  } catch (error) {
    if (!(error instanceof AgentError) || ['Unreachable', 'Superseded', 'Busy'].includes(error.type)) throw error;
    return { job: await copy(), fellBackNow: `the rewind was refused: ${error.message}` };
  }
}

function lostOf({ lost }: AgentJob): LostWal | null {
  if (lost === null) return null;
  const { bytes, commits, complete, kept } = lost;
  return { bytes, commits, ...(complete === false && { complete }), ...(kept === false && { kept }) };
}

const copyInstead = (plan: RejoinPlan): RejoinPlan & { method: 'copy' } => ({ ...plan, method: 'copy' });

const failure = (job: AgentJob): string =>
  job.state === 'interrupted'
    ? `the ${job.kind} was interrupted while ${job.phase}`
    : `the ${job.kind} failed while ${job.phase}: ${job.error ?? 'no reason given'}`;

function progressOf(
  job: AgentJob,
  first: { at: number; bytes: number; started: number },
  fellBack: string | undefined,
): RejoinWork {
  const forMs = steadyMs() - first.at;
  const ms = (job.endedAtMs ?? Date.now()) - job.startedAtMs;
  const done = job.state === 'done';
  // How fast it goes now; over the whole of it once it is done.
  const rate = done ? job.doneBytes / (ms / 1000) : forMs < 1000 ? 0 : (job.doneBytes - first.bytes) / (forMs / 1000);
  const bytesPerSecond = rate > 0 && Number.isFinite(rate) ? Math.round(rate) : null;
  const left = job.totalBytes === null ? null : Math.max(0, job.totalBytes - job.doneBytes);
  return {
    done,
    method: job.kind,
    phase: job.phase,
    doneBytes: job.doneBytes,
    totalBytes: job.totalBytes,
    bytesPerSecond,
    remainingMs: done || left === null || bytesPerSecond === null ? null : Math.round((left / bytesPerSecond) * 1000),
    startedAtMs: job.startedAtMs,
    ms: Math.max(0, ms),
    lost: lostOf(job),
    quarantine: job.quarantine,
    ...(fellBack === undefined ? {} : { fellBack }),
  };
}
