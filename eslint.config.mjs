import tseslint from 'typescript-eslint';

/** Imports go one way: cli → workflows' types; workflows → cluster; activities → systems. Nobody imports upward. */
const room = (files, groups, message) => ({
  files,
  rules: {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      { patterns: [{ group: groups, message, allowTypeImports: true }] },
    ],
  },
});

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', '*.js', '*.mjs'] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { project: './tsconfig.test.json', tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowNullish: true, allowBoolean: true },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-console': 'off',
    },
  },
  room(
    ['src/cluster/*.ts'],
    ['../*', '!../failures', 'node:*', 'pg', 'ioredis', 'dockerode', '@temporalio/*'],
    'src/cluster is pure: it imports nothing but itself.',
  ),
  room(
    ['src/cluster/*/**'],
    ['../../*', 'node:*', 'pg', 'ioredis', 'dockerode', '@temporalio/*'],
    'src/cluster is pure: it imports nothing but itself.',
  ),
  room(
    ['src/workflows/**'],
    [
      '**/systems/**',
      '**/activities/**',
      '**/cli/**',
      '**/worker*',
      'node:*',
      'fs',
      'pg',
      'ioredis',
      'dockerode',
      'pino',
      '@temporalio/worker',
      '@temporalio/client',
      '@temporalio/activity',
    ],
    'Workflows hold no I/O: they import src/cluster, types of activities, and @temporalio/workflow.',
  ),
  room(
    ['src/systems/**'],
    ['**/activities/**', '**/cli/**', '**/worker', '**/worker/**'],
    'src/systems knows neither activities nor the CLI.',
  ),
  room(
    ['src/activities/**'],
    ['**/cli/**', '**/worker', '**/worker/**'],
    'Activities know neither the CLI nor the worker.',
  ),
  room(['src/report/**'], ['**/activities/**', '**/systems/**'], 'Reports are rendered from data.'),
);
