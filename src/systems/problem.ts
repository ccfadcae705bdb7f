import type { FailureType } from '../failures';

/** A failure that a person reads: what, why, and the next command. The type decides the exit code. */
export class Problem extends Error {
  constructor(
    readonly type: FailureType,
    /** What failed, as a sentence without its full stop. */
    what: string,
    readonly detail: { why?: string; next?: string; cause?: unknown } = {},
  ) {
    super(what, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = 'Problem';
  }
}
