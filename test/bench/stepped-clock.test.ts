import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../src/cli/paths';

const hasCompiler = spawnSync('cc', ['--version']).status === 0;

(hasCompiler ? describe : describe.skip)('a stepped clock', () => {
  const folder = mkdtempSync(join(tmpdir(), 'veloz-ha-clock-'));
  const library = join(folder, 'stepped-clock.so');
  const offset = join(folder, 'offset');
  beforeAll(() =>
    execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(packageRoot, 'src/bench/stepped-clock.c')]),
  );
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const inside = (command: string, ...args: string[]) =>
    execFileSync(command, args, {
      encoding: 'utf8',
      env: { ...process.env, LD_PRELOAD: library, STEPPED_CLOCK: offset },
    });
  const set = (seconds: number) => {
    const nanoseconds = Buffer.alloc(8);
    nanoseconds.writeBigInt64LE(BigInt(seconds) * 1_000_000_000n);
    writeFileSync(offset, nanoseconds);
  };

  test.each([3600, -3600])('is %d s from the machine’s, for every program', (seconds) => {
    set(seconds);
    const off = (told: string) => Math.abs(Number(told) - seconds - Date.now() / 1000);
    expect(off(inside(process.execPath, '-p', 'Date.now() / 1000'))).toBeLessThan(10);
    expect(off(inside('date', '+%s'))).toBeLessThan(10);
  });

  test('leaves durations alone', () => {
    set(3600);
    expect(Number(inside(process.execPath, '-p', 'performance.now()'))).toBeLessThan(60_000);
  });
});
