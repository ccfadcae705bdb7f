import { parseSettings } from '../../src/systems/redis-settings';

const config = (over: Record<string, string> = {}) =>
  Object.entries({
    save: '',
    'stop-writes-on-bgsave-error': 'yes',
    'min-replicas-to-write': '0',
    masterauth: 'secret',
    'replica-read-only': 'yes',
    ...over,
  }).flat();
const INFO = [
  '# Memory',
  'used_memory:1000',
  'maxmemory:500',
  'maxmemory_policy:allkeys-lru',
  'rdb_last_bgsave_status:err',
].join('\r\n');

test('what a node is set to is read, and the password is not kept', () => {
  const settings = parseSettings(config(), INFO, 'secret');
  expect(settings).toEqual({
    minReplicas: 0,
    knowsPassword: true,
    followsAsOther: false,
    followsByTls: false,
    readOnly: true,
    snapshotsStopWrites: false,
    maxMemory: 500,
    usedMemory: 1000,
    eviction: 'allkeys-lru',
  });
  expect(JSON.stringify(settings)).not.toContain('secret');
});

test('a snapshot that failed stops writes only where snapshots are asked for', () => {
  const stops = (over: Record<string, string>) => parseSettings(config(over), INFO, 'secret')?.snapshotsStopWrites;
  expect(stops({ save: '3600 1' })).toBe(true);
  expect(stops({ save: '3600 1', 'stop-writes-on-bgsave-error': 'no' })).toBe(false);
  expect(parseSettings(config({ save: '3600 1' }), 'rdb_last_bgsave_status:ok', 'secret')?.snapshotsStopWrites).toBe(
    false,
  );
});

test('a replica that takes the writes of clients is told from one that does not', () => {
  expect(parseSettings(config({ 'replica-read-only': 'no' }), INFO, 'secret')?.readOnly).toBe(false);
});

test('a node that would log in to a master as somebody else, or speak TLS, is told from one that would not', () => {
  const said = (over: Record<string, string>) => parseSettings(config(over), INFO, 'secret');
  expect(said({ masteruser: 'nobody', 'tls-replication': 'no' })).toMatchObject({
    followsAsOther: true,
    followsByTls: false,
  });
  expect(said({ masteruser: '', 'tls-replication': 'yes' })).toMatchObject({
    followsAsOther: false,
    followsByTls: true,
  });
});

test('how many clients are connected, and how many it lets in, is read where it says so', () => {
  const said = (info: string) => parseSettings(config(), info, 'secret')?.clients;
  expect(said('connected_clients:7\r\nmaxclients:10000')).toEqual({ most: 10_000, connected: 7 });
  expect(said(INFO)).toBeUndefined();
});

test('a node that does not say is no finding', () => {
  expect(parseSettings(['save', ''], INFO, 'secret')).toBeUndefined();
  expect(parseSettings('ERR', INFO, 'secret')).toBeUndefined();
});
