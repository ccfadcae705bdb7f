import { moveProof } from '../../../src/cluster/redis/proof';

const compare = { id: 'compare', detail: 'offset 4711' };
const promote = { id: 'promote' };
const demote = { id: 'demote' };

describe('that a planned move of the Redis master lost nothing', () => {
  test('is proven by a comparison behind which the run promoted the target itself', () => {
    expect(moveProof([demote, compare, promote])).toBe('both were at offset 4711 when it was promoted');
  });

  test.each([
    ['the run did nothing before somebody else promoted', []],
    ['it only held the writes', [{ id: 'hold' }, { id: 'equal', detail: 'offset 4711' }]],
    ['it compared, and somebody else promoted', [demote, compare]],
    ['it compared again after it promoted', [promote, demote, compare]],
  ])('is not, where %s', (_what, subSteps) => {
    expect(moveProof(subSteps)).toBeUndefined();
  });
});
