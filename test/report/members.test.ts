import { membersTable } from '../../src/report/members';
import { membersBefore, plain } from './made-up';

test('members stand in columns, notes beside them', () => {
  expect(membersTable(membersBefore, plain({ width: 140 }))).toMatchInlineSnapshot(`
   "NODE                    ROLE     STATE      TL  LSN            LAG  SYNC  NOTE
   veloz-postgres-primary  primary  running     3  0/5000028
   veloz-postgres-standby  standby  streaming   3  0/4FF0028  64.0 kB  sync
   veloz-pgbouncer         pooler   running                                  sends clients to veloz-postgres-primary; held by nobody"
  `);
});

test('notes stand below where the terminal is too narrow, and columns that are empty are left out', () => {
  expect(membersTable(membersBefore, plain({ width: 80 }))).toMatchInlineSnapshot(`
   "NODE                    ROLE     STATE      TL  LSN            LAG  SYNC
   veloz-postgres-primary  primary  running     3  0/5000028
   veloz-postgres-standby  standby  streaming   3  0/4FF0028  64.0 kB  sync
   veloz-pgbouncer         pooler   running
   veloz-pgbouncer: sends clients to veloz-postgres-primary; held by nobody"
  `);
  expect(membersTable([{ ...membersBefore[0]!, lsn: undefined, timeline: undefined }], plain())).toMatchInlineSnapshot(`
   "NODE                    ROLE     STATE
   veloz-postgres-primary  primary  running"
  `);
});

test('no members are said, not shown as an empty table', () => {
  expect(membersTable([], plain())).toBe('no members are known yet');
});
