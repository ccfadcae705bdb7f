import { setTimeout as sleep } from 'node:timers/promises';
import { Guarded } from './support/guarded';
import { deleteNode, run } from './support/standby-runs';
import { rarely as test } from './support/sample';
import { cli, docker, look, PRIMARY, psql, STANDBY, thenAlways, waitUntil, whole } from './support/stack';

const THIRD = 'veloz-postgres-standby-2';
const MAKE = 'veloz-ha stack up --standbys 2';

/** The topology calls the third node optional. It was the primary, and alone has the last commits. */
describe('a node that the ledger names, and whose container is removed', () => {
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

  const up = (names: readonly string[]) => cli(['stack', 'up', ...names], guarded.env);
  const mode = (wanted: string) => cli(['guard', 'mode', wanted, '--reason', 'the test'], guarded.env);
  const rows = (node: string) => psql(node, 'SELECT count(*) FROM e2e_named');

  test('nobody is promoted in its place: it is told with the command, and is the primary again once that was run', async () => {
    await up(['--standbys', '2']);
    await guarded.work(2);
    await run(guarded.rig, 'addStandby');
    await guarded.guard();
    await guarded.rig.switchover({ target: THIRD });
    await guarded.protectedBy(THIRD);
    await thenAlways(
      async () => {
        docker('stop', PRIMARY, STANDBY);
        await guarded.until('commits going on alone', ({ ledger }) => ledger.state === 'degraded');
        psql(THIRD, 'CREATE TABLE e2e_named (i int)');
        psql(THIRD, 'INSERT INTO e2e_named SELECT generate_series(1, 1000)');
        // The volume stays, whole.
        docker('rm', '--force', THIRD);
        docker('start', PRIMARY, STANDBY);
        await guarded.until('it being told', (state) => JSON.stringify(state).includes(MAKE), 120_000);
        await sleep(20_000);
        const { nodes } = await look();
        expect(nodes.filter(({ sql }) => sql?.inRecovery === false)).toEqual([]);
        // The guard tries again and again: a person's own repair comes between two of its own.
        await mode('off');
        await guarded.until('its own repair being over', ({ mending }) => mending?.acting === undefined);
        const person = await cli(['repair', '--yes'], guarded.env);
        await mode('auto');
        expect(person.code).toBe(3);
        expect(person.stdout + person.stderr).toContain(
          `I6: ${THIRD} may have acknowledged commits that nobody else has`,
        );
        expect(person.stdout + person.stderr).toContain(MAKE);
      },
      () => up(['--standbys', '2']),
    );
    await waitUntil('it being the primary again', () => psql(THIRD, 'SELECT pg_is_in_recovery()') === 'f', 180_000);
    expect(rows(THIRD)).toBe('1000');
    await guarded.protectedBy(THIRD, 240_000);
    psql(THIRD, 'DROP TABLE e2e_named');
    await guarded.rig.switchover({ target: PRIMARY });
    await guarded.protectedBy(PRIMARY);
    // Removed in order, it keeps nobody from anything.
    await run(guarded.rig, 'removeStandby', { node: THIRD });
    deleteNode(THIRD);
    const state = await guarded.until('it being named no more', ({ ledger }) => !ledger.synchronous.includes(THIRD));
    expect(state.ledger).toMatchObject({ primary: PRIMARY, synchronous: [STANDBY] });
    docker('kill', PRIMARY);
    await guarded.protectedBy(STANDBY, 180_000);
    await guarded.rig.switchover({ target: PRIMARY });
    await guarded.protectedBy(PRIMARY);
  }, 900_000);
});
