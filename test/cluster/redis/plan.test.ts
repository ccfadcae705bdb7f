import { decideRedis } from '../../../src/cluster/redis/decide';
import type { RedisRequest } from '../../../src/cluster/redis/decision';
import type { ObservedRedis } from '../../../src/cluster/redis/observed';
import { planRedis } from '../../../src/cluster/redis/plan';
import { healthy, master, MASTER, picture, redisTopology, replica, REPLICA, sentinelsNaming, silent } from './picture';

function plan(observed: ObservedRedis, request: RedisRequest = {}) {
  const decision = decideRedis(redisTopology(), observed, request);
  const { source, target } = decision;
  if (source === undefined || target === undefined) throw new Error(JSON.stringify(decision));
  return planRedis(redisTopology(), { ...decision, source, target }, 3000, { medianMs: 20 });
}

test('a planned move is one step that holds writes, and its proof', () => {
  const { steps, ...hold } = plan(healthy());
  expect(steps.map(({ id, pointOfNoReturn }) => `${id} ${pointOfNoReturn}`)).toEqual(['move true', 'verify false']);
  expect(steps[0]?.says).toBe(`Hold writes, make ${MASTER} a replica and ${REPLICA} the master, tell the Sentinels`);
  expect(steps[1]?.says).toContain('watch for 3.00 s');
  expect(hold.expectedHoldMs).toBeGreaterThan(0);
  // Redis's own limit: the hold of the topology and a margin.
  expect(hold.holdLimitMs).toBe(1500);
});

test('a forced failover proves, promotes, starts the old node and proves again', () => {
  const lost = replica(REPLICA, MASTER, {}, { up: false, downMs: 1000 });
  const { steps } = plan(picture([silent(MASTER), lost], sentinelsNaming(MASTER)));
  expect(steps.map(({ id }) => id)).toEqual(['take over', 'return', 'verify']);
  expect(steps.filter(({ pointOfNoReturn }) => pointOfNoReturn).map(({ id }) => id)).toEqual(['take over']);
});

test('a master that a person stopped is left so where that is asked for, and started for whoever asks for a failover', () => {
  const lost = replica(REPLICA, MASTER, {}, { up: false, downMs: 1000 });
  const steps = (exitCode: number, request: RedisRequest) =>
    plan(picture([silent(MASTER, 'exited', exitCode), lost], sentinelsNaming(MASTER)), request).steps.map(
      ({ id }) => id,
    );
  for (const code of [0, 143]) expect(steps(code, { leaveStopped: true })).toEqual(['take over', 'verify']);
  expect(steps(137, { leaveStopped: true })).toEqual(['take over', 'return', 'verify']);
  expect(steps(0, { only: 'repair' })).toEqual(['take over', 'return', 'verify']);
});

test('a repair is a step for each fault, nobody waits, and nothing is moved', () => {
  const { steps, ...hold } = plan(picture([master(MASTER), master(REPLICA)], sentinelsNaming(MASTER)));
  expect(steps.map(({ id, fault }) => [id, fault?.kind])).toEqual([
    ['mend 1', 'second master'],
    ['verify', undefined],
  ]);
  expect(hold).toMatchObject({ expectedHoldMs: 0, holdLimitMs: 0 });
});

test('who names a target gets no repair for it', () => {
  const both = picture([master(MASTER), master(REPLICA)], sentinelsNaming(MASTER));
  const decision = decideRedis(redisTopology(), both, { target: REPLICA });
  expect(decision.kind).toBe('none');
  expect(decision.checks.filter(({ result }) => result === 'refuse').map(({ id, next }) => [id, next])).toEqual([
    ['L3', 'veloz-ha redis failover --cluster veloz --repair'],
  ]);
});
