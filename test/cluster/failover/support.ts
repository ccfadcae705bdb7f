import type { Check } from '../../../src/cluster/check';
import type { CandidateState } from '../../../src/cluster/failover/candidates';
import { decideFailover, type FailoverDecision, type FailoverInput } from '../../../src/cluster/failover/decide';
import type { Ledger } from '../../../src/cluster/guard/ledger';
import { clusterTopology, PRIMARY, STANDBY } from '../support/picture';

/** When the primary failed. */
export const FAILED_AT = 1_795_405_958_000;

/** The ledger of a cluster that these standbys protected. */
export function ledgerOf(...synchronous: string[]): Ledger {
  return {
    version: 1,
    state: 'protected',
    primary: PRIMARY,
    timeline: 3,
    epoch: 7,
    synchronous,
    names: synchronous.length > 1 ? 'ANY 1 (veloz_standby)' : 'veloz_standby',
    since: FAILED_AT - 60_000,
    confirmedAt: FAILED_AT - 180,
    why: `${synchronous.join(' and ')} confirmed`,
  };
}

/** A standby that answers. Its receiver is down, because the primary is. */
export function candidate(rest: Partial<CandidateState> = {}): CandidateState {
  return {
    name: STANDBY,
    promotable: true,
    answered: true,
    inRecovery: true,
    timeline: 3,
    receivedLsn: '0/5000000',
    replayedLsn: '0/5000000',
    receiver: null,
    replayPaused: false,
    applyDelayMs: 0,
    systemIdentifier: '77',
    freeDiskBytes: 70 * 1024 ** 3,
    ...rest,
  };
}

/** One that does not. */
export function silent(name: string, rest: Partial<CandidateState> = {}): CandidateState {
  return { name, promotable: true, answered: false, problem: 'no answer within 700 ms', ...rest };
}

/** The failure of the primary of two nodes, which its standby protected; what is given replaces that. */
export function decide(rest: Partial<FailoverInput> = {}): FailoverDecision {
  return decideFailover(clusterTopology(), {
    cluster: 'veloz',
    candidates: [candidate()],
    ledger: ledgerOf(STANDBY),
    failedPrimary: PRIMARY,
    failedAt: FAILED_AT,
    ...rest,
  });
}

export const ids = (checks: readonly Check[], ...results: Check['result'][]): string[] =>
  checks.filter(({ result }) => results.includes(result)).map(({ id }) => id);

export function checkOf(checks: readonly Check[], id: string): Check {
  const [found, another] = checks.filter((check) => check.id === id);
  if (found === undefined || another !== undefined) throw new Error(`not exactly one check ${id}`);
  return found;
}
