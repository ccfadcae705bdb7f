import { decideSwitchover } from '../../src/cluster/switchover/decide';
import { planSwitchover, type SwitchoverPlan } from '../../src/cluster/switchover-plan';
import type { Protection } from '../../src/cluster/topology';
import { picture, PRIMARY, STANDBY, STANDBY_2 } from './support/picture';

function plan(options: { three?: boolean; protection?: Protection; handoverMs?: number } = {}): SwitchoverPlan {
  const { three, protection, handoverMs } = options;
  const { topology, observed } = picture({ three });
  const decision = decideSwitchover(topology, observed, { protection, pauseLimitMs: 2000 });
  const { source, target } = decision;
  if (source === undefined || target === undefined) throw new Error('refused');
  return planSwitchover(
    { ...decision, source, target },
    { holdLimitMs: 5000, soakMs: 3000 },
    handoverMs === undefined ? undefined : { medianMs: handoverMs },
  );
}
const moveOf = (made: SwitchoverPlan) => made.steps.find((step) => step.id === 'move')?.says ?? '';

describe('the plan of a switchover', () => {
  test('names who moves where, and how long clients are held at most', () => {
    expect(plan()).toMatchObject({ primary: PRIMARY, target: STANDBY, protection: 'zero-loss', holdLimitMs: 5000 });
  });

  test('has its steps in order, with one point of no return', () => {
    const { steps } = plan();
    expect(steps.map(({ id }) => id)).toEqual(['prepare', 'checkpoint', 'move', 'settle', 'verify']);
    expect(steps.filter((step) => step.pointOfNoReturn).map(({ id }) => id)).toEqual(['move']);
  });

  test('says of each step that changes something before it how it is undone', () => {
    const { steps } = plan();
    expect(steps.filter((step) => step.undo !== undefined).map(({ id }) => id)).toEqual(['prepare', 'move']);
  });

  test('of two nodes has the old primary confirm before clients go on', () => {
    expect(moveOf(plan())).toContain(`${PRIMARY} confirms as standby before clients go on`);
  });

  test('of three nodes has the other standby confirm, and a shorter hold', () => {
    expect(moveOf(plan({ three: true }))).toContain(`${STANDBY_2} confirms before clients go on`);
    expect(plan({ three: true }).expectedHoldMs).toBeLessThan(plan().expectedHoldMs);
  });

  test('with fast protection and two nodes says that nobody confirms', () => {
    const made = plan({ protection: 'fast' });
    expect(moveOf(made)).toContain('clients go on before a standby confirms');
    expect(made.expectedHoldMs).toBeLessThan(plan().expectedHoldMs);
  });

  test('counts one hand-over a step at what it costs here, and none inside the hold', () => {
    const [cheap, dear] = [plan({ handoverMs: 20 }), plan({ handoverMs: 95 })];
    for (const [index, step] of dear.steps.entries()) {
      expect((step.expectedMs ?? 0) - (cheap.steps[index]?.expectedMs ?? 0)).toBe(75);
    }
    expect(dear.expectedHoldMs).toBe(cheap.expectedHoldMs);
    expect(dear.expectedHoldBasis).toContain('95 ms each here');
  });

  test('takes a server that was not measured yet for one as shipped, and says so', () => {
    expect(plan().steps.map((step) => step.expectedMs)).toEqual(
      plan({ handoverMs: 100 }).steps.map((s) => s.expectedMs),
    );
    expect(plan().expectedHoldBasis).toContain('cost not measured yet');
  });
});
