import { reportMarkdown } from '../../src/report/markdown';
import { reportLine, reportText } from '../../src/report/report';
import { completed, LINK, plain, plan, refused } from './made-up';

test('the final report: outcome, RTO, RPO with its proof, steps, members, next commands, link', () => {
  expect(reportText(completed, plain(), LINK)).toMatchInlineSnapshot(`
   "✔ COMPLETED  switchover of veloz
     The primary moved from veloz-postgres-primary to veloz-postgres-standby in 2.31 s; clients waited
     187 ms.

     Primary          veloz-postgres-primary → veloz-postgres-standby
     Timeline         3 → 4
     Protection       zero-loss
     RTO              clients waited 187 ms; longest gap between two commits of the canary 190 ms
     RPO              0 B lost: shutdown checkpoint at 0/5000028, the new primary had received up to
                      0/50000A0
     Protected again  2.01 s after the start
     Started          2025-11-23 03:20:11 UTC by ops@desk, took 2.31 s
     Reason           kernel update
     Ticket           OPS-1

   Checks
     2 checks: 1 ok, 1 does not apply

   Steps
     #     STEP                                              TOOK  MEASURED
     1  ✔  Check everything                                412 ms  38 checks
     2  ✔  Take checkpoints and claim the nodes             88 ms
     3  ✔  Hold clients, move the primary, let clients go  192 ms
           · Hold clients at PgBouncer                       3 ms
           · Stop the primary                               60 ms  shutdown checkpoint 0/5000028
           · Promote the standby                           120 ms  timeline 4
           · Let clients go                                  2 ms
     4  ✔  Verify through the front door                    50 ms

   Where the time of "Hold clients, move the primary, let clients go" went
     Hold clients at PgBouncer  █                                              3 ms
     Stop the primary           █████████████                                 60 ms
     Promote the standby                     ██████████████████████████      120 ms
     Let clients go                                                    █       2 ms

   Members now
     NODE                    ROLE     STATE      TL  LSN        LAG  SYNC
     veloz-postgres-standby  primary  running     4  0/4FF0028
     veloz-postgres-primary  standby  streaming   4  0/5000028  0 B  sync

   Next
     veloz-ha postgres status  see the cluster as it is now

   Run  switchover/veloz/20251123T032011Z-9f3a
   Link http://localhost:8233/namespaces/default/workflows/x/y"
  `);
});

test('a refusal: the reason first, no steps that were not begun, no warning twice', () => {
  expect(reportText(refused, plain({ width: 80 }), LINK)).toMatchInlineSnapshot(`
   "✖ REFUSED  switchover of veloz
     B2: it is not so that the candidate is a synchronous standby: sync_state is
     async (limit: sync or quorum).

     Primary     veloz-postgres-primary
     Protection  zero-loss
     Started     2025-11-23 03:20:11 UTC by ops@desk, took 412 ms

   Checks
     4 checks: 1 ok, 1 refuses, 1 warning, 1 does not apply
     ✖ B2  it is not so that the candidate is a synchronous standby
           measured  sync_state is async
           limit     sync or quorum
           next      veloz-ha postgres status
     ! C9  it is not so that there is enough disk space
           measured  312 MB free
           next      free some space

   Steps
     #     STEP                TOOK  MEASURED
     1  ✔  Check everything  412 ms  38 checks
     steps 2 to 4 were not begun

   Members
     NODE                    ROLE     STATE      TL  LSN            LAG  SYNC
     veloz-postgres-primary  primary  running     3  0/5000028
     veloz-postgres-standby  standby  streaming   3  0/4FF0028  64.0 kB  sync
     veloz-pgbouncer         pooler   running
     veloz-pgbouncer: sends clients to veloz-postgres-primary; held by nobody

   Warnings
     ! the canary could not be written

   Run  switchover/veloz/20251123T032011Z-9f3a
   Link http://localhost:8233/namespaces/default/workflows/x/y"
  `);
});

test('every character is ASCII where the locale is not UTF-8', () => {
  const text = reportText(
    { ...completed, outcome: 'completed with warnings', warnings: ['look'] },
    plain({ unicode: false }),
  );
  expect(text.match(/[^\x20-\x7e\n]/g)).toBeNull();
});

test('-q is one line', () => {
  expect(reportLine({ ...refused, outcome: 'rolled back' }, plain())).toBe(
    '↩ ROLLED BACK  B2: it is not so that the candidate is a synchronous standby: sync_state is async (limit: sync or quorum).',
  );
});

test('as Markdown, for a ticket, with times in UTC', () => {
  expect(reportMarkdown(completed, LINK)).toMatchInlineSnapshot(`
   "## switchover of veloz: completed

   The primary moved from veloz-postgres-primary to veloz-postgres-standby in 2.31 s; clients waited 187 ms.

   - **Primary**: veloz-postgres-primary → veloz-postgres-standby
   - **Timeline**: 3 → 4
   - **Protection**: zero-loss
   - **RTO**: clients waited 187 ms; longest gap between two commits of the canary 190 ms
   - **RPO**: 0 B lost: shutdown checkpoint at 0/5000028, the new primary had received up to 0/50000A0
   - **Protected again**: 2.01 s after the start
   - **Started**: 2025-11-23 03:20:11 UTC by ops@desk, took 2.31 s
   - **Reason**: kernel update
   - **Ticket**: OPS-1

   ### Checks

   2 checks: 1 ok, 1 does not apply

   ### Steps

   | # | Step | State | Took | Measured |
   |---|---|---|---|---|
   | 1 | Check everything | done | 412 ms | 38 checks |
   | 2 | Take checkpoints and claim the nodes | done | 88 ms |  |
   | 3 | Hold clients, move the primary, let clients go | done | 192 ms |  |
   |  | · Hold clients at PgBouncer |  | 3 ms |  |
   |  | · Stop the primary |  | 60 ms | shutdown checkpoint 0/5000028 |
   |  | · Promote the standby |  | 120 ms | timeline 4 |
   |  | · Let clients go |  | 2 ms |  |
   | 4 | Verify through the front door | done | 50 ms |  |

   ### Members

   | Node | Role | State | Timeline | LSN | Lag | Sync | Note |
   |---|---|---|---|---|---|---|---|
   | veloz-postgres-standby | primary | running | 4 | 0/4FF0028 |  |  |  |
   | veloz-postgres-primary | standby | streaming | 4 | 0/5000028 | 0 B | sync |  |

   ### Next

   - \`veloz-ha postgres status\`: see the cluster as it is now

   Run [\`switchover/veloz/20251123T032011Z-9f3a\`](http://localhost:8233/namespaces/default/workflows/x/y)"
  `);
});

test('what people wrote does not become Markdown or HTML', () => {
  const text = reportMarkdown({ ...refused, says: 'a | b <img src=x> *now* `x`', reason: 'line one\nline two' });
  expect(text).toContain('a \\| b \\<img src=x\\> \\*now\\* \\`x\\`');
  expect(text).toContain('- **Reason**: line one line two');
});

test('plan mode ends with the plan', () => {
  const text = reportText({ ...completed, outcome: 'planned', says: 'All checks passed.', steps: [], plan }, plain());
  expect(text).toMatch(/^✔ PLANNED {2}switchover of veloz\n/);
  expect(text).toContain(
    '   3  Hold clients, move the primary, let clients go   ~ 420 ms\n      ── point of no return',
  );
});
