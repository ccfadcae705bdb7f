import { checkOf, content, decide, inside, objects, primary, reload, standby } from '../support/objects';
import { picture, PRIMARY, STANDBY, STANDBY_2, ready } from '../support/picture';

// C: the target can be the primary, and be followed

objects({
  'strangers use up the walsenders of the target': {
    change: (seen) => (standby(seen).sql.walSenders = { used: 10, max: 10 }),
    id: 'C1',
    says: `${STANDBY} has too few free walsenders for its standbys: 0 of 10 free (limit: at least 1)`,
    next: inside(STANDBY, 'SELECT pid, application_name, client_addr, state FROM pg_stat_replication'),
  },
  'the target may have too few walsenders': {
    three: true,
    change: (seen) => (standby(seen).sql.walSenders = { used: 0, max: 1 }),
    id: 'C1',
    says: '1 of 1 free (limit: at least 2)',
    next: `${inside(STANDBY, 'ALTER SYSTEM SET max_wal_senders = 10')} && docker restart ${STANDBY}`,
  },
  'the slots of the target are used up, one of them by nobody': {
    change: (seen) =>
      Object.assign(standby(seen).sql, {
        replicationSlots: { used: 10, max: 10 },
        slots: [{ name: 'veloz_postgres_standby', type: 'physical', active: false, retainedBytes: 0 }],
      }),
    id: 'C2',
    says: `${STANDBY} has too few free replication slots for its standbys: 0 of 10 free (limit: at least 1)`,
    next: inside(STANDBY, "SELECT pg_drop_replication_slot('veloz_postgres_standby')"),
  },
  'the target may have too few slots': {
    change: (seen) => (standby(seen).sql.replicationSlots = { used: 0, max: 0 }),
    id: 'C2',
    says: '0 of 0 free',
    next: `${inside(STANDBY, 'ALTER SYSTEM SET max_replication_slots = 10')} && docker restart ${STANDBY}`,
  },
  'the old primary has lower settings than the target': {
    change: (seen) => Object.assign(standby(seen).sql.settings, { max_connections: '200', max_worker_processes: '16' }),
    id: 'C3',
    says: `${PRIMARY} could not start as a standby of ${STANDBY}: max_connections is 100 on ${PRIMARY}, 200 on ${STANDBY}; max_worker_processes is 8`,
    next: `${inside(STANDBY, 'ALTER SYSTEM SET max_connections = 100')} -c "ALTER SYSTEM SET max_worker_processes = 8" && docker restart ${STANDBY}`,
  },
  'another standby has lower settings than the target': {
    three: true,
    change: (seen) => {
      standby(seen).sql.settings.max_connections = '200';
      primary(seen).sql.settings.max_connections = '200';
      for (const node of [primary(seen), standby(seen)]) ready(node).agent.next.max_connections = '200';
    },
    id: 'C3',
    says: `${STANDBY_2} could not start as a standby of ${STANDBY}`,
    next: `docker restart ${STANDBY}`,
  },
  'the old primary is not let in by the target': {
    change: (seen) =>
      (standby(seen).connectBack = { ok: false, error: 'FATAL:  no pg_hba.conf entry\nfor replication connection.\n' }),
    id: 'C4',
    says: `${PRIMARY} can't open a replication connection to ${STANDBY}: FATAL: no pg_hba.conf entry for replication connection (limit: IDENTIFY_SYSTEM answers)`,
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'the way back was not tried': {
    change: (seen) => delete standby(seen).connectBack,
    id: 'C4',
    says: 'it was not tried',
    next: `docker logs --tail 20 ${STANDBY}`,
  },
  'a rewind is not possible without hints or checksums': {
    change: (seen) => Object.assign(primary(seen).sql.settings, { wal_log_hints: 'off', data_checksums: 'off' }),
    id: 'C5',
    result: 'warn',
    says: `a failed ${PRIMARY} would need a full copy, because it can't be rewound: full_page_writes on, wal_log_hints off, data_checksums off`,
    next: inside(PRIMARY, 'ALTER SYSTEM SET wal_log_hints = on'),
  },
  'a rewind is not possible without full pages': {
    change: (seen) => (primary(seen).sql.settings.full_page_writes = 'off'),
    id: 'C5',
    result: 'warn',
    says: 'full_page_writes off',
    next: `${inside(PRIMARY, 'ALTER SYSTEM SET full_page_writes = on')} ${reload}`,
  },
  'the target writes too little for a standby': {
    change: (seen) => (standby(seen).sql.settings.wal_level = 'minimal'),
    id: 'C6',
    says: `no standby could follow ${STANDBY}: wal_level minimal, hot_standby on`,
    next: `${inside(STANDBY, "ALTER SYSTEM SET wal_level = 'replica'")} && docker restart ${STANDBY}`,
  },
  'the target is not readable as a standby': {
    change: (seen) => (standby(seen).sql.settings.hot_standby = 'off'),
    id: 'C6',
    says: 'hot_standby off',
    next: `${inside(STANDBY, 'ALTER SYSTEM SET hot_standby = on')} && docker restart ${STANDBY}`,
  },
  'a data directory is open to others': {
    change: (seen) => Object.assign(standby(seen).agent?.dataDirectory ?? {}, { mode: '0755' }),
    id: 'C7',
    says: `the data directory of ${STANDBY} is not private to postgres: /var/lib/postgresql/data on ${PRIMARY}: postgres 0700; /var/lib/postgresql/data on ${STANDBY}: postgres 0755`,
    next: `docker exec -u root ${STANDBY} sh -c 'chown postgres: /var/lib/postgresql/data && chmod 0700 /var/lib/postgresql/data'`,
  },
  'a data directory belongs to root': {
    change: (seen) => Object.assign(primary(seen).agent?.dataDirectory ?? {}, { owner: 'root' }),
    id: 'C7',
    says: `root 0700`,
    next: `docker exec -u root ${PRIMARY} sh -c 'chown postgres: `,
  },
  'the control role lacks rights': {
    change: (seen) => (standby(seen).sql.missingRights = ['run CHECKPOINT', 'manage replication slots']),
    id: 'C8',
    says: "the control role veloz_ha lacks rights: it can't run CHECKPOINT, nor manage replication slots",
    next: `${inside(PRIMARY, 'GRANT pg_checkpoint TO veloz_ha')} -c "ALTER ROLE veloz_ha REPLICATION"`,
  },
  'a disk is nearly full': {
    change: (seen) => Object.assign(standby(seen).agent ?? {}, { freeDiskBytes: 256 * 1024 ** 2 - 1 }),
    id: 'C9',
    says: `the disk of ${STANDBY} is nearly full: 256.0 MiB free on ${STANDBY} (limit: at least 256.0 MiB, limits.freeDiskBytes)`,
    next: `docker exec ${STANDBY} df -h /var/lib/postgresql/data`,
  },
});

content([
  ['C1', 'one free walsender', (seen) => (standby(seen).sql.walSenders = { used: 9, max: 10 })],
  [
    'C2',
    'no free slot, but the old primary has one',
    (seen) =>
      Object.assign(standby(seen).sql, {
        replicationSlots: { used: 10, max: 10 },
        slots: [{ name: 'veloz_postgres_primary', type: 'physical', active: false, retainedBytes: 0 }],
      }),
  ],
  ['C3', 'a higher setting on the old primary', (seen) => (primary(seen).sql.settings.max_connections = '500')],
  ['C5', 'hints without checksums', (seen) => (primary(seen).sql.settings.data_checksums = 'off')],
  ['C5', 'checksums without hints', (seen) => (primary(seen).sql.settings.wal_log_hints = 'off')],
  ['C6', 'logical replication', (seen) => (standby(seen).sql.settings.wal_level = 'logical')],
  ['C7', 'readable by the group', (seen) => Object.assign(standby(seen).agent?.dataDirectory ?? {}, { mode: '750' })],
  ['C9', 'exactly enough', (seen) => Object.assign(standby(seen).agent ?? {}, { freeDiskBytes: 256 * 1024 ** 2 })],
]);

test('C1: a standby that streams from the target already needs no other walsender', () => {
  const seen = picture({ three: true });
  const [first] = primary(seen).sql.replication;
  if (first === undefined) throw new Error('nobody replicates');
  Object.assign(standby(seen).sql, {
    walSenders: { used: 1, max: 2 },
    replication: [{ ...first, slot: 'veloz_postgres_standby_2', syncState: 'async' }],
  });
  expect(checkOf(decide(seen), 'C1')).toMatchObject({ result: 'ok', measured: '1 of 2 free', limit: 'at least 1' });
});
