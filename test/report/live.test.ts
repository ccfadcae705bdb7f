import { activityText, liveRegion, type RunView } from '../../src/report/live';
import { stateText } from '../../src/report/state';
import { visibleWidth } from '../../src/report/text';
import { checks, doneSteps, ID, LINK, membersBefore, pendingSteps, plain, plan, stateWith, T0 } from './made-up';

const view = (more: Partial<RunView> = {}): RunView => ({ workflowId: ID, link: LINK, ...more });
const running = stateWith({
  phase: 'running',
  steps: [
    doneSteps[0]!,
    doneSteps[1]!,
    { ...pendingSteps[2]!, state: 'running', startedAt: T0 + 500 },
    pendingSteps[3]!,
  ],
});
const waiting = stateWith({
  phase: 'awaiting approval',
  says: 'The plan is made',
  approval: { state: 'waiting', deadline: T0 + 15 * 60_000 },
  steps: [doneSteps[0]!, ...pendingSteps.slice(1)],
});

test('before the first word of a worker', () => {
  expect(liveRegion(view(), T0, 0, plain())).toBe('⠋ waiting for the first word from a worker');
});

test('the step that runs, with its time, and those to come, with the times expected', () => {
  expect(liveRegion(view({ state: running }), T0 + 1760, 3, plain())).toMatchInlineSnapshot(`
   "03:20:11 ⠸ Hold clients, move the primary, let clients go     1.2 s  3/4
            · Verify through the front door                             4/4"
  `);
});

test('an activity that was tried before says why, under its step', () => {
  const pending = [{ type: 'move', attempt: 3, lastFailure: 'activity Heartbeat timeout' }];
  expect(liveRegion(view({ state: running, pending }), T0 + 1760, 0, plain())).toMatchInlineSnapshot(`
   "03:20:11 ⠋ Hold clients, move the primary, let clients go     1.2 s  3/4
              move: attempt 3; the last one failed: activity Heartbeat timeout
            · Verify through the front door                             4/4"
  `);
  expect(activityText({ type: 'move', attempt: 1, heartbeat: 'promoting' })).toBe('move: promoting');
  expect(activityText({ type: 'move', attempt: 1 })).toBeUndefined();
});

test('the approval that is waited for, with the deadline and the exact commands', () => {
  expect(liveRegion(view({ state: waiting }), T0 + 55_000, 0, plain())).toMatchInlineSnapshot(`
   "         · Take checkpoints and claim the nodes             ~ 90 ms  2/4
            · Hold clients, move the primary, let clients go  ~ 420 ms  3/4
            · Verify through the front door                             4/4

   ? Waits for approval until 03:35:11 (14 min 05 s left). Nothing is changed yet.
       veloz-ha approve switchover/veloz/20251123T032011Z-9f3a
       veloz-ha reject switchover/veloz/20251123T032011Z-9f3a"
  `);
});

test.each([
  ['no worker', '! no worker answers for 7 s; the run waits. Start one: veloz-ha worker --detach'],
  ['no Temporal', '! Temporal does not answer for 7 s; the run waits for it: veloz-ha temporal --detach (refused)'],
  ['stuck', '! the run does not get on for 7 s: refused'],
] as const)('trouble is shown and ends nothing: %s', (kind, expected) => {
  const lines = liveRegion(
    view({ state: running, trouble: { kind, says: 'refused', since: T0 } }),
    T0 + 7000,
    0,
    plain(),
  );
  expect(lines.split('\n').at(-1)).toBe(expected);
});

test('no line that is redrawn is wider than the terminal', () => {
  const state = {
    ...waiting,
    workflowId: 'x'.repeat(20),
    steps: running.steps.map((step) => ({ ...step, says: step.says.repeat(4) })),
  };
  const trouble = { kind: 'stuck' as const, says: 'because '.repeat(30), since: T0 };
  const pending = [{ type: 'move', attempt: 2, lastFailure: 'because '.repeat(30) }];
  const lines = liveRegion(view({ state, trouble, pending }), T0 + 7000, 0, plain({ width: 80 })).split('\n');
  expect(Math.max(...lines.map(visibleWidth))).toBeLessThanOrEqual(80);
});

test('a run that goes on, as one still picture', () => {
  const state = {
    ...waiting,
    members: membersBefore,
    checks: [checks[0]!, checks[2]!],
    plan,
    reason: 'kernel',
    ticket: 'OPS-1',
    warnings: ['C9: 312 MB free', 'odd'],
  };
  expect(stateText(view({ state }), T0 + 55_000, plain())).toMatchInlineSnapshot(`
   "switchover of veloz: awaiting approval
     The plan is made
     started 2025-11-23 03:20:11 UTC by ops@desk: kernel (OPS-1)

   Members
     NODE                    ROLE     STATE      TL  LSN            LAG  SYNC  NOTE
     veloz-postgres-primary  primary  running     3  0/5000028
     veloz-postgres-standby  standby  streaming   3  0/4FF0028  64.0 kB  sync
     veloz-pgbouncer         pooler   running                                  sends clients to
                                                                               veloz-postgres-primary;
                                                                               held by nobody

   Checks
     2 checks: 1 ok, 1 warning
     ! C9  it is not so that there is enough disk space
           measured  312 MB free
           next      free some space

   Plan  move the primary from veloz-postgres-primary to veloz-postgres-standby, protection zero-loss
      1  Check everything                                 ~ 400 ms
      2  Take checkpoints and claim the nodes              ~ 90 ms  undo: give the nodes back
      3  Hold clients, move the primary, let clients go   ~ 420 ms
         ── point of no return: after step 3 there is only forward ──
      4  Verify through the front door
         Clients are expected to wait 420 ms (two nodes, zero-loss: 400 ms measured, 21 ms for a
         hand-over). If everything dies meanwhile, they are let go at 5.00 s, or up to 2 s later when
         no node is writable then.

   Steps
     03:20:11 ✔ Check everything                                  412 ms  1/4
              · Take checkpoints and claim the nodes                      2/4
              · Hold clients, move the primary, let clients go            3/4
              · Verify through the front door                             4/4

   ? Waits for approval until 03:35:11 (14 min 05 s left). Nothing is changed yet.
       veloz-ha approve switchover/veloz/20251123T032011Z-9f3a
       veloz-ha reject switchover/veloz/20251123T032011Z-9f3a

   Warnings
     ! odd

   Run  switchover/veloz/20251123T032011Z-9f3a
   Link http://localhost:8233/namespaces/default/workflows/x/y"
  `);
});

test('a run that nobody answers for still shows where it is', () => {
  expect(stateText(view({ trouble: { kind: 'no worker', says: '', since: T0 } }), T0 + 3000, plain()))
    .toMatchInlineSnapshot(`
   "! no worker answers for 3 s; the run waits. Start one: veloz-ha worker --detach

   Run  switchover/veloz/20251123T032011Z-9f3a
   Link http://localhost:8233/namespaces/default/workflows/x/y"
  `);
});
