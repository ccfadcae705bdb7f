import { randomOf } from './random';

/** One thing that a round does: a fault that is taken back, or a runbook that is started and left alone, aborted or terminated. */
export interface Action {
  what: string;
  /** A place by its role when the round begins: `primary`, `engine-standby`. */
  where: string;
  /** From the beginning of the round, in milliseconds. */
  afterMs: number;
  /** Until it is taken back, in milliseconds; 0: nothing has to be. */
  forMs: number;
}

/** What may be done, and where. */
export interface Possible {
  what: string;
  where: readonly string[];
  /** Least and greatest length in milliseconds. Without it there is nothing to take back. */
  forMs?: readonly [number, number];
  /** How often it is drawn, compared with others. Default: 1. */
  weight?: number;
}

/** A round does this many things at most. */
const MOST = 3;
/** The later ones begin within this time after the first, in milliseconds. */
const WITHIN_MS = 4000;

/**
 * What a round does: one to three things, the same for the same seed, number and possibilities. None happens twice at one place. Pure.
 * @throws Error when nothing is possible
 */
export function actionsOf(seed: number, round: number, possible: readonly Possible[]): Action[] {
  const random = randomOf(seed, round);
  const drawn = possible.flatMap((one) => Array.from({ length: one.weight ?? 1 }, () => one));
  const wanted = random.whole(1, MOST);
  const actions: Action[] = [];
  for (let tries = 0; actions.length < wanted && tries < 50; tries++) {
    const { what, where: places, forMs } = random.pick(drawn);
    const where = random.pick(places);
    const afterMs = actions.length === 0 ? 0 : random.whole(0, WITHIN_MS);
    const lengthMs = forMs === undefined ? 0 : random.spread(...forMs);
    if (!actions.some((action) => action.what === what && action.where === where))
      actions.push({ what, where, afterMs, forMs: lengthMs });
  }
  return actions.sort((a, b) => a.afterMs - b.afterMs);
}

/** The possibilities that are named, as `kill` or `kill:primary`. @throws Error when a name is none of them */
export function onlyThese(possible: readonly Possible[], names: readonly string[]): Possible[] {
  if (names.length === 0) return [...possible];
  for (const name of names) {
    const [what, where] = name.split(':');
    const known = possible.filter((one) => one.what === what);
    if (known.length === 0)
      throw new Error(`"${name}" is none of: ${[...new Set(possible.map((one) => one.what))].join(', ')}`);
    if (where !== undefined && !known.some((one) => one.where.includes(where)))
      throw new Error(`${what} is possible at ${known.flatMap((one) => one.where).join(', ')}, and not at "${where}"`);
  }
  return possible.flatMap((one) => {
    const where = one.where.filter((place) => names.includes(one.what) || names.includes(`${one.what}:${place}`));
    return where.length === 0 ? [] : [{ ...one, where }];
  });
}

/** The actions as a person repeats them: `kill:primary@0+5000,freeze:standby@1200+700`, in milliseconds. */
export const actionsText = (actions: readonly Action[]): string =>
  actions.map(({ what, where, afterMs, forMs }) => `${what}:${where}@${afterMs}+${forMs}`).join(',');

/** Reads what {@link actionsText} wrote. @throws Error that names the part that is none */
export function parseActions(text: string): Action[] {
  return text.split(',').map((part) => {
    const found = /^([a-z-]+):([a-z0-9-]+)@(\d+)\+(\d+)$/.exec(part.trim());
    if (found === null) throw new Error(`"${part}" is no action: expected what:where@afterMs+forMs`);
    const [, what = '', where = '', afterMs, forMs] = found;
    return { what, where, afterMs: Number(afterMs), forMs: Number(forMs) };
  });
}
