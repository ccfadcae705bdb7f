import { diagnose, faultSays, mostAdvanced, remedySays, type RedisFault } from '../../../src/cluster/redis/faults';
import { answeringNodes, isStopped, namedMaster } from '../../../src/cluster/redis/observed';
import {
  healthy,
  master,
  MASTER,
  picture,
  replica,
  REPLICA,
  sentinel,
  SENTINELS,
  sentinelsNaming,
  silent,
  silentSentinel,
  THIRD,
} from './picture';

const OTHER_HISTORY = { replicationId: 'f'.repeat(40) };

test('nothing is wrong where one node is the master and everybody says so', () => {
  expect(diagnose(healthy())).toEqual({ faults: [] });
});

test('the name of a container says nothing about its role', () => {
  const moved = picture([replica(MASTER, REPLICA), master(REPLICA)], sentinelsNaming(REPLICA));
  expect(diagnose(moved)).toEqual({ faults: [] });
});

describe('with one master', () => {
  test('a replica that follows nobody, and a Sentinel that names somebody else, are told apart', () => {
    const seen = picture(
      [master(MASTER), replica(REPLICA, '127.0.0.1', {}, { port: 1, up: false, downMs: null })],
      [sentinel(SENTINELS[0], MASTER), sentinel(SENTINELS[1], MASTER), sentinel(SENTINELS[2], REPLICA)],
    );
    expect(diagnose(seen)).toEqual({
      faults: [
        { kind: 'astray', node: REPLICA, master: MASTER, follows: '127.0.0.1:1' },
        { kind: 'wrong word', node: SENTINELS[2], master: MASTER, says: REPLICA },
      ],
    });
  });

  test.each<[string, Parameters<typeof replica>[2], Parameters<typeof replica>[3], boolean]>([
    ['lost it long ago', {}, { up: false, downMs: 10_000 }, true],
    ['has not had one since its start, long ago', { upMs: 10_000 }, { up: false, downMs: null }, true],
    ['lost it a moment ago', {}, { up: false, downMs: 9000 }, false],
    ['has just started', { upMs: 9000 }, { up: false, downMs: null }, false],
    ['is of a version that does not say', {}, { up: false, downMs: null }, false],
    ['is being copied', { upMs: 60_000 }, { up: false, syncing: true, downMs: null }, false],
    ['reads its files', { upMs: 60_000, loading: true }, { up: false, downMs: null }, false],
  ])('a replica without a connection to its master that %s', (_what, over, link, isFault) => {
    const seen = picture([master(MASTER), replica(REPLICA, MASTER, over, link)], sentinelsNaming(MASTER));
    expect(diagnose(seen)).toEqual({ faults: isFault ? [{ kind: 'apart', node: REPLICA, master: MASTER }] : [] });
  });

  test.each<[string, string | undefined, boolean | undefined, boolean]>([
    ['wait_bgsave', 'wait_bgsave', false, false],
    ['send_bulk', 'send_bulk', true, false],
    ['send_bulk_and_stream', 'send_bulk_and_stream', true, false],
    ['a child of the master at work', undefined, true, false],
    ['an old connection that the master has not given up', 'online', false, true],
    ['nothing that explains it', undefined, false, true],
    ['a picture of an older version', 'wait_bgsave', undefined, true],
  ])('a replica that has no connection for long, with %s', (_what, state, childAtWork, isFault) => {
    const replicas = state === undefined ? [] : [{ host: REPLICA, port: 6379, state, offset: 0, silentMs: 0 }];
    const its = master(MASTER, { replicas, ...(childAtWork === undefined ? {} : { childAtWork }) });
    const apart = replica(REPLICA, MASTER, {}, { up: false, downMs: 60_000 });
    expect(diagnose(picture([its, apart], sentinelsNaming(MASTER)))).toEqual({
      faults: isFault ? [{ kind: 'apart', node: REPLICA, master: MASTER }] : [],
    });
  });

  test('a replica without a connection is left alone where nobody else hears from the master either', () => {
    const apart = replica(REPLICA, MASTER, {}, { up: false, downMs: 60_000 });
    expect(diagnose(picture([master(MASTER), apart], sentinelsNaming(MASTER, 3000)))).toEqual({ faults: [] });
  });

  test('a stopped replica and a stopped Sentinel are faults; a silent one that runs is none that can be mended', () => {
    const sentinels = [sentinel(SENTINELS[0], MASTER), sentinel(SENTINELS[1], MASTER), silentSentinel(SENTINELS[2])];
    expect(diagnose(picture([master(MASTER), silent(REPLICA)], sentinels))).toEqual({
      faults: [
        { kind: 'stopped', node: REPLICA, status: 'exited' },
        { kind: 'stopped', node: SENTINELS[2], status: 'exited' },
      ],
    });
    expect(diagnose(picture([master(MASTER), silent(REPLICA, 'running')], sentinelsNaming(MASTER)))).toEqual({
      faults: [],
    });
  });

  test('a node that a run took off its networks is a fault while it still runs; what a person took off them is none', () => {
    const off = (by: 'run' | 'somebody') => {
      const node = silent(REPLICA, 'running');
      return { ...node, container: { ...node.container, offNetworks: { by, home: 'veloz-ha' } } };
    };
    const fault: RedisFault = { kind: 'cut off', node: REPLICA, status: 'running' };
    expect(diagnose(picture([master(MASTER), off('run')], sentinelsNaming(MASTER)))).toEqual({ faults: [fault] });
    expect(diagnose(picture([master(MASTER), off('somebody')], sentinelsNaming(MASTER)))).toEqual({ faults: [] });
    expect(faultSays(fault)).toBe(`a run that could not end ${REPLICA} took it off its Docker networks`);
    expect(remedySays(fault)).toBe(`End ${REPLICA}, put it on its networks again, and start it`);
  });

  test('all Sentinels tell of the old master after its replica follows the new one: they are told', () => {
    const seen = picture([replica(MASTER, REPLICA), master(REPLICA)], sentinelsNaming(MASTER));
    expect(diagnose(seen)).toMatchObject({ faults: SENTINELS.map((node) => ({ kind: 'wrong word', node })) });
  });

  test('a Sentinel that names the master and does not see it is told anew; not where nobody else sees it', () => {
    const deaf = { up: false, downMs: 9000 };
    const [first, second] = sentinelsNaming(MASTER);
    const blind = sentinel(SENTINELS[2], MASTER, {}, { flags: ['s_down', 'master'], lastAnswerMs: 10_001 });
    const faults = [{ kind: 'blind', node: SENTINELS[2], master: MASTER }];
    const both = [master(MASTER), replica(REPLICA, MASTER)];
    expect(diagnose(picture(both, [first!, second!, blind]))).toEqual({ faults });
    expect(diagnose(picture([master(MASTER), replica(REPLICA, MASTER, {}, deaf)], [first!, second!, blind]))).toEqual({
      faults,
    });
    // The replica vouches for the master, against however many Sentinels.
    expect(diagnose(picture(both, sentinelsNaming(MASTER, 60_000)))).toMatchObject({
      faults: SENTINELS.map((node) => ({ kind: 'blind', node })),
    });
    const alone = [master(MASTER), replica(REPLICA, MASTER, {}, deaf)];
    expect(diagnose(picture(alone, sentinelsNaming(MASTER, 60_000)))).toEqual({ faults: [] });
    // One that was restarted, or whose master was, for a moment.
    const late = sentinel(SENTINELS[2], MASTER, {}, { flags: ['s_down', 'master'], lastAnswerMs: 9000 });
    expect(diagnose(picture(both, [first!, second!, late]))).toEqual({ faults: [] });
  });

  test('an old master that came back while its successor is silent is not made right', () => {
    const seen = picture([master(MASTER), silent(REPLICA)], sentinelsNaming(REPLICA));
    expect(diagnose(seen)).toEqual({ undecided: expect.stringContaining(`${REPLICA}, which may have more`) as string });
  });

  test('nor where the Sentinels have no majority', () => {
    const seen = picture(
      [master(MASTER), silent(REPLICA)],
      [sentinel(SENTINELS[0], MASTER), sentinel(SENTINELS[1], REPLICA), silentSentinel(SENTINELS[2])],
    );
    expect(diagnose(seen)).toHaveProperty('undecided');
  });

  test('nor where another node, which does not follow it, has another history', () => {
    const astray = replica(REPLICA, '127.0.0.1', OTHER_HISTORY, { port: 1, up: false, downMs: null });
    expect(diagnose(picture([master(MASTER), astray], sentinelsNaming(REPLICA)))).toEqual({
      undecided: expect.stringContaining(`${REPLICA} has another history`) as string,
    });
    // Where the Sentinels name the master, it is right, and the other one is copied anew.
    expect(diagnose(picture([master(MASTER), astray], sentinelsNaming(MASTER)))).toMatchObject({
      faults: [{ kind: 'astray', node: REPLICA }],
    });
  });
});

describe('with two masters', () => {
  test("the Sentinels' majority says which is right", () => {
    const seen = picture([master(MASTER), master(REPLICA, OTHER_HISTORY)], sentinelsNaming(REPLICA));
    expect(diagnose(seen)).toEqual({ faults: [{ kind: 'second master', node: MASTER, master: REPLICA }] });
  });

  test('one without keys that the Sentinels name is not followed by one that has some', () => {
    const beside = (named: object, other: object) =>
      diagnose(
        picture([master(MASTER, other), master(REPLICA, { ...OTHER_HISTORY, ...named })], sentinelsNaming(REPLICA)),
      );
    expect(beside({ keys: 0 }, { keys: 1 })).toEqual({
      undecided: expect.stringContaining(`${REPLICA}, which the Sentinels name, has no keys`) as string,
      next: `docker exec ${REPLICA} redis-cli replicaof ${MASTER} 6379`,
    });
    // What one holds that still reads its files is not known yet.
    expect(beside({ keys: 0 }, { keys: 0, loading: true })).toHaveProperty('undecided');
    const second = { faults: [{ kind: 'second master', node: MASTER, master: REPLICA }] };
    // Somebody deleted all keys: there is nothing to lose.
    expect(beside({ keys: 0 }, { keys: 0 })).toEqual(second);
    expect(beside({ keys: 1 }, { keys: 10 })).toEqual(second);
  });

  test('without a majority nobody does', () => {
    const seen = picture([master(MASTER), master(REPLICA)], sentinelsNaming(null));
    expect(diagnose(seen)).toHaveProperty('undecided');
  });
});

describe('without a master', () => {
  test('the one that has most of the same history takes over', () => {
    const nodes = [replica(MASTER, REPLICA, { offset: 900 }), replica(REPLICA, MASTER)];
    expect(diagnose(picture(nodes, sentinelsNaming(MASTER)))).toEqual({
      faults: [{ kind: 'no master', node: REPLICA }],
    });
  });

  test('a node that came back empty has no say, and one that still reads its files does', () => {
    const empty = { ...OTHER_HISTORY, offset: 0, keys: 0 };
    const link = { up: false, downMs: null };
    const seen = (over: object) =>
      picture(
        [replica(MASTER, '127.0.0.1', { ...empty, ...over }, link), replica(REPLICA, MASTER)],
        sentinelsNaming(MASTER),
      );
    expect(diagnose(seen({}))).toEqual({ faults: [{ kind: 'no master', node: REPLICA }] });
    expect(diagnose(seen({ loading: true }))).toHaveProperty('undecided');
  });

  test('different histories do not compare', () => {
    const nodes = [replica(MASTER, REPLICA, OTHER_HISTORY), replica(REPLICA, MASTER)];
    expect(diagnose(picture(nodes, sentinelsNaming(MASTER)))).toHaveProperty('undecided');
  });

  test('a silent node may be the master, or have more: that is no repair', () => {
    const seen = picture([silent(MASTER), replica(REPLICA, MASTER)], sentinelsNaming(MASTER));
    expect(diagnose(seen)).toEqual({ faults: [{ kind: 'stopped', node: MASTER, status: 'exited' }] });
  });
});

test('of equals the preferred one is the most advanced; of none, none', () => {
  const nodes = answeringNodes(picture([replica(REPLICA, MASTER), replica(THIRD, MASTER)], []));
  expect(mostAdvanced(nodes)?.name).toBe(REPLICA);
  expect(mostAdvanced(nodes, THIRD)?.name).toBe(THIRD);
  expect(mostAdvanced([])).toBeUndefined();
});

test('a majority counts the Sentinels that do not answer too', () => {
  const one = [sentinel(SENTINELS[0], MASTER), silentSentinel(SENTINELS[1]), silentSentinel(SENTINELS[2])];
  expect(namedMaster(picture([master(MASTER)], one))).toBeUndefined();
});

test('a frozen container is not stopped: it may wake up', () => {
  expect(isStopped({ exists: true, running: false, status: 'paused' })).toBe(false);
  expect(isStopped({ exists: true, running: false, status: 'exited' })).toBe(true);
  expect(isStopped({ exists: false, running: false, status: 'unknown' })).toBe(false);
});

test('every fault and its remedy name the node', () => {
  const faults: RedisFault[] = [
    { kind: 'stopped', node: 'a', status: 'exited' },
    { kind: 'stopped', node: 'a', status: 'paused' },
    { kind: 'no master', node: 'a' },
    { kind: 'second master', node: 'a', master: 'b' },
    { kind: 'astray', node: 'a', master: 'b', follows: 'c:1' },
    { kind: 'wrong word', node: 'a', master: 'b', says: 'c' },
    { kind: 'blind', node: 'a', master: 'b' },
  ];
  for (const fault of faults) {
    expect(faultSays(fault)).toMatch(/\ba\b/);
    expect(remedySays(fault)).toMatch(/\ba\b/);
  }
});
