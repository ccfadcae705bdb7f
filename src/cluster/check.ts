/** One named check of the safety checklist, with what it saw. */
export interface Check {
  /** Its id in the safety checklist: `B2`. */
  id: string;
  /** What is asked, as a statement that should be true: "the candidate is a synchronous standby". */
  says: string;
  /** `refuse` stops a run; `warn` is shown and goes into the report; `skip`: does not apply here, and `measured` says why. */
  result: 'ok' | 'refuse' | 'warn' | 'skip';
  /** What was measured, in words and numbers: "sync_state is async". */
  measured: string;
  /** The limit that it was held against: "at most 10 MiB". */
  limit?: string;
  /** What to do about it: a command, or a sentence. Present when it refuses or warns. */
  next?: string;
}

/** The first refusal as one sentence: what, measured, limit, next command. */
export function refusalSentence(checks: readonly Check[]): string | undefined {
  const refused = checks.filter((check) => check.result === 'refuse');
  const first = refused[0];
  if (first === undefined) return undefined;
  const more =
    refused.length > 1
      ? ` (and ${refused.length - 1} more: ${refused
          .slice(1)
          .map((check) => check.id)
          .join(', ')})`
      : '';
  return `${first.id}: it is not so that ${first.says}: ${first.measured}${first.limit === undefined ? '' : ` (limit: ${first.limit})`}${more}.${first.next === undefined ? '' : ` Next: ${first.next}`}`;
}
