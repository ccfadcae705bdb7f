import { psql } from '../commands';
import type { AnsweringNode } from '../observed';
import type { Checklist } from '../switchover/checklist';
import type { Weight } from './start';

/**
 * M1: the node's container has the libraries that functions of its databases name. A standby is not asked for them before it is the
 * primary. What the primary lacks too is missing now as it is after a move: that warns. What an agent could not ask, or is too old to ask,
 * is not known and not told.
 */
export function checkLibraries(
  list: Checklist,
  node: AnsweringNode,
  weight: Weight,
  primary: AnsweringNode | undefined,
): void {
  const { name, readiness, sql } = node;
  const [first, ...more] = readiness?.agent?.libraries?.missing ?? [];
  if (first === undefined) return;
  const lacks = primary?.readiness?.agent?.libraries?.missing ?? [];
  const alone = [first, ...more].some(
    ({ database, library }) => !lacks.some((each) => each.database === database && each.library === library),
  );
  // The primary fails its statements now: a move to a node that has them is the way out.
  list[sql.inRecovery && alone ? weight : 'advise']('M1', false, {
    says: `${name} has the libraries of its databases`,
    refusal: `${name} lacks libraries that functions of its databases need: as the primary it fails each statement that calls them`,
    measured: [first, ...more].map(({ database, library }) => `${library} (database ${database})`).join(', '),
    limit: 'none is missing; install them in the image of every node',
    next: psql(name, `SELECT DISTINCT probin FROM pg_proc WHERE probin IS NOT NULL AND oid >= 16384`),
  });
}
