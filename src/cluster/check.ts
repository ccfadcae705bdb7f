/** One named check of the safety checklist, with what it saw. */
export interface Check {
  /** Its id in the safety checklist: `B2`. */
  id: string;
  /** What is asked, as a statement that should be true: "the candidate is a synchronous standby". */
  says: string;
  /** How it reads when it is not so: "two nodes are writable". Present when it refuses or warns. */
  refusal?: string;
  /** `refuse` stops a run; `warn` is shown and goes into the report; `skip`: does not apply here, and `measured` says why. */
  result: 'ok' | 'refuse' | 'warn' | 'skip';
  /** What was measured, in words and numbers: "sync_state is async". */
  measured: string;
  /** The limit that it was held against: "at most 10 MiB". */
  limit?: string;
  /** What to do about it: a command that can be copied. Present when it refuses or warns. */
  next?: string;
  /** What else a person may do about it, at a price: a command. It is no cure, and never the first that is named. */
  instead?: string;
}

/** A check in half a sentence: what is so, or what is not. */
export function headline(check: Check): string {
  if (check.result !== 'refuse' && check.result !== 'warn') return check.says;
  return check.refusal ?? `it is not so that ${check.says}`;
}

/** A check that refuses or warns: what is wrong, what was measured, and the limit. No full stop, no next command. */
export function problemSentence(check: Check): string {
  return `${check.id}: ${headline(check)}: ${check.measured}${check.limit === undefined ? '' : ` (limit: ${check.limit})`}`;
}

/** Splits a text that ends with the next command, as every refusal does: `what is wrong. Next: command`. */
export function splitNext(text: string): { what: string; next?: string } {
  const [, what, next] = /^(.*?)\.? Next: (.+)$/s.exec(text) ?? [];
  return what === undefined || next === undefined ? { what: text } : { what, next };
}

/**
 * The first refusal as a text: what is wrong, what was measured, the limit, and the next command, which comes last and without a
 * full stop so that it can be copied.
 * @param aside a sentence without full stop that goes before the command: "Nothing was changed"
 * @returns undefined when no check refuses
 */
export function refusalSentence(checks: readonly Check[], aside?: string): string | undefined {
  const [first, ...others] = checks.filter((check) => check.result === 'refuse');
  if (first === undefined) return undefined;
  const sentences = [
    problemSentence(first),
    ...(others.length === 0 ? [] : [`Also refused: ${others.map((check) => check.id).join(', ')}`]),
    ...(aside === undefined ? [] : [aside]),
  ];
  return `${sentences.join('. ')}.${first.next === undefined ? '' : ` Next: ${first.next}`}`;
}

/** What to do about each refusal, with the reason: the `next` of a report. What costs something comes last. */
export const commandsOf = (checks: readonly Check[]): { command: string; why: string }[] => [
  ...checks.flatMap((check) =>
    check.result === 'refuse' && check.next !== undefined
      ? [{ command: check.next, why: `${check.id}: ${headline(check)}` }]
      : [],
  ),
  ...insteadOf(checks),
];

/** What else a person may do about what is refused, at a price. */
export const insteadOf = (checks: readonly Check[]): { command: string; why: string }[] =>
  [
    ...new Set(
      checks.flatMap(({ result, instead }) => (result === 'refuse' && instead !== undefined ? [instead] : [])),
    ),
  ].map((command) => ({ command, why: 'accepts a loss, where nothing else helps (E8)' }));
