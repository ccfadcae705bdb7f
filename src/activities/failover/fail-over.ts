import type { Check } from '../../cluster/check';
import { refusalSentence } from '../../cluster/check';
import { decideFailover, type CandidateState } from '../../cluster/failover/decide';
import type { FailureKind, NodeAnswer } from '../../cluster/guard/signals';
import type { Ledger } from '../../cluster/guard/ledger';
import { lsnBytes, type Lsn } from '../../cluster/lsn';
import { AgentError } from '../../systems/agent';
import { recoveryOf, type PostgresSession } from '../../systems/postgres';
import type { DataLoss } from '../../workflows/failover-input';
import type { SubStep } from '../../workflows/run-state';
import { finalFailure, heartbeat, keepBeating, lastHeartbeat, until } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { fenceNode } from '../fence';
import { messageOf, NodeProbe } from '../guard/probe';
import { SubStepRecorder, type MoveJournal } from '../move-journal';
import { ensureSlot, ensureSynchronousNames } from '../prepare';
import { tokenOf } from '../token';
import {
  claimFailoverParts,
  closeFailoverParts,
  observeCandidates,
  openFailoverParts,
  type Candidate,
  type FailoverParts,
} from './parts';

/** One failover: names and numbers only. */
export interface FailoverMove {
  cluster: string;
  /** The run's id: with the attempt it is the token that agents check. The guard holds clients under it already. */
  run: string;
  /** The primary that failed. */
  source: string;
  /** Every other PostgreSQL node. */
  candidates: string[];
  /** The node to promote; the most advanced one where nobody names it. */
  target?: string;
  ledger: Ledger | null;
  allowDataLoss?: DataLoss;
  /** How the primary failed, where the guard found out. */
  kind?: FailureKind;
  /** The last position of the old primary that the guard saw. */
  lastLsn?: Lsn;
  holdLimitMs: number;
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
  receivedByTarget: Lsn | null;
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
  names?: string;
  marks: FailoverMarks;
}

/** What was decided on whom to promote. */
interface Choice {
  target: Candidate;
  others: string[];
  names: string;
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
      const opened = await openFailoverParts(access, token, request.candidates, request.holdLimitMs + 30_000);
      await claimFailoverParts(opened);
      return opened;
    });
    return await failOverWith(deps, access, request, parts, recorder, journal, source);
  } catch (error) {
    if (isRefusal(error) && parts !== undefined) await letGo(parts);
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
      () => choose(deps, access, request, parts, journal, source),
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
      // Who will follow finds its slot: without one it would never stream, and commits would wait for it.
      for (const other of others) await ensureSlot(targetSql, other);
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
    receivedByTarget: journal.receivedByTarget ?? null,
    names,
    subSteps: journal.subSteps,
    marks,
    warnings,
  };
}

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
  asked?: Promise<NodeAnswer>,
): Promise<Choice> {
  const [{ states, decision }, source] = await Promise.all([decideOn(deps, access, request, parts), asked]);
  if (source?.answered === true && source.inRecovery === false && request.kind !== 'unwritable') {
    throw finalFailure(
      'Refused',
      `I8: ${request.source} is a primary that takes writes: it answered within ${source.ms} ms (limit: no reachable primary). Nothing was changed. Next: veloz-ha postgres switchover`,
    );
  }
  journal.checks = decision.checks;
  journal.lossBound = decision.lossBound;
  const refusal = refusalSentence(decision.checks, 'Nothing was promoted');
  if (refusal !== undefined) {
    const failure = finalFailure('Refused', refusal, { checks: decision.checks });
    throw failure;
  }
  const target = parts.candidates.find(({ name }) => name === decision.candidate);
  if (target === undefined) throw new Error('the checks named neither a candidate nor a refusal');
  const state = states.find(({ name }) => name === target.name);
  if (state?.receivedLsn != null) journal.receivedByTarget = state.receivedLsn;
  journal.names = decision.names;
  return { target, others: decision.others, names: decision.names };
}

/** What the candidates say, and what follows. */
export async function decideOn(deps: ActivityDeps, access: ClusterAccess, request: FailoverMove, parts: FailoverParts) {
  const states = await Promise.all(
    parts.candidates.map((candidate) => stateOf(deps, access, candidate, request.ledger?.timeline ?? null)),
  );
  const decision = decideFailover(access.topology, {
    cluster: request.cluster,
    candidates: states,
    ledger: request.ledger,
    failedPrimary: request.source,
    ...(request.target === undefined ? {} : { target: request.target }),
    ...(request.allowDataLoss === undefined ? {} : { allowDataLoss: request.allowDataLoss }),
    ...(request.lastLsn === undefined ? {} : { lastKnownPrimaryLsn: request.lastLsn }),
  });
  return { states, decision };
}

/** One short look at the old primary (I8): silence is what a failover expects. */
async function askSource(access: ClusterAccess, source: string) {
  const probe = new NodeProbe(access, source, access.topology.guard.probeLimit, () => undefined);
  try {
    return await probe.ask();
  } finally {
    probe.close();
  }
}

async function stateOf(
  deps: ActivityDeps,
  access: ClusterAccess,
  candidate: Candidate,
  ledgerTimeline: number | null,
): Promise<CandidateState> {
  const { name, sql } = candidate;
  const { promotable, optional } = access.node(name);
  const silent = (problem: string): CandidateState => ({ name, promotable, answered: false, problem });
  if (sql === undefined || candidate.agent === undefined) {
    const state = silent(candidate.problem ?? 'no answer');
    if (!optional) return state;
    const { exists } = await deps.docker.inspect(name).catch(() => ({ exists: true }));
    return exists ? state : { ...state, missing: true };
  }
  try {
    const [[row], { disk }] = await Promise.all([
      sql.query<CandidateRow>(candidateQuestion, [ledgerTimeline]),
      candidate.agent.call('observe', {}, 1000),
    ]);
    if (row === undefined) return silent('it returned no row');
    const received = lastOf(row.received, row.replayed);
    return {
      name,
      promotable,
      answered: true,
      inRecovery: row.inRecovery,
      timeline: row.timeline,
      receivedLsn: received,
      replayedLsn: row.replayed,
      receiver: row.receiver,
      replayPaused: row.replayPaused,
      applyDelayMs: row.applyDelayMs,
      systemIdentifier: row.systemIdentifier,
      freeDiskBytes: disk.freeBytes,
    };
  } catch (error) {
    return silent(messageOf(error));
  }
}

interface CandidateRow extends Record<string, unknown> {
  inRecovery: boolean;
  timeline: number;
  received: Lsn | null;
  replayed: Lsn | null;
  receiver: string | null;
  replayPaused: boolean;
  applyDelayMs: number;
  systemIdentifier: string;
}

/**
 * The timeline of a standby without a receiver stands nowhere: its control file lags behind until the next restartpoint. It is on the
 * ledger's timeline ($1) when the segment that holds the end of its WAL is one of that timeline. The newest segment of all says
 * nothing: one of a timeline that was given up may lie there still.
 */
const candidateQuestion = `
SELECT r.recovering AS "inRecovery",
  CASE WHEN r.recovering
    THEN greatest((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint()),
      (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
      (SELECT $1::int FROM pg_ls_waldir() w,
        (SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn - 1 AS at,
          pg_size_bytes(current_setting('wal_segment_size'))::numeric AS segment_bytes) p
       WHERE w.name = lpad(upper(to_hex($1::int)), 8, '0') || lpad(upper(to_hex(div(at, 4294967296)::bigint)), 8, '0')
         || lpad(upper(to_hex(div(mod(at, 4294967296), segment_bytes)::bigint)), 8, '0')))
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline,
  CASE WHEN r.recovering THEN pg_last_wal_receive_lsn()::text ELSE pg_current_wal_lsn()::text END AS received,
  CASE WHEN r.recovering THEN pg_last_wal_replay_lsn()::text END AS replayed,
  (SELECT status FROM pg_stat_wal_receiver WHERE pid IS NOT NULL) AS receiver,
  CASE WHEN r.recovering THEN pg_is_wal_replay_paused() ELSE false END AS "replayPaused",
  (SELECT setting::int FROM pg_settings WHERE name = 'recovery_min_apply_delay') AS "applyDelayMs",
  (SELECT system_identifier::text FROM pg_control_system()) AS "systemIdentifier"
FROM (SELECT pg_is_in_recovery() AS recovering) r`;

/** What was replayed from an archive or from disk may be beyond what was received. */
function lastOf(received: Lsn | null, replayed: Lsn | null): Lsn | null {
  if (received === null) return replayed;
  if (replayed === null) return received;
  return lsnBytes(replayed) > lsnBytes(received) ? replayed : received;
}

/**
 * G3: no WAL arrives any more. A receiver of a killed primary is gone at once; one whose connection was cut off hangs for some
 * seconds, but behind a proven fence nobody sends to it.
 */
async function receiversDown(parts: FailoverParts): Promise<void> {
  const down = async (sql: PostgresSession) =>
    (await sql.query(`SELECT 1 FROM pg_stat_wal_receiver WHERE pid IS NOT NULL`)).length === 0;
  const end = Date.now() + 60;
  while (Date.now() < end) {
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

/** Nothing was promoted: clients go on waiting at their own risk and not at ours. Never throws. */
async function letGo({ pooler, token }: FailoverParts): Promise<void> {
  await pooler.call('release', { token }).catch(() => undefined);
}

/**
 * Undoes a failover that promoted nobody: clients are let go, and the old primary, where it was fenced, is started as it was.
 * @returns false when somebody was asked to be promoted: there is only forward
 * @throws Error when a candidate that may have been asked gives no answer
 */
export async function undoFailOver(deps: ActivityDeps, request: FailoverMove): Promise<boolean> {
  const access = accessCluster(deps, request.cluster);
  const token = tokenOf(request.run, 'undo fail over');
  const stopBeating = keepBeating(() => 'putting everything back');
  const parts = await openFailoverParts(access, token, request.candidates, 10_000).catch((error: unknown) => {
    stopBeating();
    throw error;
  });
  try {
    await claimFailoverParts(parts);
    const said = await observeCandidates(parts);
    if ([...said.values()].some(({ promotion }) => promotion?.run === request.run)) return false;
    const { exists, running } = await deps.docker.inspect(request.source);
    const fenced = exists && running ? await isFencedFor(access, request) : false;
    if (fenced) {
      const silent = parts.candidates.filter(({ name }) => !said.has(name));
      for (const { name } of silent) {
        const { exists: there } = await deps.docker.inspect(name);
        if (there && !access.node(name).optional)
          throw new Error(`${request.source} is fenced, and ${name}, which may have been promoted, does not answer`);
      }
      await withSession(access.agent(request.source), async (agent) => {
        await agent.call('claim', { token });
        await agent.call('start', { token, as: 'primary' });
      });
    }
    await letGo(parts);
    return true;
  } finally {
    stopBeating();
    closeFailoverParts(parts);
  }
}

async function isFencedFor(access: ClusterAccess, request: FailoverMove): Promise<boolean> {
  try {
    return await withSession(access.agent(request.source), async (agent) => {
      const { desired } = await agent.call('observe', {});
      return desired === 'fenced';
    });
  } catch {
    return false;
  }
}
