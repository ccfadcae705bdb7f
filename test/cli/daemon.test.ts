import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { daemonFiles, findDetached, startDetached, stopDetached, waitReady, type Detached } from '../../src/cli/daemon';

let folder: string;
let env: NodeJS.ProcessEnv;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'veloz-ha-'));
  env = { ...process.env, VELOZ_HA_STATE: folder };
});
afterEach(async () => {
  await stopDetached(env, 'x', 1_000);
  rmSync(folder, { recursive: true });
});

const node = (script: string) => [process.execPath, '-e', script];

test('a process is left running, found again, and stopped', async () => {
  const started = await startDetached(env, 'x', node('console.log("hello"); setInterval(() => 0, 1000)'));
  await waitReady(started, 'it', () => Promise.resolve(readFileSync(started.logFile, 'utf8').includes('hello')), 5_000);
  expect(findDetached(env, 'x')).toMatchObject({ pid: started.pid });
  expect(await stopDetached(env, 'x', 5_000)).toBe('stopped');
  expect(findDetached(env, 'x')).toBeUndefined();
  expect(await stopDetached(env, 'x', 5_000)).toBe('not running');
});

test('one that does not stop in time is ended', async () => {
  const started = await startDetached(
    env,
    'x',
    node('process.on("SIGTERM", () => 0); console.log("up"); setInterval(() => 0, 1000)'),
  );
  await waitReady(started, 'it', () => Promise.resolve(readFileSync(started.logFile, 'utf8').includes('up')), 5_000);
  expect(await stopDetached(env, 'x', 200)).toBe('killed');
});

test('one that ends at once says why', async () => {
  const started = await startDetached(env, 'x', node('console.error("port 1 is taken"); process.exit(1)'));
  await expect(waitReady(started, 'it', () => Promise.resolve(false), 5_000)).rejects.toMatchObject({
    type: 'SetUp',
    message: 'it ended right after its start',
    detail: { why: 'it said: port 1 is taken' },
  });
});

test('another process that got the same id is not taken for it, and is not ended', async () => {
  const started = await startDetached(env, 'x', node('setInterval(() => 0, 1000)'));
  await stopDetached(env, 'x', 5_000);
  const other: Detached = { ...started, pid: process.pid, born: '1' };
  writeFileSync(daemonFiles(env, 'x').pidFile, JSON.stringify(other));
  expect(findDetached(env, 'x')).toBeUndefined();
  expect(await stopDetached(env, 'x', 100)).toBe('not running');
});

test('a program that is not there is an error that names it', async () => {
  await expect(startDetached(env, 'x', ['/nowhere/temporal'])).rejects.toMatchObject({
    type: 'SetUp',
    message: "/nowhere/temporal can't be started",
  });
});
