import { dualWrites } from '../../src/bench/dual-writes';

const acks = (...each: [node: string, at: number][]) => each.map(([node, at]) => ({ node, at }));

describe('moments at which two nodes were writable', () => {
  test('nobody acknowledged anything: none', () => {
    expect(dualWrites([])).toEqual({ moments: 0, spanMs: 0, nodes: [] });
  });

  test('one primary, which comes back in place after a pause: none', () => {
    expect(dualWrites(acks(['a', 1], ['a', 2], ['a', 900], ['a', 950])).moments).toBe(0);
  });

  test('the primary moves once: none, and each node has its time', () => {
    const { moments, nodes } = dualWrites(acks(['a', 1], ['a', 2], ['b', 10], ['b', 11], ['c', 20]));
    expect(moments).toBe(0);
    expect(nodes).toEqual([
      { node: 'a', acknowledged: 2, firstAt: 1, lastAt: 2 },
      { node: 'b', acknowledged: 2, firstAt: 10, lastAt: 11 },
      { node: 'c', acknowledged: 1, firstAt: 20, lastAt: 20 },
    ]);
  });

  test('a node acknowledges after its successor has: every such acknowledgement counts', () => {
    expect(dualWrites(acks(['a', 1], ['b', 10], ['a', 11], ['b', 12], ['a', 15], ['b', 16]))).toMatchObject({
      moments: 2,
      spanMs: 4,
    });
  });

  test('the acknowledgements of several clients come in any order', () => {
    expect(dualWrites(acks(['b', 10], ['b', 12], ['a', 1], ['a', 9])).moments).toBe(0);
    expect(dualWrites(acks(['b', 10], ['b', 12], ['a', 1], ['a', 11])).moments).toBe(1);
  });

  test('a primary that comes back by itself beside the new one is no successor', () => {
    expect(dualWrites(acks(['a', 1], ['b', 10], ['a', 5000], ['a', 5050])).moments).toBe(2);
  });
});
