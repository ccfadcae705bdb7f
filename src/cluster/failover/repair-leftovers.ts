import { formatMs } from '../duration';
import { answers, presentNodes, type AnsweringNode } from '../observed';
import { isExpectedNames, synchronousNamesFor } from '../synchronous-names';
import { isNodesSlot, slotName } from '../topology';
import { waitFor, type Repair } from './repair-parts';

/** F4 and F2: clients reach the primary, and nobody holds them. */
export function repairTraffic({ observed, actions, isLive }: Repair, primary: string): void {
  const { pooler } = observed;
  const wanted = observed.nodes.find(({ name }) => name === primary)?.internal;
  if (wanted === undefined) return;
  const { agent, console: seen } = pooler;
  const route = agent?.route;
  const elsewhere =
    agent !== null && (route == null || route.host !== wanted.host || route.port !== wanted.port)
      ? `its routing file leads to ${route == null ? 'nobody' : `${route.host}:${route.port}`}`
      : seen !== null && seen.host !== wanted.host
        ? `it has not read its routing file and uses ${seen.host}`
        : undefined;
  if (elsewhere !== undefined)
    actions.push({
      kind: 'route',
      node: pooler.name,
      upstream: primary,
      why: `${elsewhere}, and ${primary} is the primary`,
      check: 'F4',
    });
  const holder = agent?.holdRun ?? null;
  if (isLive(holder)) return;
  if (holder === null && agent?.paused !== true && seen?.paused !== true) return;
  const remaining = agent?.holdRemainingMs ?? 0;
  const halted = seen?.halted ?? agent?.halted;
  const waiting = seen === null ? '' : `, ${seen.waitingClients} clients wait`;
  actions.push({
    kind: 'release',
    node: pooler.name,
    why:
      holder === null
        ? `clients are paused${halted == null ? '' : ` (all of ${pooler.name} is ${halted})`} and no run holds them${waiting}`
        : `run ${holder} is over and still holds clients, for ${formatMs(remaining)} more${waiting}`,
    check: 'F2',
    ...(holder === null || remaining <= 0 ? {} : { afterMs: remaining }),
  });
}

/** H4 and J10: what the primary itself should have. */
export function repairPrimary({ topology, observed, actions, list }: Repair, primary: AnsweringNode): void {
  const { sql, name } = primary;
  const streaming = sql.replication.filter(({ state }) => state === 'streaming').map(({ slot }) => slot);
  const rejoining = actions.flatMap((each) => (each.kind === 'rejoin' ? [slotName(each.node ?? '')] : []));
  const expected = new Set([...streaming, ...rejoining]).size;
  const names = sql.settings.synchronous_standby_names ?? '';
  const wanted = synchronousNamesFor(topology, expected);
  if (!isExpectedNames(topology, names, expected)) {
    if (expected > 0)
      actions.push({
        kind: 'restore-names',
        node: name,
        names: wanted,
        why: `synchronous_standby_names is '${names}', and ${expected} ${expected === 1 ? 'standby streams' : 'standbys stream'}${rejoining.length === 0 ? '' : ' then'}`,
        check: 'H4',
      });
    else
      list.advise('H4', false, {
        says: 'commits wait for a standby',
        refusal: `synchronous_standby_names stays '${names}': with '${wanted}' every commit would wait for ever`,
        measured: 'no standby streams',
        limit: 'at least 1',
        next: `veloz-ha postgres add-standby --cluster ${observed.cluster}`,
      });
  }
  const members = presentNodes(observed).map((node) => slotName(node.name));
  for (const node of presentNodes(observed).filter(answers)) {
    for (const slot of node.sql.slots) {
      // The primary keeps WAL for its standbys, also while they are away; any slot that is no node's is somebody's backup or subscription.
      const wantedHere = node === primary && members.includes(slot.name) && slot.name !== slotName(name);
      if (slot.active || wantedHere || slot.type !== 'physical' || slot.retainedBytes === 0) continue;
      if (!isNodesSlot(topology, slot.name)) continue;
      actions.push({
        kind: 'drop-slot',
        node: node.name,
        slot: slot.name,
        why: `slot ${slot.name} is not used by anybody and retains ${slot.retainedBytes} bytes of WAL`,
        check: 'J10',
      });
    }
  }
}

/** E1: claims of runs that are over. */
export function repairClaims(repair: Repair): void {
  const { observed, actions, list, isLive } = repair;
  const held = observed.pooler.agent;
  const claims = [
    ...presentNodes(observed).flatMap((node) =>
      node.agent?.claimedBy == null
        ? []
        : [{ node: node.name, run: node.agent.claimedBy, wait: waitFor(repair, node) }],
    ),
    ...(held?.claimedBy == null
      ? []
      : [
          {
            node: observed.pooler.name,
            run: held.claimedBy,
            wait:
              held.holdRun !== null && (held.holdRemainingMs ?? 0) > 0 ? { afterMs: held.holdRemainingMs ?? 0 } : {},
          },
        ]),
  ].filter(({ run }) => !isLive(run));
  for (const { node, run, wait } of claims) {
    actions.push({
      kind: 'forget-claim',
      node,
      run,
      why: `run ${run} is over and still owns ${node}`,
      check: 'E1',
      ...wait,
    });
  }
  if (claims.length > 0)
    list.advise('E1', false, {
      says: 'no run that is over owns a node',
      refusal: `a run that is over still owns ${claims.map(({ node }) => node).join(', ')}`,
      measured: [...new Set(claims.map(({ run }) => run))].join(', '),
      limit: 'only runs that are alive',
      next: `veloz-ha repair --cluster ${observed.cluster}`,
    });
}
