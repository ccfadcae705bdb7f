import { logs } from '../cluster/commands';
import { formatMs } from '../cluster/duration';
import { AgentError, type PoolerAgent, type PostgresAgent, type Token } from '../systems/agent';
import { recoveryOf, type PostgresSession } from '../systems/postgres';
import { steadyMs } from './clock';
import { withSession, type ClusterAccess } from './deps';
import type { SubStepRecorder } from './move-journal';
import type { MoveRequest } from './move-parts';
import { ensureSynchronousNames } from './prepare';
import { tokenOf } from './token';

/** So long before the end of the hold, in milliseconds, nobody waits for a standby any more: it takes that long to let commits go on. */
const LET_GO_MS = 600;
/** A standby gets so long to confirm at least, in milliseconds, also where the hold is over: it may have just connected. */
const CONFIRM_AT_LEAST_MS = 1000;
/** How long the target may take to answer what it is told meanwhile, in milliseconds. */
const ANSWER_MS = 2000;

/** Do clients wait until the old primary confirms as a standby? */
export function waitsForSource(request: MoveRequest): boolean {
  return request.protection === 'zero-loss' && request.others.length === 0;
}

/** What is needed after the promotion. */
interface Onward {
  token: Token;
  pooler: PoolerAgent;
  targetSql: PostgresSession;
  /** Absent where it can't be reached: the settling brings it back, or tells. */
  source?: PostgresAgent;
}

/**
 * Route, start the old primary as standby, have it confirm where that is asked for, let clients go. Only forward.
 * @param warnings gets what the run is to warn of
 * @returns whether a standby had confirmed a commit before clients were let go
 */
export async function afterPromotion(
  access: ClusterAccess,
  request: MoveRequest,
  parts: Onward,
  recorder: SubStepRecorder,
  warnings: string[],
): Promise<boolean> {
  const { token, source, pooler } = parts;
  const targetAt = access.internal(request.target);

  recorder.at('promoted');
  const startSource = async (): Promise<void> => {
    if (source === undefined) return;
    await recorder.run('restart', `start ${request.source} as standby`, () =>
      source.call('start', { token, as: 'standby', upstream: targetAt }),
    );
  };
  await recorder.run('route', `clients' route leads to ${request.target}`, () =>
    pooler.call('route', { token, ...targetAt }),
  );
  if (waitsForSource(request)) await startSource();
  let confirmed = false;
  if (request.protection === 'zero-loss') {
    const outcome = await recorder.run(
      'confirm',
      'a synchronous standby confirms a commit',
      () => confirmOrRelax(access, request, parts),
      (told) => told,
    );
    confirmed = outcome === undefined;
    if (outcome !== undefined) warnings.push(outcome);
  }
  const released = await recorder.run('release', 'let clients go', () => pooler.call('release', { token }));
  recorder.holdEnds();
  if (!waitsForSource(request)) await startSource();
  recorder.journal.now = undefined;
  recorder.at('released');
  // Clients may also have been let go by an attempt that died before it could tell.
  const expired = released.already && (await pooler.call('observe', {})).lastExpiry?.run === request.run;
  if (expired) warnings.push('the dead-man switch had let clients go before the run could');
  return confirmed;
}

/**
 * Another attempt finds the old primary gone: its container was killed, or its agent does not answer. Where this run has promoted the
 * target before, clients have a primary, and wait for nothing but the rest of this.
 * @param cause why the nodes could not be taken
 * @returns undefined where it is not known that this run has promoted the target, or the rest did not succeed: the attempt is made again
 * @throws AgentError `Superseded` or `Busy` when another run has the nodes
 */
export async function onwardWithoutSource(
  access: ClusterAccess,
  request: MoveRequest,
  recorder: SubStepRecorder,
  warnings: string[],
  cause: Error,
): Promise<{ confirmed: boolean } | undefined> {
  if (isAnothers(cause)) return undefined;
  const token = tokenOf(request.run, 'move');
  const reached = await withSession(access.agent(request.source), (agent) => agent.call('observe', {})).then(
    () => true,
    () => false,
  );
  if (reached) return undefined;
  return withSession(access.agent(request.target), (target) =>
    withSession(access.sql(request.target, request.holdLimitMs), async (targetSql) => {
      // Its agent writes down who asked before it acts, and nobody is asked before the source is fenced.
      const [{ promotion }, { inRecovery }] = await Promise.all([target.call('observe', {}), recoveryOf(targetSql)]);
      if (inRecovery || promotion?.run !== request.run) return undefined;
      return withSession(access.pooler(), async (pooler) => {
        await Promise.all([target.call('claim', { token }), pooler.call('claim', { token })]);
        warnings.push(
          `K2: ${request.source} was not reached any more: ${cause.message.replace(/\.$/, '')}. Next: ${logs(request.source)}`,
        );
        return { confirmed: await afterPromotion(access, request, { token, pooler, targetSql }, recorder, warnings) };
      });
    }),
  ).catch((error: unknown) => {
    // Another run has the nodes: this one is over, and must not take them again.
    if (isAnothers(error)) throw error;
    return undefined;
  });
}

const isAnothers = (error: unknown): boolean =>
  error instanceof AgentError && ['Superseded', 'Busy'].includes(error.type);

/**
 * Waits until a synchronous standby has a commit on disk. Clients are held, and no commit would come to its end without one: shortly
 * before their hold is over commits are let go on without a standby, where the topology says so (`onStandbyLost: relax`). The only other
 * node that could be the primary is fenced.
 * @returns what is to be warned of where no standby confirmed; undefined where one did
 * @throws Error where none confirmed, and commits are to wait (`onStandbyLost: block`), or could not be let go on
 */
async function confirmOrRelax(
  access: ClusterAccess,
  request: MoveRequest,
  { pooler, targetSql }: Onward,
): Promise<string | undefined> {
  const began = steadyMs();
  const next = `Next: ${logs(request.source)}`;
  // An earlier attempt may have let commits go on, or the guard: then nobody has confirmed this one.
  const confirming = confirmCommit(targetSql).then((names) =>
    names === '' ? ('alone' as const) : ('confirmed' as const),
  );
  const alone = `K2: commits of ${request.target} wait for no standby by now: synchronous_standby_names is '', and they are safe there alone until one confirms again. ${next}`;
  const told = (how: 'alone' | 'confirmed') => (how === 'alone' ? alone : undefined);
  if (access.topology.guard.onStandbyLost !== 'relax') return told(await confirming);
  // By the clock of its agent, whoever began the hold.
  const { hold } = await pooler.call('observe', {});
  const patience = Math.max(CONFIRM_AT_LEAST_MS, (hold?.remainingMs ?? 0) - LET_GO_MS);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), patience);
  });
  const first = await Promise.race([confirming, late]).finally(() => clearTimeout(timer));
  if (first !== 'late') return told(first);
  confirming.catch(() => undefined);
  const waited = formatMs(steadyMs() - began);
  await withSession(access.sql(request.target, ANSWER_MS), (session) => ensureSynchronousNames(session, ''));
  // The very commit that waited tells that commits go on.
  await confirming;
  return `K2: no standby confirmed a commit of ${request.target} within ${waited}, while clients were held: commits go on without a standby (guard.onStandbyLost: relax), and are safe on ${request.target} alone until one confirms again. ${next}`;
}

/**
 * A commit that waits for the synchronous standby: when it returns, one has it on disk. `state = streaming` alone proves nothing.
 * The session's own limit ends the waiting on our side only; the commit itself is never cancelled.
 * @returns whom it waited for, as `synchronous_standby_names` says
 */
async function confirmCommit(session: PostgresSession): Promise<string> {
  const [row] = await session.query<{ names: string }>(
    `SELECT pg_logical_emit_message(true, 'veloz-ha', 'confirm'), current_setting('synchronous_standby_names') AS names`,
  );
  return row?.names ?? '';
}
