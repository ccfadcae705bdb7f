import { isExpectedNames, standbysNeeded, synchronousNamesFor } from '../../src/cluster/synchronous-names';

const topology = (synchronousStandbyNames: string) => ({ postgres: { synchronousStandbyNames } });

describe('the names that a primary waits for', () => {
  test.each<[topology: string, standbys: number, names: string]>([
    ['veloz_standby', 0, 'veloz_standby'],
    ['veloz_standby', 1, 'veloz_standby'],
    ['veloz_standby', 2, 'ANY 1 (veloz_standby)'],
    ['veloz_standby', 5, 'ANY 1 (veloz_standby)'],
    ['"Standby-1"', 2, 'ANY 1 ("Standby-1")'],
    // Whoever wrote more than a name knows what they want.
    ['FIRST 1 (veloz_standby)', 2, 'FIRST 1 (veloz_standby)'],
    ['ANY 2 (veloz_standby)', 3, 'ANY 2 (veloz_standby)'],
    ['a, b', 2, 'a, b'],
    ['*', 2, '*'],
  ])("topology '%s', %i streaming: '%s'", (names, standbys, expected) => {
    expect(synchronousNamesFor(topology(names), standbys)).toBe(expected);
  });
});

describe('names that are there are as expected', () => {
  test.each<[names: string, standbys: number, expected: boolean]>([
    ['veloz_standby', 1, true],
    ['veloz_standby', 2, false],
    ['ANY 1 (veloz_standby)', 2, true],
    ['any 1(veloz_standby)', 2, true],
    ['ANY  1  ( veloz_standby )', 3, true],
    // One of two standbys is gone: what is left means the same.
    ['ANY 1 (veloz_standby)', 1, true],
    ['ANY 2 (veloz_standby)', 2, false],
    ['FIRST 1 (veloz_standby)', 2, false],
    ['', 0, false],
    ['', 1, false],
    ['*', 1, false],
  ])("'%s' with %i streaming: %s", (names, standbys, expected) => {
    expect(isExpectedNames(topology('veloz_standby'), names, standbys)).toBe(expected);
  });
});

describe('a commit waits for so many standbys', () => {
  test.each<[names: string, needed: number]>([
    ['', 0],
    ['  ', 0],
    ['veloz_standby', 1],
    ['a, b', 1],
    ['*', 1],
    ['ANY 1 (veloz_standby)', 1],
    ['ANY 2 (veloz_standby)', 2],
    ['any 2(a,b , c)', 2],
    ['FIRST 3 (*)', 3],
    [' 2 (a, b)', 2],
    // A name that only looks like a number of standbys.
    ['any', 1],
    ['"ANY 2 (a)"', 1],
  ])("'%s': %i", (names, needed) => {
    expect(standbysNeeded(names)).toBe(needed);
  });
});
