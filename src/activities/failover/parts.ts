import type { Endpoint } from '../../cluster/topology';
import {
  AgentError,
  type PoolerAgent,
  type PostgresAgent,
  type PostgresObservation,
  type Token,
} from '../../systems/agent';
import type { PostgresSession } from '../../systems/postgres';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { messageOf, withinLimit } from '../guard/probe';
import { wakingWhereSilent } from '../wake-agent';

/** One node that may be promoted, with the ways to it. A way that is not there carries why. */
export interface Candidate {
  name: string;
  address: Endpoint;
  agent?: PostgresAgent;
  sql?: PostgresSession;
  problem?: string;
}

/** Everything that a failover needs. */
export interface FailoverParts {
  token: Token;
  /** Absent where it gives no answer: nothing that keeps data safe needs it, and whoever goes past it waits for the promotion. */
  pooler?: PoolerAgent;
  /** Why the pooler is not there. */
  poolerProblem?: string;
  candidates: Candidate[];
}

type Docker = Pick<ActivityDeps, 'docker'>;

/** Ways that somebody has held open until now, and gives away. */
export interface OpenWays {
  pooler?: PoolerAgent;
  candidates: readonly Pick<Candidate, 'name' | 'agent' | 'sql'>[];
}

/** A way that was held open and does not answer within this time, in milliseconds, is opened anew. */
const LIVELY_LIMIT_MS = 200;
/** How long a node may take to be reached, in milliseconds: a dead address swallows connects without an answer. */
const REACH_LIMIT_MS = 700;
/**
 * How long a candidate may take to be claimed at first, in milliseconds: clients are held. One that somebody stopped is woken, and answers,
 * within that time.
 */
const CLAIM_LIMIT_MS = 1000;
/**
 * How long it may take to be reached and claimed where nothing goes on without the node, in milliseconds: one that was only slow shall not cost a whole attempt. Clients
 * are held meanwhile, and a refusal would have them wait longer.
 */
export const PATIENT_LIMIT_MS = 3000;
/**
 * How long the pooler's agent may take to be reached, and to be claimed, in milliseconds. One that is only slow shall hold clients; every
 * other client waits meanwhile.
 */
export const POOLER_LIMIT_MS = 1500;

/**
 * Opens all ways at once. Never rejects: a node that can't be reached, or the pooler, is part of the picture.
 * @param open ways that are open already; each is tried, and closed where it gives no answer
 */
export async function openFailoverParts(
  access: ClusterAccess,
  token: Token,
  candidates: readonly string[],
  queryLimitMs: number,
  open: OpenWays = { candidates: [] },
): Promise<FailoverParts> {
  const openOne = async (name: string): Promise<Candidate> => {
    const had = open.candidates.find((each) => each.name === name);
    const [agent, sql] = await Promise.all([
      lively(had?.agent, (session) => session.call('observe', {})),
      lively(had?.sql, (session) => session.query('SELECT 1')),
    ]);
    const candidate: Candidate = {
      name,
      address: access.internal(name),
      ...(agent === undefined ? {} : { agent }),
      ...(sql === undefined ? {} : { sql }),
    };
    await openCandidate(access, candidate, queryLimitMs, REACH_LIMIT_MS);
    return candidate;
  };
  const parts: FailoverParts = { token, candidates: [] };
  const openPooler = async (): Promise<void> => {
    const had = await lively(open.pooler, (session) => session.call('observe', {}));
    if (had === undefined) await reachPooler(access, parts);
    else parts.pooler = had;
  };
  [parts.candidates] = await Promise.all([Promise.all(candidates.map(openOne)), openPooler()]);
  return parts;
}

/** Opens the way to the pooler where it is missing. Never throws: it tells why in the parts. */
export async function reachPooler(access: ClusterAccess, parts: FailoverParts): Promise<void> {
  if (parts.pooler !== undefined) return;
  try {
    parts.pooler = await reach(access.pooler(), POOLER_LIMIT_MS);
    delete parts.poolerProblem;
  } catch (error) {
    parts.poolerProblem = messageOf(error);
  }
}

/**
 * Has the pooler do something. One that gives no answer is left out from then on.
 * @returns undefined where it is left out
 * @throws AgentError where it answers that it does not do it: `Busy`, `Superseded`, …
 */
export async function askPooler<T>(
  parts: FailoverParts,
  ask: (pooler: PoolerAgent) => Promise<T>,
): Promise<T | undefined> {
  const { pooler } = parts;
  if (pooler === undefined) return undefined;
  try {
    return await ask(pooler);
  } catch (error) {
    if (!(error instanceof AgentError) || error.type !== 'Unreachable') throw error;
    // Another part of this run may have found that out a moment ago.
    if (parts.pooler === pooler) delete parts.pooler;
    parts.poolerProblem = messageOf(error);
    pooler.close();
    return undefined;
  }
}

/** A way that was held open, if it still answers. */
async function lively<Way extends { close(): void }>(
  way: Way | undefined,
  ask: (way: Way) => Promise<unknown>,
): Promise<Way | undefined> {
  if (way === undefined) return undefined;
  try {
    await withinLimit(ask(way), LIVELY_LIMIT_MS);
    return way;
  } catch {
    way.close();
    return undefined;
  }
}

/** Opens the ways that are missing. */
async function openCandidate(
  access: ClusterAccess,
  candidate: Candidate,
  queryLimitMs: number,
  reachLimitMs: number,
): Promise<void> {
  const { name } = candidate;
  const [agent, sql] = await Promise.allSettled([
    candidate.agent ?? reach(access.agent(name), reachLimitMs),
    candidate.sql ?? reach(access.sql(name, queryLimitMs, { connectLimitMs: reachLimitMs }), reachLimitMs),
  ]);
  delete candidate.problem;
  if (agent.status === 'fulfilled') candidate.agent = agent.value;
  else candidate.problem = messageOf(agent.reason);
  if (sql.status === 'fulfilled') candidate.sql = sql.value;
  else candidate.problem ??= messageOf(sql.reason);
}

/** Tries those that did not answer once more, with more patience, and takes the ones that do. */
export async function reachSilent(
  { docker }: Docker,
  access: ClusterAccess,
  parts: FailoverParts,
  queryLimitMs: number,
): Promise<void> {
  await Promise.all(
    parts.candidates.map(async (candidate) => {
      const wasTaken = candidate.agent !== undefined;
      await openCandidate(access, candidate, queryLimitMs, PATIENT_LIMIT_MS);
      if (!wasTaken) await claimCandidate(docker, candidate, parts.token, PATIENT_LIMIT_MS);
    }),
  );
}

export function closeFailoverParts(parts: FailoverParts): void {
  parts.pooler?.close();
  for (const candidate of parts.candidates) closeCandidate(candidate);
}

function closeCandidate({ agent, sql }: Candidate): void {
  agent?.close();
  sql?.close();
}

/** Gives up after the limit, and closes what comes later. */
function reach<T extends { close(): void }>(opening: Promise<T>, limitMs: number): Promise<T> {
  let late = false;
  opening.then(
    (opened) => late && opened.close(),
    () => undefined,
  );
  return withinLimit(opening, limitMs).catch((error: unknown) => {
    late = true;
    throw error;
  });
}

/**
 * Takes the pooler and every candidate that answers: from here on an earlier attempt can promote nobody. The pooler first: where another
 * run holds clients it is at work, and its candidates are not taken from it.
 */
export async function claimFailoverParts({ docker }: Docker, parts: FailoverParts): Promise<void> {
  const { token, candidates } = parts;
  await claimPooler({ docker }, parts);
  await Promise.all(candidates.map((candidate) => claimCandidate(docker, candidate, token, CLAIM_LIMIT_MS)));
}

/** Takes the pooler, where it answers. Before it is left out, its agent is woken where somebody stopped it. */
export async function claimPooler({ docker }: Docker, parts: FailoverParts): Promise<void> {
  const { token } = parts;
  await askPooler(parts, (pooler) =>
    wakingWhereSilent(docker, pooler.node, pooler.call('claim', { token }, POOLER_LIMIT_MS)),
  );
}

async function claimCandidate(
  docker: ActivityDeps['docker'],
  candidate: Candidate,
  token: Token,
  limitMs: number,
): Promise<void> {
  const { agent, name } = candidate;
  if (agent === undefined) return;
  try {
    await wakingWhereSilent(docker, name, agent.call('claim', { token }, limitMs));
  } catch (error) {
    if ((error as { type?: string }).type === 'Superseded') throw error;
    candidate.problem = messageOf(error);
    candidate.agent?.close();
    delete candidate.agent;
  }
}

/** What the candidates' agents say, by node; silent ones are left out. */
export async function observeCandidates(parts: FailoverParts): Promise<Map<string, PostgresObservation>> {
  const said = new Map<string, PostgresObservation>();
  await Promise.all(
    parts.candidates.map(async ({ name, agent }) => {
      const observed = await agent?.call('observe', {}, 1000).catch(() => undefined);
      if (observed !== undefined) said.set(name, observed);
    }),
  );
  return said;
}

/** Nothing was promoted: clients go on waiting at their own risk and not at ours. Never throws. */
export async function letGo({ pooler, token }: FailoverParts): Promise<void> {
  await pooler?.call('release', { token }).catch(() => undefined);
}

/** @throws Error with the reason, when there is no such way to the candidate */
export function needed<T>(way: T | undefined, { name, problem }: Candidate): T {
  if (way === undefined) throw new Error(`${name} can't be reached: ${problem ?? 'no answer'}`);
  return way;
}
