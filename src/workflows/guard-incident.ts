import type { WatchResult } from '../activities';
import type { Ledger } from '../cluster/guard/ledger';
import type { FailoverInput } from './failover-input';

type Failure = NonNullable<WatchResult['failure']>;

/** What the guard hands to the failover that it starts for this failure. Pure. */
export function incidentOf(
  { sees, signals }: WatchResult,
  failure: Failure,
  ledger: Ledger,
  run: string,
): NonNullable<FailoverInput['incident']> {
  return {
    run,
    since: failure.since,
    decidedAt: failure.decidedAt,
    kind: failure.kind,
    says: sees,
    signals,
    ...(failure.watched === undefined ? {} : { watched: failure.watched }),
    ...(failure.lastLsn === undefined ? {} : { lastLsn: failure.lastLsn }),
    ledger,
    ...(failure.acted === undefined ? {} : { journal: failure.acted.journal }),
  };
}

/** What the watch itself did about a failure, in a sentence. Pure. */
export function actedWords({ journal, problem }: NonNullable<Failure['acted']>): string {
  const done =
    journal.marks.releasedAt !== null
      ? 'a standby was promoted at once, and clients go on with it'
      : journal.marks.promotedAt !== null
        ? 'a standby was promoted at once, and the pooler gave no answer'
        : journal.began === 'promotion'
          ? 'a standby may have been asked to be promoted'
          : 'the fence was begun at once, and nobody was promoted';
  return problem === undefined ? done : `${done}: ${problem}`;
}
