import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../../src/cli/paths';

/**
 * Runs the Python unit tests of a folder of docker/ in the image that its code runs in, and expects them all to pass.
 * @returns how many there are
 */
export function pythonTests(folder: string, image: string): number {
  const args = [
    ...['run', '--rm', '--network', 'none', '--label', 'io.veloz.cluster=veloz'],
    ...['-v', `${join(packageRoot, 'docker', folder)}:/code:ro`, '-w', '/code'],
    ...['--entrypoint', 'python3', image, '-B', '-m', 'unittest', 'discover', 'tests'],
  ];
  const { status, stderr } = spawnSync('docker', args, { encoding: 'utf8' });
  expect({ status, ok: /^OK$/m.test(stderr), output: status === 0 ? '' : stderr }).toEqual({
    status: 0,
    ok: true,
    output: '',
  });
  return Number(/Ran (\d+) tests/.exec(stderr)?.[1]);
}
