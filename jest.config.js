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

const onStack = {
  globalSetup: '<rootDir>/test/e2e/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/e2e/support/global-teardown.ts',
};

module.exports = {
  // The stack's containers have fixed names: suites that use them run one after the other.
  maxWorkers: 1,
  // A killed worker or server leaves sockets in the test process that close only minutes later.
  forceExit: true,
  // Longer than what a test on the stack waits for: one that is cut off goes on beside the next, and leaves its fault behind.
  testTimeout: 240_000,
  projects: [
    project('unit', ['{cluster,cli,report,workflows,worker,systems,activities,bench,docs,engine}/**/*.test.ts']),
    project('e2e', ['e2e/**/*.test.ts'], onStack),
  ],
};
