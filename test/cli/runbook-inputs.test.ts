import { promoteInput } from '../../src/cli/actions/promote';
import { rejoinInput } from '../../src/cli/actions/standbys';
import { dataLoss } from '../../src/cli/command';
import { UNLIMITED_LOSS } from '../../src/cluster/failover/commands';
import { fakeCli, fakeIo } from './fake-io';

const cli = fakeCli({}, fakeIo({ env: { SUDO_USER: 'ops' } }));
const ops = expect.stringMatching(/^ops@/) as string;

test('promote: every option reaches the input, and what was not given is left to the run', () => {
  expect(
    promoteInput(cli, {
      cluster: 'veloz',
      to: 'veloz-postgres-standby',
      expectedPrimary: 'veloz-postgres-primary',
      oldPrimary: 'leave',
      allowDataLoss: 1024,
      reason: 'its disk is gone',
      ticket: 'OPS-1',
      soak: '0s',
      approvalTimeout: '5m',
      yes: true,
    }),
  ).toEqual({
    cluster: 'veloz',
    target: 'veloz-postgres-standby',
    expectedPrimary: 'veloz-postgres-primary',
    oldPrimary: 'leave',
    allowDataLoss: { maxBytes: 1024, reason: 'its disk is gone', by: ops },
    mode: 'run',
    approval: 'given',
    approvalTimeout: '5m',
    soak: '0s',
    startedBy: ops,
    reason: 'its disk is gone',
    ticket: 'OPS-1',
  });
  expect(Object.keys(promoteInput(cli, {}))).toEqual(['mode', 'approval', 'startedBy']);
});

test('a loss is accepted in the name that was given, and never without a reason', () => {
  expect(promoteInput(cli, { allowDataLoss: 0, reason: 'r', by: 'ann' }).allowDataLoss?.by).toBe('ann');
  for (const reason of [undefined, '', '  '])
    expect(() => promoteInput(cli, { allowDataLoss: 0, reason })).toThrow('a loss is accepted only with a reason');
});

test.each([
  ['0', 0],
  ['1048576', 1024 ** 2],
  ['16MB', 16 * 1024 ** 2],
  ['1.5 gb', 1.5 * 1024 ** 3],
  ['unlimited', UNLIMITED_LOSS],
])('an accepted loss of %s is %d bytes', (text, bytes) => {
  expect(dataLoss(text)).toBe(bytes);
});

test.each(['', 'all', '-1', '16 miles', '1e9', '99999999999GB'])('no accepted loss: "%s"', (text) => {
  expect(() => dataLoss(text)).toThrow('Expected bytes');
});

test('any loss at all is an input that the run takes', () => {
  expect(promoteInput(cli, { allowDataLoss: UNLIMITED_LOSS, reason: 'r' }).allowDataLoss?.maxBytes).toBe(
    UNLIMITED_LOSS,
  );
});

test('rejoin: the node and the method, where they were given', () => {
  expect(rejoinInput(cli, { method: 'copy', plan: true }, 'veloz-postgres-primary')).toEqual({
    node: 'veloz-postgres-primary',
    method: 'copy',
    mode: 'plan',
    approval: 'required',
    startedBy: ops,
  });
  expect(Object.keys(rejoinInput(cli, {}))).toEqual(['mode', 'approval', 'startedBy']);
});
