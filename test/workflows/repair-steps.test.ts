import type { RepairTask } from '../../src/cluster/repair/round';
import { failoverFrom, roundParts, type RoundSetting } from '../../src/workflows/repair-steps';
import { ledgerOf } from '../cluster/failover/support';
import { picture, POOLER, PRIMARY, STANDBY, STANDBY_2, stopped } from '../cluster/support/picture';

const task = (kind: RepairTask['kind'], node: string, rest: object = {}): RepairTask => ({
  kind,
  node,
  why: '',
  check: '',
  ...rest,
});

/** The parts for these tasks; `silent` stands still. */
function parts(tasks: RepairTask[], silent?: string, rest: Partial<RoundSetting> = {}) {
  const seen = picture();
  if (silent !== undefined) stopped(seen.node(silent));
  const setting = {
    described: { name: 'veloz', topology: seen.topology },
    observed: seen.observed,
    round: { tasks, findings: [], primary: PRIMARY, says: '' },
    ledger: null,
    token: 'repair/1',
    story: { woken: [] },
    ...rest,
  } as unknown as RoundSetting;
  return roundParts(setting);
}
const steps = (...args: Parameters<typeof parts>) => parts(...args).flatMap((part) => part.steps);
const ids = (...args: Parameters<typeof steps>) => steps(...args).map(({ id }) => id);

describe('the steps of a round', () => {
  test('every node is taken before anything that a late command of the ended run could meet', () => {
    expect(ids([task('route', POOLER, { upstream: PRIMARY }), task('release', POOLER)])).toEqual([
      'take',
      'route',
      'release',
    ]);
  });

  test('claims that were left are given back together, and that alone takes nothing before', () => {
    const left = [task('forget-claim', PRIMARY), task('forget-claim', POOLER)];
    expect(ids(left)).toEqual(['claims']);
    expect(steps(left)[0]?.says).toContain(`${PRIMARY}, ${POOLER}`);
  });

  test('two nodes that are rejoined have steps of their own', () => {
    const found = ids([task('rejoin', PRIMARY, { upstream: STANDBY }), task('rejoin', POOLER, { upstream: STANDBY })]);
    expect(new Set(found).size).toBe(found.length);
    expect(found).toContain(`protect ${PRIMARY}`);
  });

  test('a pooler is restarted after all else, as a part of its own', () => {
    const restart = task('restart-pooler', POOLER, { upstream: PRIMARY });
    const rejoin = task('rejoin', STANDBY, { upstream: PRIMARY });
    const found = parts([rejoin, task('forget-claim', POOLER), restart]);
    expect(found.map(({ rejoins, restarts, steps: [first] }) => rejoins ?? restarts ?? first?.id)).toEqual([
      'take',
      STANDBY,
      'claims',
      POOLER,
    ]);
    // As an older version has it: first, and with the rest.
    expect(ids([restart, rejoin]).slice(0, 2)).toEqual(['take', 'pooler']);
    expect(parts([restart, rejoin]).map(({ restarts }) => restarts)).toEqual([undefined, undefined]);
  });

  test('to start the pooler takes nothing before; beside a fence it comes after that, and before what may take long', () => {
    expect(ids([task('start-pooler', POOLER)])).toEqual(['start pooler']);
    const fence = task('fence', STANDBY, { upstream: PRIMARY });
    const rejoin = task('rejoin', STANDBY, { upstream: PRIMARY });
    const found = parts([fence, task('start-pooler', POOLER), rejoin]);
    expect(found.map((part) => part.steps.map(({ id }) => id).slice(0, 3))).toEqual([
      ['take', `fence ${STANDBY}`, 'start pooler'],
      expect.arrayContaining([`look ${STANDBY}`]),
    ]);
  });

  test('every node answers: the most advanced is promoted on their own word', () => {
    expect(ids([task('failover', STANDBY)])).toEqual(['take', 'promote', 'record']);
  });

  test('one is silent: it is a failover from that one, which can be taken back until the promotion', () => {
    const found = steps([task('failover', STANDBY)], PRIMARY);
    expect(found.map(({ id }) => id)).toEqual(['take', 'failover', 'record']);
    expect(found[1]?.says).toContain(`Fence ${PRIMARY}`);
    expect(found[1]?.pointOfNoReturn).toBeDefined();
  });

  test('one that the ledger names is silent also where it is optional and has no container; without the ledger it is not there', () => {
    const ledger = { ...ledgerOf(PRIMARY, STANDBY), primary: STANDBY_2 };
    const found = steps([task('failover', STANDBY)], undefined, { ledger, names: ledger });
    expect(found.map(({ id }) => id)).toEqual(['take', 'failover', 'record']);
    expect(found[1]?.says).toContain(`Fence ${STANDBY_2}`);
    // As an older version has it.
    expect(ids([task('failover', STANDBY)], undefined, { ledger, names: null })).toContain('promote');
  });

  test('that failover starts no primary that a person stopped, unless a person asked for the repair', () => {
    const setting = { described: { name: 'veloz', topology: picture().topology }, ledger: null, token: 'repair/1' };
    const from = (leavesStopped: boolean) => failoverFrom([PRIMARY], { ...setting, leavesStopped });
    expect(from(true)).toMatchObject({ source: PRIMARY, candidates: expect.not.arrayContaining([PRIMARY]) as unknown });
    expect([from(true).leavesStopped, from(false).leavesStopped]).toEqual([true, undefined]);
  });
});
