import type { SlotReadiness } from '../../../src/cluster/readiness/observed';
import { slotName } from '../../../src/cluster/topology';
import { decide, notOk, objects, primary, standby } from '../support/objects';
import { picture, PRIMARY, ready, STANDBY } from '../support/picture';

const slot = (rest: Partial<SlotReadiness>): SlotReadiness => ({
  name: slotName(STANDBY),
  type: 'physical',
  active: true,
  walStatus: 'reserved',
  safeBytes: null,
  invalidation: null,
  retainedBytes: 1024,
  database: null,
  plugin: null,
  failover: false,
  ...rest,
});

objects({
  'the WAL that the standby needs was thrown away': {
    change: (seen) => ready(primary(seen)).sql.slots.push(slot({ walStatus: 'lost', invalidation: 'wal_removed' })),
    id: 'M4',
    says: 'its slot is lost: slot veloz_postgres_standby is lost, because of wal_removed',
    next: 'veloz-ha postgres rejoin veloz-postgres-standby --cluster veloz',
  },
  'it soon will be': {
    change: (seen) => ready(primary(seen)).sql.slots.push(slot({ walStatus: 'extended', safeBytes: 1024 * 1024 })),
    id: 'M4',
    result: 'warn',
    says: '1.0 MiB may be written before slot veloz_postgres_standby is lost',
    next: 'pg_stat_wal_receiver',
  },
  'pages of the candidate failed their checksum': {
    change: (seen) => ready(standby(seen)).sql.checksumFailures.push({ database: 'veloz', count: 2 }),
    id: 'M5',
    says: 'pages of veloz-postgres-standby failed their checksum: its disk is not to be trusted: 2 in veloz',
    next: 'veloz-ha postgres rejoin veloz-postgres-standby --cluster veloz --method copy',
  },
  'pages of the primary did, which is a reason to move': {
    change: (seen) => ready(primary(seen)).sql.checksumFailures.push({ database: 'veloz', count: 2 }),
    id: 'M5',
    result: 'warn',
    says: '2 in veloz',
    next: 'checksum_last_failure',
  },
  'the candidate would lose pages in a power cut': {
    change: (seen) => Object.assign(standby(seen).sql.settings, { fsync: 'off', full_page_writes: 'off' }),
    id: 'M5',
    result: 'warn',
    says: 'a crash of the machine of veloz-postgres-standby could break its pages: fsync and full_page_writes are off',
    next: 'ALTER SYSTEM SET full_page_writes = on',
  },
  'the primary does without fsync': {
    change: (seen) => (primary(seen).sql.settings.fsync = 'off'),
    id: 'M5',
    result: 'warn',
    says: 'fsync is off',
    next: 'ALTER SYSTEM SET fsync = on',
  },
  "somebody else's receiver is silent": {
    change: (seen) =>
      ready(primary(seen)).sql.senders.push({
        pid: 77,
        application: 'warehouse',
        user: 'etl',
        slot: 'warehouse',
        slotType: 'logical',
        state: 'streaming',
        behindBytes: 4 * 1024 * 1024,
        replyAgeMs: 61_000,
      }),
    id: 'M6',
    result: 'warn',
    says: 'warehouse of etl lacks 4.0 MiB and has said nothing for 1 min 01 s',
    next: 'SELECT pg_terminate_backend(77)',
  },
  "somebody else's receiver answers, and lags": {
    change: (seen) =>
      ready(primary(seen)).sql.senders.push({
        pid: 78,
        application: 'pg_receivewal',
        user: 'backup',
        slot: null,
        slotType: null,
        state: 'streaming',
        behindBytes: 64 * 1024 * 1024,
        replyAgeMs: 40,
      }),
    id: 'M6',
    result: 'warn',
    says: `would be cut off by a stop of ${PRIMARY}, which waits for nobody else: pg_receivewal of backup lacks 64.0 MiB (limit: at most 10.0 MiB, limits.flushLagBytes)`,
    next: 'SELECT pg_terminate_backend(78)',
  },
  'tables would be emptied': {
    change: (seen) => (ready(primary(seen)).agent.unlogged = 2),
    id: 'M6',
    result: 'warn',
    says: 'unlogged tables are empty after a switchover or failover: no WAL is written of them: 2 unlogged tables, indexes and sequences',
    next: "relpersistence = 'u'",
  },
  'a logical slot would be left behind': {
    change: (seen) =>
      ready(primary(seen)).sql.slots.push(slot({ name: 'warehouse', type: 'logical', database: 'veloz' })),
    id: 'M6',
    result: 'warn',
    says: 'their subscribers have to begin anew: warehouse in veloz',
    next: 'pg_replication_slots',
  },
  'a slot is meant to survive, and the candidate has no copy of it': {
    change: (seen) =>
      ready(primary(seen)).sql.slots.push(slot({ name: 'audit', type: 'logical', database: 'veloz', failover: true })),
    id: 'M6',
    result: 'warn',
    says: 'their subscribers have to begin anew: audit in veloz',
    next: 'pg_replication_slots',
  },
  'its copy on the candidate is not whole yet': {
    change: (seen) => {
      const audit = slot({ name: 'audit', type: 'logical', database: 'veloz', failover: true });
      ready(primary(seen)).sql.slots.push(audit);
      ready(standby(seen)).sql.slots.push({ ...audit, synced: true, temporary: true });
    },
    id: 'M6',
    result: 'warn',
    says: 'audit in veloz',
    next: 'pg_replication_slots',
  },
});

test('a slot of which the candidate has a synced copy is kept', () => {
  const seen = picture();
  const audit = slot({ name: 'audit', type: 'logical', database: 'veloz', failover: true });
  ready(primary(seen)).sql.slots.push(audit);
  ready(standby(seen)).sql.slots.push({ ...audit, synced: true, temporary: false });
  expect(notOk(decide(seen))).toEqual([]);
});
