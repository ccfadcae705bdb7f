import { formatMs } from '../cluster/duration';
import type { FailoverFacts, RejoinFacts, SubStep } from '../workflows/run-state';
import { count, formatBytes, lossText } from './words';

/**
 * From the first sign until clients went on, as parts one after the other. Parts that were not measured are left out; what no
 * part accounts for stands last.
 */
export function failoverParts(failover: FailoverFacts): SubStep[] {
  const measured: { id: string; says: string; ms: number | null; beside?: true }[] = [
    { id: 'detect', says: 'first sign, until it was certain', ms: failover.detectMs },
    failover.fenceBeside === true
      ? { id: 'fence', says: 'fence the old primary, beside the rest', ms: failover.fenceMs, beside: true }
      : { id: 'fence', says: 'fence the old primary', ms: failover.fenceMs },
    { id: 'promote', says: 'promote', ms: failover.promoteMs },
    { id: 'route', says: 'route clients', ms: failover.routeMs },
  ];
  const parts: SubStep[] = [];
  let atMs = 0;
  for (const { id, says, ms, beside } of measured) {
    if (ms === null) continue;
    parts.push({ id, says, ms, atMs });
    if (beside !== true) atMs += ms;
  }
  const rest = (failover.totalMs ?? 0) - atMs;
  // Rounding alone makes no part.
  if (rest >= 1) parts.push({ id: 'rest', says: 'the rest: looks and hand-overs', ms: rest, atMs });
  return parts;
}

/** What the parts are parts of. A failover that a person asked for has no first sign. */
export function timesTitle(detectMs: number | null): string {
  return detectMs === null ? 'Where the time of the failover went' : 'From the first sign until clients went on';
}

/** What is lost, and how that is known. */
export function lossSentence(failover: FailoverFacts, dateTime: (epochMs: number) => string): string {
  const { lossBound, ledger, dataLoss, proof } = failover;
  const consent =
    dataLoss === undefined ? '' : `. Accepted ${lossText(dataLoss.maxBytes)} by ${dataLoss.by}: ${dataLoss.reason}`;
  if (lossBound === null) return `not known: nothing bounds what was acknowledged and did not arrive${consent}`;
  if (lossBound > 0)
    return `at most ${formatBytes(lossBound)} of WAL that the old primary may have acknowledged${consent}`;
  if (proof !== undefined) return `nothing acknowledged is lost: ${proof}${consent}`;
  if (ledger?.state !== 'protected') return `nothing acknowledged is lost${consent}`;
  const who = ledger.synchronous.length === 0 ? 'a standby' : ledger.synchronous.join(', ');
  return `nothing acknowledged is lost: the ledger said protected since ${dateTime(ledger.since)}, every commit waited for ${who}${consent}`;
}

/** How a node became a standby again. */
export function rejoinSentence(rejoin: RejoinFacts): string {
  const copied = rejoin.bytes === null ? '' : `, ${formatBytes(rejoin.bytes)} copied`;
  const how = { none: 'as it was', rewind: 'by rewind', copy: 'by a full copy' }[rejoin.method];
  return `${rejoin.node} is a standby, ${how}: ${rejoin.why}. Took ${formatMs(rejoin.ms)}${copied}`;
}

/** What only the rejoined node had, and where it is kept; undefined when nothing. */
export function quarantineSentence(rejoin: RejoinFacts): string | undefined {
  const { lost, quarantine, node } = rejoin;
  const where = `in ${quarantine} on the volume of ${node}`;
  if (lost === null)
    return quarantine === null
      ? undefined
      : `no WAL is known that ${node} alone had; its control file and settings are kept ${where}`;
  const what =
    lost.complete === false
      ? `the WAL of ${node} could not be read to its end: ${count(lost.commits, 'commit')} at least that it alone had`
      : `${formatBytes(lost.bytes)} of WAL with ${count(lost.commits, 'commit')} that ${node} alone had`;
  if (quarantine === null) return `${what}; no evidence was kept`;
  return lost.kept === false ? `${what}; only the beginning of it is listed ${where}` : `${what}; kept ${where}`;
}
