/** Tests by what they need: nothing, containers, a Temporal server, the whole stack. */
const transform = {
  '^.+\\.ts$': [
    '@swc/jest',
    { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } },
  ],
};
const project = (displayName, testMatch, rest = {}) => ({
  displayName,
  testMatch: testMatch.map((pattern) => `<rootDir>/test/${pattern}`),
  transform,
  testEnvironment: 'node',
  ...rest,
});

/**
 * What the guard, a failover and the runbooks around them do when things fail, in prose. They run on their own, by
 * `npm run test:scenarios`: a quarter of an hour of killed containers.
 */
const scenarios = ['failover', 'failover-deaths', 'guard', 'rejoin', 'standbys', 'repair'].map(
  (name) => `e2e/${name}.test.ts`,
);
const onStack = {
  globalSetup: '<rootDir>/test/e2e/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/e2e/support/global-teardown.ts',
};

module.exports = {
  // The stack's containers have fixed names: suites that use them run one after the other.
  maxWorkers: 1,
  // A killed worker or server leaves sockets in the test process that close only minutes later.
  forceExit: true,
  testTimeout: 120_000,
  projects: [
    project('unit', ['{cluster,cli,report,workflows,worker,systems,activities,bench,docs,engine}/**/*.test.ts']),
    process.env.VELOZ_HA_SCENARIOS === '1'
      ? project('scenarios', scenarios, onStack)
      : project('e2e', ['e2e/**/*.test.ts'], {
          ...onStack,
          testPathIgnorePatterns: scenarios.map((name) => `/test/${name}$`),
        }),
  ],
};
