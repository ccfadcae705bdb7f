import { logs, psql, sqlName } from '../commands';
import { days, PASSWORD_ENDS_SOON_MS } from '../control-path';
import type { AnsweringNode, ObservedNode } from '../observed';
import type { Checklist } from '../switchover/checklist';
import { isNodesSlot, type ClusterTopology } from '../topology';

/** What a node's agent found when it tried to replicate from another node; undefined where it did not try, or had no answer. */
export function triedPath(from: ObservedNode, to: ObservedNode): NonNullable<ObservedNode['connectBack']> | undefined {
  const { host, port } = to.internal;
  const tried = from.readiness?.agent?.replication?.find((peer) => peer.host === host && peer.port === port);
  if (tried?.ok == null) return undefined;
  return tried.ok ? { ok: true } : { ok: false, error: tried.problem ?? 'it was refused' };
}

/**
 * C8: the replication role could begin a session. One that streams goes on whatever is done to its role, and after a failover the old
 * primary could not follow.
 */
export function checkReplicationRole(list: Checklist, topology: ClusterTopology, primary: AnsweringNode): void {
  const { replicationRoles = [], senders = [] } = primary.readiness?.sql ?? {};
  const ours = new Set(
    senders.flatMap(({ slot, user }) => (slot !== null && isNodesSlot(topology, slot) ? [user] : [])),
  );
  const ofNodes = replicationRoles.filter((role) => ours.has(role.name));
  for (const { name, canLogin, canReplicate, validForMs, connectionLimit = -1 } of ofNodes) {
    const role = sqlName(name);
    list.require('C8', canLogin && canReplicate, {
      says: 'the replication role may log in and replicate',
      refusal: `role ${name} may not begin to replicate: what streams goes on, and no node could follow after a failover`,
      measured:
        [...(canLogin ? [] : ['NOLOGIN']), ...(canReplicate ? [] : ['NOREPLICATION'])].join(', ') ||
        'LOGIN, REPLICATION',
      limit: 'LOGIN and REPLICATION',
      next: psql(primary.name, `ALTER ROLE ${role} LOGIN REPLICATION`),
    });
    // Sessions that replicate do not count; a rewind reads by ordinary ones, beside a question of the node's agent.
    const needed = 2 * topology.postgres.nodes.length;
    if (connectionLimit >= 0)
      list.advise('C8', connectionLimit >= needed, {
        says: 'the replication role may open the sessions that a rewind needs',
        refusal: `role ${name} may open too few sessions for a rewind: a node that failed could need a full copy`,
        measured: `it has a connection limit of ${connectionLimit}`,
        limit: `none, or at least ${needed}, two for each node`,
        next: psql(primary.name, `ALTER ROLE ${role} CONNECTION LIMIT -1`),
      });
    if (validForMs === null) continue;
    const ended = validForMs <= 0;
    list[ended ? 'require' : 'advise']('C8', validForMs > PASSWORD_ENDS_SOON_MS, {
      says: 'the password of the replication role lasts',
      refusal: ended
        ? 'the password of the replication role has ended: what streams goes on, and no node could follow after a failover'
        : 'the password of the replication role ends: no node can begin to follow then',
      measured: ended ? `it ended ${days(-validForMs)} ago` : `it ends in ${days(validForMs)}`,
      limit: `valid for more than ${days(PASSWORD_ENDS_SOON_MS)}`,
      next: psql(primary.name, `ALTER ROLE ${role} VALID UNTIL 'infinity'`),
    });
  }
}

/** C4: a standby whose session with the primary ends could begin another one. Told: for a move it needs none. */
export function checkPathAgain(list: Checklist, standby: AnsweringNode, primary: AnsweringNode): void {
  const tried = triedPath(standby, primary);
  if (tried === undefined || tried.ok) return;
  list.advise('C4', false, {
    says: `${standby.name} could begin to follow ${primary.name} again`,
    refusal: `${standby.name} could not begin to follow ${primary.name} again, should its session end`,
    measured: (tried.error ?? '').trim(),
    limit: 'IDENTIFY_SYSTEM answers',
    next: logs(primary.name),
  });
}
