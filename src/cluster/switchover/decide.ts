import type { Check } from '../check';
import { checkReadiness } from '../readiness/decide';
import { checkStartTime } from '../readiness/start';
import { answers, primaries, standbys, type ObservedCluster } from '../observed';
import type { ClusterTopology, Protection } from '../topology';
import { checkCandidate } from './candidate';
import { Checklist } from './checklist';
import { checkExpectedPrimary, checkOnePrimary, checkSameSystem } from './identity';
import { checkReplication } from './replication';
import { checkStoppable } from './stopping';
import { checkSystems } from './systems';
import { checkFollowers, chooseTarget } from './target';
import { checkClientsMayWait, checkNoReplicationThrough, checkNotHeld, checkPoolMode, checkRoute } from './traffic';

/** What the decision needs to know of a request. */
export interface SwitchoverWish {
  target?: string;
  expectedPrimary?: string;
  protection?: Protection;
  /** Milliseconds that PAUSE will wait for open transactions. */
  pauseLimitMs: number;
  /** Clients are held for at most so many milliseconds. Default: the cluster's. */
  holdLimitMs?: number;
}

/** What the checks come to. */
export interface SwitchoverDecision {
  checks: Check[];
  /** The primary now; absent when there is not exactly one. */
  source?: string;
  /** The node to promote; absent when none qualifies. */
  target?: string;
  /** Other standbys, which follow the target. */
  others: string[];
  /** Other standbys whose replay is held up: they follow the target later, and nobody waits for them. */
  heldUp: string[];
  protection: Protection;
  /** The named target is the primary already: nothing to do. */
  alreadyDone: boolean;
}

/**
 * Holds an observed cluster against the safety checklist (A–F) for a planned switchover, and chooses the target.
 * Pure: the same picture gives the same decision.
 * @param first an earlier picture of the same: what stands in both has lasted since, where nobody knows its age
 */
export function decideSwitchover(
  topology: ClusterTopology,
  observed: ObservedCluster,
  wish: SwitchoverWish,
  first?: ObservedCluster,
): SwitchoverDecision {
  const list = new Checklist();
  const decision: SwitchoverDecision = {
    checks: list.checks,
    others: [],
    heldUp: [],
    protection: wish.protection ?? topology.protection,
    alreadyDone: false,
  };
  // Two writable nodes lose data with every second. Whatever else is wrong can wait.
  if (primaries(observed).length > 1) {
    checkOnePrimary(list, topology, observed);
    return decision;
  }
  if (!checkSystems(list, topology, observed)) return decision;
  const source = checkOnePrimary(list, topology, observed);
  if (!answers(source)) return decision;
  if (!checkExpectedPrimary(list, observed, source, wish.expectedPrimary)) return decision;
  decision.source = source.name;
  checkSameSystem(list, observed, source);

  if (wish.target === source.name) {
    decision.alreadyDone = true;
    decision.target = source.name;
    return decision;
  }
  const target = chooseTarget(list, topology, observed, source, wish.target);
  if (!answers(target)) return decision;
  decision.target = target.name;
  Object.assign(decision, checkFollowers(list, topology, observed, source, target));
  const followers = [...decision.others, ...decision.heldUp];
  const others = standbys(observed).filter((node) => followers.includes(node.name));

  const pair = { cluster: observed.cluster, source, standby: target };
  const before = first?.nodes.find(({ name }) => name === source.name)?.sql ?? undefined;
  checkReplication(list, topology, observed, pair, before);
  checkCandidate(list, topology, pair, others);
  checkStoppable(list, topology, source, wish.pauseLimitMs, before);
  checkReadiness(list, topology, observed, { source: source.name, target: target.name });
  if (decision.protection === 'zero-loss' && decision.others.length === 0)
    checkStartTime(list, topology, source, 'require');
  checkPoolMode(list, observed.pooler);
  checkNoReplicationThrough(list, observed.pooler);
  checkClientsMayWait(list, observed, wish.holdLimitMs ?? topology.limits.hold, 'require');
  checkNotHeld(list, topology, observed);
  checkRoute(list, source, observed.pooler);
  return decision;
}
