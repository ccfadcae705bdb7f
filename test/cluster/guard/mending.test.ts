import {
  busyPauseMs,
  isInTheWay,
  leftOver,
  mendingBackoffMs,
  NOBODY,
  stoppedByHand,
  wasStoppedByHand,
  type KnownLedger,
  type MemberFacts,
  type MembersRound,
} from '../../../src/cluster/guard/mending';

test('a run of the guard’s own is in the way of a repair while it may be about to take its lock', () => {
  expect(isInTheWay(undefined, 100_000)).toBe(false);
  expect(isInTheWay({ since: 50_000 }, 100_000)).toBe(true);
  expect(isInTheWay({ since: 40_000 }, 100_000)).toBe(false);
  expect([1, 2, 3, 10, 1000].map(busyPauseMs)).toEqual([2000, 4000, 8000, 60_000, 60_000]);
});

const policy = { standbyLostAfter: 10_000, onStandbyLost: 'relax' } as const;
const up = { desired: 'up', postgres: 'running', busy: false, startGuard: null, diskFull: false } as const;
const runs = (name: string, rest: Partial<MemberFacts> = {}): MemberFacts => ({
  name,
  optional: false,
  container: { status: 'running' },
  ...rest,
});
const primary = runs('p', { sql: { inRecovery: false } });
const fenced = { ...up, desired: 'fenced', postgres: 'stopped' } as const;
const beside = (member: MemberFacts, rest: Partial<MembersRound> = {}) =>
  leftOver({ writable: ['p'], streams: [], commitsWait: false, members: [primary, member], ...rest }, policy);
/** What the guard knows of a primary `p` on timeline 3, whose commits these standbys confirm. */
const ledgerOf = (synchronous: string[] = ['s'], rest: Partial<KnownLedger> = {}): KnownLedger => ({
  state: synchronous.length === 0 ? 'degraded' : 'protected',
  primary: 'p',
  timeline: 3,
  synchronous,
  systemIdentifier: '77',
  ...rest,
});
const without = (...members: MemberFacts[]) =>
  leftOver({ writable: [], streams: [], commitsWait: false, members }, policy);

describe('beside a primary', () => {
  test.each<[string, MemberFacts]>([
    ['a node that a run fenced for good', runs('s', { agent: { ...fenced, reaches: true } })],
    ['a node whose container was killed', runs('s', { container: { status: 'exited', exitCode: 137 } })],
    [
      'a node that keeps itself down',
      runs('s', { agent: { ...up, postgres: 'stopped', startGuard: 'p is a primary' } }),
    ],
    ['a standby that does not stream', runs('s', { sql: { inRecovery: true }, agent: up })],
    ['a node whose agent says nothing any more', runs('s')],
  ])('%s is brought back', (_what, member) => {
    const [found, ...more] = beside(member);
    expect(more).toEqual([]);
    expect(found).toMatchObject({ node: 's' });
    expect(found?.leaves).toBeUndefined();
  });

  test.each<[string, MemberFacts, RegExp]>([
    ['one that was told to stop', runs('s', { container: { status: 'exited', exitCode: 0 } }), /told to stop/],
    ['one that somebody froze', runs('s', { container: { status: 'paused' } }), /froze/],
    ['one that is cut off', runs('s', { agent: { ...fenced, reaches: false } }), /can't reach p/],
    ['one whose disk is full', runs('s', { agent: { ...up, postgres: 'stopped', diskFull: true } }), /disk is full/],
  ])('%s is told, and left', (_what, member, why) => {
    expect(beside(member)[0]?.leaves).toMatch(why);
  });

  test.each<[string, MemberFacts, object]>([
    [
      'without a container: the command that makes one',
      runs('s', { container: { status: 'absent' } }),
      { leaves: 'somebody has to make one', next: 'veloz-ha stack up' },
    ],
    [
      'whose disk is full: the limit, and a look at the disk',
      runs('s', { agent: { ...up, postgres: 'stopped', diskFull: true } }),
      {
        leaves: 'its disk is full, less than 16.0 MiB are free: that has to be mended first',
        look: 'docker exec s df -h /var/lib/postgresql',
      },
    ],
    [
      'that is cut off: a question to the primary from there',
      runs('s', { agent: { ...fenced, reaches: false } }),
      {
        leaves: "it can't reach p over the network: that has to be mended first",
        look: 'docker exec s pg_isready -h p.internal -p 5433',
      },
    ],
  ])('a node %s', (_what, member, told) => {
    const [found] = beside(member, { primaryAt: { host: 'p.internal', port: 5433 } });
    expect(found).toMatchObject(told);
    expect(found?.byHand).toBeUndefined();
  });

  test.each<[string, MemberFacts]>([
    ['that streams or catches up', runs('s', { sql: { inRecovery: true } })],
    ['whose dead-man switch or job is at work', runs('s', { agent: { ...fenced, busy: true } })],
    ['that starts', runs('s', { agent: { ...up, postgres: 'starting' } })],
    ['that Docker restarts', runs('s', { container: { status: 'restarting' } })],
    ['of which Docker says nothing', runs('s', { container: { status: 'unknown' } })],
    ['that is optional and was never made', runs('s', { optional: true, container: { status: 'absent' } })],
  ])('nothing is said of a node %s', (what, member) => {
    expect(beside(member, what.startsWith('that streams') ? { streams: ['s'] } : {})).toEqual([]);
  });

  describe('whose container is on no network', () => {
    const off = (by: 'run' | 'somebody', status = 'running', exitCode?: number) => ({
      container: {
        status,
        ...(exitCode === undefined ? {} : { exitCode }),
        offNetworks: { by, home: 'veloz-ha' },
      },
    });

    test.each<[string, MemberFacts, RegExp]>([
      ['hangs still', runs('s', off('run')), /a run that could not end it took it off .*, and it has not ended yet/],
      ['has ended', runs('s', off('run', 'exited', 137)), /exited, exit code 137, and a run that could not end it/],
      [
        'answers its agent, and can’t reach the primary, of course',
        runs('s', { ...off('run'), agent: { ...fenced, reaches: false } }),
        /^a run that could not end it took it off/,
      ],
    ])('since a run took it off them, and that %s: it is brought back', (_what, member, says) => {
      const [found] = beside(member);
      expect(found?.says).toMatch(says);
      expect(found?.leaves).toBeUndefined();
    });

    test.each<[string, MemberFacts]>([
      ['goes on', runs('s', { ...off('somebody'), agent: { ...fenced, reaches: false } })],
      ['says nothing', runs('s', off('somebody'))],
      ['was killed', runs('s', off('somebody', 'exited', 137))],
    ])('since a person took it off them, and that %s: it is left, with the command', (_what, member) => {
      expect(beside(member)[0]).toMatchObject({
        says: 'somebody took it off its Docker networks',
        leaves: 'it stays so',
        byHand: 'docker network connect veloz-ha s',
      });
      expect(stoppedByHand({ members: [member] })).toEqual(['s']);
    });

    test('and that was told to stop stays stopped, whoever took it off them', () => {
      expect(beside(runs('s', off('run', 'exited', 0)))[0]).toMatchObject({
        leaves: 'it was told to stop',
        byHand: 'docker start s',
      });
    });

    test('its end, and its way back, are changes; of a disk that answers again where nothing runs there is no sign', () => {
      const key = (member: MemberFacts) => beside(member)[0]?.key;
      const keys = [
        runs('s', off('run')),
        runs('s', off('run', 'exited', 137)),
        runs('s', { ...off('run'), agent: { ...fenced, reaches: false } }),
        runs('s', { agent: { ...fenced, reaches: true } }),
        runs('s', off('somebody')),
      ].map(key);
      expect(new Set(keys).size).toBe(keys.length);
      expect(beside(runs('s', off('run', 'exited', 137)))[0]?.againMs).toBe(30_000);
      expect(beside(runs('s', off('run')))[0]?.againMs).toBeUndefined();
    });
  });

  test('while commits wait, those who let them go on come first', () => {
    const killed = runs('s', { container: { status: 'exited', exitCode: 137 } });
    expect(beside(killed)[0]?.settleMs).toBe(5000);
    expect(beside(killed, { commitsWait: true })[0]?.settleMs).toBe(15_000);
  });

  test('a network that is back and a disk that is free are changes; what a server does that crashes is none', () => {
    const key = (agent: MemberFacts['agent']) => beside(runs('s', agent === undefined ? {} : { agent }))[0]?.key;
    const cut = key({ ...fenced, reaches: false });
    expect(key({ ...fenced, reaches: true })).not.toBe(cut);
    expect(key({ ...up, postgres: 'stopped', diskFull: true })).not.toBe(key({ ...up, postgres: 'stopped' }));
    expect(key({ ...up, postgres: 'stopped' })).toBe(key({ ...up, postgres: 'running' }));
  });
});

describe('beside a node that takes writes and belongs to another database system than the ledger', () => {
  const killed = runs('p', { container: { status: 'exited', exitCode: 137 } });
  const empty = runs('s', { sql: { inRecovery: false } });
  const seen = (system: string | undefined, ledger?: KnownLedger) =>
    leftOver(
      {
        writable: ['s'],
        ...(system === undefined ? {} : { system }),
        streams: [],
        commitsWait: false,
        members: [killed, empty],
      },
      policy,
      ledger,
    );

  test('nobody counts as one who takes writes, and nothing is done: it is told, with the command', () => {
    const [found, ...more] = seen('88', ledgerOf());
    expect(more).toEqual([]);
    expect(found).toMatchObject({ node: NOBODY, next: 'docker stop s' });
    expect(found?.says).toMatch(
      /^nobody takes writes of database system 77, .*: s takes writes, and belongs to 88 \(A4\)$/,
    );
    expect(found?.leaves).toMatch(/a person decides/);
  });

  test.each<[string, string | undefined, KnownLedger | undefined]>([
    ['the system of the ledger', '77', ledgerOf()],
    ['a system that it does not tell', undefined, ledgerOf()],
    ['a system that nobody can compare', '88', undefined],
    ['a ledger that knows none', '88', { state: 'protected', primary: 'p', timeline: 3, synchronous: ['s'] }],
  ])('with %s the others are brought back', (_what, system, ledger) => {
    expect(seen(system, ledger)).toMatchObject([{ node: 'p' }]);
  });
});

describe('where nobody takes writes', () => {
  test('a standby that was asked for its promotion has the time for it: whoever asked goes on', () => {
    const killed = runs('p', { container: { status: 'exited', exitCode: 137 } });
    const standby = (rest: object) => runs('s', { sql: { inRecovery: true }, agent: { ...up, ...rest } });
    expect(without(killed, standby({ standby: false }))).toMatchObject([{ node: NOBODY, settleMs: 15_000 }]);
    expect(without(killed, standby({ standby: true }))).toMatchObject([{ node: NOBODY, settleMs: 5000 }]);
    // An older agent does not tell.
    expect(without(killed, standby({}))).toMatchObject([{ node: NOBODY, settleMs: 5000 }]);
  });

  const standby = runs('s', { sql: { inRecovery: true } });

  test.each<[string, MemberFacts]>([
    ['the old primary is fenced for good, by a run that is over', runs('p', { agent: fenced })],
    ['it is a standby too, since its promotion was lost', runs('p', { sql: { inRecovery: true } })],
    ['its container was killed', runs('p', { container: { status: 'exited', exitCode: 137 } })],
  ])('and %s: somebody is made the primary', (_what, old) => {
    const [found] = without(old, standby);
    expect(found).toMatchObject({ node: NOBODY, settleMs: 5000 });
    expect(found?.leaves).toBeUndefined();
  });

  test.each<[string, MemberFacts]>([
    ['runs by its agent’s word', runs('p', { agent: up })],
    ['may run: its agent says nothing', runs('p')],
    ['is frozen', runs('p', { container: { status: 'paused' } })],
    ['is about to come back by itself', runs('p', { agent: { ...fenced, busy: true } })],
    ['is unknown to Docker', runs('p', { container: { status: 'unknown' } })],
  ])('nothing is done about an old primary that %s: it may be the primary, and not be seen from here', (_what, old) => {
    expect(without(old, standby)).toEqual([]);
  });

  describe('and an optional node has no container', () => {
    const gone = runs('t', { optional: true, container: { status: 'absent' } });
    const found = (members: MemberFacts[], ledger?: KnownLedger) =>
      leftOver({ writable: [], streams: [], commitsWait: false, members }, policy, ledger);
    const standbys = [runs('p', { sql: { inRecovery: true } }), standby];

    test.each<[string, KnownLedger]>([
      ['as the primary', ledgerOf([], { primary: 't' })],
      ['as one that confirms commits', ledgerOf(['s', 't'])],
    ])('it is told where the ledger names it %s', (_how, ledger) => {
      expect(found([...standbys, gone], ledger)).toMatchObject([
        { node: NOBODY, says: 'nobody takes writes: p is a standby, s is a standby, t is absent' },
      ]);
    });

    test.each<[string, KnownLedger | undefined]>([
      ['names it no more', ledgerOf(['s'])],
      ['is not known', undefined],
    ])('it is not there where the ledger %s', (_what, ledger) => {
      expect(found([...standbys, gone], ledger)[0]?.says).toBe('nobody takes writes: p is a standby, s is a standby');
    });

    test('a command to start what a person stopped names those who have a container', () => {
      const stopped = (name: string) => runs(name, { container: { status: 'exited', exitCode: 0 } });
      const members = [stopped('p'), stopped('s'), gone];
      expect(found(members, ledgerOf([], { primary: 't' }))[0]?.byHand).toBe('docker start p s');
    });
  });

  describe('and a primary that is frozen or silent may be there', () => {
    const killed = (rest: Partial<MemberFacts['container']> = {}) =>
      runs('s', { container: { status: 'exited', exitCode: 137, ...rest } });
    const beside = (old: MemberFacts, member: MemberFacts, named = ['s']) =>
      leftOver({ writable: [], streams: [], commitsWait: false, members: [old, member] }, policy, ledgerOf(named));

    test.each<[string, MemberFacts]>([
      ['is frozen', runs('p', { container: { status: 'paused' } })],
      ['says nothing', runs('p')],
      ['runs by its agent’s word, and does not answer', runs('p', { agent: up })],
      ['is unknown to Docker', runs('p', { container: { status: 'unknown' } })],
    ])('one that %s: the killed standby of the ledger is started by the watch', (_what, old) => {
      expect(beside(old, killed())).toEqual([
        {
          node: 's',
          says: 'its container is exited, exit code 137',
          key: 's ended',
          started: true,
          settleMs: 1000,
        },
      ]);
    });

    test.each<[string, MemberFacts, string[]]>([
      ['the ledger does not name', killed(), []],
      ['a person stopped', killed({ exitCode: 0 }), ['s']],
      ['was told to stop, and nobody listened', killed({ exitCode: 143 }), ['s']],
      ['was taken off its networks', killed({ offNetworks: { by: 'run', home: 'veloz-ha' } }), ['s']],
    ])('a standby that %s is left', (_what, member, named) => {
      expect(beside(runs('p', { container: { status: 'paused' } }), member, named)).toEqual([]);
    });

    test('one whose every node is accounted for goes its usual way', () => {
      expect(beside(runs('p', { container: { status: 'exited', exitCode: 137 } }), killed())[0]?.node).toBe(NOBODY);
    });
  });

  describe('since the primary itself was killed, and of the only other node nobody hears by SQL', () => {
    const killed = (rest: Partial<MemberFacts['container']> = {}) =>
      runs('p', { container: { status: 'exited', exitCode: 137, ...rest } });
    const asStandby = { ...up, standby: true, timeline: 3 } as const;
    const found = (members: MemberFacts[], ledger: KnownLedger | undefined = ledgerOf([])) =>
      leftOver({ writable: [], streams: [], commitsWait: false, members }, policy, ledger);

    test.each<[string, MemberFacts, string]>([
      [
        'has no data yet: it waits for this very primary to copy',
        runs('s', { agent: { ...up, postgres: 'starting', startGuard: 'No data yet', empty: true, standby: false } }),
        'has no data yet',
      ],
      [
        'was taken off its networks, and is a standby by its agent’s word',
        runs('s', {
          container: { status: 'running', offNetworks: { by: 'somebody', home: 'veloz-ha' } },
          agent: asStandby,
        }),
        "is a standby by its agent's word",
      ],
      [
        'crashes again and again, and is a standby by its agent’s word',
        runs('s', { agent: { ...asStandby, postgres: 'stopped', diskFull: true } }),
        "is a standby by its agent's word",
      ],
      [
        'is frozen, and a standby by its files',
        runs('s', { container: { status: 'paused' }, files: { timeline: 2 } }),
        'is a standby by its files',
      ],
      [
        'says nothing, and is a standby by its files',
        runs('s', { files: { timeline: 3 } }),
        'is a standby by its files',
      ],
    ])('and that %s: the primary is started in its place', (_what, other, words) => {
      expect(found([killed(), other])).toEqual([
        expect.objectContaining({ node: NOBODY, says: `nobody takes writes: p is exited, s ${words}`, settleMs: 5000 }),
      ]);
      expect(found([killed(), other])[0]?.leaves).toBeUndefined();
    });

    test.each<[string, MemberFacts]>([
      ['was asked to be promoted, or is no standby', runs('s', { agent: { ...asStandby, standby: false } })],
      ['is on a newer timeline by its agent’s word', runs('s', { agent: { ...asStandby, timeline: 4 } })],
      ['does not say its timeline', runs('s', { agent: { ...up, standby: true } })],
      ['has a dead-man switch or a job at work', runs('s', { agent: { ...asStandby, busy: true } })],
      ['is on a newer timeline by its files', runs('s', { container: { status: 'paused' }, files: { timeline: 4 } })],
      ['has files of another layout', runs('s', { container: { status: 'paused' }, files: { timeline: null } })],
      ['has no files that prove it', runs('s', { container: { status: 'paused' } })],
      ['is unknown to Docker', runs('s', { container: { status: 'unknown' } })],
    ])('and that may have taken its place, since it %s: nobody is started', (_what, other) => {
      expect(found([killed(), other])).toEqual([]);
    });

    test.each<[string, MemberFacts, KnownLedger | undefined]>([
      ['the ledger names another primary', killed(), ledgerOf([], { primary: 's' })],
      ['the ledger is unknown', killed(), ledgerOf([], { state: 'unknown' })],
      ['a run took it off its networks', killed({ offNetworks: { by: 'run', home: 'veloz-ha' } }), ledgerOf([])],
      ['it was told to stop', killed({ exitCode: 0 }), ledgerOf([])],
    ])('nor where %s', (_what, old, ledger) => {
      expect(found([old, runs('s', { agent: asStandby })], ledger)).toEqual([]);
    });

    test('nor without a ledger, or beside a third node of which nothing is known, or that is on a newer timeline', () => {
      const other = runs('s', { agent: asStandby });
      expect(found([killed(), other])).toHaveLength(1);
      expect(leftOver({ writable: [], streams: [], commitsWait: false, members: [killed(), other] }, policy)).toEqual(
        [],
      );
      expect(found([killed(), other, runs('t')])).toEqual([]);
      expect(found([killed(), other, runs('t', { sql: { inRecovery: true, timeline: 4 } })])).toEqual([]);
      expect(found([killed(), other, runs('t', { sql: { inRecovery: true, timeline: 3 } })])).toHaveLength(1);
    });

    test('the proof is believed of nobody but beside a killed primary: one that is frozen may go on', () => {
      expect(found([runs('p', { container: { status: 'paused' } }), runs('s', { agent: asStandby })])).toEqual([]);
    });
  });

  test('a whole cluster that people stopped stays stopped', () => {
    const stopped = (name: string) => runs(name, { container: { status: 'exited', exitCode: 0 } });
    expect(without(stopped('p'), stopped('s'))[0]).toMatchObject({
      leaves: 'every node was told to stop',
      byHand: 'docker start p s',
    });
  });

  test('a primary that people stopped stays stopped beside a node without data; a cluster without any is being made', () => {
    const empty = (name: string) => runs(name, { agent: { ...up, postgres: 'starting', empty: true } });
    const stopped = runs('p', { container: { status: 'exited', exitCode: 0 } });
    expect(without(stopped, empty('s'))[0]).toMatchObject({
      leaves: 'every node with data was told to stop',
      byHand: 'docker start p',
    });
    expect(without(empty('p'), empty('s'))).toEqual([]);
  });
});

test('two writable nodes are another matter', () => {
  expect(
    leftOver({ writable: ['p', 's'], streams: [], commitsWait: false, members: [primary, runs('s')] }, policy),
  ).toEqual([]);
});

test('told to stop: code 0, or the signal that nobody listened to; killed, out of memory and crashed are others', () => {
  const ended = (exitCode: number) => wasStoppedByHand({ status: 'exited', exitCode });
  expect([0, 143].map(ended)).toEqual([true, true]);
  expect([1, 134, 137, 139].map(ended)).toEqual([false, false, false, false]);
  expect(wasStoppedByHand({ status: 'exited', exitCode: 137, toldToStop: true })).toBe(true);
  expect(wasStoppedByHand({ status: 'running', toldToStop: true })).toBe(false);
  expect(wasStoppedByHand({ status: 'running' })).toBe(false);
  const members = [
    runs('a', { container: { status: 'paused' } }),
    runs('b', { container: { status: 'exited', exitCode: 137 } }),
  ];
  expect(stoppedByHand({ members })).toEqual(['a']);
});

test('the wait doubles from the back-off of the policy up to five minutes', () => {
  expect([1, 2, 3, 10].map((attempts) => mendingBackoffMs(attempts, { backoff: 15_000 }))).toEqual([
    15_000, 30_000, 60_000, 300_000,
  ]);
});
