import { waitsForStandby } from '../../src/cluster/synchronous-commit';
import { isWeak } from '../../src/systems/synchronous-commit';

describe('whether commits wait for a standby', () => {
  test.each(['off', 'OFF', 'local', 'Local', 'false', 'No', '0', '', 'anything'])('%s: no', (value) =>
    expect(waitsForStandby(value)).toBe(false),
  );
  test.each(['on', 'ON', 'True', 'yes', '1', 'remote_write', 'Remote_Apply'])('%s: yes', (value) =>
    expect(waitsForStandby(value)).toBe(true),
  );
  test('the server is asked the same, whatever letters somebody typed', () =>
    expect(isWeak('v')).toBe("lower(v) NOT IN ('on', 'true', 'yes', '1', 'remote_apply', 'remote_write')"));
});
