import { takeOverMaster } from '../../../src/activities/redis/take-over';
import { MASTER, REPLICA } from '../../cluster/redis/picture';
import { FakeRedis } from './fake-redis';

const MOVE = { cluster: 'veloz', run: 'r', source: MASTER, target: REPLICA };

describe('a master without a container of its name', () => {
  let world: FakeRedis;
  beforeEach(async () => {
    world = await FakeRedis.start();
    world.gossips = true;
    await world.kill(MASTER);
    world.containers.set(MASTER, { exists: false, running: false, status: 'absent' });
  });
  afterEach(() => world.close());

  const endOf = async () => (await takeOverMaster(world.deps(), MOVE)).subSteps.find(({ id }) => id === 'end')?.detail;

  test('is gone where nobody has its volume', async () => {
    expect(await endOf()).toBe(`${MASTER} has no container: nobody can write to it`);
    expect([world.ended, world.asked]).toEqual([[], [`${REPLICA}: REPLICAOF NO ONE`]]);
  });

  test('is ended under another name before another one is promoted: frozen, it would wake up as a second one', async () => {
    world.usersOf[MASTER] = [{ id: 'abc', name: 'old', status: 'paused', serves: true }];
    world.containers.set('abc', { running: false, status: 'paused' });
    const deps = world.deps();
    deps.docker.kill = ((kill) => (name: string) => {
      expect(world.asked).toEqual([]);
      return kill(name);
    })(deps.docker.kill.bind(deps.docker));
    const { subSteps } = await takeOverMaster(deps, MOVE);
    expect(subSteps.find(({ id }) => id === 'end')?.detail).toBe(
      `${MASTER} has no container of its name, and old, which had its volume, was ended: nobody can write to it`,
    );
    expect([world.ended, world.asked]).toEqual([['abc'], [`${REPLICA}: REPLICAOF NO ONE`]]);
  });

  test('proves nothing where Docker does not tell who has its volume', async () => {
    const deps = world.deps();
    deps.docker.livingWritersOf = () => Promise.reject(new Error('no answer within 5000 ms'));
    await expect(takeOverMaster(deps, MOVE)).rejects.toMatchObject({
      type: 'Refused',
      message: `H2: ${MASTER} can't be ended: it has no container of its name, and another one may have its volume: no answer within 5000 ms (limit: proof that it takes no write). Nothing was promoted. Next: docker ps --all --filter volume=${MASTER}`,
    });
    expect(world.asked).toEqual([]);
  });
});
