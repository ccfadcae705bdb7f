import { safeByHand } from '../../../src/cluster/guard/by-hand';
import type { LeftOver, MemberFacts } from '../../../src/cluster/guard/mending';

const REPAIR = 'veloz-ha repair --cluster veloz';
const left = (node: string, byHand?: string): LeftOver => ({
  node,
  says: 'its container is paused',
  leaves: 'somebody froze it',
  key: 'k',
  settleMs: 1,
  ...(byHand === undefined ? {} : { byHand }),
});
const members: MemberFacts[] = [
  { name: 'p', optional: false, container: { status: 'running' } },
  { name: 's', optional: false, container: { status: 'paused' } },
  { name: 't', optional: false, container: { status: 'exited', exitCode: 0 } },
];
const among = (writable: string[]) => ({ cluster: 'veloz', pooler: 'pooler', writable, members });

describe('the pooler that a person stopped, froze or paused', () => {
  test.each([
    [[], 'somebody froze it; nobody takes writes'],
    [['p', 's'], 'somebody froze it; p and s take writes'],
  ])('is not let in while %j take writes: a repair sees to that first', (writable, leaves) => {
    expect(safeByHand(left('pooler', 'docker start pooler'), among(writable))).toMatchObject({
      byHand: REPAIR,
      leaves,
    });
  });

  test('is beside one primary', () => {
    const found = left('pooler', 'docker start pooler');
    expect(safeByHand(found, among(['p']))).toBe(found);
  });
});

describe('a frozen node', () => {
  const found = left('s', 'docker unpause s');
  test('beside a primary that it does not stream from is ended by a rejoin: thawed, it may be a second one', () => {
    expect(safeByHand(found, among(['p']))).toMatchObject({
      byHand: 'veloz-ha postgres rejoin s --cluster veloz',
      leaves: 'somebody froze it; p takes writes without it',
    });
  });

  test('is thawed where nobody takes writes, or where two do and a person decides', () => {
    expect(safeByHand(found, among([]))).toBe(found);
    expect(safeByHand(found, among(['p', 'q']))).toBe(found);
  });
});

test('whatever else a person stopped is started as it was', () => {
  for (const node of ['t', 'haproxy']) {
    const found = left(node, `docker start ${node}`);
    expect(safeByHand(found, among(['p']))).toBe(found);
    expect(safeByHand(found, among([]))).toBe(found);
  }
  expect(safeByHand(left('pooler'), among([]))).toEqual(left('pooler'));
});
