import type { ActivityDeps } from '../../../src/activities/deps';
import { cutOff } from '../../../src/activities/end-container';
import { returnRedisNode } from '../../../src/activities/redis/mend';
import type { DockerClient } from '../../../src/systems/docker';
import { MASTER, REPLICA } from '../../cluster/redis/picture';
import { FakeEngine } from '../guard/support/fake-engine';
import { FakeRedis } from './fake-redis';

describe('a master that was replaced, and that was taken off its networks', () => {
  let world: FakeRedis;
  let engine: FakeEngine;
  let docker: DockerClient;
  const back = () => {
    const deps: ActivityDeps = { ...world.deps(), docker };
    return returnRedisNode(deps, { cluster: 'veloz', node: MASTER });
  };
  beforeEach(async () => {
    world = await FakeRedis.start();
    world.named = REPLICA;
    engine = new FakeEngine();
    docker = engine.docker as unknown as DockerClient;
    await cutOff(docker, MASTER);
    engine.did.length = 0;
  });
  afterEach(() => world.close());

  const put = [
    `connect ${MASTER} to veloz-ha as postgres-primary`,
    `unmark veloz-cut-off-${MASTER}-a1b2c3d4e5f6-veloz-ha`,
    `start ${MASTER}`,
  ];

  test('has ended: it is put back before it is started', async () => {
    engine.status[MASTER] = 'exited';
    expect(await back()).toMatch(/it was put on veloz-ha again, .*, and follows the new master$/);
    expect(engine.did).toEqual(put);
  });

  test('goes on, and takes writes for all that is known: it is ended first', async () => {
    await back();
    expect(engine.did).toEqual([`kill ${MASTER}`, ...put]);
  });

  test('still hangs: it stays where nobody reaches it', async () => {
    engine.onKill = () => undefined;
    await expect(back()).rejects.toMatchObject({
      type: 'Refused',
      message: expect.stringMatching(
        /^L1: veloz-redis-master still hangs: .* It stays off its networks, and nobody reaches it\. Next: veloz-ha redis failover --cluster veloz --repair$/,
      ) as unknown,
    });
    expect(engine.did).toEqual([`kill ${MASTER}`]);
    expect(engine.volumes.size).toBe(1);
  }, 10_000);

  test('by a person stays so, and is not started', async () => {
    engine.volumes.clear();
    engine.status[MASTER] = 'exited';
    await expect(back()).rejects.toMatchObject({
      type: 'Refused',
      message: `L1: ${MASTER} is on no Docker network, and no run took it off (limit: a network). Next: docker network connect veloz-ha ${MASTER}`,
    });
    expect(engine.did).toEqual([]);
  });
});
