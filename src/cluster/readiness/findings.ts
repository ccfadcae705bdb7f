import { headline, type Check } from '../check';
import { checkEnabled } from '../client-refusal';
import { answers, primaries, replicationRowOf, standbys, type ObservedCluster } from '../observed';
import { checkOtherGuards } from '../other-guards';
import { checkCandidate, NOT_TRIED } from '../switchover/candidate';
import { Checklist } from '../switchover/checklist';
import { checkCommitsOncePrimary, checkReplay } from '../switchover/replication';
import { checkArchiver } from '../switchover/stopping';
import { checkClientsMayWait } from '../switchover/traffic';
import { slotName, type ClusterTopology } from '../topology';
import { checkReadiness } from './decide';
import { checkPoolerRoom } from './pooler';
import { checkAgentAnswers, checkStartTime } from './start';
import { checkWaits } from './synchrony';

/** Whether a failover or a planned move would work now, and what is in its way. */
export interface Readiness {
  /** Milliseconds since the epoch. */
  at: number;
  /** False: something refuses. */
  ready: boolean;
  /** What refuses, and what warns. */
  findings: Check[];
}

/**
 * What a later step would meet: each candidate held against the checks of a target, the primary against those of its stop and
 * its next start. Empty when all is well, and while there is not exactly one primary, which is worse news than this. Pure.
 */
export function readinessFindings(topology: ClusterTopology, observed: ObservedCluster): Check[] {
  const [primary, second] = primaries(observed);
  if (!answers(primary) || second !== undefined) return [];
  const list = new Checklist();
  for (const standby of standbys(observed)) {
    if (!answers(standby) || !standby.promotable) continue;
    checkAgentAnswers(list, standby);
    checkReplay(list, topology, standby, primary);
    checkCommitsOncePrimary(list, standby);
    if (replicationRowOf(primary, slotName(standby.name))?.state !== 'streaming') continue;
    // A silent agent is a finding of its own (E4), and what only it knows is not known.
    if (standby.agent === null || primary.agent === null) continue;
    const others = standbys(observed).filter((node) => node !== standby);
    checkCandidate(list, topology, { cluster: observed.cluster, source: primary, standby }, others);
  }
  checkOtherGuards(list, observed);
  checkWaits(list, topology, observed, primary);
  // A failover waits for no archiver.
  checkArchiver(list, topology, primary, 'advise');
  checkReadiness(list, topology, observed);
  // A failover waits for no start of the old primary; the next switchover would.
  if (topology.protection === 'zero-loss' && standbys(observed).length === 1)
    checkStartTime(list, topology, primary, 'advise');
  checkEnabled(list, topology, observed.pooler);
  checkPoolerRoom(list, observed.pooler);
  checkClientsMayWait(list, observed, topology.limits.hold, 'advise');
  const told = new Set<string>();
  return list.checks.filter((check) => {
    if (check.result !== 'refuse' && check.result !== 'warn') return false;
    // Where nobody tried the connection, that is not known to be in the way.
    if (check.id === 'C4' && check.measured === NOT_TRIED) return false;
    const key = findingKey(check);
    if (told.has(key)) return false;
    told.add(key);
    return true;
  });
}

/** The same finding with other numbers is the same finding. */
export const findingKey = (check: Check): string => `${check.id} ${check.result} ${headline(check)}`;

/** Readiness in a word that changes when there is news. */
export const readinessKey = ({ findings }: Readiness): string => findings.map(findingKey).sort().join('; ') || 'ready';
