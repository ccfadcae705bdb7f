import { formatMs } from '../cluster/duration';
import type { Report } from '../workflows/run-state';
import { lossSentence, quarantineSentence, rejoinSentence } from './failover';
import { awaySentence, waitsSentence } from './maintenance';
import { leaderWord } from './runbooks';
import { formatBytes } from './words';

/** One fact of a report: its name and its value. */
export interface Fact {
  name: string;
  value: string;
}

/** What a run proved and measured, in the order in which a person asks for it. */
export function reportFacts(report: Report, look: { arrow: string; dateTime: (epochMs: number) => string }): Fact[] {
  const { arrow } = look;
  const facts: Fact[] = [];
  const add = (name: string, value: string | undefined) => {
    if (value !== undefined) facts.push({ name, value });
  };
  add(leaderWord(report.runbook), fromTo(report.primaryBefore, report.primaryAfter, arrow));
  add('Timeline', fromTo(report.timelineBefore, report.timelineAfter, arrow));
  add('Epoch', fromTo(report.epochBefore, report.epochAfter, arrow));
  add('Protection', report.protection);
  const { failover, rejoin } = report;
  if (failover !== undefined) {
    add('Failed', failover.says);
    add('Fence', failover.fence === '' ? undefined : failover.fence);
  }
  add('RTO', waitSentence(report));
  if (failover !== undefined) add('RPO', isPromoted(report) ? lossSentence(failover, look.dateTime) : undefined);
  else if (report.rpo !== undefined) {
    add(
      'RPO',
      `${report.rpo.lostBytes === null ? 'not proven, since somebody else promoted the new primary' : `${formatBytes(report.rpo.lostBytes)} lost`}: shutdown checkpoint at ${report.rpo.shutdownCheckpoint}, the new primary had received up to ${report.rpo.receivedByTarget}`,
    );
  }
  if (rejoin !== undefined) {
    add('Rejoined', rejoinSentence(rejoin));
    add('Quarantine', quarantineSentence(rejoin));
  }
  if (report.maintenance !== undefined) {
    add('Cleared', report.maintenance.scope);
    if (report.outcome !== 'planned') add('Still away', awaySentence(report.maintenance, arrow));
    add('Clients waited', waitsSentence(report.maintenance));
  }
  add('Protected again', protectedSentence(report, look.dateTime));
  add(
    'Started',
    `${look.dateTime(report.startedAt)} by ${report.startedBy}, took ${formatMs(report.endedAt - report.startedAt)}`,
  );
  // The guard gives what it saw as its reason, which stands above already.
  add('Reason', report.reason === failover?.says ? undefined : report.reason);
  add('Ticket', report.ticket);
  return facts;
}

/** A failover that was refused, or rolled back, lost nothing and protected nothing. */
function isPromoted({ primaryAfter, primaryBefore }: Report): boolean {
  return primaryAfter !== undefined && primaryAfter !== primaryBefore;
}

/** How long clients waited, or, where a failure was seen, how long after its first sign they went on. */
function waitSentence(report: Report): string | undefined {
  const { heldMs, canaryGapMs, failover } = report;
  const parts: string[] = [];
  if (failover?.totalMs != null) parts.push(`clients went on ${formatMs(failover.totalMs)} after the first sign`);
  else if (heldMs !== undefined) parts.push(`clients waited ${formatMs(heldMs)}`);
  if (parts.length > 0 && canaryGapMs !== undefined)
    parts.push(`longest gap between two commits of the canary ${formatMs(canaryGapMs)}`);
  return parts.length === 0 ? undefined : parts.join('; ');
}

/** Since when a second failure loses nothing again; a failover that left the cluster without that says so. */
function protectedSentence(report: Report, dateTime: (epochMs: number) => string): string | undefined {
  const { protectedAgainMs, protectedSince, failover } = report;
  const from = failover?.detectMs == null ? 'the start' : 'the first sign';
  const parts: string[] = [];
  if (protectedSince !== undefined) parts.push(`since ${dateTime(protectedSince)}`);
  if (protectedAgainMs !== undefined) parts.push(`${formatMs(protectedAgainMs)} after ${from}`);
  if (parts.length > 0) return parts.join(', ');
  return failover !== undefined && isPromoted(report)
    ? 'not yet: no synchronous standby had confirmed when the run ended'
    : undefined;
}

function fromTo(
  before: string | number | undefined,
  after: string | number | undefined,
  arrow: string,
): string | undefined {
  if (before === undefined && after === undefined) return undefined;
  if (before === undefined || before === after) return String(after);
  if (after === undefined) return String(before);
  return `${before} ${arrow} ${after}`;
}
