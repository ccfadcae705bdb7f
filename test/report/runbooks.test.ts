import { planText } from '../../src/report/plan';
import {
  clusterOfId,
  commandOf,
  movesPostgres,
  planHeadline,
  planHold,
  planQuestion,
  runbookName,
  runbookOfId,
  untouched,
} from '../../src/report/runbooks';
import { plain, plan } from './made-up';

const short = { ...plan, primary: 'a', target: 'b' };

test.each([
  ['switchover', 'move the primary from a to b, protection zero-loss', 'Move the primary from a to b?'],
  ['failover', 'fence a and promote b', 'Fence a and promote b?'],
  ['rejoin', 'make b a standby of a again', 'Make b a standby of a again?'],
  ['addStandby', 'add b as a standby of a', 'Add b as a standby of a?'],
  ['remove-standby', 'remove b, a standby of a', 'Remove b, a standby of a?'],
  ['engineSwitchover', 'hand the orders from a to b', 'Hand the orders from a to b?'],
  ['engineDrain', 'take b out of service', 'Take b out of service?'],
  ['engine-ready', 'put b back into service', 'Put b back into service?'],
  ['repair', 'bring every system in line with a, the primary', 'Bring every system in line with a, the primary?'],
])('a plan of %s says what it would do, and asks about that', (runbook, headline, question) => {
  expect(planHeadline(runbook, short)).toBe(headline);
  expect(planQuestion(runbook, short)).toBe(question);
  expect(planText(runbook, short, plain({ width: 120 }))).toContain(`Plan  ${headline}\n`);
});

test('a failover that depends on what the failed primary holds says so, and what happens else', () => {
  const reads = { ...short, readsFirst: true as const };
  expect(planHeadline('failover', reads)).toBe(
    'fence a, read its WAL, and promote b where it has all of it; else a is started again in its place',
  );
  expect(planQuestion('failover', reads)).toBe(
    'Fence a, read its WAL, and promote b where it has all of it (else a is started again in its place)?',
  );
});

test('without a plan the question is still a question', () => {
  expect(planQuestion('failover', undefined)).toBe('Go on?');
});

test('a plan in which clients do not wait speaks of no dead-man switch', () => {
  expect(planHold({ ...short, expectedHoldMs: 0, expectedHoldBasis: 'they stay on a' })).toBe(
    'Clients do not wait (they stay on a).',
  );
});

test('the runbook of a run is read off its id, and its command off the runbook', () => {
  expect(runbookOfId('add-standby/veloz/20251123T032011Z-9f3a')).toBe('add-standby');
  expect(runbookOfId('failover-veloz-251123032011-9f3a')).toBe('failover');
  expect(runbookOfId('my own run')).toBeUndefined();
  expect(runbookName('removeStandby')).toBe('remove-standby');
  expect(['failover', 'rejoin', 'addStandby', 'repair', 'switchover'].map(commandOf)).toEqual([
    'veloz-ha postgres promote',
    'veloz-ha postgres rejoin',
    'veloz-ha postgres add-standby',
    'veloz-ha repair',
    'veloz-ha postgres switchover',
  ]);
});

test.each([
  ['switchover/veloz/20251123T032011Z-9f3a', 'veloz'],
  ['engine-drain/veloz-2.eu/20251123T032011Z-9f3a', 'veloz-2.eu'],
  ['failover-veloz-2-251123032011-9f3a', 'veloz-2'],
  ['redis-failover-veloz-251123032011-9f3a', 'veloz'],
  ['guard/veloz', 'veloz'],
  ['maintenance/veloz/20251123T032011Z-9f3a/redis', 'veloz'],
  ['switchover/nightly', undefined],
  ['failover/manual/2', undefined],
  ['switchover/default/20251123T032011Z-9f3a', undefined],
  ['switchover/my cluster/1', undefined],
  ['maintenance-lock/veloz', undefined],
  ['my own run', undefined],
])('the cluster of %s is %s', (workflowId, cluster) => {
  expect(clusterOfId(workflowId)).toBe(cluster);
});

test('whether a repair puts right what a run leaves is told by its runbook', () => {
  expect(
    ['switchover', 'maintenance', 'repair', 'redis-failover', 'engine-drain', undefined].map(movesPostgres),
  ).toEqual([true, true, true, false, false, false]);
});

test('what is untouched while a run waits for approval', () => {
  expect(untouched('switchover')).toBe('Nothing is changed yet.');
  expect(untouched('failover')).toBe('Nothing is fenced or promoted yet.');
});

test('a plan says what ends the waiting where that is not PgBouncer', () => {
  const engines = { ...short, expectedHoldMs: 100, holdLimitMs: 2000, holdEnds: 'HAProxy lets go' };
  expect(planHold(engines)).toContain('If everything dies meanwhile, HAProxy lets go at 2.00 s.');
});

test('runs of the engines have commands of their own', () => {
  expect(runbookOfId('engine-switchover/veloz/20251123T032011Z-9f3a')).toBe('engine-switchover');
  expect(commandOf('engineDrain')).toBe('veloz-ha engine drain');
});
