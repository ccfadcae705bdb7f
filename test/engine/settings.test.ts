import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endpoints, readSettings } from '../../src/engine/settings';
import { codeIn, root, rowsBelow } from '../docs/documents';

describe('the settings', () => {
  test('are those of the shipped stack where nothing is said', () => {
    const settings = readSettings({ VELOZ_NODE: 'veloz-engine-1' });
    expect(settings).toMatchObject({
      node: 'veloz-engine-1',
      listen: { host: '0.0.0.0', port: 8080 },
      url: 'http://veloz-engine-1:8080',
      postgres: { host: 'veloz-pgbouncer', port: 6432, user: 'veloz', database: 'veloz' },
      redis: { master: 'veloz-master', address: undefined },
      times: { lockTtlMs: 2000, renewMs: 500, pollMs: 100 },
    });
    expect(settings.redis.sentinels).toHaveLength(3);
  });

  test('the lock is renewed four times in its time, whatever that is', () => {
    expect(readSettings({ VELOZ_ENGINE_LOCK_TTL_MS: '6000' }).times.renewMs).toBe(1500);
  });

  test.each([
    ['VELOZ_PG_PORT', '0'],
    ['VELOZ_PG_PORT', 'many'],
    ['VELOZ_ENGINE_LOCK_TTL_MS', '50'],
    ['VELOZ_ENGINE_RENEW_MS', '2000'],
    ['VELOZ_ENGINE_HOLD_MS', '1.5'],
    ['VELOZ_REDIS_SENTINELS', 'one,two'],
    ['VELOZ_REDIS_SENTINELS', ' , '],
    ['VELOZ_REDIS_ADDRESS', 'redis:99999'],
  ])('%s=%s is refused by its name', (name, value) => {
    expect(() => readSettings({ [name]: value })).toThrow(name);
  });

  test('an empty variable is as good as none', () => {
    expect(readSettings({ VELOZ_PG_HOST: '', VELOZ_PG_PORT: '' }).postgres).toMatchObject({
      host: 'veloz-pgbouncer',
      port: 6432,
    });
  });

  test('a secret comes from its file first, and Sentinels have the password of Redis unless they have their own', () => {
    const folder = mkdtempSync(join(tmpdir(), 'veloz-ha-engine-'));
    try {
      const file = join(folder, 'secret');
      writeFileSync(file, 'from a file\n');
      const { redis } = readSettings({ VELOZ_REDIS_PASSWORD: 'other', VELOZ_REDIS_PASSWORD_FILE: file });
      expect(redis).toMatchObject({ password: 'from a file', sentinelPassword: 'from a file' });
      const own = readSettings({ VELOZ_REDIS_PASSWORD: 'r', VELOZ_REDIS_SENTINEL_PASSWORD: 's' });
      expect(own.redis).toMatchObject({ password: 'r', sentinelPassword: 's' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test('addresses are read one by one', () => {
  expect(endpoints('X', 'a:1, [::1]:65535 ,')).toEqual([
    { host: 'a', port: 1 },
    { host: '::1', port: 65535 },
  ]);
});

describe('the reference of the environment', () => {
  const told = rowsBelow('docs/engine.md', 'Environment').map((cells) => codeIn(cells[0]) ?? '');

  test('names every variable that an engine reads, and no other', () => {
    const source = ['settings.ts', 'main.ts']
      .map((name) => readFileSync(join(root, 'src', 'engine', name), 'utf8'))
      .join('\n');
    const read = new Set(source.match(/VELOZ_[A-Z_]+[A-Z]/g)?.filter((name) => !name.endsWith('_FILE')));
    expect([...told].sort()).toEqual([...read].sort());
  });

  test('tells the defaults of the times', () => {
    const presets = new Map(
      rowsBelow('docs/engine.md', 'Environment').map((cells) => [codeIn(cells[0]), Number(codeIn(cells[1]))]),
    );
    const { times } = readSettings({});
    expect(presets.get('VELOZ_ENGINE_LOCK_TTL_MS')).toBe(times.lockTtlMs);
    expect(presets.get('VELOZ_ENGINE_POLL_MS')).toBe(times.pollMs);
    expect(presets.get('VELOZ_ENGINE_ABSENT_MS')).toBe(times.absentMs);
    expect(presets.get('VELOZ_ENGINE_HOLD_MS')).toBe(times.holdMs);
    expect(presets.get('VELOZ_ENGINE_ORDER_LIMIT_MS')).toBe(times.orderLimitMs);
    expect(presets.get('VELOZ_ENGINE_HANDOVER_MS')).toBe(times.handoverMs);
  });
});
