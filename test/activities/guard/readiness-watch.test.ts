import { readinessFindings, readinessKey } from '../../../src/cluster/readiness/findings';
import { guardTroubles } from '../../../src/report/guard';
import type { GuardState } from '../../../src/workflows/guard-messages';
import { primary, standby } from '../../cluster/support/objects';
import { picture, ready } from '../../cluster/support/picture';

const leftover = { name: 'recovery_target_lsn', value: '0/1', file: '/x/postgresql.auto.conf', line: 3 };

test('a cluster with which nothing is wrong is ready, and one without a primary tells of that alone', () => {
  const seen = picture();
  expect(readinessFindings(seen.topology, seen.observed)).toEqual([]);
  ready(standby(seen)).agent.leftovers = [leftover];
  expect(readinessFindings(seen.topology, seen.observed).map(({ id }) => id)).toEqual(['M2']);
  Object.assign(primary(seen).sql, { inRecovery: true });
  expect(readinessFindings(seen.topology, seen.observed)).toEqual([]);
});

test('the same finding with other numbers is no news', () => {
  const seen = picture();
  const key = () => readinessKey({ at: 0, ready: false, findings: readinessFindings(seen.topology, seen.observed) });
  expect(key()).toBe('ready');
  primary(seen).sql.archiver.mode = 'on';
  ready(primary(seen)).agent.archive = { ready: 2, fileMs: 5000, presentMs: 10 };
  const first = key();
  ready(primary(seen)).agent.archive = { ready: 3, fileMs: 6000, presentMs: 10 };
  expect(key()).toBe(first);
  expect(first).toContain('D1');
});

test('a guard that is protected and not ready is not well', () => {
  const seen = picture();
  ready(standby(seen)).agent.leftovers = [leftover];
  const findings = readinessFindings(seen.topology, seen.observed);
  const state = {
    signals: [],
    ledger: { state: 'protected' },
    readiness: { at: 0, ready: false, findings },
  } as unknown as GuardState;
  expect(guardTroubles(state, 0)).toEqual([expect.stringContaining('not ready: M2: leftovers of a restore')]);
});
