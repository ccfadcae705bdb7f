import type { Round, Verdict } from '../../../src/cluster/guard/signals';
import { judge } from '../../../src/cluster/guard/verdict';
import { POOLER, PRIMARY, STANDBY, STANDBY_2 } from '../support/picture';
import { policy, round, silence, standbyAnswer, story, T0, times, writable } from './support/rounds';

type Given = Partial<Round>;

const unseen = (...nodes: string[]): Round['witnesses'] =>
  nodes.map((node) => ({ node, sees: false, answered: true, problem: 'no answer within 300 ms' }));
const running: Given['agent'] = { answered: true, postgres: 'running', desired: 'up' };
const ended: Given['agent'] = { answered: true, postgres: 'stopped', desired: 'up' };
const mute: Given['agent'] = { answered: false, problem: 'no answer within 300 ms' };
const noReceiver = [standbyAnswer({ receiver: null })];

const silent: Given = { sql: silence() };
const cut: Given = { sql: silence({ ms: 1, problem: 'Connection terminated unexpectedly' }) };
const exited: Given = { ...cut, container: 'exited' };
const paused: Given = { ...silent, container: 'paused', agent: mute, witnesses: unseen(STANDBY, POOLER) };
const hung: Given = { ...silent, container: 'running', agent: mute, witnesses: unseen(STANDBY, POOLER) };
const isolated: Given = { ...silent, container: 'running', agent: running, witnesses: unseen(STANDBY, POOLER) };
const crashed: Given = { ...cut, container: 'running', agent: ended, witnesses: unseen(POOLER) };
const restarting: Given = { ...cut, container: 'restarting', agent: mute, witnesses: unseen(POOLER) };
const seen: Given = { ...isolated, witnesses: [{ node: POOLER, sees: true, answered: true }] };
const unasked: Given = {
  ...isolated,
  witnesses: [{ node: POOLER, sees: false, answered: false, problem: 'closed by the container' }],
};
const blindDocker: Given = { ...silent, container: 'unknown', agent: mute, witnesses: unseen(STANDBY) };
const late = (given: Given, lateMs = 2000): Given => ({ ...given, lateMs });
const full: Given = { agent: { ...running, freeDiskBytes: 4096 } };
/** Rounds in each of which the standby has more WAL than in the one before. */
const advancing = (given: Given, count: number): Given[] =>
  times(count, given).map((each, index) => ({ ...each, others: [standbyAnswer({ lsn: `0/500100${index}` })] }));

interface Case {
  rounds: Given[];
  state: Verdict['state'];
  kind?: string;
  hold?: boolean;
  /** A part of the sentence. */
  says: string | RegExp;
  /** Milliseconds from the first round until `since`. */
  since?: number;
}

const cases: Record<string, Case> = {
  // Healthy, or answering
  'the primary answers': { rounds: [{}], state: 'healthy', says: 'answered in 2 ms and takes writes, on timeline 3' },
  'it answers again after a silence': { rounds: [...times(2, hung), {}], state: 'healthy', says: 'takes writes' },
  'it answers late, but it answers': { rounds: [late({})], state: 'healthy', says: 'takes writes' },
  'it is a standby now': {
    rounds: [{ sql: writable({ inRecovery: true }) }],
    state: 'suspect',
    hold: false,
    says: `${PRIMARY} is a standby now`,
  },
  'its disk is full in some rounds': {
    rounds: times(2, full),
    state: 'suspect',
    hold: true,
    says: 'its disk has been full for 200 ms, 2 rounds: 4 KiB free (limit: at least 16.0 MiB); it counts as failed after 1.50 s and 3 rounds',
  },
  'its disk is full for a moment, in enough rounds': {
    rounds: times(4, full),
    state: 'suspect',
    hold: true,
    says: 'its disk has been full for 600 ms, 4 rounds',
  },
  'its disk is full in enough rounds, for long enough': {
    rounds: times(9, full),
    state: 'failed',
    kind: 'unwritable',
    says: "answers and can't write: its disk has been full for 1.60 s, 9 rounds: 4 KiB free",
    since: 200,
  },
  'its disk was full, and is not': {
    rounds: [...times(3, full), { agent: { ...running, freeDiskBytes: 16 * 1024 ** 2 } }],
    state: 'healthy',
    says: 'takes writes',
  },
  'its disk was full, and nobody asked again': { rounds: [...times(3, full), {}], state: 'healthy', says: '' },
  'a standby with a full disk is no failed primary': {
    rounds: times(3, { ...full, sql: writable({ inRecovery: true }) }),
    state: 'suspect',
    hold: false,
    says: 'standby now',
  },

  // Dead: two independent ways, at once
  ...Object.fromEntries(
    (['exited', 'dead', 'absent', 'created'] as const).map((word): [string, Case] => [
      `the container is ${word}`,
      {
        rounds: [{ ...cut, container: word }],
        state: 'failed',
        kind: 'dead',
        says: `is dead: its container is ${word}, and it has not answered for 1 ms (Connection terminated unexpectedly)`,
        since: 200,
      },
    ]),
  ),
  'the container had ended before anybody looked': {
    rounds: [{ ...exited, endedAt: T0 - 3000 }],
    state: 'failed',
    kind: 'dead',
    says: 'it has not answered for 3.20 s',
    since: -3000,
  },
  'the container ended after it had fallen silent': {
    rounds: [...times(2, hung), { ...exited, endedAt: T0 + 500 }],
    state: 'failed',
    kind: 'dead',
    says: 'exited',
    since: 200,
  },
  'Docker names an end that lies in the future': {
    rounds: [{ ...exited, endedAt: T0 + 9000 }],
    state: 'failed',
    kind: 'dead',
    says: 'exited',
    since: 200,
  },
  'it runs again after an end': {
    rounds: times(5, { ...hung, endedAt: T0 - 3000 }),
    state: 'failed',
    kind: 'hung',
    says: 'hangs',
    since: 200,
  },
  'the container is exited in a round that is late': {
    rounds: [late(exited)],
    state: 'failed',
    kind: 'dead',
    says: 'exited',
  },
  'the container is exited although a witness claims to see it': {
    rounds: [{ ...exited, witnesses: [{ node: POOLER, sees: true, answered: true }] }],
    state: 'failed',
    kind: 'dead',
    says: 'exited',
  },
  'the container is exited while old WAL still arrives': {
    rounds: [...advancing(silent, 4), { ...exited, others: [standbyAnswer({ lsn: '0/6000000' })] }],
    state: 'failed',
    kind: 'dead',
    says: 'exited',
    since: 200,
  },
  'Docker says exited, but SQL answers': { rounds: [{ container: 'exited' }], state: 'healthy', says: 'takes writes' },

  // Suspicion
  'one round is silent': {
    rounds: [silent],
    state: 'suspect',
    hold: false,
    says: 'has not answered for 300 ms (no answer within 300 ms), confirmed in 0 of 3',
  },
  'the connection is reset': {
    rounds: [cut],
    state: 'suspect',
    hold: true,
    says: 'Connection terminated unexpectedly',
  },
  'the connection was reset, and then there is silence': {
    rounds: [cut, silent],
    state: 'suspect',
    hold: true,
    says: '',
  },
  'the connect timed out in the words of the driver': {
    rounds: [{ sql: silence({ problem: 'Connection terminated due to connection timeout' }) }],
    state: 'suspect',
    hold: false,
    says: '',
  },
  'the connection is refused': {
    rounds: [{ sql: silence({ ms: 1, problem: 'connect ECONNREFUSED 127.0.0.1:15432' }) }],
    state: 'suspect',
    hold: true,
    says: 'ECONNREFUSED',
  },
  'the server starts up': {
    rounds: [{ sql: silence({ ms: 1, problem: 'the database system is starting up' }) }],
    state: 'suspect',
    hold: true,
    says: '',
  },
  'the container is paused in one round': {
    rounds: [paused],
    state: 'suspect',
    hold: true,
    says: 'confirmed in 1 of 3 rounds',
  },
  'a run holds the node': {
    rounds: times(20, {
      ...cut,
      container: 'running',
      agent: { answered: true, postgres: 'stopped', desired: 'held' },
    }),
    state: 'suspect',
    hold: false,
    says: `${PRIMARY} is held: a run or a person stopped it 3.80 s ago, and it did not fail`,
  },
  'a run fenced the node': {
    rounds: [{ ...cut, container: 'running', agent: { answered: true, postgres: 'stopped', desired: 'fenced' } }],
    state: 'suspect',
    hold: false,
    says: 'is fenced',
  },

  // Crash and restart in place
  'PostgreSQL ended within its budget': {
    rounds: times(3, crashed),
    state: 'suspect',
    hold: true,
    says: 'crashed and restarts in place: PostgreSQL is stopped after 401 ms, and 2.10 s of its 2.50 s are left',
  },
  'PostgreSQL starts within its budget': {
    rounds: [crashed, { ...crashed, agent: { ...ended, postgres: 'starting' } }],
    state: 'suspect',
    hold: true,
    says: 'PostgreSQL is starting after 201 ms',
  },
  'the container restarts within the budget': {
    rounds: times(8, restarting),
    state: 'suspect',
    hold: true,
    says: 'its container is restarting',
  },
  'the container runs again and its agent is not up yet': {
    rounds: [restarting, ...times(5, hung)],
    state: 'suspect',
    hold: true,
    says: 'crashed and restarts in place',
  },
  'PostgreSQL did not come back': {
    rounds: times(14, crashed),
    state: 'failed',
    kind: 'crashed',
    says: 'crashed and did not come back: PostgreSQL is stopped after 2.60 s (limit: 2.50 s)',
    since: 200,
  },
  'the container restarts for too long': {
    rounds: times(14, restarting),
    state: 'failed',
    kind: 'crashed',
    says: 'its container is restarting after 2.60 s',
  },
  'PostgreSQL is exactly at its budget': {
    rounds: times(13, { ...crashed, sql: silence({ ms: 100, problem: 'reset' }) }),
    state: 'suspect',
    hold: true,
    says: '0 ms of its 2.50 s are left',
  },
  'the agent said stopped, and says nothing any more, beyond the budget': {
    rounds: [...times(11, crashed), ...times(3, hung)],
    state: 'failed',
    kind: 'hung',
    says: 'hangs',
  },
  'a crash beyond the budget, seen by an observer that was stalled': {
    rounds: [...times(13, crashed), late(crashed)],
    state: 'observer in doubt',
    says: 'was stalled for 2.00 s',
  },
  'it crashes for the third time': {
    rounds: [crashed, {}, restarting, {}, {}, crashed],
    state: 'failed',
    kind: 'crashed',
    says: 'crashed 3 times in 1.00 s: PostgreSQL is stopped (limit: fewer than 3 times)',
    since: 200,
  },
  'it crashes for the second time': {
    rounds: [crashed, {}, crashed],
    state: 'suspect',
    hold: true,
    says: 'restarts in place',
  },
  'a witness sees a server that its agent called stopped': {
    rounds: [crashed, { ...crashed, witnesses: seen.witnesses }],
    state: 'observer in doubt',
    says: `${POOLER} sees`,
  },
  'the standby still writes what a crashed primary had sent': {
    rounds: advancing(crashed, 14),
    state: 'failed',
    kind: 'crashed',
    says: 'did not come back',
  },

  // Hung
  'the container is paused in enough rounds': {
    rounds: times(3, paused),
    state: 'failed',
    kind: 'hung',
    says: /hangs: its container is paused, and it has not answered for 700 ms, and .* can't reach it either \(3 rounds; limit: 3\)/,
    since: 200,
  },
  'the container is paused, and nobody else could be asked': {
    rounds: times(3, { ...paused, witnesses: unasked.witnesses }),
    state: 'failed',
    kind: 'hung',
    says: 'its container is paused, and it has not answered for 700 ms (3 rounds',
  },
  'the container is paused, and a witness still sees it': {
    rounds: [...times(3, paused), { ...paused, witnesses: seen.witnesses }],
    state: 'observer in doubt',
    says: 'sees',
  },
  'the container is paused while the standby writes what it has': {
    rounds: advancing(paused, 5),
    state: 'failed',
    kind: 'hung',
    says: 'paused',
  },
  'nobody gets an answer in too few rounds': {
    rounds: times(2, hung),
    state: 'suspect',
    hold: false,
    says: 'confirmed in 2 of 3 rounds',
  },
  'nobody gets an answer': {
    rounds: times(3, hung),
    state: 'failed',
    kind: 'hung',
    says: 'hangs: its container is running, it has not answered for 700 ms',
    since: 200,
  },
  'nobody gets an answer, and Docker does not tell': {
    rounds: times(3, blindDocker),
    state: 'failed',
    kind: 'hung',
    says: 'Docker does not tell of its container',
  },
  'Docker does not tell, and no witness could be asked': {
    rounds: times(3, { ...blindDocker, witnesses: unasked.witnesses }),
    state: 'observer in doubt',
    says: 'nobody else could be asked whether it is reachable: silence in one way proves nothing',
  },
  'silence is interrupted by an answer': {
    rounds: [...times(2, hung), {}, ...times(2, hung)],
    state: 'suspect',
    hold: false,
    says: '2 of 3',
  },
  'one of the rounds asked nobody else': {
    rounds: [hung, silent, hung, hung],
    state: 'suspect',
    hold: false,
    says: '2 of 3',
  },

  // Isolated
  'it runs, and nobody reaches it': {
    rounds: times(3, isolated),
    state: 'failed',
    kind: 'isolated',
    says: `is cut off: it runs by its agent's word, has not answered for 700 ms, and ${STANDBY} and ${POOLER} can't reach it either (3 rounds; limit: 3)`,
    since: 200,
  },
  'it runs, and nobody reaches it in too few rounds': {
    rounds: times(2, isolated),
    state: 'suspect',
    hold: false,
    says: '2 of 3',
  },
  'its agent is silent in one of the rounds': {
    rounds: [isolated, hung, isolated],
    state: 'failed',
    kind: 'hung',
    says: 'hangs',
  },
  'one of two witnesses could not be asked': {
    rounds: times(3, { ...isolated, witnesses: [...(unasked.witnesses ?? []), ...(unseen(STANDBY) ?? [])] }),
    state: 'failed',
    kind: 'isolated',
    says: `and ${STANDBY} can't reach it either`,
  },
  'no witness could be asked': {
    rounds: times(3, unasked),
    state: 'observer in doubt',
    says: 'nobody else could be asked',
  },
  'there are no witnesses': {
    rounds: times(3, { ...isolated, witnesses: [] }),
    state: 'observer in doubt',
    says: 'nobody else could be asked',
  },
  'no witness could be asked yet': { rounds: times(2, unasked), state: 'suspect', hold: false, says: '0 of 3' },

  // The observer
  'a witness sees it': {
    rounds: times(10, seen),
    state: 'observer in doubt',
    says: `${POOLER} sees ${PRIMARY}, which has not answered here for 2.10 s`,
  },
  'two witnesses see it': {
    rounds: [{ ...seen, witnesses: [STANDBY, POOLER].map((node) => ({ node, sees: true, answered: true })) }],
    state: 'observer in doubt',
    says: `${STANDBY} and ${POOLER} see`,
  },
  'a witness that saw it sees it no more': {
    rounds: [seen, ...times(2, isolated)],
    state: 'suspect',
    hold: false,
    says: '2 of 3',
  },
  'no node at all answers here': {
    rounds: times(3, { ...isolated, others: [silence({ name: STANDBY })] }),
    state: 'observer in doubt',
    says: 'no node answers here: ',
  },
  'the observer was frozen before the round': {
    rounds: [late(hung)],
    state: 'observer in doubt',
    says: 'the observer was stalled for 2.00 s itself (limit: 400 ms)',
  },
  'the observer was frozen in the middle of the round': {
    rounds: times(3, { ...hung, sql: silence({ ms: 2100 }) }),
    state: 'observer in doubt',
    says: 'the observer was stalled for 1.80 s itself',
  },
  'the observer was frozen, and two fresh rounds are silent': {
    rounds: [hung, hung, late(hung), hung, hung],
    state: 'suspect',
    hold: false,
    says: '2 of 3',
  },
  'the observer was frozen, and three fresh rounds are silent': {
    rounds: [late(hung), ...times(3, hung)],
    state: 'failed',
    kind: 'hung',
    says: '(3 rounds; limit: 3)',
    since: 200,
  },
  'the observer was a little late, within its limit': {
    rounds: times(3, late(isolated, 400)),
    state: 'failed',
    kind: 'isolated',
    says: '',
  },
  'the observer was a little too late each time': {
    rounds: times(9, late(isolated, 401)),
    state: 'observer in doubt',
    says: '401 ms',
  },

  // I4
  'WAL still arrives in the round that would decide': {
    rounds: advancing(isolated, 3),
    state: 'suspect',
    hold: false,
    says: `but ${STANDBY} received more WAL in the last round: one more round decides`,
  },
  'WAL arrives again and again': {
    rounds: advancing(isolated, 4),
    state: 'observer in doubt',
    says: `WAL of ${PRIMARY} still reaches ${STANDBY}, 2 times more since it fell silent here 900 ms ago: it runs`,
  },
  'WAL arrived only up to the second silent round': {
    rounds: [...advancing(isolated, 2), ...times(2, { ...isolated, others: [standbyAnswer({ lsn: '0/5001001' })] })],
    state: 'failed',
    kind: 'isolated',
    says: '',
  },
  'WAL arrived once more, and then no more': {
    rounds: [...advancing(isolated, 3), { ...isolated, others: [standbyAnswer({ lsn: '0/5001002' })] }],
    state: 'failed',
    kind: 'isolated',
    says: '(4 rounds',
  },
  'WAL arrived for a while, and then no more': {
    rounds: [...advancing(isolated, 6), ...times(3, { ...isolated, others: [standbyAnswer({ lsn: '0/5001005' })] })],
    state: 'failed',
    kind: 'isolated',
    says: '(9 rounds',
  },
  'a position grows on a standby that does not stream': {
    rounds: advancing(isolated, 5).map((each) => ({
      ...each,
      others: (each.others ?? []).map((answer) => ({ ...answer, receiver: null })),
    })),
    state: 'failed',
    kind: 'isolated',
    says: '',
  },
};

describe('the verdict when', () => {
  test.each(Object.entries(cases))('%s', (_what, { rounds, state, kind, hold, says, since }) => {
    const verdict = judge(story(...rounds), policy);
    expect({ ...verdict, signals: undefined }).toMatchObject({
      state,
      ...(kind === undefined ? {} : { kind }),
      ...(hold === undefined ? {} : { hold }),
    });
    if (typeof says === 'string') expect(verdict.says).toContain(says);
    else expect(verdict.says).toMatch(says);
    expect(verdict.says).not.toMatch(/undefined|null|NaN|\[object/);
    if (since !== undefined) expect(verdict).toMatchObject({ since: T0 + since });
  });
});

test('before the first round nobody knows anything', () => {
  expect(judge([], policy)).toEqual({ state: 'suspect', says: 'nobody has looked yet', hold: false, signals: [] });
});

describe('the number of confirmations', () => {
  const five = { ...policy, confirmations: 5 };
  test.each([
    [4, 'suspect'],
    [5, 'failed'],
  ])('of which 5 are wanted: %i rounds make it %s', (count, state) => {
    expect(judge(story(...times(count, isolated)), five).state).toBe(state);
  });
});

describe('a silence that is longer than the rounds that are kept', () => {
  const kept = times(3, crashed).map((each, index) => round({ at: T0 + 200 * index, ...each }));

  test('is counted from where the caller knows that it began', () => {
    expect(judge(kept, policy).state).toBe('suspect');
    expect(judge(kept, policy, T0 - 2200)).toMatchObject({ state: 'failed', kind: 'crashed', since: T0 - 2200 });
  });

  test('is not, once the primary answered in a round that is kept', () => {
    expect(judge([round({ at: T0 - 200 }), ...kept], policy, T0 - 9000).state).toBe('suspect');
  });
});

test('an end before the last answer was told by a clock that is behind: the silence counts', () => {
  const rounds = [round({ ...exited, endedAt: T0 - 3000 })];
  expect(judge(rounds, policy, undefined, T0 - 2500)).toMatchObject({ kind: 'dead', since: T0 - 3000 });
  expect(judge(rounds, policy, undefined, T0 - 100)).toMatchObject({ kind: 'dead', since: rounds[0]?.at });
});

describe('the evidence', () => {
  const signalsOf = (rounds: Given[]) => {
    const verdict = judge(story(...rounds), policy);
    return verdict.state === 'healthy' ? [] : verdict.signals;
  };

  test('has one line a way, each with its time and what it speaks for', () => {
    const others = [...noReceiver, standbyAnswer({ name: STANDBY_2, receiver: 'streaming' })];
    expect(signalsOf(times(3, { ...isolated, others }))).toEqual([
      {
        at: T0 + 200,
        source: 'sql',
        speaks: 'for',
        says: `${PRIMARY} has not answered for 700 ms: no answer within 300 ms`,
      },
      { at: T0 + 600, source: 'docker', speaks: 'neither', says: 'the container is running' },
      { at: T0 + 600, source: 'agent', speaks: 'neither', says: 'PostgreSQL is running, desired up' },
      {
        at: T0 + 600,
        source: `witness ${STANDBY}`,
        speaks: 'for',
        says: `can't reach ${PRIMARY} either: no answer within 300 ms`,
      },
      {
        at: T0 + 600,
        source: `witness ${POOLER}`,
        speaks: 'for',
        says: `can't reach ${PRIMARY} either: no answer within 300 ms`,
      },
      { at: T0 + 600, source: `receiver ${STANDBY}`, speaks: 'for', says: 'receives no WAL' },
      { at: T0 + 600, source: `receiver ${STANDBY_2}`, speaks: 'neither', says: 'streaming, and nothing new arrived' },
    ]);
  });

  test.each<[string, Given[], string, string, string]>([
    ['a dead container', [exited], 'docker', 'for', 'the container is exited'],
    ['a paused container', [paused], 'docker', 'for', 'paused'],
    ['an engine that is silent', [blindDocker], 'docker', 'neither', 'the engine gave no answer'],
    ['an agent that is silent', [hung], 'agent', 'neither', 'no answer: no answer within 300 ms'],
    ['an agent whose server ended', [crashed], 'agent', 'for', 'PostgreSQL is stopped, desired up'],
    [
      'an agent that a run stopped',
      [{ ...crashed, agent: { ...ended, desired: 'held' } }],
      'agent',
      'against',
      'desired held',
    ],
    ['a full disk', times(3, full), 'agent', 'for', '4 KiB free on its disk'],
    ['an answer', times(3, full), 'sql', 'against', 'answered in 2 ms'],
    ['a witness that sees it', [seen], `witness ${POOLER}`, 'against', `sees ${PRIMARY}`],
    [
      'a witness that could not be asked',
      [unasked],
      `witness ${POOLER}`,
      'neither',
      'could not be asked: closed by the container',
    ],
    [
      'WAL that still arrives',
      advancing(isolated, 4),
      `receiver ${STANDBY}`,
      'against',
      'received WAL up to 0/5001003, 2 times more since',
    ],
  ])('of %s', (_what, rounds, source, speaks, says) => {
    const found = signalsOf(rounds).filter((signal) => signal.source === source);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ speaks });
    expect(found[0]?.says).toContain(says);
  });

  test('says nothing of nodes that do not answer or are no standbys', () => {
    const others = [silence({ name: STANDBY }), writable({ name: STANDBY_2 })];
    expect(signalsOf([{ ...cut, others }]).map(({ source }) => source)).toEqual(['sql']);
  });
});
