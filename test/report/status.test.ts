import { runsTable, type RunRow } from '../../src/report/runs';
import { stackText } from '../../src/report/stack';
import { slowHandoverHint, statusText, type StatusDocument } from '../../src/report/status';
import { checks, ID, membersBefore, plain, T0 } from './made-up';

const handover = {
  minMs: 18,
  medianMs: 21,
  maxMs: 34,
  samples: 7,
  measuredAt: T0 - 60_000,
  worker: '1@desk',
  slow: false,
};
const row: RunRow = {
  workflowId: ID,
  runId: 'r',
  runbook: 'switchover',
  cluster: 'veloz',
  status: 'running',
  phase: 'awaiting approval',
  startedAt: T0 - 5000,
};
const healthy: StatusDocument = {
  version: 1,
  healthy: true,
  temporal: { address: 'localhost:7233', namespace: 'default', reachable: true, ui: 'http://localhost:8233' },
  workers: [{ identity: '1@desk', lastPollAt: T0 - 12_000 }],
  handover,
  cluster: { name: 'veloz', members: membersBefore, findings: [checks[0]!] },
  guard: null,
  runs: [row],
  problems: [],
  hints: [],
};

test('the whole picture of a healthy cluster', () => {
  expect(statusText(healthy, T0, plain({ width: 130 }))).toMatchInlineSnapshot(`
   "✔ HEALTHY

   Temporal
     ✔ server     localhost:7233, namespace default, Web UI http://localhost:8233
     ✔ workers    1@desk (12 s ago)
     ✔ hand-over  21 ms median, 34 ms at most, 7 samples at 2025-11-23 03:19:11 UTC

   Cluster veloz
     NODE                    ROLE     STATE      TL  LSN            LAG  SYNC  NOTE
     veloz-postgres-primary  primary  running     3  0/5000028
     veloz-postgres-standby  standby  streaming   3  0/4FF0028  64.0 kB  sync
     veloz-pgbouncer         pooler   running                                  sends clients to veloz-postgres-primary; held by
                                                                               nobody

   Open runs
     STARTED                  RUNBOOK     CLUSTER  STATE                TOOK  ID
     2025-11-23 03:20:06 UTC  switchover  veloz    awaiting approval  5.00 s  switchover/veloz/20251123T032011Z-9f3a"
  `);
});

test('what is wrong comes first, each with its next command', () => {
  const cost = { ...handover, minMs: 99, medianMs: 101, slow: true };
  const ill: StatusDocument = {
    ...healthy,
    healthy: false,
    workers: [],
    handover: cost,
    runs: [],
    cluster: { name: 'veloz', members: membersBefore, findings: [checks[1]!] },
    problems: [
      {
        says: 'no worker polls the task queue (needed: 1): nothing can be switched over',
        next: 'veloz-ha worker --detach',
      },
    ],
    hints: [slowHandoverHint(cost)],
  };
  expect(statusText(ill, T0, plain())).toMatchInlineSnapshot(`
   "✖ UNHEALTHY: 1 problem
   ✖ no worker polls the task queue (needed: 1): nothing can be switched over
       next  veloz-ha worker --detach

   ! a hand-over by Temporal costs at least 99 ms (limit: 60 ms); every step of a run takes that much
     longer
       next  set history.transferProcessorMaxPollRPS=2000 history.timerProcessorMaxPollRPS=2000
             history.timerProcessorMaxTimeShift="10ms" in the dynamic configuration of the Temporal
             server (veloz-ha temporal does)

   Temporal
     ✔ server     localhost:7233, namespace default, Web UI http://localhost:8233
     ✖ workers    none polls the task queue
     ! hand-over  101 ms median, 34 ms at most, 7 samples at 2025-11-23 03:19:11 UTC

   Cluster veloz
     NODE                    ROLE     STATE      TL  LSN            LAG  SYNC  NOTE
     veloz-postgres-primary  primary  running     3  0/5000028
     veloz-postgres-standby  standby  streaming   3  0/4FF0028  64.0 kB  sync
     veloz-pgbouncer         pooler   running                                  sends clients to
                                                                               veloz-postgres-primary;
                                                                               held by nobody

     ✖ B2  it is not so that the candidate is a synchronous standby
           measured  sync_state is async
           limit     sync or quorum
           next      veloz-ha postgres status"
  `);
});

test('Temporal out of reach says why', () => {
  const temporal = { ...healthy.temporal, reachable: false, why: 'connection refused' };
  const text = statusText({ ...healthy, temporal, healthy: false, problems: [{ says: 'x', next: 'y' }] }, T0, plain());
  expect(text).toContain('✖ server     localhost:7233 is not reachable: connection refused\n');
});

test('runs: open ones say their phase, ended ones their outcome, those without one the server’s word', () => {
  const rows: RunRow[] = [
    row,
    { ...row, status: 'completed', outcome: 'completed', endedAt: T0, heldMs: 187 },
    { ...row, status: 'terminated', endedAt: T0 },
  ];
  expect(runsTable(rows, T0, plain())).toMatchInlineSnapshot(`
   "STARTED                  RUNBOOK     CLUSTER  STATE                TOOK  CLIENTS WAITED  ID
   2025-11-23 03:20:06 UTC  switchover  veloz    awaiting approval  5.00 s                  switchover/veloz/20251123T032011Z-9f3a
   2025-11-23 03:20:06 UTC  switchover  veloz    completed          5.00 s          187 ms  switchover/veloz/20251123T032011Z-9f3a
   2025-11-23 03:20:06 UTC  switchover  veloz    terminated         5.00 s                  switchover/veloz/20251123T032011Z-9f3a"
  `);
});

test('the stack while it comes up', () => {
  const containers = [
    { name: 'veloz-postgres-primary', state: 'healthy' },
    { name: 'veloz-pgbouncer', state: 'starting' },
    { name: 'veloz-postgres-standby', state: 'exited' },
  ];
  expect(stackText(containers, undefined, { now: T0 + 2300, began: T0, tick: 1 }, plain())).toMatchInlineSnapshot(`
   "✔ veloz-postgres-primary  healthy
   ⠙ veloz-pgbouncer         starting
   ! veloz-postgres-standby  exited
   ⠙ waiting until every container is healthy (2 s)"
  `);
  expect(stackText([], '0 of 1 standbys are synchronous', { now: T0, began: T0, tick: 0 }, plain())).toBe(
    '⠋ 0 of 1 standbys are synchronous (0 s)',
  );
});
