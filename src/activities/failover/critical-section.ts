import { clusterStatus } from '../../cluster/commands';
import type { NodeAnswer } from '../../cluster/guard/signals';
import { AgentError, type Token } from '../../systems/agent';
import { recoveryOf, type PostgresSession } from '../../systems/postgres';
import { finalFailure, until } from '../context';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { messageOf } from '../guard/probe';
import { SubStepRecorder } from '../move-journal';
import { ensureSlot, ensureSynchronousNames } from '../prepare';
import { ensureReservedSlot } from '../rejoin/parts';
import { steadyMs } from '../clock';
import { askedBefore } from './asked-before';
import { choose, type Choice } from './choose';
import { mayPromoteBeside, silentSource, SourceFence, type Fencing } from './fence-source';
import { whyFencedBefore } from './fenced-before';
import type { FailoverJournal } from './journal';
import { askSource } from './look';
import { queryLimitOf, type FailoverMove, type FailoverResult } from './move';
import { poolerLeftOut } from './left-out';
import {
  askPooler,
  claimFailoverParts,
  claimPooler,
  closeFailoverParts,
  letGo,
  needed,
  openFailoverParts,
  POOLER_LIMIT_MS,
  reachPooler,
  type FailoverParts,
  type OpenWays,
} from './parts';
import { requireAllReplayed } from './promotion-end';
import { wakeSource } from './source-data';

/** Who carries a failover out: a step of its run, or the watch that saw the failure. */
export interface Carrier {
  token: Token;
  /** What was done so far; changed in place, and complete whenever something is thrown. */
  journal: FailoverJournal;
  /** Called with the journal when it has changed: the next attempt is to find it. */
  beat(journal: FailoverJournal): void;
  /** No attempt before this one can have asked for a promotion. */
  first: boolean;
  /** Ways that are held open, to be asked for once. */
  ways?(): OpenWays;
  /** Awaited right before the old primary is fenced; throws where this must not go on. `what`: the action, as an infinitive. */
  permit?(what: string): Promise<void>;
  /**
   * Every process of the old primary has ended, by Docker's word, and nobody has started it since. Then its fence only has to stand
   * before somebody starts it, and the promotion does not wait for it.
   */
  sourceEnded?(): boolean;
  /** May it start the fenced primary's container and read its WAL, where nothing else proves that nothing is lost? */
  readsWal: boolean;
  /** Does it tell what is lost? What was promoted is held against the proof then, once clients go on. */
  tells: boolean;
}

interface Section extends Fencing {
  fence: SourceFence;
}

/** What is asked while the ways to everybody are opened. */
interface AskedAtOnce {
  /** The old primary itself. */
  source: Promise<NodeAnswer>;
  /** Whether another run fenced it since it ran last: {@link whyFencedBefore}. */
  fencedBefore: Promise<string | undefined>;
}

/**
 * The critical section of a failover: holds clients, proves that the old primary takes no write, promotes the most advanced standby,
 * routes, and lets go. A pooler that gives no answer is left out. Each part observes before it acts: another attempt goes on where this one died, and whom an earlier one asked
 * to be promoted is found in the agents' own records.
 * @throws ApplicationFailure `Refused` with nothing promoted and clients let go, or an Error that is retried
 */
export async function carryOut(
  deps: ActivityDeps,
  access: ClusterAccess,
  request: FailoverMove,
  carrier: Carrier,
): Promise<FailoverResult> {
  const { journal } = carrier;
  const mayHaveAsked = journal.began === 'promotion';
  const recorder = new SubStepRecorder(
    journal,
    () => carrier.beat(journal),
    (point) => deps.faultPoint?.(point.replace('hold:', 'failover:')),
  );
  let parts: FailoverParts | undefined;
  let section: Section | undefined;
  // Asked at once: a node that hangs keeps whoever asks it waiting for the whole limit.
  const ended = carrier.sourceEnded?.() === true;
  const asked: AskedAtOnce = {
    source: ended ? silentSource(request.source) : askSource(access, request.source),
    fencedBefore: whyFencedBefore(deps, request, ended),
  };
  try {
    parts = await recorder.run('open', 'open ways to every node and take them', () =>
      take(deps, access, request, carrier),
    );
    const fencing: Fencing = { deps, access, request, parts, recorder, journal };
    section = { ...fencing, fence: new SourceFence(fencing) };
    return await failOverWith(section, carrier, asked);
  } catch (error) {
    if (isRefusal(error) && parts !== undefined) await letGo(parts);
    // Whoever goes on from here has to meet the fence as it is, and not one that is still on its way.
    await section?.fence.over();
    if (isRefusal(error))
      throw finalFailure('Refused', (error as Error).message, {
        ...(journal.checks === undefined ? {} : { checks: journal.checks }),
        // Whoever reads the report has to know that the node will not start again by itself.
        ...(journal.fence === undefined ? {} : { fence: journal.fence }),
        // Refused is only before the promotion, and no attempt was before this one.
        neverAsked: carrier.first && !mayHaveAsked,
        ...(journal.fencedBefore === undefined ? {} : { fencedBefore: journal.fencedBefore }),
      });
    if (error instanceof AgentError && error.type === 'Superseded' && !error.message.includes(`run ${request.run} `))
      throw finalFailure(
        'Failed',
        `${error.message} Another run took the nodes in the middle of this one. Next: ${clusterStatus(request.cluster)}`,
      );
    throw error;
  } finally {
    if (parts !== undefined) closeFailoverParts(parts);
  }
}

/** Opens ways to the pooler, where it answers, and every candidate, and takes them. What it opened is closed where that fails. */
async function take(
  deps: ActivityDeps,
  access: ClusterAccess,
  request: FailoverMove,
  carrier: Carrier,
): Promise<FailoverParts> {
  const { candidates } = request;
  const parts = await openFailoverParts(access, carrier.token, candidates, queryLimitOf(request), carrier.ways?.());
  try {
    await claimFailoverParts(deps, parts);
    return parts;
  } catch (error) {
    closeFailoverParts(parts);
    throw error;
  }
}

async function failOverWith(section: Section, carrier: Carrier, atOnce: AskedAtOnce): Promise<FailoverResult> {
  const { deps, access, request, parts, recorder, journal } = section;
  const { token } = parts;
  const { marks } = journal;
  const asked = await askedBefore(deps, access, request, parts, journal);
  // The attempt that asked may have died before its fence stood.
  if (asked !== undefined && journal.fence === undefined) section.fence.goOnBeside(section.fence.make(asked));
  const choice = asked ?? (await fenced(section, carrier, atOnce));
  const { target, others, names } = choice;
  const route = () => askPooler(parts, (pooler) => pooler.call('route', { token, ...target.address }));
  const release = () => askPooler(parts, (pooler) => pooler.call('release', { token }));
  const lead = async (): Promise<void> => {
    const routing = performance.now();
    await recorder.run('route', `clients' route leads to ${target.name}`, route);
    await recorder.run('release', 'let clients go', release);
    // Where it gave no answer, nobody has seen that clients go on.
    if (parts.pooler === undefined) return;
    marks.routeMs ??= round(performance.now() - routing);
    marks.routedAt ??= Date.now();
    marks.releasedAt ??= Date.now();
  };
  if (marks.releasedAt !== null) {
    // All of it was done: by the watch that saw the failure, or by an attempt whose result was lost.
    await recorder.run('confirm', `${target.name} is the primary, and clients' route leads to it`, async () => {
      await promote(section, choice);
      await route();
      await release();
    });
  } else {
    const began = performance.now();
    await recorder.run('promote', `promote ${target.name}, route clients to it`, () => promote(section, choice));
    marks.promoteMs ??= round(performance.now() - began);
    marks.promotedAt ??= Date.now();
    recorder.at('promoted');
    if (parts.pooler !== undefined) await lead();
    carrier.beat(journal);
    recorder.at('released');
  }
  await section.fence.finish();
  // The run that follows a watch tells what is proven, and looks then.
  if (carrier.tells) await requireAllReplayed(deps.docker, request, target, journal);
  const warnings = [...(journal.warnings ?? [])];
  await Promise.all(
    others.map((other) =>
      followOf(parts, other, target).catch((error: unknown) => {
        warnings.push(`${other} does not follow ${target.name} yet: ${messageOf(error)}`);
      }),
    ),
  );
  if (parts.pooler === undefined) {
    await leadLate(section, lead).catch((error: unknown) => {
      parts.poolerProblem = messageOf(error);
    });
    if (marks.releasedAt === null || parts.pooler === undefined)
      warnings.push(await poolerLeftOut(deps.docker, access.poolerName, target.name, parts.poolerProblem));
  }
  return {
    target: target.name,
    others,
    checks: journal.checks ?? [],
    fence: journal.fence ?? `${request.source} is not fenced yet`,
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

/** The pooler may be back by now. Another run that has it by then leads clients itself. */
async function leadLate({ deps, access, parts }: Section, lead: () => Promise<void>): Promise<void> {
  await reachPooler(access, parts);
  await claimPooler(deps, parts);
  if (parts.pooler !== undefined) await lead();
}

const round = (ms: number): number => Math.round(ms * 10) / 10;

/** Holds clients, fences the old primary, and chooses who is promoted. */
async function fenced(section: Section, carrier: Carrier, { source, fencedBefore }: AskedAtOnce): Promise<Choice> {
  const { deps, access, request, parts, recorder, journal, fence } = section;
  const { marks } = journal;
  if (parts.pooler !== undefined)
    await recorder.run('hold', `hold clients at ${access.poolerName}`, () => holdClients(access, request, parts));
  const chosen = await recorder.run(
    'look',
    'look once more: nobody may be writable, and who has the most?',
    () => choose(deps, access, request, parts, journal, { asked: source, beforeFence: true }),
    (found) => `${found.target.name} is the most advanced`,
  );
  await carrier.permit?.(`fence ${request.source}`);
  journal.began ??= 'fence';
  const making = (async () => {
    // The fence takes the place of the one before it, of which nobody could tell afterwards.
    journal.fencedBefore ??= await fencedBefore;
    return fence.make(chosen);
  })();
  if (mayPromoteBeside(request, journal, chosen) && carrier.sourceEnded?.() === true) {
    marks.fenceBeside = true;
    fence.goOnBeside(making);
  } else {
    const how = await making;
    // The volume of one that can't be ended hangs, and takes the whole limit to say so.
    if (how !== 'network' || request.watched !== true) await fence.readSettings();
    const found = await chooseFenced(section, true);
    if (found.unproven !== true) return found;
    if (!carrier.readsWal)
      throw new Error(`the WAL of ${request.source} has to be read: the run that follows does that`);
    // One that is only cut off its networks has no fence in its volume: started, its server would run.
    if (how !== 'network')
      await recorder.run('read', `read where the WAL of ${request.source} ends`, () =>
        wakeSource(deps, access, request),
      );
  }
  return chooseFenced(section, false);
}

/** @param mayRead a choice that nothing proves yet is no refusal: the old primary's WAL can still be read */
const chooseFenced = (
  { deps, access, request, parts, recorder, journal }: Section,
  mayRead: boolean,
): Promise<Choice> =>
  recorder.run(
    'choose',
    'no standby receives any more; the most advanced is chosen',
    async () => {
      await receiversDown(parts);
      return choose(deps, access, request, parts, journal, { beforeFence: mayRead });
    },
    (found) => `${found.target.name}`,
  );

/** Has the target promoted, unless it is, and returns when it takes writes. Clients' route leads to it by then, as a rule. */
async function promote(
  { access, request, parts, recorder, journal }: Section,
  { target, others, names }: Choice,
): Promise<void> {
  const { token } = parts;
  const agent = needed(target.agent, target);
  const sql = needed(target.sql, target);
  if ((await recoveryOf(sql)).inRecovery) {
    // Who will follow finds its slot: without one it would never stream, and commits would wait for it. The old primary is a
    // standby soon, and needs the WAL from here on, which the next checkpoint would remove.
    for (const other of others) await ensureSlot(sql, other);
    await ensureReservedSlot(sql, request.source).catch((error: unknown) => {
      (journal.warnings ??= []).push(
        `J7: no slot could be made for ${request.source}, its rejoin may need a full copy: ${messageOf(error)}`,
      );
    });
    await ensureSynchronousNames(sql, names);
    journal.began = 'promotion';
    await agent.call('promote', { token });
  }
  recorder.at('promoting');
  // Clients are held: the route may change, and what hangs on the dead server may end, before the promotion is through.
  const ahead = Promise.allSettled([
    askPooler(parts, (pooler) => pooler.call('route', { token, ...target.address })),
    askPooler(parts, (pooler) => pooler.call('drop', { token })),
    ...others.map((other) => followOf(parts, other, target)),
  ]);
  await until(`the promotion of ${target.name}`, access.topology.limits.promote, 2, async () =>
    (await recoveryOf(sql)).inRecovery ? undefined : true,
  );
  await ahead;
}

/** Clients may be held already, by the guard under this run. One that had to let go is not held again. */
async function holdClients(access: ClusterAccess, request: FailoverMove, parts: FailoverParts) {
  const { token } = parts;
  const limitMs = request.holdLimitMs;
  const candidates = access.topology.postgres.nodes.map(({ name }) => access.internal(name));
  try {
    await askPooler(parts, (pooler) =>
      pooler.call('hold', { token, pauseLimitMs: limitMs, limitMs, candidates, wait: false }, POOLER_LIMIT_MS),
    );
  } catch (error) {
    if (!(error instanceof AgentError) || error.type !== 'Expired') throw error;
  }
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
async function followOf(parts: FailoverParts, name: string, target: Choice['target']): Promise<void> {
  const other = parts.candidates.find((candidate) => candidate.name === name);
  await other?.agent?.call('follow', { token: parts.token, upstream: target.address });
}

const isRefusal = (error: unknown): boolean => (error as { type?: string }).type === 'Refused';
