import { content, inside, objects, primary, standby } from '../support/objects';
import { PRIMARY, STANDBY } from '../support/picture';

// A1, A3, A4 and A5: who is primary, and whether the nodes belong together

objects({
  'two nodes are writable': {
    change: (seen) => Object.assign(standby(seen).sql, { inRecovery: false, timeline: 4 }),
    id: 'A3',
    says: `two nodes are writable: ${PRIMARY} on timeline 3 and ${STANDBY} on timeline 4; the pooler sends clients to ${PRIMARY}:5432 (limit: exactly 1)`,
    next: `veloz-ha postgres rejoin ${STANDBY} --cluster veloz`,
  },
  'two nodes are writable, and the pooler leads to the other one': {
    change: (seen) => {
      Object.assign(standby(seen).sql, { inRecovery: false, timeline: 4 });
      Object.assign(seen.observed.pooler, {
        agent: { ...seen.observed.pooler.agent, route: { host: STANDBY, port: 5432 } },
        console: { ...seen.observed.pooler.console, host: STANDBY },
      });
    },
    id: 'A3',
    says: 'two nodes are writable',
    next: `veloz-ha postgres rejoin ${PRIMARY} --cluster veloz`,
  },
  'two nodes are writable, and nobody knows where the pooler leads': {
    change: (seen) => {
      standby(seen).sql.inRecovery = false;
      Object.assign(seen.observed.pooler, { agent: null, console: null });
    },
    id: 'A3',
    says: 'the pooler sends clients to an unknown node',
    next: `docker stop ${PRIMARY}   # or ${STANDBY}: one that clients did not write to; then veloz-ha repair --cluster veloz`,
  },
  'two nodes are writable, of different database systems: the route may lead to the empty one': {
    change: (seen) => Object.assign(standby(seen).sql, { inRecovery: false, timeline: 1, systemIdentifier: '99' }),
    id: 'A3',
    says: 'two nodes are writable',
    next: `docker stop ${STANDBY}   # or ${PRIMARY}: one that clients did not write to; then veloz-ha repair --cluster veloz`,
  },
  'no node is writable': {
    change: (seen) => (primary(seen).sql.inRecovery = true),
    id: 'A3',
    says: `no node is writable: ${PRIMARY} is a standby, ${STANDBY} is a standby (limit: exactly 1)`,
    next: 'veloz-ha repair --cluster veloz',
  },
  'the request expects another primary': {
    change: () => undefined,
    wish: { expectedPrimary: STANDBY },
    id: 'A1',
    says: `the request expects another primary: ${PRIMARY} is the primary, not ${STANDBY} (limit: expectedPrimary ${STANDBY})`,
    next: 'veloz-ha postgres status --cluster veloz',
  },
  'the request expects a primary that is no node': {
    change: () => undefined,
    wish: { expectedPrimary: 'db9' },
    id: 'A1',
    says: `the request expects a primary that does not exist: the topology has no node db9, and ${PRIMARY} is the primary`,
    next: 'veloz-ha postgres status --cluster veloz',
  },
  'a node belongs to another system': {
    change: (seen) => (standby(seen).sql.systemIdentifier = '99'),
    id: 'A4',
    says: `${STANDBY} belongs to another database system than ${PRIMARY}: 7711207839503429655 on ${PRIMARY}, 99 on ${STANDBY}`,
    next: inside(STANDBY, 'SELECT system_identifier FROM pg_control_system()'),
  },
  'a node runs another major version': {
    change: (seen) => (standby(seen).sql.versionNum = 160_004),
    id: 'A5',
    says: `${STANDBY} runs another major version than ${PRIMARY}: 17 on ${PRIMARY}, 16 on ${STANDBY} (limit: one version, 15 or later)`,
    next: `docker exec ${STANDBY} postgres --version`,
  },
  'all nodes are too old': {
    change: (seen) => {
      for (const node of [primary(seen), standby(seen)]) node.sql.versionNum = 140_011;
    },
    id: 'A5',
    says: 'PostgreSQL 14 is too old for the runbooks: PostgreSQL 14 on 2 nodes',
    next: `docker exec ${PRIMARY} postgres --version`,
  },
});

content([
  ['A1', 'the expected primary is the primary', () => undefined, { expectedPrimary: PRIMARY }],
  ['A5', 'another minor version', (seen) => (standby(seen).sql.versionNum = 170_001)],
]);
