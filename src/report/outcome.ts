import { exitCodeOf, exitCodes, type FailureType } from '../failures';
import type { Outcome } from '../workflows/run-state';
import type { Style } from './style';

/** The exit code that an outcome stands for. */
export function exitCodeOfOutcome(outcome: Outcome): number {
  const type = failureOf(outcome);
  return type === undefined ? exitCodes.ok : exitCodeOf(type);
}

/** The failure type that an outcome stands for; undefined when it is a success. */
export function failureOf(outcome: Outcome): FailureType | undefined {
  switch (outcome) {
    case 'completed':
    case 'completed with warnings':
    case 'planned':
      return undefined;
    case 'refused':
      return 'Refused';
    case 'busy':
      return 'Busy';
    case 'rejected':
      return 'Rejected';
    case 'not approved in time':
      return 'NotApproved';
    case 'rolled back':
      return 'RolledBack';
    case 'aborted':
      return 'Aborted';
    case 'failed':
      return 'Failed';
    case 'incomplete':
      return 'Incomplete';
  }
}

/** The outcome with its sign, in its colour: green for a success, yellow where nothing was harmed, red else. */
export function outcomeText(outcome: Outcome, style: Style): string {
  const { colour, glyphs } = style;
  const bold = (sign: string, paint: (text: string) => string) =>
    colour.bold(paint(`${sign} ${outcome.toUpperCase()}`));
  switch (outcome) {
    case 'completed':
    case 'planned':
      return bold(glyphs.done, colour.green);
    case 'completed with warnings':
      return bold(glyphs.warning, colour.yellow);
    case 'refused':
    case 'busy':
    case 'rejected':
    case 'not approved in time':
      return bold(glyphs.failed, colour.yellow);
    case 'rolled back':
    case 'aborted':
      return bold(glyphs.undo, colour.yellow);
    case 'failed':
    case 'incomplete':
      return bold(glyphs.failed, colour.red);
  }
}
