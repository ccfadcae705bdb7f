import type { Check } from '../check';

/** How a check reads: every one says what it measured, against which limit, and what to do when it is not met. */
export interface CheckWords {
  /** The statement that should be true. */
  says: string;
  /** The same, when it is not. */
  refusal: string;
  measured: string;
  limit: string;
  /** The command to run when it is not met. */
  next: string;
  /** What else a person may do about it, at a price. */
  instead?: string;
}

/** Collects the checks of one decision, in the order in which they were made. */
export class Checklist {
  readonly checks: Check[] = [];

  /** A check that stops the run unless `good`. Returns `good`. */
  require(id: string, good: boolean, words: CheckWords): boolean {
    return this.add(id, good ? 'ok' : 'refuse', words);
  }

  /** A check that warns unless `good`. Returns `good`. */
  advise(id: string, good: boolean, words: CheckWords): boolean {
    return this.add(id, good ? 'ok' : 'warn', words);
  }

  /** A check that has nothing to hold on to here. */
  skip(id: string, says: string, why: string): void {
    this.checks.push({ id, says, result: 'skip', measured: why });
  }

  private add(id: string, result: 'ok' | 'refuse' | 'warn', words: CheckWords): boolean {
    const { says, refusal, limit, next, instead } = words;
    // What other programs said comes with line breaks and full stops of its own.
    const measured = words.measured.replace(/\s+/g, ' ').replace(/[.\s]+$/, '');
    if (result === 'ok') this.checks.push({ id, says, result, measured, limit });
    else
      this.checks.push({
        id,
        says,
        refusal,
        result,
        measured,
        limit,
        next,
        ...(instead === undefined ? {} : { instead }),
      });
    return result === 'ok';
  }
}
