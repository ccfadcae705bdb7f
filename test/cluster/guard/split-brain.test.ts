import { emptyLedger, type Ledger } from '../../../src/cluster/guard/ledger';
import type { Round } from '../../../src/cluster/guard/signals';
import { decideSplitBrain, splitBrainIn } from '../../../src/cluster/guard/split-brain';
import { PRIMARY, STANDBY, STANDBY_2 } from '../support/picture';
import { policy, round, silence, standbyAnswer, T0, writable } from './support/rounds';

const ledger: Ledger = { ...emptyLedger(T0), state: 'unknown', primary: PRIMARY, timeline: 3, epoch: 2 };
const nobody = emptyLedger(T0);
const second = (timeline = 4, rest = {}) => writable({ name: STANDBY, timeline, ...rest });
const third = (timeline = 4) => writable({ name: STANDBY_2, timeline });
const at = (ms: number, others: Round['others'] = [second()], rest: Partial<Round> = {}) =>
  round({ at: T0 + ms, others, ...rest });

describe('of several writable nodes', () => {
  test.each<[string, Round, Ledger, { keep: string | null; fence: string[]; named?: boolean }]>([
    ['the one that the ledger names stays', at(0), ledger, { keep: PRIMARY, fence: [STANDBY], named: true }],
    ['it stays also on the older timeline', at(0, [second(9)]), ledger, { keep: PRIMARY, fence: [STANDBY] }],
    [
      'the other stays, when the ledger names it',
      at(0),
      { ...ledger, primary: STANDBY },
      { keep: STANDBY, fence: [PRIMARY] },
    ],
    ['two of three are fenced', at(0, [second(), third()]), ledger, { keep: PRIMARY, fence: [STANDBY, STANDBY_2] }],
    [
      'the newest timeline stays, when the ledger names nobody',
      at(0),
      nobody,
      { keep: STANDBY, fence: [PRIMARY], named: false },
    ],
    [
      'the newest timeline stays, when the ledger names a third',
      at(0),
      { ...ledger, primary: STANDBY_2 },
      { keep: STANDBY, fence: [PRIMARY] },
    ],
    ['nobody is fenced, when nothing tells which is right', at(0, [second(3)]), nobody, { keep: null, fence: [] }],
    [
      'nobody is fenced, when two of three are on the newest timeline',
      at(0, [second(), third()]),
      nobody,
      { keep: null, fence: [] },
    ],
  ])('%s', (_what, seen, known, expected) => {
    const split = splitBrainIn(seen, known, policy);
    expect(split).toMatchObject(expected);
    expect(split?.writable).toContain(PRIMARY);
    // Whatever happens: somebody goes on.
    expect(split?.fence.length).toBeLessThan(split?.writable.length ?? 0);
    expect(split?.says).toContain(`nodes are writable: ${PRIMARY} on timeline 3 and ${STANDBY} on timeline `);
  });

  test('it says whom it keeps, whom it fences, and why', () => {
    expect(splitBrainIn(at(0), ledger, policy)?.says).toBe(
      `2 nodes are writable: ${PRIMARY} on timeline 3 and ${STANDBY} on timeline 4. ${PRIMARY} is the primary that the ledger names; ${STANDBY} is fenced`,
    );
    expect(splitBrainIn(at(0), nobody, policy)?.says).toMatch(
      new RegExp(`the ledger names neither; ${PRIMARY} is fenced if clients are led to ${STANDBY}$`),
    );
    expect(splitBrainIn(at(0, [second(3)]), nobody, policy)?.says).toContain('A person has to decide');
  });

  test('nobody is fenced where the policy is to tell only', () => {
    const split = splitBrainIn(at(0), ledger, { ...policy, onSplitBrain: 'alarm' });
    expect(split).toMatchObject({ keep: PRIMARY, fence: [] });
    expect(split?.says).toContain(`guard.onSplitBrain is alarm, and ${STANDBY} goes on taking writes`);
  });
});

describe('there is no split brain', () => {
  test.each<[string, Round]>([
    ['with one primary', at(0, [standbyAnswer()])],
    ['when the other gives no answer', at(0, [silence({ name: STANDBY })])],
    ['when only the other is writable', at(0, [second()], { sql: silence() })],
    ['with a node of another database system', at(0, [second(4, { systemIdentifier: '88' })])],
  ])('%s', (_what, seen) => {
    expect(splitBrainIn(seen, ledger, policy)).toBeUndefined();
  });

  test('with two writable nodes of which one is of another system than the silent primary of the ledger', () => {
    const seen = at(0, [second(4, { systemIdentifier: '88' })]);
    expect(splitBrainIn(seen, { ...ledger, primary: STANDBY }, policy)).toBeUndefined();
  });
});

describe('it is confirmed by', () => {
  const well = (ms: number) => at(ms, [standbyAnswer()]);
  test.each<[string, Round[], boolean]>([
    ['no round', [], false],
    ['one round alone', [well(0), at(200)], false],
    ['two rounds 199 ms apart', [at(0), at(199)], false],
    ['two rounds 200 ms apart', [at(0), at(200)], true],
    ['two rounds with one in between that could not tell', [at(0), well(200), at(400)], true],
    ['two rounds 2 s apart', [at(0), at(2000)], true],
    ['two rounds more than 2 s apart', [at(0), at(2001)], false],
    ['two rounds of which the newest shows none', [at(0), at(200), well(400)], false],
    ['two rounds that show other nodes', [at(0, [third()]), at(200)], false],
  ])('%s: %s', (_what, rounds, confirmed) => {
    expect(decideSplitBrain(rounds, ledger, policy) !== undefined).toBe(confirmed);
  });

  test('two rounds that would keep the same node', () => {
    expect(decideSplitBrain([at(0, [second(2)]), at(300)], nobody, policy)).toBeUndefined();
  });
});
