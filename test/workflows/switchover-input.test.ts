import { parseSwitchoverInput } from '../../src/workflows/switchover-input';

const mistakeOf = (input: unknown): string => {
  const parsed = parseSwitchoverInput(input);
  return 'mistake' in parsed ? parsed.mistake : '';
};

describe('an empty form', () => {
  test.each([[undefined], [null], [{}]])('%j asks for a run that waits for approval', (input) => {
    expect(parseSwitchoverInput(input)).toEqual({ request: { mode: 'run', approval: 'required' } });
  });
});

test('a full form is taken as it is, texts trimmed', () => {
  const input = {
    cluster: 'veloz',
    target: ' veloz-postgres-standby ',
    expectedPrimary: 'veloz-postgres-primary',
    protection: 'fast',
    mode: 'plan',
    approval: 'given',
    approvalTimeout: '1h',
    soak: '0s',
    holdLimit: '800ms',
    pauseLimit: '1.5s',
    notAfter: '2025-11-23T04:00:00+01:00',
    startedBy: 'ops@desk',
    reason: 'kernel',
    ticket: 'OPS-1',
  };
  expect(parseSwitchoverInput(input)).toEqual({ request: { ...input, target: 'veloz-postgres-standby' } });
});

describe('a mistake is refused in one sentence', () => {
  test.each<[string, unknown, RegExp]>([
    ['an unknown key', { traget: 'x' }, /"traget"/],
    ['a key that is null', { target: null }, /target: .*string.*null/],
    ['a key that is empty', { cluster: '  ' }, /cluster: .*>=1/],
    ['a number for a name', { target: 7 }, /target: .*string.*number/],
    ['a text', 'veloz', /expected object, received string/],
    ['a list', [], /expected object, received array/],
    ['a number', 0, /expected object, received number/],
    ['false', false, /expected object, received boolean/],
    ['an unknown protection', { protection: 'none' }, /protection: .*"zero-loss"\|"fast"/],
    ['an unknown mode', { mode: 'dry' }, /mode: .*"run"\|"plan"/],
    ['an unknown approval', { approval: true }, /approval: .*"required"\|"given"/],
    ['a duration without a unit', { holdLimit: '5' }, /holdLimit: "5" is not a duration/],
    ['a duration that is a number', { holdLimit: 5000 }, /holdLimit: .*string/],
    ['a negative duration', { soak: '-1s' }, /soak: "-1s" is not a duration/],
    ['a duration beyond a week', { approvalTimeout: '8d' }, /approvalTimeout: "8d" is not a duration/],
    ['a hold of no time', { holdLimit: '0s' }, /holdLimit: "0s" is out of range: expected 1ms to 10m/],
    ['a hold for longer than an agent keeps one', { holdLimit: '11m' }, /holdLimit: "11m" is out of range/],
    ['a pause of no time', { pauseLimit: '0ms' }, /pauseLimit: "0ms" is out of range/],
    ['a time that is none', { notAfter: 'tomorrow' }, /notAfter: .*datetime/],
    ['a time without a zone', { notAfter: '2025-11-23T04:00:00' }, /notAfter: .*datetime/],
    ['a day without a time', { notAfter: '2025-11-23' }, /notAfter: .*datetime/],
    ['a text without end', { reason: 'x'.repeat(501) }, /reason: .*<=500/],
  ])('%s', (_what, input, expected) => {
    expect(mistakeOf(input)).toMatch(expected);
  });

  test('that names every mistake and the keys that there are', () => {
    const mistake = mistakeOf({ traget: 'x', soak: 'soon' });
    expect(mistake).toMatch(/^the input of switchover is wrong: /);
    expect(mistake).toContain('soak: "soon" is not a duration');
    expect(mistake).toContain('"traget"');
    expect(mistake).toMatch(
      /Known keys: cluster, target, expectedPrimary, protection, mode, approval, approvalTimeout, soak, holdLimit, pauseLimit, notAfter, startedBy, reason, ticket$/,
    );
  });
});
