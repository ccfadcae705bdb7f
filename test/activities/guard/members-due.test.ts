import { isDue } from '../../../src/activities/guard/watch-members';
import type { LeftOver } from '../../../src/cluster/guard/mending';

describe('an attempt that was in vain is made again', () => {
  const fenced: LeftOver = { node: 'a', says: 'fenced', key: 'fenced', settleMs: 0 };
  const keys = new Map([['a', 'fenced']]);
  const after = (stretchMs: number, waitMs: number | undefined, notBefore: number) =>
    isDue(
      fenced,
      { known: [{ node: 'a', says: 'fenced', key: 'fenced', notBefore, ...(waitMs === undefined ? {} : { waitMs }) }] },
      keys,
      stretchMs,
      stretchMs,
    );
  const FIVE_MINUTES = 300_000;

  test.each([
    ['behind', FIVE_MINUTES],
    ['ahead of', -FIVE_MINUTES],
  ])('after its pause, where the clock of the worker is %s that of the server', (_how, off) => {
    const notBefore = Date.now() + off + 2000;
    expect(after(1999, 2000, notBefore)).toBe(false);
    expect(after(2000, 2000, notBefore)).toBe(true);
  });

  test('by the time of its end, where a guard of an older version says nothing else', () => {
    expect(after(60_000, undefined, Date.now() + 1000)).toBe(false);
    expect(after(0, undefined, Date.now())).toBe(true);
  });

  test('at once, where something has changed since', () => {
    expect(
      isDue(
        { ...fenced, key: 'stopped' },
        { known: [{ node: 'a', says: 'fenced', key: 'fenced', notBefore: 0, waitMs: 2000 }] },
        keys,
        0,
        0,
      ),
    ).toBe(true);
  });
});
