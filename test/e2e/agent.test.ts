import { pythonTests } from './support/python';

// Python has its own unit tests, which run in the image that the code runs in.

test('the unit tests of the agent pass in the image of PostgreSQL', () => {
  expect(pythonTests('agent', 'veloz-ha/postgres:17')).toBeGreaterThan(50);
});

test('the unit tests of a Redis node pass in the image of Redis', () => {
  expect(pythonTests('redis', 'veloz-ha/redis:8')).toBeGreaterThan(5);
});
