import { clusterStatus } from '../../cluster/commands';
import { newerPrimary } from '../../cluster/guard/named-nodes';
import type { PostgresObservation } from '../../systems/agent';
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
} from './parts';

const QUERY_LIMIT_MS = 10_000;

/**
 * Undoes a failover that promoted nobody: clients are let go, and the old primary, where it was fenced, is started as it was, or where it
 * was taken off its networks is put on them. A pooler that gives no answer lets clients go by itself.
 * @returns false when somebody was asked to be promoted: there is only forward
 * @throws Error when a candidate that may have been asked gives no answer; ApplicationFailure `Refused` when the old primary stays fenced,
 * since the ledger names another node as the primary of a newer timeline
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
    const silent = request.neverAsked ? [] : parts.candidates.filter(({ name }) => !said.has(name));
    for (const { name } of silent) {
      const { exists: there } = await deps.docker.inspect(name);
      // Optional or not: two nodes would be writable, or a person would be told that nobody was promoted.
      if (there) throw new Error(`${name}, which may have been asked to be promoted, does not answer`);
    }
    const stays = fenced === undefined ? undefined : whyStaysFenced(request, fenced);
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

/**
 * Why the old primary is not started in its place: the ledger names another node, on a newer timeline, whose commits it has not. Undefined
 * where it is, and where a person has accepted the loss of these.
 */
function whyStaysFenced(
  { cluster, source, ledger, allowDataLoss }: FailoverMove,
  { control }: PostgresObservation,
): string | undefined {
  if (allowDataLoss !== undefined || control == null) return undefined;
  const newer = newerPrimary(ledger, control.timeline);
  if (newer === undefined || newer.primary === source) return undefined;
  return `G5: ${source} stays fenced: the guard's ledger names ${newer.primary} as the primary, on timeline ${newer.timeline}, and ${source} is on timeline ${control.timeline} (limit: no primary of a newer timeline). Next: ${clusterStatus(cluster)}`;
}
