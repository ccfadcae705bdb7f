import { frontDoorWriters } from './support/rig';
import { docker, psql, recovered, roles, thenAlways, waitUntil, whole } from './support/stack';
import type { Writers } from '../../src/bench/writers';

/** SQLSTATE 25006, as PostgreSQL says it. */
const READ_ONLY = /read-only transaction/;

/** No guard watches and no run goes on: whatever the nodes become, PgBouncer hands no client to a standby. */
describe('a client at the front door never reaches a standby', () => {
  let writers: Writers;
  beforeEach(async () => {
    await whole();
    writers = frontDoorWriters(4, 50);
    await writers.start();
    writers.beginWindow();
  });
  afterEach(async () => {
    await thenAlways(
      () => writers.stop(),
      () => recovered(),
    );
  });

  const writesAgain = async () => {
    const soFar = writers.acknowledgedSoFar();
    await waitUntil('clients writing again', () => writers.acknowledgedSoFar() > soFar + 20, 20_000);
  };

  const nobodyWritesAt = async (node: string) => {
    await waitUntil('it answering as a standby', () => psql(node, 'SELECT pg_is_in_recovery()') === 't');
    const soFar = writers.acknowledgedSoFar();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(writers.acknowledgedSoFar()).toBe(soFar);
  };

  const allIsWell = async () => {
    await whole();
    await writesAgain();
    const seen = await writers.endWindow();
    expect(seen.lost).toBe(0);
    expect(seen.failures.filter((failure) => READ_ONLY.test(failure))).toEqual([]);
  };

  /** Both are killed, and Docker gives the standby, which is started first, the primary's address. */
  const startedInItsPlace = async (primary: string, standby: string) => {
    docker('kill', primary, standby);
    docker('start', standby);
    await nobodyWritesAt(standby);
    docker('start', primary);
    await allIsWell();
  };

  test('one that is started with the address of a killed primary', async () => {
    const { primary, standby } = await roles();
    await startedInItsPlace(primary, standby);
  });

  test('a primary that somebody restarts as a standby, and promotes later', async () => {
    const { primary } = await roles();
    docker('exec', '-u', 'postgres', primary, 'touch', `${psql(primary, 'SHOW data_directory')}/standby.signal`);
    docker('restart', primary);
    await nobodyWritesAt(primary);
    psql(primary, 'SELECT pg_promote()');
    await allIsWell();
  });

  test('one whose role acts as another, which may not end its session', async () => {
    const { primary, standby } = await roles();
    const all = ['TABLES', 'SEQUENCES'].map((what) => `GRANT ALL ON ALL ${what} IN SCHEMA public TO app_owner`);
    const made = [
      'CREATE ROLE app_owner',
      'GRANT app_owner TO veloz',
      ...all,
      "ALTER ROLE veloz SET role = 'app_owner'",
    ];
    await thenAlways(
      async () => {
        for (const statement of made) psql(primary, statement, 'veloz');
        await startedInItsPlace(primary, standby);
      },
      async () => {
        const taken = [
          'ALTER ROLE veloz RESET role',
          // Sessions that PgBouncer keeps act as the other role for as long as they last, and would own nothing.
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'veloz' AND client_addr IS NOT NULL`,
          'DROP OWNED BY app_owner',
          'DROP ROLE app_owner',
        ];
        for (const statement of taken) psql((await roles()).primary, statement, 'veloz');
      },
    );
  });
});
