import { isNamed, newerPrimary } from '../../../src/cluster/guard/named-nodes';

const ledger = { primary: 'p', synchronous: ['s'], timeline: 3 };

describe('whom a ledger names', () => {
  test.each([
    ['p', true],
    ['s', true],
    ['t', false],
  ])('%s: %s', (node, named) => {
    expect(isNamed(ledger, node)).toBe(named);
  });

  test('nobody without a ledger, or by one that knows no primary yet', () => {
    expect(isNamed(null, 'p')).toBe(false);
    expect(isNamed({ primary: null, synchronous: [] }, 'p')).toBe(false);
  });
});

describe('whose timeline is newer', () => {
  test('that of the primary of the ledger, where nobody who would take its place was on it', () => {
    expect(newerPrimary(ledger, 2)).toEqual({ primary: 'p', timeline: 3 });
    expect(newerPrimary(ledger, 3)).toBeUndefined();
    expect(newerPrimary(ledger, 4)).toBeUndefined();
  });

  test('nobody’s without a ledger, or by one that knows no primary yet', () => {
    expect(newerPrimary(null, 1)).toBeUndefined();
    expect(newerPrimary({ primary: null, timeline: 3 }, 1)).toBeUndefined();
  });
});
