import { verifyRedis, whatIsWrong } from '../../../src/activities/redis/verify';
import {
  healthy,
  master,
  MASTER,
  picture,
  replica,
  REPLICA,
  sentinel,
  SENTINELS,
  sentinelsNaming,
  silent,
  silentSentinel,
} from '../../cluster/redis/picture';
import { FakeRedis } from './fake-redis';

const proof = { cluster: 'veloz', run: 'r', master: MASTER };
const [one, two, three] = SENTINELS;

test('nothing is wrong with a healthy picture of the expected master', () => {
  expect(whatIsWrong(healthy(), proof)).toBeUndefined();
});

test('another master, a second one, and none are told', () => {
  expect(whatIsWrong(healthy(), { ...proof, master: REPLICA })).toBe(`master: ${MASTER}; expected ${REPLICA} alone`);
  const both = picture([master(MASTER), master(REPLICA)], sentinelsNaming(MASTER));
  expect(whatIsWrong(both, proof)).toBe(`master: ${MASTER}, ${REPLICA}; expected ${MASTER} alone`);
  const none = picture([replica(MASTER, REPLICA), replica(REPLICA, MASTER)], sentinelsNaming(MASTER));
  expect(whatIsWrong(none, proof)).toBe(`master: no node; expected ${MASTER} alone`);
});

test('a Sentinel with another word, and a replica that is not connected or has another history, are told', () => {
  const { nodes } = healthy();
  const word = picture(nodes, [sentinel(one, MASTER), sentinel(two, MASTER), sentinel(three, REPLICA)]);
  expect(whatIsWrong(word, proof)).toBe(`${three} tells clients ${REPLICA} in place of ${MASTER}`);
  const down = picture([master(MASTER), replica(REPLICA, MASTER, {}, { up: false })], sentinelsNaming(MASTER));
  expect(whatIsWrong(down, proof)).toBe(`${REPLICA} is not connected to ${MASTER}`);
  const other = picture(
    [master(MASTER), replica(REPLICA, MASTER, { replicationId: 'another' })],
    sentinelsNaming(MASTER),
  );
  expect(whatIsWrong(other, proof)).toBe(`${REPLICA} has another history than ${MASTER}`);
});

test('a minority of the Sentinels is no proof, and a node that could not be started is left out where that is known', () => {
  const few = picture(healthy().nodes, [sentinel(one, MASTER), silentSentinel(two), silentSentinel(three)]);
  expect(whatIsWrong(few, proof)).toBeDefined();
  const without = picture([master(MASTER), silent(REPLICA)], sentinelsNaming(MASTER));
  expect(whatIsWrong(without, proof)).toBe(`the container ${REPLICA} does not run`);
  expect(whatIsWrong(without, { ...proof, without: REPLICA })).toBeUndefined();
  expect(whatIsWrong(without, { ...proof, leaves: [REPLICA] })).toBeUndefined();
  // Started meanwhile, it has to be in line.
  const apart = picture([master(MASTER), replica(REPLICA, MASTER, {}, { up: false })], sentinelsNaming(MASTER));
  expect(whatIsWrong(apart, { ...proof, leaves: [REPLICA] })).toBe(`${REPLICA} is not connected to ${MASTER}`);
});

describe('what is proven', () => {
  let world: FakeRedis;
  beforeEach(async () => {
    world = await FakeRedis.start();
  });
  afterEach(() => world.close());

  test('of a write is that a replica has it, where there is one', async () => {
    const said = async () => (await verifyRedis(world.deps(), { ...proof, leaves: [REPLICA] }, 0)).detail;
    expect((await verifyRedis(world.deps(), proof, 0)).detail).toBe(
      `${MASTER} is the one master, every Sentinel that answers names it, a write reached a replica`,
    );
    await world.kill(REPLICA, 0);
    expect(await said()).toBe(
      `${MASTER} is the one master, every Sentinel that answers names it, and there is no replica to confirm a write`,
    );
  });
});
