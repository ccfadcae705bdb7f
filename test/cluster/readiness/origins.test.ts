import type { AgentReadiness } from '../../../src/cluster/readiness/observed';
import { content, objects, primary, standby } from '../support/objects';
import { ready } from '../support/picture';

/** More origins than the next start has room for. */
function crowded(agent: AgentReadiness, room = '3'): void {
  agent.origins = 4;
  agent.next.max_replication_slots = room;
}

objects({
  'the primary would have no room for its own origins': {
    change: (seen) => crowded(ready(primary(seen)).agent),
    id: 'M1',
    says: 'veloz-postgres-primary could not be started again as it is configured now: it would have no room for the progress of its replication origins: max_replication_slots will be 3 on veloz-postgres-primary, and 4 origins have progress on veloz-postgres-primary (limit: not fewer than there are origins)',
    next: 'ALTER SYSTEM SET max_replication_slots = 10',
  },
  'a standby has less room than the primary has origins': {
    change: (seen) => {
      ready(primary(seen)).agent.origins = 12;
      ready(primary(seen)).agent.next.max_replication_slots = '20';
      ready(standby(seen)).agent.origins = 0;
      ready(standby(seen)).agent.next.max_replication_slots = '11';
    },
    id: 'M3',
    says: 'veloz-postgres-standby could not follow veloz-postgres-primary after its next start: it would have no room for the progress of its replication origins: max_replication_slots will be 11 on veloz-postgres-standby, and 12 origins have progress on veloz-postgres-primary',
    next: 'docker exec veloz-postgres-standby psql -U postgres -d postgres -c "ALTER SYSTEM SET max_replication_slots = 12"',
  },
  'a standby that takes none up has no room at all': {
    change: (seen) => {
      ready(primary(seen)).agent.origins = 1;
      ready(standby(seen)).agent.next.max_replication_slots = '0';
    },
    id: 'M3',
    says: 'max_replication_slots will be 0 on veloz-postgres-standby',
    next: 'ALTER SYSTEM SET max_replication_slots = 10',
  },
  'a primary of which nothing is set has the room of the default': {
    change: (seen) => {
      const { agent, sql } = ready(primary(seen));
      agent.origins = null;
      delete agent.next.max_replication_slots;
      sql.defaults.max_replication_slots = '10';
      ready(standby(seen)).agent.origins = 12;
      ready(standby(seen)).agent.next.max_replication_slots = '50';
    },
    id: 'M3',
    says: 'max_replication_slots will be 10 on veloz-postgres-primary, and 12 origins have progress on veloz-postgres-standby',
    next: 'ALTER SYSTEM SET max_replication_slots = 12',
  },
  'both have as many origins, and the primary would have no room for them: told once': {
    change: (seen) => {
      crowded(ready(primary(seen)).agent);
      ready(standby(seen)).agent.origins = 4;
    },
    id: 'M1',
    says: 'max_replication_slots will be 3 on veloz-postgres-primary',
    next: 'ALTER SYSTEM SET max_replication_slots = 10',
  },
  'the trial of a start has found it: told once': {
    change: (seen) => {
      const { agent } = ready(primary(seen));
      crowded(agent);
      agent.start = {
        ok: false,
        problem:
          'max_replication_slots is 3, and pg_logical/replorigin_checkpoint has the progress of 4 replication origins',
        setting: { name: 'max_replication_slots', value: '3', file: '/etc/veloz/postgresql.conf', line: 9 },
        ms: 20,
        ageMs: 0,
      };
    },
    id: 'M1',
    says: 'has the progress of 4 replication origins (max_replication_slots =',
    next: 'sed -n 9p /etc/veloz/postgresql.conf',
  },
  'the file of the origins is damaged, which a checkpoint mends': {
    change: (seen) =>
      (ready(primary(seen)).agent.start = {
        ok: false,
        problem: 'pg_logical/replorigin_checkpoint has another checksum than it says: a start would end there',
        setting: null,
        ms: 20,
        ageMs: 0,
      }),
    id: 'M1',
    says: 'pg_logical/replorigin_checkpoint has another checksum than it says',
    next: 'docker exec veloz-postgres-primary psql -U postgres -d postgres -c "CHECKPOINT"',
  },
});

content([
  [
    'M1',
    'a node whose agent is older tells no room, and its default is not taken for it',
    (seen) => {
      const { agent, sql } = ready(primary(seen));
      delete agent.origins;
      delete agent.next.max_replication_slots;
      sql.defaults.max_replication_slots = '10';
      ready(standby(seen)).agent.origins = 12;
      ready(standby(seen)).agent.next.max_replication_slots = '50';
    },
  ],
  [
    'M1',
    'as much room as there are origins',
    (seen) => {
      ready(primary(seen)).agent.origins = 4;
      for (const node of [primary(seen), standby(seen)]) ready(node).agent.next.max_replication_slots = '4';
    },
  ],
  [
    'M1',
    'a server that takes none of its own up, since it has no room',
    (seen) => {
      ready(standby(seen)).agent.origins = 0;
      crowded(ready(primary(seen)).agent, '0');
    },
  ],
]);
