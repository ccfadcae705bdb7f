/** How a run that the guard started has ended. */
export interface RunEnd {
  /** It came to its end, and not to a failure. */
  well: boolean;
  /** The sentence of its report, or why it failed. */
  says: string;
  /** The type of its failure, where it has one. */
  type?: string;
  /** It left what it was in the middle of to a run that had to act first. */
  gaveWay?: boolean;
}

/**
 * For how long a run that goes on holds up a new history of the guard, in milliseconds. Until then its end is heard in the history that
 * started it. A question to a person, or a copy, may go on for longer: the next history has its end told by the server.
 */
export const HOLDS_UP_MS = 10 * 60_000;

/** The first of these runs that still holds a new history up; undefined where none does. Pure. */
export function holdsUp<Run extends { since: number }>(runs: readonly Run[], now: number): Run | undefined {
  return runs.find(({ since }) => now - since < HOLDS_UP_MS);
}
