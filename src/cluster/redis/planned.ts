import { logs } from '../commands';
import { formatMs } from '../duration';
import { formatSize } from '../size';
import type { Checklist } from '../switchover/checklist';
import type { RedisTopology } from '../topology';
import { ailmentsOf } from './ailments';
import { redisCli, startContainer } from './commands';
import { SILENT_MS, type Decided, type RedisRequest } from './decision';
import { answeringNodes, type AnsweringRedis, type ObservedRedis } from './observed';

/** A planned move: the best replica, or the one that was named, takes over from a master that is well. */
export function planned(
  list: Checklist,
  topology: RedisTopology,
  observed: ObservedRedis,
  request: RedisRequest,
  master: AnsweringRedis | undefined,
): Decided {
  if (master === undefined) return { kind: 'none', faults: [] };
  const replicas = answeringNodes(observed).filter((node) => node.state.role === 'replica');
  const target =
    request.target === undefined
      ? [...replicas].sort(
          (a, b) =>
            Number(isFit(b)) - Number(isFit(a)) ||
            Number(ails(a, master)) - Number(ails(b, master)) ||
            b.state.offset - a.state.offset,
        )[0]
      : replicas.find(({ name }) => name === request.target);
  const missing = request.target ?? observed.nodes.find(({ name }) => name !== master.name)?.name ?? '';
  const fit = list.require('L1', target !== undefined && isFit(target), {
    says: 'a replica is fit to take over',
    refusal: target === undefined ? 'no replica answers' : `${target.name} is not fit to take over`,
    measured: target === undefined ? (nodeError(observed, missing) ?? 'there is none') : fitness(target),
    limit: `connected to the master, heard from within ${formatMs(SILENT_MS)}, nothing to load, its file is written`,
    next: target === undefined ? startContainer(missing) : logs(target.name),
  });
  if (!fit || target === undefined) return { kind: 'none', faults: [], source: master.name };
  // What the master refuses its clients, the move may mend; but it has to take part, and to follow afterwards, and to take no writes then.
  for (const ailment of ailmentsOf(master))
    if (['apart', 'denied', 'writable'].includes(ailment.kind)) list.require('L1', false, { says: '', ...ailment });
    else list.advise('L1', false, { says: '', ...ailment });
  for (const ailment of ailmentsOf(target, master)) list.require('L1', false, { says: '', ...ailment });
  const sameHistory = target.state.replicationId === master.state.replicationId;
  const lag = Math.max(0, master.state.offset - target.state.offset);
  list.require('L2', sameHistory && lag <= topology.limits.lagBytes, {
    says: `${target.name} has what ${master.name} has, but for what is on its way`,
    refusal: sameHistory ? `${target.name} is behind` : `${target.name} has another history than ${master.name}`,
    measured: sameHistory ? `${formatSize(lag)} behind` : 'their replication ids differ',
    limit: `limits.lagBytes ${formatSize(topology.limits.lagBytes)}`,
    next: redisCli(master.name, 'info replication'),
  });
  return { kind: 'planned', faults: [], source: master.name, target: target.name };
}

const nodeError = (observed: ObservedRedis, name: string): string | undefined =>
  observed.nodes.find((node) => node.name === name)?.error;

const ails = (node: AnsweringRedis, master: AnsweringRedis): boolean => ailmentsOf(node, master).length > 0;

function isFit({ state }: AnsweringRedis): boolean {
  return state.upstream?.up === true && state.upstream.silentMs <= SILENT_MS && !state.loading && state.writesFile;
}

function fitness({ name, state }: AnsweringRedis): string {
  const { upstream } = state;
  if (upstream === null) return `${name} follows nobody`;
  if (!upstream.up) return `${name} is ${upstream.syncing ? 'being copied' : 'not connected'}`;
  if (state.loading) return `${name} reads its files`;
  if (!state.writesFile) return `${name} can't write its append-only file`;
  return `${name} heard from its master ${formatMs(upstream.silentMs)} ago`;
}
