import { accessCluster, type ClusterAccess } from '../../src/activities/deps';
import type { FailoverParts } from '../../src/activities/failover/parts';
import {
  answersThough,
  requireStillUnreachable,
  requireStillUnwritable,
} from '../../src/activities/failover/still-lost';
import { openPoolerAgent } from '../../src/systems/agent';
import { FakeEngine, FakeServers, pause, POOLER, PRIMARY, silence, wellObserved } from './guard/support/fake-engine';

test('only two kinds of failure are those of a primary that answers', () => {
  expect((['dead', 'crashed', 'hung', 'isolated'] as const).some(answersThough)).toBe(false);
  expect((['unwritable', 'unreachable'] as const).every(answersThough)).toBe(true);
});

describe('a primary that could not write is asked once more, and', () => {
  let engine: FakeEngine;
  let servers: FakeServers;
  const observed = (rest: object) => (engine.agent = () => ({ ...wellObserved, ...rest }));
  const ask = () => {
    const access: ClusterAccess = { ...accessCluster(engine.deps, 'veloz'), sql: servers.sql };
    return requireStillUnwritable(access, PRIMARY);
  };
  beforeEach(() => {
    engine = new FakeEngine();
    servers = new FakeServers();
    servers.answer = () => ({ lsn: '0/1' });
  });
  afterEach(async () => {
    await pause(5);
    expect(engine.open).toBe(0);
  });

  test('is let be where it has room and a write reaches its disk', async () => {
    await expect(ask()).rejects.toMatchObject({
      type: 'Refused',
      message: expect.stringMatching(
        /^I8: the disk of veloz-postgres-primary takes writes: [\d.]+ \wiB are free \(limit: less than 16\.0 MiB\), and one reached it after \d+ ms \(limit: 1000 ms\)\. Nothing was changed\. Next: veloz-ha postgres status --cluster veloz$/,
      ) as unknown,
    });
  });

  test('is failed over where its disk is full, whatever a write says', async () => {
    observed({ disk: { freeBytes: 4096, totalBytes: 1 } });
    await ask();
    expect(servers.sessions).toHaveLength(0);
  });

  test('is failed over where its agent gives no answer', async () => {
    engine.agent = () => silence;
    await ask();
  });

  test('is failed over where it has room, and a write still hangs', async () => {
    servers.answer = () => silence;
    await ask();
  });

  test('is failed over where no write can be asked for', async () => {
    servers.connect = () => new Error('sorry');
    await ask();
  });
});

describe('a primary that the pooler did not reach is asked for once more, and', () => {
  const ask = async (answer: object) => {
    const engine = new FakeEngine();
    engine.agent = () => ({ answers: [answer] });
    const pooler = await openPoolerAgent(engine.deps.docker, POOLER);
    try {
      await requireStillUnreachable(accessCluster(engine.deps, 'veloz'), { pooler } as FailoverParts, PRIMARY);
    } finally {
      pooler.close();
    }
  };

  test('is let be where it is reached again', async () => {
    await expect(ask({ writable: true, standby: false, speaks: true, ms: 3.4 })).rejects.toMatchObject({
      type: 'Refused',
      message:
        'I8: veloz-pgbouncer reaches veloz-postgres-primary again: it answered within 3 ms (limit: no answer within 500 ms). Nothing was changed. Next: veloz-ha postgres status --cluster veloz',
    });
  });

  test('is failed over where it is not', async () => {
    await ask({ writable: false, standby: false, speaks: false, ms: 500 });
  });
});
