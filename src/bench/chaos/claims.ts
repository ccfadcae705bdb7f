import type { Report } from '../../workflows/run-state';
import type { Claim } from './account';

/** The sentences with which reports say that nothing was lost. */
const NOTHING_LOST =
  /\bno(?:thing)? acknowledged[^.;]*\b(?:is|was|were) lost\b(?! is not proven)|\bnothing (?:was|is) lost\b|\blost nothing\b/i;
/** What a forced failover of Redis says of the writes that waited for a replica. */
const NONE_THAT_WAITED = /\bthose acknowledged with WAIT 1 are not\b/i;

/** What a report claims about losses; undefined where it claims nothing. */
export function claimOf(report: Report): Claim | undefined {
  const { rpo, failover, says, runbook } = report;
  const proven = [
    ...(rpo?.lostBytes === 0 ? ['rpo.lostBytes 0'] : []),
    ...(failover?.lossBound === 0 ? ['failover.lossBound 0'] : []),
  ];
  // A run that moved nobody lost nothing by itself, whatever its figures say.
  const ended = /^(?:completed|incomplete)/.test(report.outcome);
  const redis = runbook.startsWith('redis');
  const told = [says, ...report.warnings];
  const ofAll = told.find((sentence) => NOTHING_LOST.test(sentence));
  const words = ofAll ?? (redis ? told.find((sentence) => NONE_THAT_WAITED.test(sentence)) : undefined);
  if (!ended || (words === undefined && proven.length === 0)) return undefined;
  const { workflowId, startedAt, endedAt, timelineBefore, timelineAfter } = report;
  return {
    run: workflowId,
    tier: redis ? 'redis' : 'postgres',
    ...(redis && ofAll !== undefined ? { ofAll: true } : {}),
    says: words ?? proven.join(', '),
    startedAt,
    endedAt,
    ...(timelineBefore === undefined ? {} : { timelineBefore }),
    ...(timelineAfter === undefined ? {} : { timelineAfter }),
  };
}
