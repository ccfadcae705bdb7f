import type { Check } from '../../../src/cluster/check';
import { readinessFindings } from '../../../src/cluster/readiness/findings';
import { picture } from '../support/picture';

const load = { usedClients: 40, maxClients: 1000, poolSize: 20, waitedMs: 0 };

/** What is told of a pooler like this. */
function told(console: object): Pick<Check, 'id' | 'result' | 'measured' | 'next'>[] {
  const { topology, observed } = picture();
  Object.assign(observed.pooler.console ?? {}, console);
  return readinessFindings(topology, observed).map(({ id, result, measured, next }) => ({
    id,
    result,
    measured,
    next,
  }));
}

describe('a pooler', () => {
  test('with room is no news, nor one that nobody asked, nor one that holds clients', () => {
    expect(told({ load })).toEqual([]);
    expect(told({ waitingClients: 40 })).toEqual([]);
    expect(told({ paused: true, waitingClients: 40, load: { ...load, waitedMs: 5000 } })).toEqual([]);
    expect(told({ waitingClients: 40, load: { ...load, waitedMs: 90 } })).toEqual([]);
  });

  test('that would disconnect clients whom a run holds is told, and in no failover way', () => {
    expect(told({ disconnects: { query_wait_timeout: 60_000, query_timeout: 0, client_login_timeout: 0 } })).toEqual(
      [],
    );
    expect(told({ disconnects: { query_wait_timeout: 1000, client_login_timeout: 2000 } })).toMatchObject([
      {
        id: 'F1',
        result: 'warn',
        measured: 'query_wait_timeout of veloz-pgbouncer is 1.00 s, client_login_timeout of veloz-pgbouncer is 2.00 s',
      },
    ]);
  });

  test('at which the database is disabled is told: a planned move would be refused', () => {
    expect(told({ disabled: true })).toMatchObject([
      { id: 'F2', result: 'refuse', measured: 'somebody disabled database veloz there' },
    ]);
  });

  test('at which clients wait for a server is told', () => {
    expect(told({ waitingClients: 7, load: { ...load, waitedMs: 1500 } })).toEqual([
      {
        id: 'M8',
        result: 'warn',
        measured: '7 clients wait, the first for 1.50 s; pool_size is 20',
        next: expect.stringContaining('SHOW POOLS') as unknown,
      },
    ]);
  });

  test('that is nearly full is told', () => {
    expect(told({ load: { ...load, usedClients: 899 } })).toEqual([]);
    expect(told({ load: { ...load, usedClients: 900 } })).toEqual([
      {
        id: 'M8',
        result: 'warn',
        measured: '900 of 1000 client connections are in use',
        next: expect.stringContaining('SHOW CLIENTS') as unknown,
      },
    ]);
  });
});
