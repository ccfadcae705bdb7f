import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../src/cli/paths';

/** The agent is Python; its own unit tests run in the image that it runs in. */
test('the unit tests of the agent pass in the image of PostgreSQL', () => {
  const agent = join(packageRoot, 'docker', 'agent');
  const args = [
    'run',
    '--rm',
    '--network',
    'none',
    '--label',
    'io.veloz.cluster=veloz',
    '-v',
    `${agent}:/agent:ro`,
    '-w',
    '/agent',
  ];
  const done = spawnSync(
    'docker',
    [...args, '--entrypoint', 'python3', 'veloz-ha/postgres:17', '-B', '-m', 'unittest', 'discover', 'tests'],
    {
      encoding: 'utf8',
    },
  );
  const [, ran] = /Ran (\d+) tests/.exec(done.stderr) ?? [];
  expect({ status: done.status, ok: /^OK$/m.test(done.stderr), output: done.status === 0 ? '' : done.stderr }).toEqual({
    status: 0,
    ok: true,
    output: '',
  });
  expect(Number(ran)).toBeGreaterThan(50);
});
