import { clusterStatus } from '../../cluster/commands';
import { hindrance, type OtherNode } from '../../cluster/repair/old-primary';
import { AgentError, type Token } from '../../systems/agent';
import { recoveryOf } from '../../systems/postgres';
import { finalFailure, keepBeating, until } from '../context';
import { accessCluster, withSession, type ActivityDeps, type ClusterAccess } from '../deps';
import { messageOf } from '../guard/probe';
import { offNetworks, putBack } from '../put-back';
import { answeringAgent } from '../rejoin/parts';
import { stillMine } from '../still-mine';
import { tokenOf } from '../token';
import { ledgerOf, presentNodeNames, requireLedgersSystem, take, type RepairRequest } from './parts';

/** A primary that crashed recovers first, in milliseconds. */
const WRITABLE_LIMIT_MS = 120_000;
/** Later than any attempt that a run can have made. */
const LAST_TURN = 1000;

/**
 * Starts the old primary as a primary again, once it is proven that nobody was promoted in its place: every other node answers, is a
 * standby, is on its timeline, and was not asked. Nothing that it acknowledged is lost by that. Idempotent.
 * @throws ApplicationFailure `Refused` when that is not proven; it stays as it is
 */
export async function startOldPrimary(deps: ActivityDeps, request: RepairRequest & { node: string }): Promise<string> {
  const access = accessCluster(deps, request.cluster);
  const { node } = request;
  const token = tokenOf(request.run, 'prepare', request.turn);
  const stopBeating = keepBeating(() => `starting ${node} as a primary`);
  try {
    await stillMine(`start ${node}`);
    await deps.docker.start(node);
    return await withSession(answeringAgent(access, node), async (agent) => {
      const seen = await agent.call('observe', {});
      const runs = seen.desired === 'up' && seen.postgres.state !== 'stopped';
      const isCutOff = (await offNetworks(deps.docker, node))?.by === 'run';
      if (!runs || isCutOff) {
        if (seen.control === null) throw refused(access, node, 'its control file can not be read');
        const system = seen.control.systemIdentifier;
        requireLedgersSystem(access, await ledgerOf(deps, access), node, system, 'would be the primary');
        await requireNobodyPromoted(deps, access, node, seen.control.timeline);
      }
      if (!runs) {
        const fencedBy = seen.fencedBy?.wasPrimary === true ? seen.fencedBy.run : null;
        // A fence for good can be taken back only in the name of the run that laid it, which is over.
        const owner: Token = fencedBy === null ? token : tokenOf(fencedBy, 'release', LAST_TURN);
        await take(agent, owner);
        try {
          await agent.call('start', { token: owner, as: 'primary' }, 10_000);
        } catch (error) {
          if (error instanceof AgentError && ['FencedForGood', 'PeerIsPrimary'].includes(error.type))
            throw refused(access, node, error.message);
          throw error;
        }
      }
      // Nobody would reach it off its networks. Only it can be the primary, as was proven.
      if (isCutOff) await putBack(deps.docker, node);
      // Also ends what the run that fenced it may still send.
      await take(agent, token);
      await writable(access, node);
      return `${node} is the primary again, and nobody was promoted in its place`;
    });
  } finally {
    stopBeating();
  }
}

/** Nobody took its place, and nobody can any more: the other nodes belong to this run. */
async function requireNobodyPromoted(
  deps: ActivityDeps,
  access: ClusterAccess,
  node: string,
  timeline: number,
): Promise<void> {
  const names = (await presentNodeNames(deps, access)).filter((name) => name !== node);
  const others = await Promise.all(names.map((name) => otherNode(access, name)));
  const found = hindrance(timeline, others);
  if (found === undefined) return;
  if (!found.passing) throw refused(access, node, found.says);
  throw new Error(`G5: ${node} is not started as a primary: ${found.says}`);
}

async function otherNode(access: ClusterAccess, name: string): Promise<OtherNode> {
  try {
    const [{ inRecovery }, seen] = await Promise.all([
      withSession(access.sql(name, 3000), recoveryOf),
      withSession(access.agent(name), (agent) => agent.call('observe', {})),
    ]);
    const timeline = seen.control?.timeline;
    return {
      name,
      inRecovery,
      promotion: seen.promotion?.run ?? null,
      ...(timeline === undefined ? {} : { timeline }),
    };
  } catch (error) {
    return { name, silent: messageOf(error) };
  }
}

async function writable(access: ClusterAccess, node: string): Promise<void> {
  let seen = 'nothing';
  await until(
    `${node} taking writes`,
    WRITABLE_LIMIT_MS,
    50,
    async () => {
      try {
        const { inRecovery } = await withSession(access.sql(node, 2000), recoveryOf);
        seen = inRecovery ? 'it is in recovery' : 'it takes writes';
        return inRecovery ? undefined : true;
      } catch (error) {
        seen = messageOf(error);
        return undefined;
      }
    },
    () => seen,
  );
}

function refused({ name: cluster }: Pick<ClusterAccess, 'name'>, node: string, why: string): Error {
  return finalFailure(
    'Refused',
    `G5: ${node} is not started as a primary: ${why.replace(/\.$/, '')} (limit: every other node answers as a standby on its timeline). Next: ${clusterStatus(cluster)}`,
  );
}
