import { awaySentence, heldDetails, maintenanceText, waitsSentence } from '../../src/report/maintenance';
import { reportFacts } from '../../src/report/facts';
import { makeStyle } from '../../src/report/style';
import { renderDetails } from '../../src/workflows/runbook/details';
import type { MaintenanceState, Report, RunState } from '../../src/workflows/run-state';

const NOW = Date.UTC(2026, 10, 23, 4, 0, 0);
const held: MaintenanceState = {
  scope: 'side 1',
  away: [
    { tier: 'engine', from: 'veloz-engine-1', to: 'veloz-engine-2', at: NOW - 3_700_000, run: 'engine-switchover/1' },
    { tier: 'postgres', from: 'pg-1', to: 'pg-2', at: NOW - 3_600_000, run: 'switchover/1' },
  ],
  moves: [
    {
      tier: 'engine',
      from: 'veloz-engine-1',
      to: 'veloz-engine-2',
      back: false,
      run: 'engine-switchover/1',
      heldMs: 53,
    },
    { tier: 'postgres', from: 'pg-1', to: 'pg-2', back: false, run: 'switchover/1', heldMs: 190 },
  ],
  back: 'on request',
  heldSince: NOW - 3_600_000,
};
const state = (rest: Partial<RunState> = {}): RunState => ({
  version: 1,
  runbook: 'maintenance',
  cluster: 'veloz',
  workflowId: 'maintenance/veloz/1',
  runId: 'r',
  phase: 'held',
  says: 'side 1 is clear',
  startedBy: 'ada@desk',
  reason: 'kernel',
  startedAt: NOW - 3_800_000,
  approval: { state: 'approved', by: 'bob@desk' },
  pointOfNoReturnPassed: false,
  checks: [],
  steps: [],
  members: [],
  warnings: [],
  maintenance: held,
  ...rest,
});
const style = makeStyle({ colour: false, unicode: true, width: 120 });
const text = (rest: Partial<RunState> = {}) => maintenanceText(state(rest), NOW, style, 'http://ui/1');

test('a maintenance that is held says what is away, since when, by whom, and what can be done', () => {
  const lines = text().split('\n');
  expect(lines[0]).toBe('maintenance of veloz: side 1, held');
  expect(lines).toContain('  Away       active engine veloz-engine-1 → veloz-engine-2, for 1 h 01 min');
  expect(lines).toContain('  Away       PostgreSQL primary pg-1 → pg-2, for 1 h 00 min');
  expect(lines.find((line) => line.includes('Held'))).toMatch(/since .* \(1 h 00 min\)$/);
  expect(lines).toContain('  By         ada@desk, approved by bob@desk');
  expect(lines).toContain('  Move back  veloz-ha maintenance back --cluster veloz');
  expect(lines).toContain('  End it     veloz-ha maintenance finish --cluster veloz');
});

test('one that is not held yet says what it does, and offers nothing that would be refused', () => {
  const shown = text({ phase: 'running', says: 'Moving', maintenance: { ...held, away: [], heldSince: undefined } });
  expect(shown).toContain('Away       nothing yet');
  expect(shown).toContain('Now        Moving');
  expect(shown).toContain('veloz-ha watch maintenance/veloz/1');
  expect(shown).not.toContain('maintenance back');
});

test('trouble and the end of its time are told', () => {
  const shown = text({ maintenance: { ...held, heldUntil: NOW + 60_000, trouble: 'Redis could not be moved' } });
  expect(shown).toContain('! Redis could not be moved');
  expect(shown).toMatch(/Until .*then it ends, and nothing is moved back/);
});

test('the Web UI tells the same, and names the Updates', () => {
  const details = renderDetails(state());
  for (const line of heldDetails(held, 'veloz')) expect(details).toContain(line);
  expect(details).toContain('`moveBack` or `finish`');
  expect(renderDetails(state({ phase: 'undoing' }))).not.toContain('`moveBack`');
});

test('a report says what was cleared and what is still away; a plan has moved nothing', () => {
  const report = {
    runbook: 'maintenance',
    startedAt: 0,
    endedAt: 1,
    startedBy: 'ada',
    steps: [],
    warnings: [],
    maintenance: held,
  };
  const facts = (outcome: Report['outcome']) =>
    reportFacts({ ...report, outcome } as unknown as Report, { arrow: '->', dateTime: String });
  expect(facts('completed')).toContainEqual({ name: 'Still away', value: awaySentence(held, '->') });
  expect(facts('planned').map(({ name }) => name)).not.toContain('Still away');
  expect(awaySentence({ away: [] })).toBe('nothing');
});

test('how long clients waited is told of each move, there and back', () => {
  expect(waitsSentence(held)).toBe('the engine 53 ms, PostgreSQL 190 ms');
  const back = { tier: 'postgres', from: 'pg-2', to: 'pg-1', back: true, run: 'switchover/2', heldMs: 200 } as const;
  expect(waitsSentence({ moves: [...held.moves, back] })).toBe(
    'the engine 53 ms, PostgreSQL 190 ms; on the way back PostgreSQL 200 ms',
  );
  expect(waitsSentence({ moves: [] })).toBeUndefined();
});
