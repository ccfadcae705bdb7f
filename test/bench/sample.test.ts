import { isTried, sampleOf } from '../e2e/support/sample';

const points = Array.from({ length: 20 }, (_, index) => `point ${index}`);

test('a sample of a crash matrix is the same for the same seed, in the order of the matrix, and another one for another seed', () => {
  const first = sampleOf(points, 8, {});
  expect(first).toHaveLength(8);
  expect(first).toEqual(points.filter((point) => first.includes(point)));
  expect(sampleOf(points, 8, { VELOZ_HA_SEED: '1' })).toEqual(first);
  expect(sampleOf(points, 8, { VELOZ_HA_SEED: '2' })).not.toEqual(first);
});

test('every point is tried by some seed, and by a run of everything', () => {
  const tried = new Set(
    Array.from({ length: 40 }, (_, seed) => sampleOf(points, 8, { VELOZ_HA_SEED: `${seed}` })).flat(),
  );
  expect(tried.size).toBe(points.length);
  expect(sampleOf(points, 8, { VELOZ_HA_TESTS: 'all' })).toEqual(points);
  expect(sampleOf(points, 99, {})).toEqual(points);
});

test('what is no seed is refused', () => {
  expect(() => sampleOf(points, 8, { VELOZ_HA_SEED: 'x' })).toThrow('VELOZ_HA_SEED is no whole number: x');
});

test('of a long suite about one in four is tried, the others with other seeds, and all of it where all is wanted', () => {
  const tried = (env: Record<string, string>) => points.filter((point) => isTried(point, env));
  expect(tried({}).length).toBeGreaterThan(2);
  expect(tried({}).length).toBeLessThan(14);
  expect(tried({ VELOZ_HA_SEED: '1' })).toEqual(tried({}));
  const seeds = Array.from({ length: 40 }, (_, seed) => tried({ VELOZ_HA_SEED: `${seed}` }));
  expect(new Set(seeds.flat()).size).toBe(points.length);
  expect(tried({ VELOZ_HA_TESTS: 'all' })).toEqual(points);
});
