import type { Ledger } from './ledger';
import type { GuardPolicy } from './policy';
import { isWritable } from './rounds';
import type { NodeAnswer, Round } from './signals';

/** Two nodes or more that take writes. */
export interface SplitBrain {
  /** The writable nodes of one database system, sorted. */
  writable: string[];
  /** The one that stays; null when nothing tells which one is right. */
  keep: string | null;
  /** The ledger names the one that stays. Where it does not, clients may write to another one: whoever fences asks the pooler first. */
  named?: boolean;
  /** Those to fence now; empty when people have to decide. Never all of them. */
  fence: string[];
  says: string;
}

/** Rounds that confirm a split brain lie at least this far apart, in milliseconds … */
const CONFIRM_AFTER_MS = 200;
/** … and at most this far. */
const CONFIRM_WITHIN_MS = 2000;

/**
 * What one round shows, unconfirmed. A promotion of one node and the stop of another can be seen in the wrong order for a moment.
 *
 * The node that the ledger names stays: clients were led there, and it holds what was acknowledged. When the ledger names none of
 * them, the one on the newest timeline stays, because it was promoted last, where the pooler leads clients to it. Two on the same newest timeline: nobody is fenced.
 */
export function splitBrainIn(
  round: Round,
  ledger: Pick<Ledger, 'primary' | 'systemIdentifier'>,
  policy: Pick<GuardPolicy, 'onSplitBrain'>,
): SplitBrain | undefined {
  const nodes = [round.sql, ...round.others];
  // The node that the ledger names may have been made anew: what the ledger is about does not change with that.
  const named = nodes.find(({ name, answered }) => answered && name === ledger.primary)?.systemIdentifier;
  const all = nodes.filter(isWritable);
  const reference = ledger.systemIdentifier ?? named ?? all[0]?.systemIdentifier;
  // A node of another database system is wrong here, but it can't have taken this system's writes.
  const writable = all.filter(({ systemIdentifier }) => reference === undefined || systemIdentifier === reference);
  if (writable.length < 2) return undefined;

  const keep = keeperOf(writable, ledger);
  const losers = writable.filter(({ name }) => name !== keep?.node).map(({ name }) => name);
  const each = writable.map(({ name, timeline }) => `${name} on timeline ${timeline}`).join(' and ');
  const what = `${writable.length} nodes are writable: ${each}`;
  const split = {
    writable: writable.map(({ name }) => name).sort(),
    keep: keep?.node ?? null,
    named: keep?.named === true,
  };
  if (keep === undefined)
    return {
      ...split,
      fence: [],
      says: `${what}. Nothing tells which one is right: the ledger names ${ledger.primary ?? 'none'}, and none is on a newer timeline. A person has to decide`,
    };
  if (policy.onSplitBrain === 'alarm')
    return {
      ...split,
      fence: [],
      says: `${what}. ${keep.node} ${keep.why}; guard.onSplitBrain is alarm, and ${losers.join(' and ')} goes on taking writes`,
    };
  return {
    ...split,
    fence: losers.sort(),
    says: `${what}. ${keep.node} ${keep.why}; ${losers.join(' and ')} is fenced${keep.named ? '' : ` if clients are led to ${keep.node}`}`,
  };
}

function keeperOf(
  writable: readonly NodeAnswer[],
  ledger: Pick<Ledger, 'primary'>,
): { node: string; why: string; named: boolean } | undefined {
  const known = writable.find(({ name }) => name === ledger.primary);
  if (known !== undefined) return { node: known.name, why: 'is the primary that the ledger names', named: true };
  const newest = Math.max(...writable.map(({ timeline }) => timeline ?? 0));
  const [only, another] = writable.filter(({ timeline }) => timeline === newest);
  if (only === undefined || another !== undefined) return undefined;
  return { node: only.name, why: 'is on the newest timeline, and the ledger names neither', named: false };
}

/**
 * A split brain that two rounds show alike, 200 ms to 2 s apart, the newest being one of them.
 * @param rounds oldest first
 */
export function decideSplitBrain(
  rounds: readonly Round[],
  ledger: Ledger,
  policy: GuardPolicy,
): SplitBrain | undefined {
  const newest = rounds.at(-1);
  const now = newest === undefined ? undefined : splitBrainIn(newest, ledger, policy);
  if (newest === undefined || now === undefined) return undefined;
  const confirmed = rounds.some((round) => {
    const apart = newest.at - round.at;
    if (apart < CONFIRM_AFTER_MS || apart > CONFIRM_WITHIN_MS) return false;
    const then = splitBrainIn(round, ledger, policy);
    return then !== undefined && then.keep === now.keep && then.writable.join(' ') === now.writable.join(' ');
  });
  return confirmed ? now : undefined;
}
