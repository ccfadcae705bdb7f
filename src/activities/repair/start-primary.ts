import { clusterStatus, makeContainer } from '../../cluster/commands';
import type { Ledger } from '../../cluster/guard/ledger';
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
 * standby, is on its timeline, and was not asked; and the guard's ledger names no primary of a newer timeline. Nothing that it acknowledged
 * is lost by that. Idempotent.
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
        const { systemIdentifier, timeline } = seen.control;
        const ledger = await ledgerOf(deps, access);
        requireLedgersSystem(access, ledger, node, systemIdentifier, 'would be the primary');
        await requireNobodyPromoted(deps, access, node, timeline, ledger ?? null);
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
  ledger: Ledger | null,
): Promise<void> {
  const names = (await presentNodeNames(deps, access, ledger)).filter((name) => name !== node);
  const others = await Promise.all(names.map((name) => otherNode(deps, access, name)));
  const found = hindrance(timeline, others, ledger);
  if (found === undefined) return;
  const { says, first } = found;
  if (!found.passing) throw refused(access, node, says, await bringsBack(deps, access, first));
  throw new Error(`G5: ${node} is not started as a primary: ${found.says}`);
}

/** The command for a node that has no container, and has to come back first; undefined where that is not what is missing. */
async function bringsBack(
  deps: ActivityDeps,
  { topology }: ClusterAccess,
  node: string | undefined,
): Promise<string | undefined> {
  if (node === undefined || !(await isMissing(deps, node))) return undefined;
  return makeContainer(topology, node);
}

/** Docker says that it has no container: silence does not say so. */
const isMissing = ({ docker }: Pick<ActivityDeps, 'docker'>, node: string): Promise<boolean> =>
  docker.inspect(node).then(
    ({ exists }) => !exists,
    () => false,
  );

async function otherNode(deps: ActivityDeps, access: ClusterAccess, name: string): Promise<OtherNode> {
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
    const missing = await isMissing(deps, name);
    return { name, silent: messageOf(error), ...(missing ? { missing: true as const } : {}) };
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

function refused({ name }: ClusterAccess, node: string, why: string, next = clusterStatus(name)): Error {
  return finalFailure(
    'Refused',
    `G5: ${node} is not started as a primary: ${why.replace(/\.$/, '')} (limit: every other node answers as a standby on its timeline). Next: ${next}`,
  );
}
