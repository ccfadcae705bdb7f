import type { Report } from '../../workflows/run-state';
import type { Claim } from './account';

/** The sentences with which reports say that nothing was lost. */
const NOTHING_LOST =
  /\bno(?:thing)? acknowledged[^.;]*\b(?:is|was|were) lost\b(?! is not proven)|\bnothing (?:was|is) lost\b|\blost nothing\b/i;

/** What a report claims about losses; undefined where it claims nothing. */
export function claimOf(report: Report): Claim | undefined {
  const { rpo, failover, says } = report;
  const proven = [
    ...(rpo?.lostBytes === 0 ? ['rpo.lostBytes 0'] : []),
    ...(failover?.lossBound === 0 ? ['failover.lossBound 0'] : []),
  ];
  // A run that moved nobody lost nothing by itself, whatever its figures say.
  const ended = /^(?:completed|incomplete)/.test(report.outcome);
  const words = [says, ...report.warnings].find((sentence) => NOTHING_LOST.test(sentence));
  if (!ended || (words === undefined && proven.length === 0)) return undefined;
  const { workflowId, runbook, startedAt, endedAt, timelineBefore, timelineAfter } = report;
  return {
    run: workflowId,
    tier: runbook.startsWith('redis') ? 'redis' : 'postgres',
    says: words ?? proven.join(', '),
    startedAt,
    endedAt,
    ...(timelineBefore === undefined ? {} : { timelineBefore }),
    ...(timelineAfter === undefined ? {} : { timelineAfter }),
  };
}
