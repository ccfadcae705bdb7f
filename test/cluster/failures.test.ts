import { exitCodeOf, exitCodes, type FailureType } from '../../src/failures';

/** As docs/cli.md has it. A failure type that is missing here does not compile. */
const documented: Record<FailureType, number> = {
  RolledBack: 1,
  Failed: 1,
  SetUp: 1,
  BadInput: 2,
  Refused: 3,
  Busy: 4,
  Incomplete: 5,
  Aborted: 6,
  Rejected: 6,
  NotApproved: 6,
  Unreachable: 7,
  Unhealthy: 8,
};

test.each(Object.entries(documented) as [FailureType, number][])('%s ends with exit code %d', (type, code) => {
  expect(exitCodeOf(type)).toBe(code);
});

test('success and an interrupt have codes of their own', () => {
  expect(exitCodes).toMatchObject({ ok: 0, interrupted: 130 });
  expect(Object.values(documented)).not.toContain(exitCodes.ok);
});
