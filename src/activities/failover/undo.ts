import { clusterStatus, repairCommand } from '../../cluster/commands';
import { isNamed, newerPrimary } from '../../cluster/guard/named-nodes';
import type { ControlData, PostgresObservation } from '../../systems/agent';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { finalFailure, keepBeating } from '../context';
import { dropIdleSlot } from '../prepare';
import { putBack } from '../put-back';
import { tokenOf } from '../token';
import type { FailoverMove } from './move';
import {
  claimFailoverParts,
  closeFailoverParts,
  letGo,
  observeCandidates,
  openFailoverParts,
  reachSilent,
  type FailoverParts,
} from './parts';

const QUERY_LIMIT_MS = 10_000;

/**
 * Undoes a failover that promoted nobody: clients are let go, and the old primary, where it was fenced, is started as it was, or where it
 * was taken off its networks is put on them. A pooler that gives no answer lets clients go by itself.
 * @returns false when somebody was asked to be promoted: there is only forward
 * @throws Error when a candidate that may have been asked gives no answer; ApplicationFailure `Refused` when the old primary stays fenced,
 * since somebody else may be in its place: {@link whyStaysFenced}
 */
export async function undoFailOver(deps: ActivityDeps, request: FailoverMove): Promise<boolean> {
  const access = accessCluster(deps, request.cluster);
  const token = tokenOf(request.run, 'undo fail over');
  const stopBeating = keepBeating(() => 'putting everything back');
  const parts = await openFailoverParts(access, token, request.candidates, QUERY_LIMIT_MS);
  try {
    await claimFailoverParts(deps, parts);
    // One that was asked to be promoted may be slow just now: its silence is believed later than anybody else's.
    if (parts.candidates.some(({ agent }) => agent === undefined))
      await reachSilent(deps, access, parts, QUERY_LIMIT_MS);
    const said = await observeCandidates(parts);
    if ([...said.values()].some(({ promotion }) => promotion?.run === request.run)) return false;
    const { exists, running } = await deps.docker.inspect(request.source);
    const fenced = exists && running ? await fencedSource(access, request) : undefined;
    const silent = await silentOf(deps, request, parts, said);
    // Optional or not: two nodes would be writable, or a person would be told that nobody was promoted.
    const there = silent.find(({ missing }) => !missing);
    if (request.neverAsked !== true && there !== undefined)
      throw new Error(`${there.name}, which may have been asked to be promoted, does not answer`);
    const stays = fenced === undefined ? undefined : whyStaysFenced(request, { fenced, said, silent });
    if (fenced !== undefined && stays === undefined) {
      await withSession(access.agent(request.source), async (agent) => {
        await agent.call('claim', { token });
        // Nobody was promoted, and it takes no writes yet: who was taken off the networks is put back before it does.
        await putBack(deps.docker, request.source);
        await agent.call('start', { token, as: 'primary' });
      });
    } else if (exists) {
      // One that could not be ended was only taken off its networks. It is the primary as before: nobody else would put it back.
      await putBack(deps.docker, request.source);
    }
    // Made for the old primary, which is the primary again; on a standby it would only keep WAL.
    await Promise.allSettled(
      parts.candidates.map(async ({ sql }) => sql !== undefined && (await dropIdleSlot(sql, request.source))),
    );
    await letGo(parts);
    if (stays !== undefined) throw finalFailure('Refused', stays);
    return true;
  } finally {
    stopBeating();
    closeFailoverParts(parts);
  }
}

/** What the agent of the old primary says, where that is fenced. */
async function fencedSource(access: ClusterAccess, request: FailoverMove): Promise<PostgresObservation | undefined> {
  try {
    const seen = await withSession(access.agent(request.source), (agent) => agent.call('observe', {}));
    return seen.desired === 'fenced' ? seen : undefined;
  } catch {
    return undefined;
  }
}

/** A candidate that gives no answer, and may have been promoted. */
interface Silent {
  name: string;
  /** It has no container: it takes no writes, and what it acknowledged may lie on its volume. */
  missing: boolean;
}

/**
 * Candidates that give no answer and may have been asked to be promoted, by this run or by one that fenced the old primary before it:
 * those that have a container, and of those that the run before may have asked also the ones that the ledger names. Nobody is where it is
 * certain that neither run did.
 */
async function silentOf(
  { docker }: Pick<ActivityDeps, 'docker'>,
  { neverAsked, fencedBefore, ledger }: FailoverMove,
  { candidates }: FailoverParts,
  said: ReadonlyMap<string, PostgresObservation>,
): Promise<Silent[]> {
  if (neverAsked === true && fencedBefore === undefined) return [];
  const silent: Silent[] = [];
  for (const { name } of candidates) {
    if (said.has(name)) continue;
    const { exists } = await docker.inspect(name);
    if (exists || (fencedBefore !== undefined && isNamed(ledger, name))) silent.push({ name, missing: !exists });
  }
  return silent;
}

/** What is known of who may have been promoted in the place of the old primary. */
interface Known {
  fenced: PostgresObservation;
  said: ReadonlyMap<string, PostgresObservation>;
  /** See {@link silentOf}. */
  silent: readonly Silent[];
}

/**
 * Why the old primary is not started in its place, where somebody else may be by now whose commits it has not: the ledger names another
 * node, on a newer timeline; a candidate is on a newer one, or was asked to be promoted by another run; or one is silent that a run
 * before this one may have asked. Undefined where nothing speaks for that, and where a person has accepted the loss of these.
 */
function whyStaysFenced(request: FailoverMove, known: Known): string | undefined {
  const { cluster, source, ledger, allowDataLoss } = request;
  const { control } = known.fenced;
  if (allowDataLoss !== undefined || control == null) return undefined;
  const newer = newerPrimary(ledger, control.timeline);
  if (newer !== undefined && newer.primary !== source)
    return `G5: ${source} stays fenced: the guard's ledger names ${newer.primary} as the primary, on timeline ${newer.timeline}, and ${source} is on timeline ${control.timeline} (limit: no primary of a newer timeline). Next: ${clusterStatus(cluster)}`;
  const why = whyMayBeReplaced(request, known, control);
  if (why === undefined) return undefined;
  return `G5: ${source} stays fenced: ${why} (limit: proof that nobody was promoted in its place). Next: ${repairCommand(cluster)}`;
}

function whyMayBeReplaced(
  { source, fencedBefore }: FailoverMove,
  { said, silent }: Known,
  { timeline, systemIdentifier }: ControlData,
): string | undefined {
  for (const [name, { control, promotion }] of said) {
    // Of another database system it takes nobody's place.
    if (control != null && control.systemIdentifier !== systemIdentifier) continue;
    if (control != null && control.timeline > timeline)
      return `${name} is on timeline ${control.timeline}, and ${source} is on timeline ${timeline}`;
    if (promotion != null) return `${name} was asked for its promotion by ${promotion.run}`;
  }
  const [first] = silent;
  if (first === undefined || fencedBefore === undefined) return undefined;
  return `${fencedBefore}, and ${first.name}, which may have been promoted then, ${first.missing ? 'has no container' : 'gives no answer'}`;
}
