import { lsnDistance, type Lsn } from './lsn';
import type { NamingLedger } from './guard/named-nodes';
import { presentNodes, primaries, replicationRowOf, type ObservedCluster } from './observed';
import { slotName } from './topology';

/** A node in one line of the members table. */
export interface Member {
  name: string;
  kind: 'postgres' | 'pgbouncer';
  role: 'primary' | 'standby' | 'pooler' | 'stopped' | 'unreachable' | 'absent';
  state: string;
  timeline?: number;
  lsn?: Lsn;
  /** Bytes behind the primary that are not flushed here. */
  lagBytes?: number;
  sync?: 'sync' | 'quorum' | 'potential' | 'async';
  /** For the pooler: where it sends clients. */
  routesTo?: string;
  /** Anything that a person should know: "replay is paused", "held by switchover-…". */
  note?: string;
}

/** What an agent put right by itself: whoever stopped a process may do it again. */
const correctionNote = ({ at, did }: { at: number; did: string }): string =>
  `its agent ${did}, at ${new Date(at).toISOString()}`;

/**
 * The members table of an observed cluster: PostgreSQL nodes in the topology's order, then the pooler.
 * @param ledger where it is known: a node that it names is a member also without a container
 */
export function membersOf(observed: ObservedCluster, ledger: NamingLedger | null = null): Member[] {
  const writable = primaries(observed);
  const primary = writable.length === 1 ? writable[0] : undefined;
  const nodes = presentNodes(observed, ledger).map((node): Member => {
    const { sql, agent } = node;
    const notes: string[] = [];
    if (agent !== null && agent.desired !== 'up')
      notes.push(`${agent.desired} by ${agent.claimedBy ?? 'an earlier run'}`);
    if (agent?.startGuard != null) notes.push(agent.startGuard);
    if (agent?.lastCorrection !== undefined) notes.push(correctionNote(agent.lastCorrection));
    if (sql?.replayPaused === true) notes.push('replay is paused');
    if (sql === null) {
      // Without Docker's word nobody knows whether there is a container.
      const known = node.container.error === undefined;
      const role = !known
        ? 'unreachable'
        : !node.container.exists
          ? 'absent'
          : !node.container.running || agent?.postgresState === 'stopped'
            ? 'stopped'
            : 'unreachable';
      const error = node.sqlError ?? node.agentError;
      if (role === 'unreachable' && error !== undefined) notes.push(error);
      return {
        name: node.name,
        kind: 'postgres',
        role,
        state: node.container.status,
        ...(notes.length > 0 ? { note: notes.join('; ') } : {}),
      };
    }
    const row = primary === undefined || node === primary ? undefined : replicationRowOf(primary, slotName(node.name));
    if (sql.inRecovery && row === undefined && sql.receiver !== null) notes.push(`follows ${sql.receiver.senderHost}`);
    return {
      name: node.name,
      kind: 'postgres',
      role: sql.inRecovery ? 'standby' : 'primary',
      state: sql.inRecovery ? (row?.state ?? sql.receiver?.status ?? 'not streaming') : 'running',
      timeline: sql.timeline,
      lsn: sql.lsn,
      ...(row?.flushLsn != null && primary?.sql != null
        ? { lagBytes: Math.max(0, lsnDistance(primary.sql.lsn, row.flushLsn)) }
        : {}),
      ...(row === undefined ? {} : { sync: row.syncState }),
      ...(notes.length > 0 ? { note: notes.join('; ') } : {}),
    };
  });
  const { pooler } = observed;
  const route = pooler.agent?.route;
  const held = pooler.agent?.holdRun;
  const note =
    held != null
      ? `clients are held by ${held}`
      : pooler.agent?.halted === 'suspended'
        ? 'suspended'
        : pooler.console?.paused === true
          ? 'paused'
          : pooler.console?.disabled === true
            ? 'disabled: new clients are refused'
            : (pooler.agentError ?? pooler.consoleError);
  return [
    ...nodes,
    {
      name: pooler.name,
      kind: 'pgbouncer',
      role: pooler.agent === null && pooler.console === null ? 'unreachable' : 'pooler',
      state: pooler.console === null ? 'no answer' : `${pooler.console.poolMode} pooling`,
      ...(route == null ? {} : { routesTo: `${route.host}:${route.port}` }),
      ...(note === undefined ? {} : { note }),
    },
  ];
}
