/** Numbers that look random and are the same for the same seed. */
export interface Random {
  /** From 0 up to, and never, 1. */
  next(): number;
  /** A whole number from `least` to `most`, both included. */
  whole(least: number, most: number): number;
  /** One of a list. @throws Error for an empty one */
  pick<T>(list: readonly T[]): T;
  /** A whole number between both bounds, each order of magnitude as likely as the other: short times come often, long ones too. */
  spread(least: number, most: number): number;
}

/**
 * A stream of numbers of its own for each round: a round can be repeated alone.
 * @param seed of the campaign
 * @param stream number of the round
 */
export function randomOf(seed: number, stream: number): Random {
  // mulberry32, over a state that both numbers have stirred.
  let state = (Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul((stream | 0) + 1, 0x85ebca6b)) >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  // The first numbers of neighbouring seeds resemble each other.
  for (let drop = 0; drop < 4; drop++) next();
  return {
    next,
    whole: (least, most) => least + Math.floor(next() * (most - least + 1)),
    pick(list) {
      const one = list[Math.floor(next() * list.length)];
      if (one === undefined) throw new Error('there is nothing to pick from');
      return one;
    },
    spread: (least, most) => Math.round(least * (most / least) ** next()),
  };
}
