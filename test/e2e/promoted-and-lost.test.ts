import { setTimeout as sleep } from 'node:timers/promises';
import { Guarded } from './support/guarded';
import { rarely as test } from './support/sample';
import { cli, docker, look, psql, roles, takesWrites, thenAlways, waitUntil, whole } from './support/stack';
import { deleteNode, run } from './support/standby-runs';

const THIRD = 'veloz-postgres-standby-2';

describe('the node that was promoted is lost before anybody has seen that it takes writes', () => {
  let guarded: Guarded;
  beforeAll(async () => {
    guarded = await Guarded.start();
    deleteNode(THIRD);
    await whole();
  });
  afterAll(async () => {
    await guarded.close();
    deleteNode(THIRD);
  });

  const up = () => cli(['stack', 'up', '--standbys', '2'], guarded.env);
  const writable = async (): Promise<string[]> =>
    (await look()).nodes.filter(({ sql }) => sql?.inRecovery === false).map(({ name }) => name);

  test('the old primary is not started beside what it acknowledged, and it is the primary again once it is back', async () => {
    const before = await roles();
    await up();
    const [worker] = await guarded.work(1, guarded.rig.dying('failover:released'));
    await run(guarded.rig, 'addStandby');
    await guarded.guard();
    await guarded.until('two confirming standbys', ({ ledger }) => ledger.synchronous.length === 2);
    docker('kill', before.primary);
    await waitUntil('the end of the worker that promoted', () => worker?.process.signalCode === 'SIGKILL');
    let promoted = '';
    await waitUntil('a new primary', async () => {
      [promoted = ''] = await writable();
      return promoted !== '';
    });
    expect(promoted).not.toBe(before.primary);
    psql(promoted, 'CREATE TABLE e2e_lost AS SELECT generate_series(1, 1000) AS n');
    await thenAlways(
      async () => {
        // Its volume stays, whole.
        docker('rm', '--force', promoted);
        await guarded.work(1);
        for (const until = Date.now() + 45_000; Date.now() < until; await sleep(500))
          expect(await writable()).toEqual([]);
        expect(await guarded.runs()).not.toEqual([]);
      },
      () => up(),
    );
    await takesWrites(promoted, guarded);
    expect(psql(promoted, 'SELECT count(*) FROM e2e_lost')).toBe('1000');
    await guarded.protectedBy(promoted, 240_000);
    psql(promoted, 'DROP TABLE e2e_lost');
    await guarded.rig.switchover({ target: before.primary });
    await guarded.protectedBy(before.primary);
    await run(guarded.rig, 'removeStandby', { node: THIRD });
  }, 600_000);
});
