import { refusalSentence, type Check } from '../../../src/cluster/check';
import type { AnsweringNode, OpenTransaction, ReplicationRow } from '../../../src/cluster/observed';
import { decideSwitchover, type SwitchoverDecision, type SwitchoverWish } from '../../../src/cluster/switchover/decide';
import { picture, PRIMARY, STANDBY, type Picture } from './picture';

/** The decision on a picture, for a request with default limits. */
export function decide(seen: Picture, wish: Partial<SwitchoverWish> = {}): SwitchoverDecision {
  return decideSwitchover(seen.topology, seen.observed, { pauseLimitMs: 2000, ...wish });
}

/** The check of that id. Some are made of each node: then the one that objects. */
export function checkOf(decision: SwitchoverDecision, id: string): Check {
  const found = decision.checks.filter((check) => check.id === id);
  const objecting = found.filter(({ result }) => result === 'refuse' || result === 'warn');
  const [first] = objecting.length > 0 ? objecting : found;
  const ambiguous = objecting.length === 0 && found.length > 1 && !id.startsWith('M');
  if (first === undefined || objecting.length > 1 || ambiguous) throw new Error(`${found.length} checks ${id}`);
  return first;
}

/** The ids of the checks that refuse or warn. */
export function notOk(decision: SwitchoverDecision): string[] {
  return decision.checks.filter(({ result }) => result === 'refuse' || result === 'warn').map(({ id }) => id);
}

export const primary = (seen: Picture): AnsweringNode => seen.node(PRIMARY);
export const standby = (seen: Picture): AnsweringNode => seen.node(STANDBY);

/** The standby's row in the primary's pg_stat_replication. */
export function row(seen: Picture): ReplicationRow {
  const [first] = primary(seen).sql.replication;
  if (first === undefined) throw new Error('nobody replicates');
  return first;
}

export const openTransaction: OpenTransaction = {
  pid: 42,
  user: 'veloz',
  application: 'report',
  state: 'idle in transaction',
  ageMs: 2001,
};

/** A statement on a node, as a person is told to run it. */
export const inside = (node: string, statement: string): string =>
  `docker exec ${node} psql -U postgres -d postgres -c "${statement}"`;
/** What makes ALTER SYSTEM count. */
export const reload = '-c "SELECT pg_reload_conf()"';

/** One thing that is wrong in an otherwise good picture. */
export interface Wrong {
  change: (seen: Picture) => void;
  wish?: Partial<SwitchoverWish>;
  /** With a third node. */
  three?: boolean;
  /** The check that answers, and how. Default: it refuses. */
  id: string;
  result?: 'refuse' | 'warn';
  /** A part of the sentence: what, measured, limit. */
  says: string;
  /** A part of the next command. */
  next: string;
  /** Checks that can't but object as well. */
  also?: string[];
}

/** Each wrong thing is found by its check and by no other, in a sentence with everything that a person needs. */
export function objects(wrongs: Record<string, Wrong>): void {
  describe('objects, and says what was measured, the limit and the next command, when', () => {
    test.each(Object.entries(wrongs))(
      '%s',
      (_what, { change, wish, three, id, result = 'refuse', says, next, also }) => {
        const seen = picture({ three });
        change(seen);
        const decision = decide(seen, wish);
        expect(notOk(decision).sort()).toEqual([id, ...(also ?? [])].sort());
        const check = checkOf(decision, id);
        expect(check.result).toBe(result);
        const sentence = refusalSentence([{ ...check, result: 'refuse' }]) ?? '';
        expect(sentence).toContain(says);
        expect(check.limit).toBeTruthy();
        expect(sentence).toContain(` (limit: ${check.limit}). Next: `);
        expect(check.next).toContain(next);
        // Words for a thing that is not there would show as these.
        expect(sentence).not.toMatch(/undefined|null|NaN|\[object/);
      },
    );
  });
}

/** Each change stays just within the limits: nothing objects. */
export function content(
  changes: [id: string, what: string, change: (seen: Picture) => void, wish?: Partial<SwitchoverWish>][],
): void {
  describe('is content with', () => {
    test.each(changes.map(([id, what, change, wish]) => ({ id, what, change, wish })))(
      '$id: $what',
      ({ id, change, wish }) => {
        const seen = picture();
        change(seen);
        const decision = decide(seen, wish);
        expect(notOk(decision)).toEqual([]);
        expect(checkOf(decision, id).result).toBe('ok');
      },
    );
  });
}
