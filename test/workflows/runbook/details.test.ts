import type { Check } from '../../../src/cluster/check';
import { renderDetails } from '../../../src/workflows/runbook/details';
import type { RunState, StepState } from '../../../src/workflows/run-state';

const base: RunState = {
  version: 1,
  runbook: 'switchover',
  cluster: 'veloz',
  workflowId: 'switchover/veloz/20251123T032011Z-9f3a',
  runId: '0a1b2c3d-1111-2222-3333-444455556666',
  phase: 'running',
  says: 'Prepare veloz-postgres-standby',
  startedBy: 'ops@desk',
  startedAt: Date.UTC(2025, 10, 23, 3, 20, 11),
  approval: { state: 'not needed' },
  pointOfNoReturnPassed: false,
  checks: [],
  steps: [],
  members: [],
  warnings: [],
};
const details = (rest: Partial<RunState> = {}): string => renderDetails({ ...base, ...rest });
const step = (rest: Partial<StepState>): StepState => ({
  id: 'a',
  says: 'Do it',
  state: 'pending',
  pointOfNoReturn: false,
  ...rest,
});

/** The tables of a Markdown text, each as rows of cells. */
function tables(text: string): string[][][] {
  const found: string[][][] = [];
  let open: string[][] | undefined;
  for (const line of text.split('\n')) {
    if (!line.startsWith('|')) open = undefined;
    else {
      if (open === undefined) found.push((open = []));
      open.push(
        line
          .split(/(?<!\\)\|/)
          .slice(1, -1)
          .map((cell) => cell.trim()),
      );
    }
  }
  return found;
}

describe('the details of a run in the Web UI', () => {
  test('begin with the runbook, the cluster, the phase and what happens now', () => {
    expect(details().split('\n').slice(0, 3)).toEqual([
      '### switchover of cluster `veloz`: running',
      '',
      'Prepare veloz-postgres-standby',
    ]);
  });

  test('have nothing in them that is not there yet', () => {
    const text = details();
    expect(text).not.toMatch(/undefined|null|NaN|\[object|Checks|approv/);
    expect(tables(text)).toEqual([]);
  });

  test('say who may go on, until when, and how, while they wait for approval', () => {
    const text = details({
      phase: 'awaiting approval',
      approval: { state: 'waiting', deadline: Date.UTC(2025, 10, 23, 3, 35, 11, 123) },
    });
    expect(text).toContain('**Waits for approval until 2025-11-23T03:35:11Z.**');
    expect(text).toContain('`veloz-ha approve switchover/veloz/20251123T032011Z-9f3a`');
    expect(text).toContain('`veloz-ha reject switchover/veloz/20251123T032011Z-9f3a`');
    expect(details({ approval: { state: 'approved', by: 'ann' } })).not.toContain('Waits for approval');
  });

  test('say who moves where, how long clients wait and at most', () => {
    const text = details({
      plan: {
        primary: 'a',
        target: 'b',
        protection: 'zero-loss',
        steps: [],
        expectedHoldMs: 170,
        expectedHoldBasis: 'measured',
        holdLimitMs: 5000,
      },
    });
    expect(text).toContain('**a → b**, protection `zero-loss`. Clients wait about 170 ms (measured)');
    expect(text).toContain('5.00 s');
  });

  test('have a line for each step with its mark, its time and what was measured', () => {
    const [rows] = tables(
      details({
        steps: [
          step({ says: 'One', state: 'done', ms: 87, expectedMs: 90, detail: '3 slots' }),
          step({ says: 'Two', state: 'running', expectedMs: 400, pointOfNoReturn: true }),
          step({ says: 'Three' }),
          step({ says: 'Four', state: 'failed', ms: 2300, detail: 'disk full' }),
          step({ says: 'Five', state: 'undoing' }),
          step({ says: 'Six', state: 'undone' }),
          step({ says: 'Seven', state: 'skipped' }),
        ],
      }),
    );
    expect(rows?.slice(2)).toEqual([
      ['✔', 'One', '87 ms', '3 slots'],
      ['▶', 'Two **(point of no return)**', 'about 400 ms', ''],
      ['☐', 'Three', '', ''],
      ['✖', 'Four', '2.30 s', 'disk full'],
      ['↩', 'Five', '', ''],
      ['↩', 'Six', '', ''],
      ['–', 'Seven', '', ''],
    ]);
  });

  test('have the parts of a step beneath it', () => {
    const subSteps = [{ id: 'hold', says: 'hold clients', ms: 4, atMs: 0, detail: 'lets go in 5.00 s' }];
    const [rows] = tables(details({ steps: [step({ state: 'done', ms: 100, subSteps })] }));
    expect(rows?.at(-1)).toEqual(['', '· hold clients', '4 ms', 'lets go in 5.00 s']);
  });

  test('keep their tables whole, whatever a failure says', () => {
    const [rows] = tables(
      details({ steps: [step({ state: 'failed', ms: 1, detail: 'psql: a | b\nline two\r\n\tend' })] }),
    );
    expect(rows).toHaveLength(3);
    expect(rows?.at(-1)).toEqual(['✖', 'Do it', '1 ms', String.raw`psql: a \| b line two end`]);
  });

  test('show the members with their notes', () => {
    const [rows] = tables(
      details({
        members: [
          { name: 'a', kind: 'postgres', role: 'primary', state: 'running', timeline: 3 },
          { name: 'b', kind: 'postgres', role: 'standby', state: 'streaming', timeline: 3, sync: 'sync' },
          {
            name: 'p',
            kind: 'pgbouncer',
            role: 'pooler',
            state: 'transaction pooling',
            routesTo: 'a:5432',
            note: 'paused',
          },
        ],
      }),
    );
    expect(rows?.slice(2)).toEqual([
      ['a', 'primary', 'running', '3', '', ''],
      ['b', 'standby', 'streaming', '3', 'sync', ''],
      ['p', 'pooler', 'transaction pooling', '', '', 'sends clients to a:5432; paused'],
    ]);
  });

  test('count the checks, and spell out those that are not good', () => {
    const good: Check = { id: 'A1', says: 'the primary is the expected one', result: 'ok', measured: 'a' };
    const refused: Check = {
      id: 'B7',
      says: 'replay is not paused',
      refusal: 'replay is paused',
      result: 'refuse',
      measured: 'it is',
      limit: 'not paused',
      next: 'docker exec b psql -U postgres -c "SELECT pg_wal_replay_resume()"',
    };
    expect(details({ checks: [good, good] })).toContain('Checks: 2 of 2 good.');
    const text = details({ checks: [good, refused, { ...refused, id: 'C5', result: 'warn', limit: undefined }] });
    expect(text).toContain('Checks: 1 of 3 good:');
    expect(text).toContain(
      '- ✖ B7: replay is paused: it is (limit: not paused). Next: `docker exec b psql -U postgres -c "SELECT pg_wal_replay_resume()"`',
    );
    expect(text).toContain('- ⚠ C5: replay is paused: it is. Next:');
    expect(text).not.toContain('A1');
  });

  test('say how far a long copy is', () => {
    const progress = {
      says: 'pg_basebackup from b',
      doneBytes: 512 * 1024 ** 2,
      totalBytes: 1024 ** 3,
      bytesPerSecond: 64 * 1024 ** 2,
      remainingMs: 8_000,
    };
    expect(details({ progress })).toContain(
      '**pg_basebackup from b** `██████████░░░░░░░░░░` 50 %, 512 MB of 1.0 GB, 64.0 MB/s, 8 s left',
    );
    const unknown = { ...progress, totalBytes: null, bytesPerSecond: null, remainingMs: null };
    expect(details({ progress: unknown })).toContain('**pg_basebackup from b** 512 MB\n');
  });

  test('say of another runbook what it would do, and that clients do not wait where they do not', () => {
    const plan = {
      primary: 'a',
      target: 'b',
      protection: 'zero-loss' as const,
      steps: [],
      expectedHoldMs: 0,
      expectedHoldBasis: 'they stay on a',
      holdLimitMs: 0,
    };
    expect(details({ runbook: 'rejoin', plan })).toContain(
      'make **b** a standby of **a** again. Clients do not wait (they stay on a).',
    );
  });

  test('list the warnings', () => {
    expect(details({ warnings: ['no restart policy', 'odd'] })).toContain('- ⚠ no restart policy\n- ⚠ odd');
  });
});
