import { setTimeout as sleep } from 'node:timers/promises';
import { Guarded } from './support/guarded';
import { sampled as test } from './support/sample';
import { deleteNode, run } from './support/standby-runs';
import { cli, docker, psql, roles, STANDBY, whole } from './support/stack';

const THIRD = 'veloz-postgres-standby-2';

describe('a third node whose name begins with that of the primary', () => {
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

  test('is killed, and nobody is promoted in the place of the primary, which runs', async () => {
    const before = await roles();
    await cli(['stack', 'up', '--standbys', '2'], guarded.env);
    await guarded.work(2);
    await run(guarded.rig, 'addStandby');
    await guarded.guard();
    if (before.primary !== STANDBY) await guarded.rig.switchover({ target: STANDBY });
    await guarded.protectedBy(STANDBY);
    const timeline = () => psql(STANDBY, 'SELECT pg_is_in_recovery(), timeline_id FROM pg_control_checkpoint()');
    const was = timeline();
    docker('kill', THIRD);
    // The watch acts within a second of an end.
    await sleep(5000);
    expect(await guarded.runs()).toEqual([]);
    expect(timeline()).toBe(was);
    docker('start', THIRD);
    await guarded.protectedBy(STANDBY);
    if (before.primary !== STANDBY) await guarded.rig.switchover({ target: before.primary });
    await guarded.protectedBy(before.primary);
    await run(guarded.rig, 'removeStandby', { node: THIRD });
  }, 300_000);
});
