import { Observatory } from '../../../src/activities/guard/observatory';
import { FLUSHED_WRITE } from '../../../src/activities/guard/write-watch';
import { guardPolicySchema } from '../../../src/cluster/guard/policy';
import {
  FakeEngine,
  FakeServers,
  pause,
  POOLER,
  PRIMARY,
  primaryRow,
  silence,
  STANDBY,
  STANDBY_2,
  standbyRow,
  wellObserved,
} from './support/fake-engine';

const policy = guardPolicySchema.parse({ probeInterval: '20ms', probeLimit: '60ms' });

describe('the observatory', () => {
  let engine: FakeEngine;
  let servers: FakeServers;
  let observatory: Observatory;
  let gone: number;
  const signal = new AbortController().signal;
  const round = () =>
    observatory.round(() => {
      gone += 1;
      return Promise.resolve();
    });
  const begin = async (nodes?: string[], expected: string | null = PRIMARY) => {
    observatory = new Observatory(engine.deps, servers.access(nodes), expected, policy);
    await observatory.open();
  };
  beforeEach(() => {
    engine = new FakeEngine();
    servers = new FakeServers();
    gone = 0;
  });
  afterEach(async () => {
    observatory.close();
    await pause(5);
    expect(engine.open).toBe(0);
    expect(servers.sessions.filter(({ session }) => !session.closed)).toEqual([]);
  });

  test('while all is well asks the primary each time, the others now and then, and nobody about the primary', async () => {
    await begin();
    expect(engine.opened).toBe(3);
    const first = await round();
    expect(first).toMatchObject({
      primary: PRIMARY,
      sql: { answered: true },
      others: [{ name: STANDBY, answered: true }],
      // Its disk is looked at now and then.
      agent: { answered: true, freeDiskBytes: wellObserved.disk.freeBytes },
    });
    for (let rounds = 0; rounds < 3; rounds++) {
      await observatory.pause(signal);
      const next = await round();
      expect(next.others).toHaveLength(1);
      expect(Object.keys(next)).not.toContain('container');
      expect(Object.keys(next)).not.toContain('witnesses');
    }
    expect(servers.asked.filter((node) => node === PRIMARY)).toHaveLength(4);
    expect(servers.asked.filter((node) => node === STANDBY)).toHaveLength(1);
    expect(engine.asked).toEqual([`${PRIMARY} observe`]);
    expect(gone).toBe(0);
  });

  test('takes the first node for the primary while nobody knows one', async () => {
    await begin([STANDBY, PRIMARY], null);
    expect((await round()).primary).toBe(PRIMARY);
  });

  test('asks everybody about a primary that is silent', async () => {
    await begin([PRIMARY, STANDBY, STANDBY_2]);
    await round();
    servers.answer = (node) => (node === PRIMARY ? silence : standbyRow);
    engine.agent = (node, command) =>
      command === 'observe'
        ? { ...wellObserved, postgres: { state: 'stopped', pid: null, sinceMs: 5 } }
        : { answers: [{ writable: false, standby: false, problem: `refused from ${node}` }] };
    const seen = await round();
    expect(seen).toMatchObject({
      sql: { answered: false, problem: 'no answer within 60 ms' },
      container: 'running',
      agent: { answered: true, postgres: 'stopped', desired: 'up' },
    });
    expect(seen.witnesses?.map(({ node, sees, problem }) => ({ node, sees, problem }))).toEqual(
      [STANDBY, STANDBY_2, POOLER].map((node) => ({ node, sees: false, problem: `refused from ${node}` })),
    );
    expect(engine.args.at(-1)).toMatchObject({ addresses: [{ host: PRIMARY, port: 5432 }] });
    // From then on at the same time as itself, and the others each time, until it answers.
    const before = engine.asked.length;
    const again = round();
    await pause(30);
    expect(engine.asked.length).toBe(before + 4);
    await again;
    servers.answer = (node) => (node === PRIMARY ? primaryRow : standbyRow);
    const back = await round();
    expect(back.sql.answered).toBe(true);
    expect(Object.keys(back)).not.toContain('witnesses');
  });

  test('what gives no answer about a silent primary is told as that', async () => {
    await begin();
    servers.answer = () => silence;
    engine.agent = () => silence;
    engine.status[PRIMARY] = 'silent';
    const seen = await round();
    expect(seen).toMatchObject({ container: 'unknown', agent: { answered: false } });
    expect(seen.witnesses).toEqual([
      expect.objectContaining({ node: STANDBY, answered: false }),
      expect.objectContaining({ node: POOLER, answered: false }),
    ]);
    engine.status[PRIMARY] = 'unreachable';
    expect((await round()).container).toBe('unknown');
  });

  test('waits for no witness once Docker says that the container is gone', async () => {
    await begin();
    await round();
    servers.answer = (node) => (node === PRIMARY ? new Error('Connection terminated unexpectedly') : silence);
    engine.agent = () => silence;
    engine.status[PRIMARY] = 'exited';
    const seen = await round();
    expect(seen).toMatchObject({ container: 'exited', sql: { answered: false } });
    expect(Object.keys(seen)).not.toContain('witnesses');
    expect(Object.keys(seen)).not.toContain('agent');
  });

  test('tells of a write that hangs on a primary that answers, and of a pooler that does not reach it', async () => {
    let arrive: (row: unknown) => void = () => undefined;
    const written = new Promise((resolve) => (arrive = resolve));
    servers.answer = (node, sql) => {
      if (node !== PRIMARY) return standbyRow;
      if (sql === FLUSHED_WRITE) return written;
      if (sql.includes('pg_backend_pid')) return { pid: 71 };
      return { ...primaryRow, writeWaitsFor: sql.includes('pg_stat_get_activity(71)') ? 'IO WalSync' : null };
    };
    const nobody = { writable: false, speaks: false, problem: 'no answer within 1000 ms' };
    engine.agent = (_node, command, args) =>
      command === 'ask'
        ? { answers: [{ ...nobody, standby: (args['addresses'] as { host: string }[])[0]?.host === STANDBY }] }
        : wellObserved;
    await begin();
    let seen = await round();
    for (const end = Date.now() + 6000; Date.now() < end;) {
      if (seen.write?.waitsFor !== undefined && seen.clientPath !== undefined) break;
      await observatory.pause(signal);
      seen = await round();
    }
    expect(seen.sql.answered).toBe(true);
    expect(seen.write).toMatchObject({ hangsMs: expect.any(Number) as unknown, waitsFor: 'IO WalSync' });
    expect(seen.clientPath).toMatchObject({ pooler: POOLER, asked: [STANDBY], reaches: [STANDBY], through: 'unknown' });
    arrive({});
    await pause(1);
    expect(Object.keys(await round())).not.toContain('write');
  }, 10_000);

  test('is woken by a session that the server ends, says so at once, and does not ask a dead server again', async () => {
    const slow = guardPolicySchema.parse({ probeInterval: '10s', probeLimit: '60ms' });
    observatory = new Observatory(engine.deps, servers.access(), PRIMARY, slow);
    await observatory.open();
    await round();
    const paused = observatory.pause(signal);
    engine.status[PRIMARY] = 'exited';
    servers.session(PRIMARY).cut();
    await paused;
    const asked = servers.asked.filter((node) => node === PRIMARY).length;
    const seen = await round();
    expect(gone).toBe(1);
    expect(seen).toMatchObject({ container: 'exited', sql: { problem: 'the session was ended' } });
    expect(servers.asked.filter((node) => node === PRIMARY)).toHaveLength(asked);
    servers.session(STANDBY).cut();
    // A standby's end is no alarm.
    await round();
    expect(gone).toBe(1);
  });

  test('takes Docker’s word of a death for an answer, in the middle of the question', async () => {
    await begin();
    await round();
    servers.answer = (node) => (node === PRIMARY ? silence : standbyRow);
    const asking = round();
    await pause(5);
    engine.status[PRIMARY] = 'exited';
    engine.events?.onEvent('die');
    expect(await asking).toMatchObject({ sql: { problem: 'its container died' }, container: 'exited' });
    engine.status[PRIMARY] = 'running';
    engine.events?.onEvent('start');
    servers.answer = () => primaryRow;
    expect((await round()).sql).toMatchObject({ answered: true });
  });

  test('a death by somebody’s signal is one before Docker has told the state, which it does only after the teardown', async () => {
    await begin();
    await round();
    servers.answer = (node) => (node === PRIMARY ? silence : standbyRow);
    // A crash: Docker may start it again.
    engine.events?.onEvent('die');
    expect(await round()).toMatchObject({ container: 'running' });
    engine.events?.onEvent('start');
    engine.events?.onEvent('kill');
    engine.events?.onEvent('die');
    const seen = await round();
    expect(seen).toMatchObject({ container: 'exited' });
    expect(Math.abs((seen.endedAt ?? 0) - Date.now())).toBeLessThan(5000);
    engine.events?.onEvent('start');
    expect(await round()).toMatchObject({ container: 'running' });
  });

  test('a death that Docker told of before its events broke off does not outlive them', async () => {
    await begin();
    engine.events?.onEvent('die');
    expect((await round()).sql.answered).toBe(false);
    engine.events?.break();
    expect((await round()).sql).toMatchObject({ answered: true });
  });

  test('where the agent watches the disk, a full one ends the pause at once', async () => {
    let watched = 0;
    let fill: (answer: object) => void = () => undefined;
    const filled = new Promise<object>((resolve) => (fill = resolve));
    engine.watchDisk = () => (watched++ === 0 ? { freeBytes: 1024 ** 4 } : filled);
    await begin();
    while (watched < 2) await pause(5);
    // While it watches nobody has to ask.
    expect((await round()).agent).toBeUndefined();
    engine.agent = () => ({ ...wellObserved, disk: { freeBytes: 0, totalBytes: 1 } });
    const paused = observatory.pause(signal);
    fill({ freeBytes: 0 });
    await paused;
    expect((await round()).agent).toMatchObject({ freeDiskBytes: 0 });
  });

  test('a primary with a full disk is asked for it each time', async () => {
    await begin();
    engine.agent = () => ({ ...wellObserved, disk: { freeBytes: 0, totalBytes: 1 } });
    for (let rounds = 0; rounds < 3; rounds++) expect((await round()).agent).toMatchObject({ freeDiskBytes: 0 });
  });

  test('ends its pause when the watching ends', async () => {
    const slow = guardPolicySchema.parse({ probeInterval: '10s' });
    observatory = new Observatory(engine.deps, servers.access(), PRIMARY, slow);
    await observatory.open();
    const end = new AbortController();
    const paused = observatory.pause(end.signal);
    end.abort();
    await paused;
  });
});
