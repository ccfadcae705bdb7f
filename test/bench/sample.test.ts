import { sampleOf } from '../e2e/support/sample';

const points = Array.from({ length: 20 }, (_, index) => `point ${index}`);

test('a sample of a crash matrix is the same for the same seed, in the order of the matrix, and another one for another seed', () => {
  const first = sampleOf(points, 8, {});
  expect(first).toHaveLength(8);
  expect(first).toEqual(points.filter((point) => first.includes(point)));
  expect(sampleOf(points, 8, { VELOZ_HA_SEED: '1' })).toEqual(first);
  expect(sampleOf(points, 8, { VELOZ_HA_SEED: '2' })).not.toEqual(first);
});

test('every point is tried by some seed, and by one run of test:crashes', () => {
  const tried = new Set(
    Array.from({ length: 40 }, (_, seed) => sampleOf(points, 8, { VELOZ_HA_SEED: `${seed}` })).flat(),
  );
  expect(tried.size).toBe(points.length);
  expect(sampleOf(points, 8, { VELOZ_HA_CRASH_POINTS: 'all' })).toEqual(points);
  expect(sampleOf(points, 99, {})).toEqual(points);
});

test('what is no seed is refused', () => {
  expect(() => sampleOf(points, 8, { VELOZ_HA_SEED: 'x' })).toThrow('VELOZ_HA_SEED is no whole number: x');
});
