import type { Ledger } from '../../../src/cluster/guard/ledger';
import type { ObservedNode } from '../../../src/cluster/observed';
import { decideRound, type RoundKnowledge } from '../../../src/cluster/repair/round';
import { ledgerOf } from '../failover/support';
import { absent, picture, PRIMARY, STANDBY, STANDBY_2, stopped, type Picture } from '../support/picture';

/** The last primary was the optional node, and it alone had the last commits. */
const alone: Ledger = {
  ...ledgerOf(),
  state: 'degraded',
  primary: STANDBY_2,
  names: '',
  why: 'no standby has confirmed since noon: commits go on without one',
};
const decide = ({ topology, observed }: Picture, known: Partial<RoundKnowledge> = {}) => {
  const round = decideRound(topology, observed, { ledger: alone, woken: [], ...known });
  return { ...round, does: round.tasks.map(({ kind, node }) => `${kind} ${node}`) };
};

/** The two others are standbys that answer, and the optional node has no container. */
function withoutPrimary(): Picture {
  const seen = picture();
  Object.assign(seen.node(PRIMARY).sql, { inRecovery: true, replayLsn: '0/3000148', replication: [] });
  for (const name of [PRIMARY, STANDBY]) seen.node(name).sql.receiver = null;
  return seen;
}

/** The agent of a fenced node: it was a primary on this timeline. */
function fenced(node: ObservedNode, controlTimeline: number): void {
  node.sql = null;
  node.sqlError = 'connect ECONNREFUSED';
  Object.assign(node.agent ?? {}, {
    postgresState: 'stopped',
    desired: 'fenced',
    controlState: 'in production',
    standbySignal: true,
    controlTimeline,
  });
}

describe('nobody is writable, and the node that the ledger names as primary is optional and has no container', () => {
  test('nobody is promoted: what it acknowledged may be on it alone; the refusal comes first, with the command', () => {
    const round = decide(withoutPrimary());
    expect(round.does).toEqual([]);
    expect(round.primary).toBeUndefined();
    expect(round.says).toBe(
      `nothing can be done without a person's decision: ${STANDBY_2} may have acknowledged commits that nobody else has`,
    );
    expect(round.findings[0]).toMatchObject({
      id: 'I6',
      result: 'refuse',
      measured: `${STANDBY_2} has no container; the ledger names ${STANDBY_2} as primary, and says degraded: no standby has confirmed since noon: commits go on without one`,
      limit:
        'a container of every node that the ledger names, or a ledger that says protected and whose standbys all answer',
      next: 'veloz-ha stack up --standbys 2',
    });
  });

  test('also where its container could not be started, and its word counts for nothing else', () => {
    const seen = withoutPrimary();
    stopped(seen.node(STANDBY_2));
    expect(decide(seen).does).toEqual([`wake ${STANDBY_2}`]);
    absent(seen.node(STANDBY_2));
    expect(decide(seen, { woken: [STANDBY_2] }).does).toEqual([]);
  });

  test('where the ledger promises that those who answer have everything, a failover from it decides', () => {
    const ledger = { ...ledgerOf(PRIMARY, STANDBY), primary: STANDBY_2 };
    const seen = withoutPrimary();
    expect(decide(seen, { ledger }).does[0]).toBe(`failover ${PRIMARY}`);
    stopped(seen.node(STANDBY));
    const round = decide(seen, { ledger, woken: [STANDBY] });
    expect(round.does).toEqual([]);
    expect(round.findings[0]?.measured).toContain(
      `as primary, and ${PRIMARY} and ${STANDBY} as confirming its commits`,
    );
  });

  test.each<[string, Partial<RoundKnowledge>]>([
    ['without a ledger', { ledger: null }],
    ['beside a ledger that names it no more, since it was removed in order', { ledger: ledgerOf(STANDBY) }],
    ['in a run that was begun by a version which left it out', { optionalIsGone: true }],
  ])('%s it is not there, and the most advanced of those who answer is promoted', (_what, known) => {
    expect(decide(withoutPrimary(), known).does[0]).toBe(`failover ${PRIMARY}`);
  });

  test('a standby that the ledger names counts as much: it may have been promoted since', () => {
    const seen = picture();
    fenced(seen.node(PRIMARY), 3);
    seen.node(STANDBY).sql.receiver = null;
    const ledger = ledgerOf(STANDBY, STANDBY_2);
    const round = decide(seen, { ledger });
    expect(round.does).toEqual([]);
    expect(round.findings[0]).toMatchObject({
      id: 'I6',
      refusal: `${STANDBY_2} may have been promoted in the place of ${PRIMARY} at last, and have acknowledged commits that nobody else has`,
      next: 'veloz-ha stack up --standbys 2',
    });
    expect(decide(seen, { ledger: ledgerOf(STANDBY) }).does[0]).toBe(`start-primary ${PRIMARY}`);
  });
});

describe('nobody is writable, and the ledger names a primary of a newer timeline than everybody who is there', () => {
  /** Fenced by the run that promoted the optional node, beside a standby of its own timeline. */
  const left = (timeline = 3): Picture => {
    const seen = picture();
    fenced(seen.node(PRIMARY), timeline);
    Object.assign(seen.node(STANDBY).sql, { receiver: null, timeline });
    return seen;
  };
  const promoted: Ledger = { ...ledgerOf(PRIMARY, STANDBY), primary: STANDBY_2, timeline: 4 };

  test('the old primary is not started, and no standby is promoted', () => {
    const round = decide(left(), { ledger: promoted });
    expect(round.does).toEqual([]);
    expect(round.findings[0]).toMatchObject({
      id: 'A6',
      refusal: `everybody who could take writes is on an older timeline than ${STANDBY_2}, the primary of the ledger: what it acknowledged would be lost`,
      measured: `${STANDBY_2} was on timeline 4 by the ledger, and has no container; ${STANDBY} is on timeline 3, ${PRIMARY} is on timeline 3`,
      limit: 'timeline 4 or a newer one',
      next: 'veloz-ha stack up --standbys 2',
    });
  });

  test('nor beside one that is there and can not be started, or says nothing', () => {
    const seen = left();
    stopped(seen.node(STANDBY_2));
    expect(decide(seen, { ledger: promoted, woken: [STANDBY_2] }).findings[0]).toMatchObject({
      id: 'A6',
      measured: expect.stringContaining('gives no answer, its container is exited') as unknown,
      next: `docker start ${STANDBY_2}`,
    });
    Object.assign(seen.node(STANDBY_2).container, { running: true, status: 'running' });
    expect(decide(seen, { ledger: promoted }).findings[0]).toMatchObject({
      id: 'A6',
      next: `docker logs --tail 20 ${STANDBY_2}`,
    });
  });

  test('the old primary is started where it was on that timeline, and on a newer one', () => {
    const ledger = { ...ledgerOf(STANDBY), timeline: 4 };
    expect(decide(left(4), { ledger }).does[0]).toBe(`start-primary ${PRIMARY}`);
    expect(decide(left(5), { ledger }).does[0]).toBe(`start-primary ${PRIMARY}`);
  });

  test('a run that was begun by a version which did not compare them goes on so', () => {
    expect(decide(left(), { ledger: promoted, optionalIsGone: true }).does[0]).toBe(`start-primary ${PRIMARY}`);
  });
});
