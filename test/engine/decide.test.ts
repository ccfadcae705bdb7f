import { decideStandby, isConfirmed, type StandbyView } from '../../src/engine/decide';

const holder = { node: 'engine-2', epoch: 7, url: 'http://engine-2:8080', instance: 'b' };
const view = (over: Partial<StandbyView> = {}): StandbyView => ({
  node: 'engine-1',
  instance: 'a',
  drained: false,
  holder: undefined,
  heir: undefined,
  holderAbsentMs: 0,
  absentLimitMs: 200,
  settled: true,
  ...over,
});

describe('a standby', () => {
  test.each<[string, Partial<StandbyView>, boolean, RegExp]>([
    ['takes a free lock', {}, true, /nobody holds/],
    ['takes no lock while it is drained', { drained: true }, false, /drained/],
    ['takes a lock that was handed to it', { heir: { to: 'engine-1' } }, true, /handed to it/],
    ['leaves a lock to its heir', { heir: { to: 'engine-2' } }, false, /handed to engine-2/],
    ['leaves a lock that it gave away', { heir: { not: 'engine-1' } }, false, /given the lock away/],
    ['takes a lock that another one gave away', { heir: { not: 'engine-2' } }, true, /handed to it/],
    ['leaves a held lock', { holder }, false, /engine-2 holds the lock in epoch 7/],
    ['waits while the holder is gone only briefly', { holder, holderAbsentMs: 199 }, false, /holds the lock/],
    ['takes the lock of a holder that is gone', { holder, holderAbsentMs: 200 }, true, /gone for 200 ms/],
    ['takes a drained one from nobody, gone or not', { holder, holderAbsentMs: 900, drained: true }, false, /drained/],
    [
      'takes the lock of its own earlier process',
      { holder: { ...holder, node: 'engine-1' }, settled: false },
      true,
      /earlier process/,
    ],
    [
      'leaves the lock of a second process of its name that came later',
      { holder: { ...holder, node: 'engine-1' } },
      false,
      /engine-1 holds/,
    ],
  ])('%s', (_, over, take, why) => {
    expect(decideStandby(view(over))).toEqual({ take, why: expect.stringMatching(why) as string });
  });

  test('a limit of 0 does not mean that a present holder is gone', () => {
    expect(decideStandby(view({ holder, absentLimitMs: 0 })).take).toBe(false);
  });
});

test.each([
  [1999, 9999, true],
  [2000, 2999, true],
  [2000, 3000, false],
  [Infinity, Infinity, false],
])('lock of %s ms ago, epoch of %s ms ago: confirmed is %s', (lockAgeMs, epochAgeMs, confirmed) => {
  expect(isConfirmed({ lockAgeMs, lockTtlMs: 2000, epochAgeMs, epochFreshMs: 3000 })).toBe(confirmed);
});
