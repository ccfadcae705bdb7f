import { flowLine, movesOf, ordersDuring, ordersReport } from '../../src/bench/demo-orders';
import { longestGap, type LoadResult, type OrdersOf } from '../../src/bench/order-load';
import { makeStyle } from '../../src/report/style';
import type { MaintenanceMove, Report, StepState } from '../../src/workflows/run-state';

const AT = Date.UTC(2026, 10, 23, 4, 0, 0);
const move = (more: Partial<MaintenanceMove>): MaintenanceMove => ({
  tier: 'engine',
  from: 'veloz-engine-1',
  to: 'veloz-engine-2',
  back: false,
  run: 'engine-switchover/1',
  heldMs: 53,
  ...more,
});
const step = (id: string, startedAt: number, ms: number): StepState => ({
  id,
  says: id,
  state: 'done',
  pointOfNoReturn: false,
  startedAt,
  ms,
});
const report = {
  maintenance: { moves: [move({}), move({ back: true, from: 'veloz-engine-2', to: 'veloz-engine-1' })] },
  steps: [step('engine', AT, 1000), step('back-engine', AT + 5000, 500)],
} as unknown as Report;
// One order every 100 ms; each is acknowledged.
const sent = Array.from({ length: 100 }, (_, index) => AT - 1000 + 100 * index);
const ordersOf = (within: (at: number) => boolean): OrdersOf => {
  const count = sent.filter(within).length;
  return { sent: count, acknowledged: count, failed: 0, lost: 0, duplicates: 0, slowestMs: 12, gapMs: 9 };
};
const load = { ordersOf, soFar: () => ({ acknowledged: 100, failed: 0, open: 2 }) };
const result: LoadResult = {
  attempts: 100,
  acknowledged: 100,
  failed: 0,
  failures: {},
  lost: 0,
  duplicates: 0,
  unacknowledged: 0,
  gapMs: 40,
  slowestMs: 60,
  medianMs: 4,
  byEngine: {},
};
const head = { what: 'MOVED', node: 'TO', ended: true };
const style = makeStyle({ colour: false, unicode: true, width: 100 });

test('every order is counted once: in the move during which it was sent, or in none', () => {
  expect(ordersDuring(movesOf(report), load).map((one) => [one.happening?.node, one.sent])).toEqual([
    ['veloz-engine-2', 10],
    ['veloz-engine-1', 5],
    [undefined, 85],
  ]);
});

test('the report has each move with its wait, and fits a terminal of 100 columns', () => {
  const { good, lines } = ordersReport(movesOf(report), load, result, head, style);
  const text = lines.join('\n');
  expect(good).toBe(true);
  expect(text).toMatch(/engine, back\s+veloz-engine-1\s+53 ms\s+5\s+5\s+0\s+0\s+0\s+12 ms/);
  expect(text).toContain('✔ 100 orders sent, each once: 100 acknowledged, 0 failed');
  expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
});

test('an order that failed, was lost or is double makes it bad, and says what failed', () => {
  const bad = { ...result, failed: 1, failures: { '503 x': 1 } };
  const { good, lines } = ordersReport(movesOf(report), load, bad, head, style);
  expect(good).toBe(false);
  expect(lines.join('\n')).toContain('✖ 100 orders sent');
  expect(lines.join('\n')).toContain('1 × 503 x');
  expect(ordersReport([], load, { ...result, duplicates: 1 }, head, style).good).toBe(false);
});

test('a killed node has the silence that its death cost, in place of a hold', () => {
  const killed = { tier: 'redis', what: 'Redis', node: 'veloz-redis-master', from: AT, to: AT + 1000 } as const;
  const { lines } = ordersReport([killed], load, result, { what: 'KILLED', node: 'NODE', ended: true }, style);
  expect(lines.join('\n')).toMatch(/Redis\s+veloz-redis-master\s+10\s+10\s+0\s+0\s+0\s+9 ms\s+12 ms/);
  expect(lines.join('\n')).not.toContain('HELD');
});

test('the longest gap is between neighbours', () => {
  expect(longestGap([5, 1, 2])).toBe(3);
  expect(longestGap([])).toBe(0);
});

test('the line of the orders now tells the last second', () => {
  expect(flowLine(load, AT, style)).toContain(
    'orders 10/s   100 acknowledged   2 under way   slowest 12 ms   0 failed',
  );
});
