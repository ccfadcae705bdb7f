import { objects } from '../support/objects';
import { POOLER, PRIMARY, STANDBY } from '../support/picture';

// F: clients can be held, and reach the primary

objects({
  'the pooler pools sessions': {
    change: ({ observed }) => Object.assign(observed.pooler.console ?? {}, { poolMode: 'session' }),
    id: 'F1',
    says: `PAUSE would wait for sessions for ever: pool_mode of ${POOLER} is session (limit: transaction)`,
    next: `docker exec -u pgbouncer ${POOLER} psql -h /run/pgbouncer -p 6432 -U pgbouncer -d pgbouncer -c "SET pool_mode = 'transaction'"`,
  },
  'the pooler would disconnect clients while they are held': {
    change: ({ observed }) =>
      Object.assign(observed.pooler.console ?? {}, {
        disconnects: { query_wait_timeout: 300, query_timeout: 0, client_login_timeout: 60_000 },
      }),
    id: 'F1',
    says: `the pooler would disconnect clients that are held, and their transactions would fail: query_wait_timeout of ${POOLER} is 300 ms (limit: 0, or more than 7.00 s: the hold of 5.00 s at most, and 2.00 s)`,
    next: `-U pgbouncer -d pgbouncer -c "RELOAD"`,
  },
  'a query may take less time than the hold and what comes after its limit': {
    change: ({ observed }) =>
      Object.assign(observed.pooler.console ?? {}, {
        disconnects: { query_wait_timeout: 60_000, query_timeout: 6500 },
      }),
    id: 'F1',
    says: `query_timeout of ${POOLER} is 6.50 s (limit`,
    next: `-c "RELOAD"`,
  },
  'a replication connection goes through the pooler': {
    change: ({ observed }) =>
      Object.assign(observed.pooler.console ?? {}, {
        replication: [
          { user: 'veloz', applicationName: 'pg_receivewal', serverPid: 812, clientId: 44 },
          { user: 'veloz', applicationName: '', serverPid: 813, clientId: null },
        ],
      }),
    id: 'F1',
    says: `PAUSE would wait for a replication connection for ever: veloz (pg_receivewal) has one through ${POOLER}, process 812 of the server, and 1 more (limit: none`,
    next: `-c "KILL_CLIENT 44"`,
  },
  'somebody paused the pooler': {
    change: ({ observed }) => Object.assign(observed.pooler.console ?? {}, { paused: true, waitingClients: 4 }),
    id: 'F2',
    says: `clients wait at ${POOLER}: somebody paused database veloz, 4 clients wait (limit: not held, not paused)`,
    next: `-c "RESUME veloz"`,
  },
  'somebody paused all of the pooler': {
    change: ({ observed }) =>
      Object.assign(observed.pooler.console ?? {}, { paused: true, halted: 'paused', waitingClients: 1 }),
    id: 'F2',
    says: `clients wait at ${POOLER}: somebody paused all of it, 1 client waits (limit: not held, not paused)`,
    next: `-c "RESUME"`,
  },
  'somebody disabled the database at the pooler': {
    change: ({ observed }) => Object.assign(observed.pooler.console ?? {}, { disabled: true }),
    id: 'F2',
    says: `${POOLER} refuses new clients: somebody disabled database veloz there (limit: enabled)`,
    next: `-c "ENABLE veloz"`,
  },
  'a run holds clients': {
    change: ({ observed }) =>
      Object.assign(observed.pooler.agent ?? {}, {
        holdRun: 'switchover/veloz/x-1/0a1b2c3d-1111-2222-3333-444455556666',
        holdRemainingMs: 4100,
      }),
    id: 'F2',
    says: 'switchover/veloz/x-1 holds them, and the dead-man switch lets them go in 4.10 s',
    next: 'veloz-ha watch switchover/veloz/x-1',
  },
  'something that is no workflow holds clients': {
    change: ({ observed }) => Object.assign(observed.pooler.agent ?? {}, { holdRun: 'bare/1/2', holdRemainingMs: 1 }),
    id: 'F2',
    says: 'bare/1/2 holds them',
    next: `docker exec ${POOLER} veloz-agent observe`,
  },
  'the pooler leads elsewhere': {
    change: ({ observed }) =>
      Object.assign(observed.pooler, {
        agent: { ...observed.pooler.agent, route: { host: STANDBY, port: 5432 } },
        console: { ...observed.pooler.console, host: STANDBY },
      }),
    id: 'F4',
    says: `the pooler does not send clients to the primary: to ${STANDBY}:5432 (limit: ${PRIMARY}:5432)`,
    next: String.raw`veloz-agent route "{$t,\"host\":\"${PRIMARY}\",\"port\":5432}"`,
  },
  'the pooler leads to another port': {
    change: ({ observed }) => Object.assign(observed.pooler.agent ?? {}, { route: { host: PRIMARY, port: 5433 } }),
    id: 'F4',
    says: `to ${PRIMARY}:5433 (limit: ${PRIMARY}:5432)`,
    next: 'veloz-agent route',
  },
  'the pooler has no route': {
    change: ({ observed }) => Object.assign(observed.pooler.agent ?? {}, { route: null }),
    id: 'F4',
    says: 'it has no route',
    next: 'veloz-agent route',
  },
  'PgBouncer has not read its routing file': {
    change: ({ observed }) => Object.assign(observed.pooler.console ?? {}, { host: STANDBY }),
    id: 'F4',
    says: `its routing file says ${PRIMARY}:5432, but it has not read it and uses ${STANDBY}`,
    next: '-c "RELOAD"',
  },
});
