import { formatMs } from '../cluster/duration';
import type { Report } from '../workflows/run-state';
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
  add('Primary', fromTo(report.primaryBefore, report.primaryAfter, arrow));
  add('Timeline', fromTo(report.timelineBefore, report.timelineAfter, arrow));
  add('Protection', report.protection);
  if (report.heldMs !== undefined) {
    const gap =
      report.canaryGapMs === undefined
        ? ''
        : `; longest gap between two commits of the canary ${formatMs(report.canaryGapMs)}`;
    add('RTO', `clients waited ${formatMs(report.heldMs)}${gap}`);
  }
  if (report.rpo !== undefined) {
    add(
      'RPO',
      `${formatBytes(report.rpo.lostBytes)} lost: shutdown checkpoint at ${report.rpo.shutdownCheckpoint}, the new primary had received up to ${report.rpo.receivedByTarget}`,
    );
  }
  if (report.protectedAgainMs !== undefined)
    add('Protected again', `${formatMs(report.protectedAgainMs)} after the start`);
  add(
    'Started',
    `${look.dateTime(report.startedAt)} by ${report.startedBy}, took ${formatMs(report.endedAt - report.startedAt)}`,
  );
  add('Reason', report.reason);
  add('Ticket', report.ticket);
  return facts;
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
