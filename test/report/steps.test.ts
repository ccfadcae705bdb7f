import { labelWidth, stepLine, stepsTable, timeline, underStep } from '../../src/report/steps';
import type { StepState } from '../../src/workflows/run-state';
import { doneSteps, pendingSteps, plain, T0 } from './made-up';

const line = (step: StepState, style = plain()) =>
  stepLine(step, { index: 2, total: 4, label: labelWidth(pendingSteps, style) }, style);

test('a step is one line: time, sign, sentence, duration, number', () => {
  const step = pendingSteps[2]!;
  const lines = [
    line(step),
    line({ ...step, state: 'running', startedAt: T0 }),
    line({ ...step, state: 'done', startedAt: T0, ms: 187 }),
    line({ ...step, state: 'failed', startedAt: T0, ms: 2010 }),
    line({ ...step, state: 'undoing', startedAt: T0, ms: 2010 }),
    line({ ...step, state: 'undone', startedAt: T0, ms: 2010 }),
    line({ ...step, state: 'skipped' }),
    line({ ...step, state: 'done', startedAt: T0, ms: 187 }, plain({ unicode: false })),
  ];
  expect(lines.join('\n')).toMatchInlineSnapshot(`
   "         · Hold clients, move the primary, let clients go            3/4
   03:20:11 ▶ Hold clients, move the primary, let clients go            3/4
   03:20:11 ✔ Hold clients, move the primary, let clients go    187 ms  3/4
   03:20:11 ✖ Hold clients, move the primary, let clients go    2.01 s  3/4
   03:20:11 ↩ putting back: Hold clients, move the primary,             3/4
              let clients go
   03:20:11 ↩ put back: Hold clients, move the primary, let             3/4
              clients go
            – Hold clients, move the primary, let clients go            3/4
              (not needed)
   03:20:11 + Hold clients, move the primary, let clients go    187 ms  3/4"
  `);
});

test('sub-steps stand under their step; what was measured is shown with -v, and always where it failed', () => {
  const move = doneSteps[2]!;
  expect(underStep(move, 46, plain()).join('\n')).toMatchInlineSnapshot(`
   "           · Hold clients at PgBouncer                         3 ms
              · Stop the primary                                 60 ms
              · Promote the standby                             120 ms
              · Let clients go                                    2 ms"
  `);
  expect(underStep({ ...move, detail: 'all good' }, 46, plain({ verbose: true })).join('\n')).toMatchInlineSnapshot(`
   "           · Hold clients at PgBouncer                         3 ms
              · Stop the primary                                 60 ms  shutdown checkpoint 0/5000028
              · Promote the standby                             120 ms  timeline 4
              · Let clients go                                    2 ms
              all good"
  `);
  expect(underStep({ ...pendingSteps[1]!, state: 'failed', detail: 'CHECKPOINT took 31 s' }, 46, plain())).toEqual([
    '           CHECKPOINT took 31 s',
  ]);
});

test('the table of a report ends with the last step that was begun', () => {
  expect(stepsTable(doneSteps, plain())).toMatchInlineSnapshot(`
   "#     STEP                                              TOOK  MEASURED
   1  ✔  Check everything                                412 ms  38 checks
   2  ✔  Take checkpoints and claim the nodes             88 ms
   3  ✔  Hold clients, move the primary, let clients go  192 ms
         · Hold clients at PgBouncer                       3 ms
         · Stop the primary                               60 ms  shutdown checkpoint 0/5000028
         · Promote the standby                           120 ms  timeline 4
         · Let clients go                                  2 ms
   4  ✔  Verify through the front door                    50 ms"
  `);
  expect(stepsTable([doneSteps[0]!, ...pendingSteps.slice(1)], plain())).toMatchInlineSnapshot(`
   "#     STEP                TOOK  MEASURED
   1  ✔  Check everything  412 ms  38 checks
   steps 2 to 4 were not begun"
  `);
});

test('a time line shows where the time of a step went', () => {
  expect(timeline(doneSteps[2]!.subSteps ?? [], plain())).toMatchInlineSnapshot(`
   "Hold clients at PgBouncer  █                                              3 ms
   Stop the primary           █████████████                                 60 ms
   Promote the standby                     ██████████████████████████      120 ms
   Let clients go                                                    █       2 ms"
  `);
});
