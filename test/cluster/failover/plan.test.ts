import { failoverPlan, type FailoverPlanInput } from '../../../src/cluster/failover/plan';
import type { Plan } from '../../../src/workflows/run-state';
import { PRIMARY, STANDBY, STANDBY_2 } from '../support/picture';

// A plan of a failover is shown and reported like every other.
const plan = (rest: Partial<FailoverPlanInput> = {}): Plan =>
  failoverPlan({
    source: PRIMARY,
    target: STANDBY,
    others: [],
    protection: 'zero-loss',
    holdLimitMs: 5000,
    handover: { medianMs: 20 },
    ...rest,
  });

describe('the plan of a failover', () => {
  test('names who failed, who is promoted, and how long clients are held at most', () => {
    expect(plan()).toMatchObject({ primary: PRIMARY, target: STANDBY, protection: 'zero-loss', holdLimitMs: 5000 });
  });

  test('expects a hold between what a dead and what a living container cost', () => {
    expect(plan().expectedHoldMs).toBeGreaterThanOrEqual(200);
    expect(plan().expectedHoldMs).toBeLessThanOrEqual(700);
    expect(plan().expectedHoldBasis).toContain('20 ms each here');
    expect(plan({ handover: undefined }).expectedHoldBasis).toContain('cost not measured yet');
  });

  test('has its steps in order, with one point of no return, and how it is undone until then', () => {
    const { steps } = plan();
    expect(steps.map(({ id }) => id)).toEqual(['failover', 'record', 'rejoin', 'verify']);
    expect(steps.filter((step) => step.pointOfNoReturn).map(({ id }) => id)).toEqual(['failover']);
    expect(steps.filter((step) => step.undo !== undefined).map(({ id }) => id)).toEqual(['failover']);
  });

  test('ends after the promotion where the old primary is left alone', () => {
    expect(plan({ rejoins: false }).steps.map(({ id }) => id)).toEqual(['failover', 'record']);
  });

  test.each([
    [[], 'commits go on without a standby until one is back'],
    [[STANDBY_2], `${STANDBY_2} follows and confirms`],
    [[STANDBY_2, 'x'], `${STANDBY_2}, x follow and confirm`],
  ])('says who confirms afterwards: %j', (others, says) => {
    expect(plan({ others }).steps[0]?.says).toContain(says);
  });

  test('says how long it watches', () => {
    expect(plan({ soakMs: 3000 }).steps.at(-1)).toMatchObject({
      says: 'Verify through the front door, and watch for 3.00 s',
      expectedMs: 3080,
    });
    expect(plan().steps.at(-1)?.says).toBe('Verify through the front door');
  });

  test('says what it depends on where the failed primary is read first, and what happens else', () => {
    const { steps, readsFirst, ...rest } = plan({ readsFirst: true });
    expect(readsFirst).toBe(true);
    expect(steps[0]?.says).toContain(`read its WAL; where ${STANDBY} has all of it, promote ${STANDBY}`);
    expect(steps[0]?.undo).toBe(
      `until the promotion: clients are let go, and ${PRIMARY} is started again in its place, as the primary`,
    );
    expect(rest.expectedHoldMs).toBeGreaterThan(3000);
    expect(rest.expectedHoldBasis).toContain('three to six seconds more');
    expect(plan().readsFirst).toBeUndefined();
  });

  test('counts one hand-over a step at what it costs here, and none inside the hold', () => {
    const [cheap, dear] = [plan(), plan({ handover: { medianMs: 95 } })];
    for (const [index, step] of dear.steps.entries())
      expect((step.expectedMs ?? 0) - (cheap.steps[index]?.expectedMs ?? 0)).toBe(75);
    expect(dear.expectedHoldMs).toBe(cheap.expectedHoldMs);
  });
});
