import { psql } from '../commands';
import type { AnsweringNode } from '../observed';
import type { Checklist } from '../switchover/checklist';
import { nextValue, type Weight } from './start';

/** From this version on replication origins have a room of their own, and no longer that of the slots. */
const OWN_ROOM_SINCE = 180_000;
/** PostgreSQL's default; fewer are never proposed. */
const USUAL_ROOM = 10;

/**
 * M1, M3: a node has room for the progress of each replication origin that `holder` has. Of its own, a start with less is a PANIC; of the
 * node that it follows, its replay ends at the first origin too many, again and again, and a copy brings the same ones.
 */
export function checkOriginRoom(list: Checklist, node: AnsweringNode, holder: AnsweringNode, weight: Weight): void {
  const origins = holder.readiness?.agent?.origins;
  const told = node.readiness?.agent;
  // An agent that is older tells neither its origins nor this setting: what it leaves out need not be the default.
  const next =
    told?.next.max_replication_slots ??
    (told?.origins === undefined ? undefined : nextValue(node, 'max_replication_slots'));
  // Without room a server takes no origin up, and starts; as a standby it ends at the first one.
  const room = Number(next);
  const own = node === holder;
  if (origins == null || next === undefined || !(room < origins) || node.sql.versionNum >= OWN_ROOM_SINCE) return;
  // Without any room a start does not look at its own. What it would end at is told once, by the trial of a start where that has found it.
  const startEnds = room > 0 && room < (told?.origins ?? 0);
  if (own ? room === 0 || told?.start?.ok === false : startEnds) return;
  list[weight](own ? 'M1' : 'M3', false, {
    says: `${node.name} has room for the replication origins of ${holder.name}`,
    refusal: own
      ? `${node.name} could not be started again as it is configured now: it would have no room for the progress of its replication origins`
      : `${node.name} could not follow ${holder.name} after its next start: it would have no room for the progress of its replication origins`,
    measured: `max_replication_slots will be ${next} on ${node.name}, and ${origins} origins have progress on ${holder.name}`,
    limit: 'not fewer than there are origins',
    next: psql(
      node.name,
      `ALTER SYSTEM SET max_replication_slots = ${Math.max(USUAL_ROOM, origins, node.sql.replicationSlots.max)}`,
      'SELECT pg_reload_conf()',
    ),
  });
}
