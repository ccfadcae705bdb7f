import { whatIsMissing } from '../../src/bench/target';
import type { Member } from '../../src/workflows/run-state';

const primary: Member = { name: 'a', kind: 'postgres', role: 'primary', state: 'running' };
const standby: Member = { name: 'b', kind: 'postgres', role: 'standby', state: 'streaming', sync: 'sync' };
const pooler: Member = {
  name: 'p',
  kind: 'pgbouncer',
  role: 'pooler',
  state: 'transaction pooling',
  routesTo: 'a:5432',
};

describe('what a bench waits for', () => {
  test('nothing, when one primary is routed to and its standby is synchronous', () => {
    expect(whatIsMissing([primary, standby, pooler], 1)).toBeUndefined();
  });

  test('one of two standbys', () => {
    expect(whatIsMissing([primary, standby, pooler], 2)).toBe('1 of 2 standbys are streaming');
  });

  test('a primary; or one too many', () => {
    expect(whatIsMissing([standby, pooler], 1)).toBe('0 primaries');
    expect(whatIsMissing([primary, { ...primary, name: 'b' }, pooler], 1)).toBe('2 primaries');
  });

  test('a synchronous standby', () => {
    expect(whatIsMissing([primary, { ...standby, sync: 'async' }, pooler], 1)).toBe('no standby is synchronous');
  });

  test('the route to the primary', () => {
    expect(whatIsMissing([primary, standby, { ...pooler, routesTo: 'b:5432' }], 1)).toBe('clients are sent to b:5432');
  });
});
