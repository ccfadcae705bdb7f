import { createServer, type AddressInfo } from 'node:net';
import { clientIds, openControl, parseState } from '../../src/systems/redis';
import { fieldsOf } from '../../src/systems/redis-sentinel';

const info = (...lines: string[]) => ['# Replication', ...lines, ''].join('\r\n');

describe('INFO', () => {
  test('of a master names its replicas', () => {
    const state = parseState(
      info(
        'role:master',
        'connected_slaves:1',
        'slave0:ip=veloz-redis-replica,port=6379,state=online,offset=1968650,lag=1',
        'master_replid:63d4dd04e453ff0b81698f0768b2932dd566c686',
        'master_repl_offset:1968996',
        'loading:0',
        'aof_last_write_status:ok',
        'redis_version:8.0.2',
      ),
    );
    expect(state).toEqual({
      role: 'master',
      replicationId: '63d4dd04e453ff0b81698f0768b2932dd566c686',
      offset: 1968996,
      upstream: null,
      replicas: [{ host: 'veloz-redis-replica', port: 6379, state: 'online', offset: 1968650, silentMs: 1000 }],
      loading: false,
      writesFile: true,
      keys: 0,
      version: '8.0.2',
    });
  });

  const replicaOf = (...lines: string[]) =>
    parseState(
      info('role:slave', 'master_host:veloz-redis-master', 'master_port:6379', 'slave_repl_offset:7', ...lines),
    );

  test('of a replica names its master', () => {
    const state = replicaOf('master_link_status:up', 'master_last_io_seconds_ago:2', 'master_sync_in_progress:0');
    expect(state).toMatchObject({ role: 'replica', offset: 7 });
    expect(state.upstream).toEqual({
      host: 'veloz-redis-master',
      port: 6379,
      up: true,
      syncing: false,
      silentMs: 2000,
      downMs: 0,
    });
  });

  test('of a replica that lost its master says for how long, and of one that never had it, nothing', () => {
    const down = replicaOf(
      'master_link_status:down',
      'master_last_io_seconds_ago:-1',
      'master_link_down_since_seconds:12',
    );
    expect(down.upstream).toMatchObject({ up: false, silentMs: 0, downMs: 12_000 });
    const never = replicaOf(
      'master_link_status:down',
      'master_link_down_since_seconds:-1',
      'aof_last_write_status:err',
    );
    expect(never.upstream).toMatchObject({ up: false, downMs: null });
    expect(never.writesFile).toBe(false);
  });

  test('says since when the server runs, and which run it is', () => {
    expect(replicaOf('uptime_in_seconds:12').upMs).toBe(12_000);
    expect(replicaOf('run_id:63d4dd04e453ff0b').runId).toBe('63d4dd04e453ff0b');
  });

  test.each([
    [['rdb_bgsave_in_progress:0', 'aof_rewrite_in_progress:0'], false],
    [['rdb_bgsave_in_progress:1', 'aof_rewrite_in_progress:0'], true],
    [['rdb_bgsave_in_progress:0', 'aof_rewrite_in_progress:1'], true],
    [[], undefined],
  ])('with %j says whether a child is at work: %s', (lines, expected) => {
    expect(parseState(info('role:master', ...lines)).childAtWork).toBe(expected);
  });

  test('without a role is an error', () => {
    expect(() => parseState('redis_version:8.0.2')).toThrow('no role');
  });
});

describe('a control connection', () => {
  /** Opens one to a server that answers a PING so, and everything else with OK. */
  const opened = async (toPing: string) => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => {
        for (const word of chunk.toString().match(/^[a-z]+(?=\r$)/gim) ?? [])
          if (/^(auth|ping)$/i.test(word)) socket.write(/ping/i.test(word) ? `${toPing}\r\n` : '+OK\r\n');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const redis = await openControl({ host: '127.0.0.1', port }, 'secret', 1000);
      redis.disconnect();
      return 'open';
    } catch (error) {
      return (error as Error).message;
    } finally {
      server.close();
    }
  };

  test.each([
    '+PONG',
    '-LOADING Redis is loading the dataset in memory',
    '-MISCONF Errors writing to the AOF file',
    "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
  ])('is one to a node that answers a PING with %s', async (says) => {
    expect(await opened(says)).toBe('open');
  });

  test('is none where nobody may log in', async () => {
    expect(await opened('-NOAUTH Authentication required.')).toContain('NOAUTH');
  });
});

test('clients are told from Sentinels by the name that Sentinels give their connections', () => {
  const list = 'id=3 addr=1 name=sentinel-ab12-cmd db=0\nid=14 addr=2 name= db=0\nid=15 addr=3 name=engine db=0\n';
  expect(clientIds(list)).toEqual(['14', '15']);
});

test('a flat list of a Sentinel becomes names and values', () => {
  expect([...fieldsOf(['ip', 'veloz-redis-master', 'port', 6379])]).toEqual([
    ['ip', 'veloz-redis-master'],
    ['port', '6379'],
  ]);
  expect(fieldsOf(null).size).toBe(0);
});
