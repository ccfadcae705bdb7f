import { checksBlock } from '../../src/report/checks';
import { checksSummary } from '../../src/report/words';
import { checks, plain } from './made-up';

test('a refusal says what was measured, the limit and the next command; what is fine is only counted', () => {
  expect(checksBlock(checks, plain())).toMatchInlineSnapshot(`
   "4 checks: 1 ok, 1 refuses, 1 warning, 1 does not apply
   ✖ B2  it is not so that the candidate is a synchronous standby
         measured  sync_state is async
         limit     sync or quorum
         next      veloz-ha postgres status
   ! C9  it is not so that there is enough disk space
         measured  312 MB free
         next      free some space"
  `);
});

test('with -v every check is shown, those that a person has to read first', () => {
  expect(checksBlock([...checks].reverse(), plain({ verbose: true }))).toMatchInlineSnapshot(`
   "4 checks: 1 ok, 1 refuses, 1 warning, 1 does not apply
   ✖ B2  it is not so that the candidate is a synchronous standby
         measured  sync_state is async
         limit     sync or quorum
         next      veloz-ha postgres status
   ! C9  it is not so that there is enough disk space
         measured  312 MB free
         next      free some space
   ✔ A1  the source is the primary (veloz-postgres-primary is)
   – K5  other standbys follow (does not apply: there are two nodes)"
  `);
});

test('the summary counts in words', () => {
  expect(checksSummary([checks[0]!])).toBe('1 check: 1 ok');
  expect(checksSummary([...checks, ...checks])).toBe('8 checks: 2 ok, 2 refuse, 2 warnings, 2 do not apply');
});

test('long values hang under their own beginning', () => {
  const long = {
    ...checks[1]!,
    measured: 'pid 4242 of user veloz has had a transaction open for 14 s, and pid 4243 for 12 s',
  };
  expect(checksBlock([long], plain({ width: 60 }))).toMatchInlineSnapshot(`
   "1 check: 0 ok, 1 refuses
   ✖ B2  it is not so that the candidate is a synchronous
         standby
         measured  pid 4242 of user veloz has had a transaction
                   open for 14 s, and pid 4243 for 12 s
         limit     sync or quorum
         next      veloz-ha postgres status"
  `);
});
