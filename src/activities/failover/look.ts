import type { OwnSettings } from '../../cluster/failover/own-settings';
import { decideFailover, type CandidateState, type FailoverDecision } from '../../cluster/failover/decide';
import { confirmedWithinMs, isFresh } from '../../cluster/guard/confirmation';
import { withHeard } from '../../cluster/guard/heard';
import { confirmedLedger, ledgerKey, type Ledger } from '../../cluster/guard/ledger';
import { CLOCK_SKEW_MS } from '../../cluster/guard/rounds';
import type { Lsn } from '../../cluster/lsn';
import type { PostgresAgent } from '../../systems/agent';
import { withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { REPLAY_READER } from '../held-up';
import { messageOf, NodeProbe, withinLimit } from '../guard/probe';
import type { FailoverMove } from './move';
import type { Candidate, FailoverParts } from './parts';
import { sourceEnd, whyLeftStopped, type SourceWord } from './source-data';

/** How long an agent may take to say how its node is, in milliseconds. */
const OBSERVE_LIMIT_MS = 1000;
/** How long Docker may take to say how a container is, in milliseconds. */
const INSPECT_LIMIT_MS = 500;

/** What the candidates say, and what follows. */
export interface Look {
  states: CandidateState[];
  decision: FailoverDecision;
  /** The same with other words on the failed primary's own data: nobody is asked again. */
  given(word: SourceWord): FailoverDecision;
}

interface LookOptions {
  /** How long an agent may take to say how its node is, in milliseconds. */
  limitMs?: number;
  /** Milliseconds since the epoch at which the failed primary was proven to take no write. */
  fencedAt?: number | null;
  /** What its own files say, where somebody has read them. */
  own?: OwnSettings | undefined;
}

/** Asks every candidate, and decides. */
export async function decideOn(
  deps: ActivityDeps,
  access: ClusterAccess,
  request: FailoverMove,
  parts: FailoverParts,
  { limitMs = OBSERVE_LIMIT_MS, fencedAt = null, own }: LookOptions = {},
): Promise<Look> {
  const { ledger, failedAt } = await ledgerOf(deps, access, request, fencedAt);
  const [system, ...heard] = await Promise.all([
    // The guard compares the systems while it keeps a ledger. Without one the failed primary's own agent may still tell.
    ledger === null ? systemOf(access, request.source) : undefined,
    ...parts.candidates.map((candidate) => stateOf(deps, access, candidate, ledger?.timeline ?? null, limitMs)),
  ]);
  let states = heard;
  const input = {
    cluster: request.cluster,
    ledger,
    failedAt,
    failedPrimary: request.source,
    watched: request.watched === true,
    own,
    ...(system === undefined ? {} : { systemIdentifier: system }),
    ...(request.target === undefined ? {} : { target: request.target }),
    ...(request.allowDataLoss === undefined ? {} : { allowDataLoss: request.allowDataLoss }),
    ...(request.lastLsn === undefined ? {} : { lastKnownPrimaryLsn: request.lastLsn }),
  };
  const given = ({ end, problem, missing, tried }: SourceWord): FailoverDecision =>
    decideFailover(access.topology, {
      ...input,
      candidates: states,
      // To start the failed primary again loses nothing: a person hears of that first, until it was tried in vain.
      repairFirst: request.byHand === true && tried !== true,
      ...(end === undefined ? {} : { systemIdentifier: end.systemIdentifier, oldPrimary: end }),
      ...(problem === undefined ? {} : { oldPrimaryProblem: problem }),
      ...(missing === undefined ? {} : { oldPrimaryMissing: missing }),
    });
  let decision = given({});
  if (isRefused(decision) && states.some(({ answered, missing }) => !answered && missing !== true)) {
    // What is told is what helps.
    states = await withContainers(deps, states);
    decision = given({});
  }
  if (decision.lossBound === 0 || request.source === '') return { states, decision, given };
  // What was recorded proves nothing. The failed primary's own data may, where its server does not run.
  const word = await sourceEnd(access, request.source);
  if (word.end === undefined && (await isMissing(deps, request.source)))
    Object.assign(word, { missing: true, problem: 'it has no container' } satisfies SourceWord);
  const left = word.end === undefined ? await whyLeftStopped(deps, request).catch(() => undefined) : undefined;
  if (left !== undefined) {
    word.problem = left;
    delete word.tried;
  }
  // Why it can't be read is of interest once that was tried: behind the fence.
  if (word.end === undefined && fencedAt === null && word.missing !== true) return { states, decision, given };
  return { states, decision: given(word), given };
}

/**
 * The ledger, and the moment for which it has to hold: when the failure was certain, if that is only a moment ago; later the moment of
 * the fence, or now. While the guard watches a primary that can acknowledge nothing, it goes on confirming: that is asked for where
 * the ledger that was handed over has grown old, as it does while a person thinks about an approval.
 */
async function ledgerOf(
  deps: ActivityDeps,
  { topology }: ClusterAccess,
  { cluster, ledger, decidedAt }: FailoverMove,
  fencedAt: number | null,
): Promise<{ ledger: Ledger | null; failedAt: number }> {
  const now = Date.now();
  const limitMs = confirmedWithinMs(topology.guard);
  const handed = decidedAt !== undefined && now - decidedAt <= limitMs ? decidedAt : now;
  const failedAt = Math.min(handed, fencedAt ?? handed);
  if (ledger?.state !== 'protected' || isFresh({ confirmedAt: ledger.confirmedAt, at: failedAt, limitMs }))
    return { ledger, failedAt };
  const kept = (await deps.guardState?.(cluster).catch(() => undefined))?.ledger;
  if (kept?.confirmedAt === undefined || ledgerKey(kept) !== ledgerKey(ledger)) return { ledger, failedAt };
  // Confirmed beyond the failure is confirmed up to it; beyond now it was never.
  const upTo = kept.confirmedAt - now > CLOCK_SKEW_MS ? kept.confirmedAt : Math.min(kept.confirmedAt, failedAt);
  return { ledger: withHeard(confirmedLedger(ledger, upTo), kept.heard), failedAt };
}

/**
 * The database system of a node whose PostgreSQL may be gone; undefined where its agent does not tell, or where it is not known which
 * node failed: a repair promotes where every node is a standby.
 */
async function systemOf(access: ClusterAccess, node: string): Promise<string | undefined> {
  if (node === '') return undefined;
  const asked = withSession(access.agent(node), (agent) => agent.call('observe', {}, OBSERVE_LIMIT_MS));
  const said = await withinLimit(asked, OBSERVE_LIMIT_MS).catch(() => undefined);
  return said?.control?.systemIdentifier;
}

/** Docker says that a node has no container: silence does not say so. */
const isMissing = (deps: ActivityDeps, node: string): Promise<boolean> =>
  withinLimit(deps.docker.inspect(node), INSPECT_LIMIT_MS).then(
    ({ exists }) => !exists,
    () => false,
  );

/** Some check refuses. */
export const isRefused = ({ checks }: FailoverDecision): boolean => checks.some(({ result }) => result === 'refuse');

/** The same, with Docker's word on the container of each that gives no answer. */
const withContainers = (deps: ActivityDeps, states: readonly CandidateState[]): Promise<CandidateState[]> =>
  Promise.all(
    states.map(async (state) => {
      if (state.answered || state.missing === true) return state;
      const found = await withinLimit(deps.docker.inspect(state.name), INSPECT_LIMIT_MS).catch(() => undefined);
      return found === undefined ? state : { ...state, container: found.status };
    }),
  );

/** One short look at the old primary (I8): silence is what a failover expects. */
export async function askSource(access: ClusterAccess, source: string) {
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
  limitMs: number,
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
      candidate.agent.call('observe', {}, limitMs),
    ]);
    if (row === undefined) return silent('it returned no row');
    return {
      name,
      promotable,
      answered: true,
      inRecovery: row.inRecovery,
      timeline: row.timeline,
      receivedLsn: row.received,
      replayedLsn: row.replayed,
      ...(row.inRecovery && row.received === null ? await walEndOf(candidate.agent, row, limitMs) : {}),
      receiver: row.receiver,
      replayPaused: row.replayPaused,
      applyDelayMs: row.applyDelayMs,
      replayReader: row.replayReader,
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
  replayReader: string | null;
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
  (${REPLAY_READER}) AS "replayReader",
  (SELECT system_identifier::text FROM pg_control_system()) AS "systemIdentifier"
FROM (SELECT pg_is_in_recovery() AS recovering) r`;

/**
 * The end of the WAL on the disk of a standby that has received nothing since it was started: it streams only once it has replayed all
 * of that, and until then what it acknowledged before may lie there unseen.
 */
async function walEndOf(
  agent: PostgresAgent,
  { timeline, replayed }: CandidateRow,
  limitMs: number,
): Promise<Pick<CandidateState, 'timeline' | 'walEndLsn' | 'walEndProblem'>> {
  if (replayed === null) return { walEndLsn: null, walEndProblem: 'it has not begun to replay' };
  try {
    const end = await agent.call('walEnd', { timeline, fromLsn: replayed }, limitMs);
    return { timeline: end.timeline, walEndLsn: end.lsn, ...(end.lsn === null ? { walEndProblem: UNREADABLE } : {}) };
  } catch (error) {
    return { walEndLsn: null, walEndProblem: messageOf(error) };
  }
}

const UNREADABLE = 'its WAL could not be read to its end';
