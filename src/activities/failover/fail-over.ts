import type { Check } from '../../cluster/check';
import { refusalSentence } from '../../cluster/check';
import type { FailureKind, NodeAnswer } from '../../cluster/guard/signals';
import type { Ledger } from '../../cluster/guard/ledger';
import type { Lsn } from '../../cluster/lsn';
import { AgentError } from '../../systems/agent';
import { recoveryOf, type PostgresSession } from '../../systems/postgres';
import type { DataLoss } from '../../workflows/failover-input';
import type { SubStep } from '../../workflows/run-state';
import { attempt, finalFailure, heartbeat, keepBeating, lastHeartbeat, until } from '../context';
import { accessCluster, type ActivityDeps, type ClusterAccess } from '../deps';
import { fenceNode } from '../fence';
import { messageOf } from '../guard/probe';
import { SubStepRecorder, type MoveJournal } from '../move-journal';
import { ensureSlot, ensureSynchronousNames } from '../prepare';
import { ensureReservedSlot } from '../rejoin/parts';
import { tokenOf } from '../token';
import { askSource, decideOn } from './look';
import { wakeSource } from './source-data';
import {
  claimFailoverParts,
  closeFailoverParts,
  letGo,
  observeCandidates,
  openFailoverParts,
  PATIENT_LIMIT_MS,
  reachSilent,
  type Candidate,
  type FailoverParts,
} from './parts';
import { answersThough, requireStillUnreachable, requireStillUnwritable } from './still-lost';
import { steadyMs } from '../clock';

/** One failover: names and numbers only. */
export interface FailoverMove {
  cluster: string;
  /** The run's id: with the attempt it is the token that agents check. The guard holds clients under it already. */
  run: string;
  /** The primary that failed; empty where a repair promotes and nobody knows which one it was. */
  source: string;
  /** Every other PostgreSQL node. */
  candidates: string[];
  /** The node to promote; the most advanced one where nobody names it. */
  target?: string;
  ledger: Ledger | null;
  allowDataLoss?: DataLoss;
  /** How the primary failed, where the guard found out. */
  kind?: FailureKind;
  /**
   * When the guard was certain, in milliseconds since the epoch. Absent where a person says so, or has thought about it meanwhile: then
   * the ledger has to hold now.
   */
  decidedAt?: number;
  /** The last position of the old primary that the guard saw. */
  lastLsn?: Lsn;
  holdLimitMs: number;
  /** For an undo: it is certain that nobody was asked to be promoted. */
  neverAsked?: boolean;
}

/** What a failover did and measured. */
export interface FailoverResult {
  target: string;
  /** Standbys that follow the target. */
  others: string[];
  checks: Check[];
  /** Why the old primary takes no write. */
  fence: string;
  /** Bytes of acknowledged WAL that may be lost: 0 when it is proven that nothing is, null when nobody can tell. */
  lossBound: number | null;
  /** What proves that nothing is lost, in half a sentence; absent where the bound is not 0. */
  proof?: string;
  receivedByTarget: Lsn | null;
  /** The timeline that the target followed before it was promoted; null where nobody could tell. */
  timelineBefore: number | null;
  /** `synchronous_standby_names` of the new primary. */
  names: string;
  subSteps: SubStep[];
  /** Milliseconds since the epoch of the moments that a report tells. */
  marks: FailoverMarks;
  warnings: string[];
}

/** Moments of a failover, in milliseconds since the epoch; null when the attempt that saw it could not tell. */
export interface FailoverMarks {
  fencedAt: number | null;
  promotedAt: number | null;
  routedAt: number | null;
  releasedAt: number | null;
  fenceMs: number | null;
  promoteMs: number | null;
  routeMs: number | null;
}

interface FailoverJournal extends MoveJournal {
  checks?: Check[];
  fence?: string;
  lossBound?: number | null;
  proof?: string;
  names?: string;
  timelineBefore?: number;
  marks: FailoverMarks;
}

/** What was decided on whom to promote. */
interface Choice {
  target: Candidate;
  others: string[];
  names: string;
  /** Nothing proves yet that nothing is lost: the failed primary's own data have to, once it is fenced. */
  unproven?: true;
}

/**
 * The critical section of a failover: holds clients, proves that the old primary takes no write, promotes the most advanced standby,
 * routes, and lets go. Each part observes before it acts: another attempt goes on where this one died, and whom an earlier one asked
 * to be promoted is found in the agents' own records.
 * @throws ApplicationFailure `Refused` with nothing promoted and clients let go, or an Error that is retried
 */
export async function failOver(deps: ActivityDeps, request: FailoverMove): Promise<FailoverResult> {
  const access = accessCluster(deps, request.cluster);
  const journal: FailoverJournal = lastHeartbeat<FailoverJournal>() ?? {
    subSteps: [],
    marks: {
      fencedAt: null,
      promotedAt: null,
      routedAt: null,
      releasedAt: null,
      fenceMs: null,
      promoteMs: null,
      routeMs: null,
    },
  };
  const stopBeating = keepBeating(() => journal);
  const recorder = new SubStepRecorder(journal, heartbeat, (point) =>
    deps.faultPoint?.(point.replace('hold:', 'failover:')),
  );
  const token = tokenOf(request.run, 'fail over');
  let parts: FailoverParts | undefined;
  // Asked at once: a node that hangs keeps whoever asks it waiting for the whole limit.
  const source = askSource(access, request.source);
  try {
    parts = await recorder.run('open', 'open ways to every node and take them', async () => {
      const opened = await openFailoverParts(access, token, request.candidates, queryLimitOf(request));
      await claimFailoverParts(opened);
      return opened;
    });
    return await failOverWith(deps, access, request, parts, recorder, journal, source);
  } catch (error) {
    if (isRefusal(error) && parts !== undefined) await letGo(parts);
    if (isRefusal(error))
      throw finalFailure('Refused', (error as Error).message, {
        ...(journal.checks === undefined ? {} : { checks: journal.checks }),
        // Whoever reads the report has to know that the node will not start again by itself.
        ...(journal.fence === undefined ? {} : { fence: journal.fence }),
        // Refused is only before the promotion, and no attempt was before this one.
        neverAsked: attempt() === 1,
      });
    if (error instanceof AgentError && error.type === 'Superseded' && !error.message.includes(`run ${request.run} `))
      throw finalFailure(
        'Failed',
        `${error.message} Another run took the nodes in the middle of this one. Next: veloz-ha postgres status`,
      );
    throw error;
  } finally {
    stopBeating();
    if (parts !== undefined) closeFailoverParts(parts);
  }
}

async function failOverWith(
  deps: ActivityDeps,
  access: ClusterAccess,
  request: FailoverMove,
  parts: FailoverParts,
  recorder: SubStepRecorder,
  journal: FailoverJournal,
  source: Promise<NodeAnswer>,
): Promise<FailoverResult> {
  const { pooler, token } = parts;
  const { marks } = journal;
  const warnings: string[] = [];
  let choice = await askedBefore(request, parts, journal);
  if (choice === undefined) {
    await recorder.run('hold', `hold clients at ${access.poolerName}`, () => holdClients(access, request, parts));
    const chosen = await recorder.run(
      'look',
      'look once more: nobody may be writable, and who has the most?',
      () => choose(deps, access, request, parts, journal, { asked: source, beforeFence: true }),
      (found) => `${found.target.name} is the most advanced`,
    );
    const fenced = await recorder.run(
      'fence',
      `fence ${request.source}, and prove it`,
      () => fenceNode(deps, access, token, request.source, access.internal(chosen.target.name)),
      (fence) => fence.says,
    );
    journal.fence = fenced.says;
    marks.fenceMs = fenced.ms;
    marks.fencedAt = Date.now();
    if (chosen.unproven === true)
      await recorder.run('read', `read where the WAL of ${request.source} ends`, () =>
        wakeSource(deps, access, request.source),
      );
    choice = await recorder.run(
      'choose',
      'no standby receives any more; the most advanced is chosen',
      async () => {
        await receiversDown(parts);
        return choose(deps, access, request, parts, journal);
      },
      (found) => `${found.target.name}`,
    );
  }
  const { target, others, names } = choice;
  const targetSql = needed(target.sql, target);
  const began = performance.now();
  await recorder.run('promote', `promote ${target.name}, route clients to it`, async () => {
    const agent = needed(target.agent, target);
    if ((await recoveryOf(targetSql)).inRecovery) {
      // Who will follow finds its slot: without one it would never stream, and commits would wait for it. The old primary is a
      // standby soon, and needs the WAL from here on, which the next checkpoint would remove.
      for (const other of others) await ensureSlot(targetSql, other);
      await ensureReservedSlot(targetSql, request.source).catch((error: unknown) => {
        warnings.push(
          `J7: no slot could be made for ${request.source}, its rejoin may need a full copy: ${messageOf(error)}`,
        );
      });
      await ensureSynchronousNames(targetSql, names);
      await agent.call('promote', { token });
    }
    recorder.at('promoting');
    // Clients are held: the route may change, and what hangs on the dead server may end, before the promotion is through.
    const ahead = Promise.allSettled([
      pooler.call('route', { token, ...target.address }),
      pooler.call('drop', { token }),
      ...others.map((other) => followOf(parts, other, target)),
    ]);
    await until(`the promotion of ${target.name}`, access.topology.limits.promote, 2, async () =>
      (await recoveryOf(targetSql)).inRecovery ? undefined : true,
    );
    await ahead;
  });
  marks.promoteMs ??= round(performance.now() - began);
  marks.promotedAt ??= Date.now();
  recorder.at('promoted');
  const routing = performance.now();
  await recorder.run('route', `clients' route leads to ${target.name}`, () =>
    pooler.call('route', { token, ...target.address }),
  );
  await recorder.run('release', 'let clients go', () => pooler.call('release', { token }));
  marks.routeMs ??= round(performance.now() - routing);
  marks.routedAt ??= Date.now();
  marks.releasedAt ??= Date.now();
  recorder.at('released');
  await Promise.all(
    others.map((other) =>
      followOf(parts, other, target).catch((error: unknown) => {
        warnings.push(`${other} does not follow ${target.name} yet: ${messageOf(error)}`);
      }),
    ),
  );
  return {
    target: target.name,
    others,
    checks: journal.checks ?? [],
    fence: journal.fence ?? `${request.source} was fenced by an attempt that died before it could tell how`,
    lossBound: journal.lossBound ?? null,
    ...(journal.proof === undefined ? {} : { proof: journal.proof }),
    receivedByTarget: journal.receivedByTarget ?? null,
    timelineBefore: journal.timelineBefore ?? null,
    names,
    subSteps: journal.subSteps,
    marks,
    warnings,
  };
}

/** Milliseconds that a query may take: longer than clients are held, so that it never ends in the middle of a promotion. */
const queryLimitOf = ({ holdLimitMs }: FailoverMove): number => holdLimitMs + 30_000;

const round = (ms: number): number => Math.round(ms * 10) / 10;

/** Whom an earlier attempt of this run asked to be promoted: nobody else may be. */
async function askedBefore(
  request: FailoverMove,
  parts: FailoverParts,
  journal: FailoverJournal,
): Promise<Choice | undefined> {
  const said = await observeCandidates(parts);
  const target = parts.candidates.find(({ name }) => said.get(name)?.promotion?.run === request.run);
  if (target === undefined) return undefined;
  const others = parts.candidates.filter((each) => each !== target && each.agent !== undefined).map(({ name }) => name);
  return { target, others, names: journal.names ?? (others.length > 0 ? await namesOf(target) : '') };
}

async function namesOf(target: Candidate): Promise<string> {
  const [row] = await needed(target.sql, target).query<{ names: string }>(
    `SELECT current_setting('synchronous_standby_names') AS names`,
  );
  return row?.names ?? '';
}

/** Clients may be held already, by the guard under this run. One that had to let go is not held again. */
async function holdClients(access: ClusterAccess, request: FailoverMove, { pooler, token }: FailoverParts) {
  const limitMs = request.holdLimitMs;
  const candidates = access.topology.postgres.nodes.map(({ name }) => access.internal(name));
  try {
    await pooler.call('hold', { token, pauseLimitMs: limitMs, limitMs, candidates, wait: false });
  } catch (error) {
    if (!(error instanceof AgentError) || error.type !== 'Expired') throw error;
  }
}

/** Decides on the target from what every candidate says now. */
async function choose(
  deps: ActivityDeps,
  access: ClusterAccess,
  request: FailoverMove,
  parts: FailoverParts,
  journal: FailoverJournal,
  { asked, beforeFence = false }: { asked?: Promise<NodeAnswer>; beforeFence?: boolean } = {},
): Promise<Choice> {
  const fencedAt = journal.marks.fencedAt;
  const [first, source] = await Promise.all([decideOn(deps, access, request, parts, undefined, fencedAt), asked]);
  if (source?.answered === true && source.inRecovery === false && !answersThough(request.kind)) {
    throw finalFailure(
      'Refused',
      `I8: ${request.source} is a primary that takes writes: it answered within ${source.ms} ms (limit: no reachable primary). Nothing was changed. Next: veloz-ha postgres switchover`,
    );
  }
  // Once it is fenced there is no way back to what it was.
  if (fencedAt === null && request.kind === 'unwritable') await requireStillUnwritable(access, request.source);
  if (fencedAt === null && request.kind === 'unreachable') await requireStillUnreachable(access, parts, request.source);
  const { states, decision } = await secondLook(deps, access, request, parts, first, fencedAt);
  journal.checks = decision.checks;
  journal.lossBound = decision.lossBound;
  if (decision.proof === undefined) delete journal.proof;
  else journal.proof = decision.proof;
  const refusal = refusalSentence(decision.checks, 'Nothing was promoted');
  // Also in an attempt that finds the fence of one before it: that one may have died before it read anything.
  const unproven = refusal !== undefined && beforeFence && decision.needsConsent && isOver(request.kind);
  if (refusal !== undefined && !unproven) throw finalFailure('Refused', refusal, { checks: decision.checks });
  const target = parts.candidates.find(({ name }) => name === decision.candidate);
  if (target === undefined) throw new Error('the checks named neither a candidate nor a refusal');
  const state = states.find(({ name }) => name === target.name);
  if (decision.candidateLsn !== undefined) journal.receivedByTarget = decision.candidateLsn;
  if (state?.inRecovery === true && state.timeline !== undefined) journal.timelineBefore = state.timeline;
  journal.names = decision.names;
  return { target, others: decision.others, names: decision.names, ...(unproven ? { unproven } : {}) };
}

/** Its server is gone: to fence it takes nothing away, and its data can be read then. One that hangs may come back with all of them. */
const isOver = (kind: FailureKind | undefined): boolean => kind === 'dead' || kind === 'crashed';

/**
 * Somebody who is silent gets more time before that is believed: it may be the reason of a refusal; or the one with the most, whom a
 * person's consent to a loss would pass over.
 */
async function secondLook(
  deps: ActivityDeps,
  access: ClusterAccess,
  request: FailoverMove,
  parts: FailoverParts,
  first: Awaited<ReturnType<typeof decideOn>>,
  fencedAt: number | null,
): Promise<typeof first> {
  const refused = first.decision.checks.some(({ result }) => result === 'refuse');
  const silent = first.states.some(({ answered, missing }) => !answered && missing !== true);
  if (!silent || (!refused && request.allowDataLoss === undefined)) return first;
  await reachSilent(access, parts, queryLimitOf(request));
  return decideOn(deps, access, request, parts, PATIENT_LIMIT_MS, fencedAt);
}

/**
 * G3: no WAL arrives any more. A receiver of a killed primary is gone at once; one whose connection was cut off hangs for some
 * seconds, but behind a proven fence nobody sends to it.
 */
async function receiversDown(parts: FailoverParts): Promise<void> {
  const down = async (sql: PostgresSession) =>
    (await sql.query(`SELECT 1 FROM pg_stat_wal_receiver WHERE pid IS NOT NULL`)).length === 0;
  const end = steadyMs() + 60;
  while (steadyMs() < end) {
    const each = await Promise.all(
      parts.candidates.map(async ({ sql }) => sql === undefined || down(sql).catch(() => true)),
    );
    if (each.every(Boolean)) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Another standby streams from the new primary from now on (K5). */
async function followOf(parts: FailoverParts, name: string, target: Candidate): Promise<void> {
  const other = parts.candidates.find((candidate) => candidate.name === name);
  await other?.agent?.call('follow', { token: parts.token, upstream: target.address });
}

function needed<T>(way: T | undefined, { name, problem }: Candidate): T {
  if (way === undefined) throw new Error(`${name} can't be reached: ${problem ?? 'no answer'}`);
  return way;
}

const isRefusal = (error: unknown): boolean => (error as { type?: string }).type === 'Refused';
