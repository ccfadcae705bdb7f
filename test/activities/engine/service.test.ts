import { handOverEngine } from '../../../src/activities/engine/handover';
import { observeEngines } from '../../../src/activities/engine/observe';
import { drainEngine, readyEngine } from '../../../src/activities/engine/service';
import { verifyEngines, whatIsWrong } from '../../../src/activities/engine/verify';
import { engineFindings } from '../../../src/cluster/engine/health';
import { engineMembers } from '../../../src/cluster/engine/members';
import { FakeEngines, FIRST, SECOND } from './fake-engines';

const request = { cluster: 'veloz', run: 'engine-drain/veloz/1', node: SECOND };

test('a standby is drained and readied; each of both twice changes nothing more', async () => {
  const world = new FakeEngines();
  await drainEngine(world.deps(), request);
  await drainEngine(world.deps(), request);
  expect(world.changes).toEqual([`drain ${SECOND}`, `${SECOND} drain`]);
  const drained = await observeEngines(world.deps(), 'veloz');
  expect(whatIsWrong(drained, { cluster: 'veloz', epoch: 7, active: FIRST, drained: [SECOND] })).toBeUndefined();
  expect(engineMembers(drained)[1]).toMatchObject({ role: 'drained', traffic: 'DRAIN' });
  expect(engineFindings(drained).map(({ id, result }) => `${id} ${result}`)).toEqual(['L5 warn']);

  await readyEngine(world.deps(), request);
  await readyEngine(world.deps(), request);
  expect(world.changes.slice(2)).toEqual([`undrain ${SECOND}`, `${SECOND} ready`]);
  expect(engineFindings(await observeEngines(world.deps(), 'veloz'))).toEqual([]);
});

test('the active engine is not drained: somebody has to take over first', async () => {
  const world = new FakeEngines();
  await expect(drainEngine(world.deps(), { ...request, node: FIRST })).rejects.toMatchObject({ type: 'Refused' });
  expect(world.changes).toEqual([]);
});

test('what is proven at the end names what is not so', async () => {
  const world = new FakeEngines();
  const look = () => observeEngines(world.deps(), 'veloz');
  const proof = { cluster: 'veloz', epoch: 8, active: SECOND };
  expect(whatIsWrong(await look(), proof)).toBe(`active: ${FIRST}; expected ${SECOND} alone`);
  await handOverEngine(world.deps(), { ...request, source: FIRST, target: SECOND, epoch: 7 });
  expect(whatIsWrong(await look(), { ...proof, epoch: 9 })).toBe(`${SECOND} is active in epoch 8, expected at least 9`);
  expect(whatIsWrong(await look(), { ...proof, drained: [FIRST] })).toBe(`${FIRST} is not drained`);
  expect(await verifyEngines(world.deps(), proof, 0)).toMatchObject({
    detail: expect.stringContaining(`one active engine, ${SECOND}`) as string,
  });
  world.admin.set(SECOND, 'drain');
  expect(whatIsWrong(await look(), proof)).toBe(`HAProxy has ${SECOND} as DRAIN`);
  world.admin.set(SECOND, 'ready');
  world.weightless.add(SECOND);
  expect(whatIsWrong(await look(), proof)).toBe(`HAProxy has ${SECOND} as DRAIN`);
  expect(await readyEngine(world.deps(), { cluster: 'veloz', run: 'r', node: SECOND })).toContain('active');
  expect(whatIsWrong(await look(), proof)).toBeUndefined();
});

test('an engine that answers at the address of another one is not taken for it', async () => {
  const world = new FakeEngines();
  const both = { ...world.deps(), engineSystems: { ...systems(world), engine: () => world.engine({ port: 11 }) } };
  const observed = await observeEngines(both, 'veloz');
  expect(observed.engines[1]).toMatchObject({ health: null, error: `${FIRST} answers at the address of ${SECOND}` });
});

test('what does not answer is part of the picture', async () => {
  const world = new FakeEngines();
  world.kill(SECOND);
  const gone = {
    ...systems(world),
    haproxy: () => ({ ...world.haproxy(), servers: () => Promise.reject(new Error('refused')) }),
  };
  const observed = await observeEngines({ ...world.deps(), engineSystems: gone }, 'veloz');
  expect(observed.engines[1]).toMatchObject({ health: null, container: { status: 'exited' } });
  expect(observed.proxy).toMatchObject({ servers: null, error: 'refused' });
  const [finding] = engineFindings(observed);
  expect(finding).toMatchObject({ id: 'E4', result: 'refuse', next: `docker start ${SECOND}` });
});

test('a cluster without engines is refused with what to add', async () => {
  const deps = new FakeEngines().deps();
  const { engines: _, ...cluster } = deps.topology.clusters.veloz!;
  const without = { ...deps, topology: { ...deps.topology, clusters: { veloz: cluster } } };
  await expect(observeEngines(without as typeof deps, 'veloz')).rejects.toMatchObject({ type: 'BadInput' });
});

const systems = (world: FakeEngines) => ({
  engine: (at: { port: number }) => world.engine(at),
  haproxy: () => world.haproxy(),
  door: () => world.door(),
});
