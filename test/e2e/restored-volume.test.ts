import { setTimeout as sleep } from 'node:timers/promises';
import { WENT_BACK } from '../../src/cluster/guard/ledger-rules';
import { Guarded } from './support/guarded';
import { sampled as test } from './support/sample';
import { onVolume, run } from './support/standby-runs';
import { docker, look, psql, recovered, roles, takesWrites, thenAlways, waitUntil, whole } from './support/stack';

const DATA = '/var/lib/postgresql/data';
const NEW = `${DATA}.new`;
const OLD = `${DATA}.old`;

describe('a primary whose volume is an older one of its own', () => {
  let guarded: Guarded;
  beforeAll(async () => {
    guarded = await Guarded.start();
    await whole();
  });
  afterAll(() => guarded.close());
  afterEach(async () => {
    await guarded.rest();
    await recovered();
  }, 240_000);

  /** Its volume is as it was before 20000 rows that the standby has replayed; what it was then lies beside it. Both are stopped. */
  async function restored({ primary, standby }: { primary: string; standby: string }): Promise<void> {
    await guarded.work(1);
    await guarded.guard();
    await Promise.all(guarded.workers.map((worker) => worker.kill()));
    guarded.workers = [];
    psql(primary, 'DROP TABLE IF EXISTS e2e_restored');
    // Both positions lie in one segment: of another one the standby asks for what the primary does not have.
    psql(primary, 'SELECT pg_switch_wal()');
    docker('stop', primary);
    onVolume(primary, `rm -rf ${OLD} ${NEW}; cp -a ${DATA} ${OLD}`);
    docker('start', primary);
    await takesWrites(primary);
    await waitUntil(
      'the standby streaming',
      () => psql(primary, `SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'`) === '1',
      30_000,
    );
    psql(primary, 'CREATE TABLE e2e_restored AS SELECT generate_series(1, 20000) AS n');
    await waitUntil('the standby replaying', () => {
      try {
        return psql(standby, 'SELECT count(*) FROM e2e_restored') === '20000';
      } catch {
        return false;
      }
    });
    docker('stop', primary);
    onVolume(primary, `mv ${DATA} ${NEW} && mv ${OLD} ${DATA}`);
  }

  const startGuard = async (node: string) =>
    (await look()).nodes.find(({ name }) => name === node)?.agent?.startGuard ?? '';

  /** The volume as it was. */
  function putBack(primary: string): void {
    docker('stop', primary);
    onVolume(primary, `if [ -d ${NEW} ]; then rm -rf ${DATA} && mv ${NEW} ${DATA}; fi`);
    docker('start', primary);
  }

  test('it does not start while a standby answers that has replayed more, and says so', async () => {
    const before = await roles();
    await restored(before);
    await thenAlways(
      async () => {
        docker('start', before.primary);
        await waitUntil(
          'its agent keeping it down',
          async () => (await startGuard(before.primary)).includes('has replayed this timeline'),
          30_000,
        );
        await sleep(3000);
        expect(await startGuard(before.primary)).toContain('has replayed this timeline');
        const seen = await look();
        expect(seen.nodes.find(({ name }) => name === before.primary)?.sql).toBeNull();
      },
      () => putBack(before.primary),
    );
    await takesWrites(before.primary);
    await whole();
    expect(psql(before.primary, 'SELECT count(*) FROM e2e_restored')).toBe('20000');
    psql(before.primary, 'DROP TABLE e2e_restored');
  });

  test('nor does one that is older than the last promotion', async () => {
    const { primary } = await roles();
    await guarded.work(1);
    docker('stop', primary);
    onVolume(primary, `rm -rf ${OLD} ${NEW}; cp -a ${DATA} ${OLD}`);
    docker('start', primary);
    await whole();
    for (let moves = 0; moves < 2; moves++) {
      expect(await guarded.rig.switchover({ approval: 'given', soak: '0s', startedBy: 'e2e' })).toMatchObject({
        outcome: expect.stringMatching(/^completed/) as unknown,
      });
      await whole();
    }
    expect((await roles()).primary).toBe(primary);
    docker('stop', primary);
    onVolume(primary, `mv ${DATA} ${NEW} && mv ${OLD} ${DATA}`);
    await thenAlways(
      async () => {
        docker('start', primary);
        await waitUntil(
          'its agent keeping it down',
          async () => (await startGuard(primary)).includes('and this node knows none after'),
          30_000,
        );
        await sleep(3000);
        expect(await startGuard(primary)).toContain('and this node knows none after');
      },
      () => putBack(primary),
    );
    await takesWrites(primary);
    await whole();
  });

  test('one that was killed right after a switch of segments has everything, and starts by itself', async () => {
    const { primary, standby } = await roles();
    await whole();
    const atBoundary = () => psql(standby, `SELECT (pg_last_wal_replay_lsn() - '0/0') % 16777216 = 0`) === 't';
    // What runs is noted in the WAL every 15 s, and then the last page is a usual one.
    for (let tries = 0, met = false; !met; tries++) {
      expect(tries).toBeLessThan(5);
      psql(primary, `SELECT pg_logical_emit_message(false, 'e2e', 'a switch'), pg_switch_wal()`);
      await waitUntil('the standby being at the boundary', atBoundary, 3000).catch(() => undefined);
      docker('kill', primary);
      met = atBoundary();
      docker('start', primary);
      await takesWrites(primary);
    }
    await whole();
  });

  test('started while no standby answers, it is told once one does, and nothing that is confirmed counts until that was copied', async () => {
    const before = await roles();
    await restored(before);
    await thenAlways(
      async () => {
        docker('stop', before.standby);
        docker('start', before.primary);
        await waitUntil(
          'the primary answering',
          async () => (await look()).nodes.find(({ name }) => name === before.primary)?.sql?.inRecovery === false,
          30_000,
        );
        await guarded.work(1);
        docker('start', before.standby);
        const told = await guarded.until('the ledger telling', ({ ledger }) => ledger.why.startsWith(WENT_BACK));
        expect(told.ledger.state).toBe('unknown');
        expect(told.ledger.primary).toBe(before.primary);
      },
      // What the restored primary never had is on the standby alone, which is copied.
      () => docker('stop', before.standby),
    );
    onVolume(before.primary, `rm -rf ${NEW}`);
    docker('start', before.standby);
    await waitUntil(
      'the standby answering',
      async () => (await look()).nodes.find(({ name }) => name === before.standby)?.sql?.inRecovery === true,
      30_000,
    );
    const report = await run(guarded.rig, 'rejoin', { node: before.standby, method: 'copy' });
    expect(report).toMatchObject({ outcome: expect.stringMatching(/^completed/) as unknown });
    // The copy itself took the primary past what the standby had: from here on a person says that it is over.
    await guarded.handle.terminate('guard stop');
    await guarded.guard();
    await guarded.protectedBy(before.primary, 120_000);
    await whole();
  });
});
