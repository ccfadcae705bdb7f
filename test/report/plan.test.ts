import { planText } from '../../src/report/plan';
import { plain, plan } from './made-up';

test('a plan is numbered, names the point of no return, the expected hold and its bound', () => {
  expect(planText('switchover', plan, plain())).toMatchInlineSnapshot(`
   "Plan  move the primary from veloz-postgres-primary to veloz-postgres-standby, protection zero-loss
      1  Check everything                                 ~ 400 ms
      2  Take checkpoints and claim the nodes              ~ 90 ms  undo: give the nodes back
      3  Hold clients, move the primary, let clients go   ~ 420 ms
         ── point of no return: after step 3 there is only forward ──
      4  Verify through the front door
         Clients are expected to wait 420 ms (two nodes, zero-loss: 400 ms measured, 21 ms for a
         hand-over). If everything dies meanwhile, they are let go at 5.00 s, or up to 2 s later when
         no node is writable then."
  `);
});

test('on a narrow terminal the undo stands below its step', () => {
  expect(planText('switchover', plan, plain({ width: 70 }))).toMatchInlineSnapshot(`
   "Plan  move the primary from veloz-postgres-primary to
         veloz-postgres-standby, protection zero-loss
      1  Check everything                                 ~ 400 ms
      2  Take checkpoints and claim the nodes              ~ 90 ms
         undo: give the nodes back
      3  Hold clients, move the primary, let clients go   ~ 420 ms
         ── point of no return: after step 3 there is only forward ──
      4  Verify through the front door
         Clients are expected to wait 420 ms (two nodes, zero-loss: 400
         ms measured, 21 ms for a hand-over). If everything dies
         meanwhile, they are let go at 5.00 s, or up to 2 s later when no
         node is writable then."
  `);
});

test('a long sentence goes on below itself, its time beside its first line', () => {
  const says =
    'Hold clients, stop veloz-postgres-primary cleanly, prove that veloz-postgres-standby has everything, fence, promote, route; let clients go';
  const steps = [
    plan.steps[0]!,
    { ...plan.steps[2]!, says, undo: 'until the promotion: the primary is started again' },
  ];
  expect(planText('switchover', { ...plan, steps }, plain({ width: 80 }))).toMatchInlineSnapshot(`
   "Plan  move the primary from veloz-postgres-primary to veloz-postgres-standby,
         protection zero-loss
      1  Check everything                                                  ~ 400 ms
      2  Hold clients, stop veloz-postgres-primary cleanly, prove that     ~ 420 ms
         veloz-postgres-standby has everything, fence, promote, route;
         let clients go
         undo: until the promotion: the primary is started again
         ── point of no return: after step 2 there is only forward ──
         Clients are expected to wait 420 ms (two nodes, zero-loss: 400 ms
         measured, 21 ms for a hand-over). If everything dies meanwhile, they are
         let go at 5.00 s, or up to 2 s later when no node is writable then."
  `);
});
