import { reportProblem } from '../../src/cli/errors';
import { Problem } from '../../src/systems/problem';
import { fakeCli } from './fake-io';

const problem = new Problem('Busy', 'another run holds the cluster', {
  why: 'switchover/veloz/x holds it\nsince 3 s',
  next: 'veloz-ha watch x',
});

test('what, why, next, type, on one line of stderr; the type decides the exit code', () => {
  const cli = fakeCli();
  expect(reportProblem(cli, problem)).toBe(4);
  expect(cli.io.err()).toBe(
    'Error: another run holds the cluster. Why: switchover/veloz/x holds it; since 3 s. Next: veloz-ha watch x [Busy]\n',
  );
  expect(cli.io.out()).toBe('');
});

test('-o jsonl ends its stream with the error', () => {
  const cli = fakeCli({ output: 'jsonl' });
  reportProblem(cli, problem);
  expect(JSON.parse(cli.io.out())).toMatchObject({ event: 'error', version: 1, error: { type: 'Busy' } });
});

test('something unforeseen is exit 1, and its stack is shown with -v only', () => {
  const quiet = fakeCli();
  const verbose = fakeCli({ verbose: true });
  const error = new Error('x is undefined');
  expect(reportProblem(quiet, error)).toBe(1);
  reportProblem(verbose, error);
  expect(quiet.io.err()).toBe(
    'Error: the command broke off unexpectedly. Why: x is undefined. Next: run it again with -v to see where [Failed]\n',
  );
  expect(verbose.io.err()).toContain('errors.test.ts');
});
