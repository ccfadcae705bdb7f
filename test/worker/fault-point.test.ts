import { faultPointFromEnvironment } from '../../src/worker/fault-point';

/** A fault point made of an environment, and what was warned of. */
function made(environment: NodeJS.ProcessEnv) {
  const warned: string[] = [];
  return { point: faultPointFromEnvironment(environment, (sentence) => warned.push(sentence)), warned };
}

test('a worker without the variable has no fault point, and nothing to warn of', () => {
  expect(made({ VELOZ_HA_TEST_FAULTS: 'yes-end-this-worker' })).toEqual({ point: undefined, warned: [] });
});

test.each([undefined, '', 'yes', 'true', 'YES-END-THIS-WORKER'])(
  'with the second switch %s it does nothing, and says so',
  (second) => {
    const { point, warned } = made({
      VELOZ_HA_DIE_AT: 'hold:stop',
      ...(second === undefined ? {} : { VELOZ_HA_TEST_FAULTS: second }),
    });
    expect(point).toBeUndefined();
    expect(warned).toEqual([expect.stringContaining('VELOZ_HA_DIE_AT=hold:stop is ignored')]);
  },
);

test('with both, the worker ends at that point and at no other', () => {
  const kill = jest.spyOn(process, 'kill').mockImplementation(() => true);
  try {
    const { point, warned } = made({ VELOZ_HA_DIE_AT: 'hold:stop', VELOZ_HA_TEST_FAULTS: 'yes-end-this-worker' });
    expect(warned).toEqual([expect.stringContaining('ends itself at hold:stop')]);
    point?.('hold:promote');
    expect(kill).not.toHaveBeenCalled();
    point?.('hold:stop');
    expect(kill).toHaveBeenLastCalledWith(process.pid, 'SIGKILL');
    const stops = {
      VELOZ_HA_DIE_AT: 'hold:stop',
      VELOZ_HA_DIE_BY: 'SIGSTOP',
      VELOZ_HA_TEST_FAULTS: 'yes-end-this-worker',
    };
    made(stops).point?.('hold:stop');
    expect(kill).toHaveBeenLastCalledWith(process.pid, 'SIGSTOP');
  } finally {
    kill.mockRestore();
  }
});
