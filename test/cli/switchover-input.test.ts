import { switchoverInput } from '../../src/cli/actions/switchover';
import { fakeCli, fakeIo } from './fake-io';

const cli = fakeCli({}, fakeIo({ env: { SUDO_USER: 'ops' } }));

test('--yes has confirmed already; without it the run waits for approval', () => {
  expect(switchoverInput(cli, { yes: true })).toMatchObject({ mode: 'run', approval: 'given' });
  expect(switchoverInput(cli, {})).toMatchObject({ mode: 'run', approval: 'required' });
  expect(switchoverInput(cli, { plan: true })).toMatchObject({ mode: 'plan' });
});

test('every option reaches the input, and what was not given is left to the run', () => {
  const input = switchoverInput(cli, {
    cluster: 'veloz',
    to: 'veloz-postgres-standby',
    expectedPrimary: 'veloz-postgres-primary',
    protection: 'fast',
    soak: '0s',
    holdLimit: '4s',
    pauseLimit: '1s',
    approvalTimeout: '5m',
    notAfter: '2025-11-23T04:00:00Z',
    reason: 'kernel',
    ticket: 'OPS-1',
  });
  expect(input).toEqual({
    cluster: 'veloz',
    target: 'veloz-postgres-standby',
    expectedPrimary: 'veloz-postgres-primary',
    protection: 'fast',
    mode: 'run',
    approval: 'required',
    approvalTimeout: '5m',
    soak: '0s',
    holdLimit: '4s',
    pauseLimit: '1s',
    notAfter: '2025-11-23T04:00:00Z',
    startedBy: expect.stringMatching(/^ops@/) as string,
    reason: 'kernel',
    ticket: 'OPS-1',
  });
  expect(Object.keys(switchoverInput(cli, {}))).toEqual(['mode', 'approval', 'startedBy']);
});
