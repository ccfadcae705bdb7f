import { messageOf, NodeProbe, withinLimit } from '../../../src/activities/guard/probe';
import { FakeServers, pause, PRIMARY, primaryRow, silence, STANDBY, standbyRow } from './support/fake-engine';

describe('a probe', () => {
  let servers: FakeServers;
  let drops: number;
  const probe = (node = PRIMARY, limitMs = 100) => new NodeProbe(servers.access(), node, limitMs, () => (drops += 1));
  beforeEach(() => {
    servers = new FakeServers();
    drops = 0;
  });

  test('asks over one session, and names standbys by their slots', async () => {
    const primary = probe();
    expect(await primary.ask()).toEqual({
      name: PRIMARY,
      answered: true,
      ms: expect.any(Number) as unknown,
      inRecovery: false,
      timeline: 3,
      lsn: '0/5000000',
      systemIdentifier: '77',
      names: 'veloz_standby',
      standbys: [{ node: STANDBY, syncState: 'sync', state: 'streaming' }],
      receiver: null,
      replayPaused: false,
    });
    await primary.ask();
    expect(servers.sessions).toHaveLength(1);
    const standby = await probe(STANDBY).ask();
    expect(standby).toMatchObject({ inRecovery: true, receiver: 'streaming' });
    expect(Object.keys(standby)).not.toContain('names');
    expect(Object.keys(standby)).not.toContain('standbys');
  });

  test('names a standby by its slot where no node has that name, and leaves a position out that there is none of', async () => {
    servers.answer = () => ({
      ...primaryRow,
      lsn: null,
      standbys: [{ slot: 'somebody', syncState: 'async', state: 'catchup' }],
    });
    const answer = await probe().ask();
    expect(answer.standbys).toEqual([{ node: 'somebody', syncState: 'async', state: 'catchup' }]);
    expect(Object.keys(answer)).not.toContain('lsn');
  });

  test('takes silence for an answer, gives the late session up, and asks the next time over a new one', async () => {
    servers.answer = () => silence;
    const primary = probe();
    expect(await primary.ask()).toEqual({
      name: PRIMARY,
      answered: false,
      ms: expect.any(Number) as unknown,
      problem: 'no answer within 100 ms',
    });
    expect(servers.session().closed).toBe(true);
    servers.answer = () => primaryRow;
    expect(await primary.ask()).toMatchObject({ answered: true });
    expect(servers.sessions).toHaveLength(2);
    expect(drops).toBe(0);
  });

  test('tells why it can’t connect', async () => {
    servers.connect = () => new AggregateError([new Error('connect ECONNREFUSED 127.0.0.1:15432')]);
    expect(await probe().ask()).toMatchObject({ answered: false, problem: 'connect ECONNREFUSED 127.0.0.1:15432' });
    servers.connect = () => undefined;
    servers.answer = () => [];
    expect(await probe().ask()).toMatchObject({ answered: false, problem: 'the node returned no row' });
  });

  test('has one attempt to connect at a time: a dead address swallows them', async () => {
    let attempts = 0;
    servers.connect = () => {
      attempts += 1;
      return silence;
    };
    const primary = probe(PRIMARY, 30);
    await Promise.all([primary.ask(), primary.ask()]);
    await primary.ask();
    expect(attempts).toBe(1);
  });

  test('tells at once when the server ends the session', async () => {
    const primary = probe();
    await primary.ask();
    servers.session().cut();
    expect(drops).toBe(1);
    await primary.ask();
    expect(servers.sessions).toHaveLength(2);
  });

  test('takes the end of a session that it gave up itself for no news, however late it comes', async () => {
    const primary = probe();
    servers.answer = () => silence;
    await primary.ask();
    const old = servers.session();
    servers.answer = () => primaryRow;
    await primary.ask();
    const young = servers.session();
    old.cut();
    expect(drops).toBe(0);
    await primary.ask();
    expect(servers.sessions).toHaveLength(2);
    expect(young.closed).toBe(false);
    young.cut();
    expect(drops).toBe(1);
  });

  test('settings that let some commits pass are told; where there are none nothing is', async () => {
    servers.answer = () => ({ ...primaryRow, weak: ['synchronous_commit is off for veloz in every database'] });
    expect(await probe().ask()).toMatchObject({ weak: ['synchronous_commit is off for veloz in every database'] });
  });

  test('asks what the guard’s own write waits for only while that hangs', async () => {
    const asked: string[] = [];
    servers.answer = (_node, sql) => {
      asked.push(sql);
      return { ...primaryRow, flushed: '0/4FFFFC0', writeWaitsFor: 'IO WalSync' };
    };
    const primary = probe();
    expect(await primary.ask(4711)).toMatchObject({ flushed: '0/4FFFFC0', writeWaitsFor: 'IO WalSync' });
    await primary.ask();
    expect(asked.map((sql) => sql.includes('pg_stat_get_activity(4711)'))).toEqual([true, false]);
  });

  test('takes what its write waits for also where the state of a session is not tracked', async () => {
    const asked: string[] = [];
    servers.answer = (_node, sql) => {
      asked.push(sql);
      return primaryRow;
    };
    await probe().ask(4711);
    // With track_activities off it is `disabled`, in the middle of a write too.
    expect(asked[0]).not.toContain("'active'");
    expect(asked[0]).toContain("a.state LIKE 'idle%' OR a.wait_event = 'ClientRead'");
  });

  test('closed, it leaves no session behind, also none that was being opened', async () => {
    const open = probe();
    await open.ask();
    open.close();
    expect(servers.session().closed).toBe(true);
    servers.session().cut();
    expect(drops).toBe(0);

    let connected: () => void = () => undefined;
    servers.connect = () => new Promise<void>((resolve) => (connected = resolve));
    const opening = probe();
    const asked = opening.ask();
    opening.close();
    connected();
    expect(await asked).toMatchObject({ answered: false, problem: 'closed' });
    expect(servers.session().closed).toBe(true);
  });

  test('answers of a standby and of a primary look the same to whoever does not know which it is', async () => {
    servers.answer = () => ({ ...standbyRow, receiver: null, replayPaused: true });
    expect(await probe(STANDBY).ask()).toMatchObject({ inRecovery: true, receiver: null, replayPaused: true });
  });
});

describe('a limit', () => {
  test('rejects with a sentence, and hands on what came in time', async () => {
    await expect(withinLimit(new Promise(() => undefined), 10)).rejects.toThrow('no answer within 10 ms');
    await expect(withinLimit(Promise.resolve(7), 10)).resolves.toBe(7);
    await expect(withinLimit(Promise.reject(new Error('no')), 10)).rejects.toThrow('no');
  });

  test('is not disturbed by what fails later', async () => {
    const late = pause(20).then(() => {
      throw new Error('late');
    });
    await expect(withinLimit(late, 5)).rejects.toThrow('within');
    await pause(30);
  });
});

test('a message is that of the first attempt where there were several', () => {
  expect(messageOf(new AggregateError([new Error('a'), new Error('b')]))).toBe('a');
  expect(messageOf('odd')).toBe('odd');
});
