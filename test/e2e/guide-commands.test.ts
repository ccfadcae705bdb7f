import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageRoot } from '../../src/cli/paths';
import { codeIn, rowsBelow } from '../docs/documents';
import { docker, recovered, roles, thenAlways, trading } from './support/stack';

const PAGE = 'docs/guide-commands.md';
const looking = rowsBelow(PAGE, 'Commands that only look').flatMap(([cell]) => codeIn(cell) ?? []);
const acting = rowsBelow(PAGE, 'Commands that act').flatMap(([cell]) => codeIn(cell) ?? []);
/** `docker-compose` by whichever name this machine has Compose: the command lines are those of the guide all the same. */
const shims = mkdtempSync(join(tmpdir(), 'veloz-ha-guide-'));

beforeAll(() => recovered('all'));
beforeAll(() => {
  const shim = join(shims, 'docker-compose');
  writeFileSync(
    shim,
    `#!/bin/sh\nPATH='${process.env.PATH}' exec bash '${join(packageRoot, 'scripts', 'compose.sh')}' "$@"\n`,
  );
  chmodSync(shim, 0o755);
});
afterAll(() => rmSync(shims, { recursive: true }));

/** Types a line into a shell, in the folder where the guide does. Nobody is there to answer a question. */
function typed(line: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      'bash',
      ['-c', line],
      {
        cwd: join(packageRoot, 'infra', 'ha'),
        env: { ...process.env, PATH: `${shims}${delimiter}${process.env.PATH}`, NO_COLOR: '1' },
        maxBuffer: 1 << 24,
      },
      (error, stdout, stderr) =>
        resolve({
          code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1,
          output: stdout + stderr,
        }),
    );
    child.stdin?.end();
  });
}

/** Something that a good answer says. */
const says: Record<string, RegExp> = {
  './scripts/health_check.sh': /postgres healthy, redis healthy, engine healthy/,
  './scripts/failover.sh postgres status': /veloz-postgres-primary/,
  './scripts/failover.sh redis status': /veloz-redis-sentinel-3/,
  './scripts/failover.sh engine status': /clients reach veloz-engine-/,
  'docker exec veloz-redis-sentinel-1 redis-cli -p 26379 sentinel master veloz-master': /^num-other-sentinels\n2$/m,
  'docker exec veloz-redis-sentinel-1 redis-cli -p 26379 sentinel ckquorum veloz-master': /^OK 3 usable Sentinels/,
  'docker exec veloz-redis-master redis-cli info replication': /^role:(master|slave)/m,
  'curl http://localhost:8080/health': /"role":"active"/,
  'curl http://localhost:8404/stats': /veloz_engines/,
  'curl http://localhost:8404/metrics': /haproxy_backend_status/,
};

test('every command of the guide has its row', () => {
  expect(looking.length).toBeGreaterThan(10);
  expect(Object.keys(says).filter((line) => !looking.includes(line))).toEqual([]);
});

test.each(looking)('%s', async (line) => {
  const { code, output } = await typed(line);
  expect({ code, output: code === 0 ? '' : output }).toEqual({ code: 0, output: '' });
  expect(output).toMatch(says[line] ?? /./);
});

test('the primary lists its synchronous standby for an ordinary user', async () => {
  const { primary } = await roles();
  const line = looking.find((one) => one.includes('pg_stat_replication')) ?? '';
  expect((await typed(line.replace('veloz-postgres-primary', primary))).output).toMatch(/veloz_standby.*\(1 row\)/s);
});

test.each(acting.filter((line) => line.startsWith('./scripts/failover.sh')))(
  '%s asks, and where nobody answers it changes nothing',
  async (line) => {
    const before = await roles();
    const { code, output } = await typed(line);
    expect(code).toBe(2);
    expect(output).toContain('nobody can be asked here');
    expect(await roles()).toEqual(before);
  },
);

test('an engine that is stopped under the load test costs no order', async () => {
  const line = acting.find((one) => one.includes('load_test')) ?? '';
  const stop = acting.find((one) => one.startsWith('docker stop veloz-engine')) ?? '';
  await trading();
  // The one that takes orders, whichever it is.
  const { output: health } = await typed('curl -s http://localhost:8080/health');
  const active = (JSON.parse(health) as { node: string }).node;
  await thenAlways(
    async () => {
      const load = typed(line.replace(/ &$/, ' --duration 6s --max-errors 0'));
      await sleep(2500);
      expect((await typed(stop.replace('veloz-engine-1', active))).code).toBe(0);
      expect(await load).toEqual({ code: 0, output: expect.stringContaining('(0.00 % errors') as string });
    },
    () => {
      docker('start', active);
    },
  );
  await recovered('all');
});
