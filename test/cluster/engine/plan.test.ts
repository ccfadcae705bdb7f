import { decideEngines } from '../../../src/cluster/engine/decide';
import { planEngines, type DecidedEngines } from '../../../src/cluster/engine/plan';
import { enginePicture, FIRST, SECOND } from './picture';

const decided = (kind: 'switchover' | 'drain' | 'ready', node?: string): DecidedEngines => {
  const decision = decideEngines(enginePicture().observed, { kind, ...(node === undefined ? {} : { node }) });
  return { ...decision, target: decision.target ?? '' };
};

test.each([
  ['switchover', undefined, ['hand over', 'verify']],
  ['drain', FIRST, ['hand over', 'drain', 'verify']],
  ['drain', SECOND, ['drain', 'verify']],
  ['ready', SECOND, ['ready', 'verify']],
] as const)('%s of %s: %j', (kind, node, ids) => {
  const plan = planEngines(kind, decided(kind, node), 0, { medianMs: 20 });
  expect(plan.steps.map(({ id }) => id)).toEqual(ids);
  const moves = plan.steps.some(({ id }) => id === 'hand over');
  expect(plan.steps.filter(({ pointOfNoReturn }) => pointOfNoReturn)).toHaveLength(moves ? 1 : 0);
  expect(plan.expectedHoldMs > 0).toBe(moves);
  expect(plan.holdLimitMs).toBe(moves ? 2000 : 0);
});

test('where requests do not wait the plan says who takes them', () => {
  expect(planEngines('drain', decided('drain', SECOND), 0, undefined).expectedHoldBasis).toBe(
    `${FIRST} takes orders as before`,
  );
});
