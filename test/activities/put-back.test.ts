import { cutOff } from '../../src/activities/end-container';
import { offNetworks, putBack, putBackWords } from '../../src/activities/put-back';
import { sweepMarks } from '../../src/systems/cut-off-marks';
import type { DockerClient } from '../../src/systems/docker';
import { FakeEngine, PRIMARY } from './guard/support/fake-engine';

const AGAIN = `connect ${PRIMARY} to veloz-ha as postgres-primary`;

describe('a container that is on no network', () => {
  let engine: FakeEngine;
  let docker: DockerClient;
  const byHand = () => {
    engine.networks = [];
  };
  beforeEach(() => {
    engine = new FakeEngine();
    docker = engine.docker as unknown as DockerClient;
  });

  test('since a run took it off them is put back as it was, and nothing of that is left', async () => {
    expect(await cutOff(docker, PRIMARY)).toMatchObject({ networks: ['veloz-ha'], marked: true });
    expect(await offNetworks(docker, PRIMARY)).toEqual({ by: 'run', home: 'veloz-ha' });
    engine.did.length = 0;
    expect(await putBack(docker, PRIMARY)).toEqual(['veloz-ha']);
    expect(engine.did).toEqual([AGAIN, `unmark veloz-cut-off-${PRIMARY}-a1b2c3d4e5f6-veloz-ha`]);
    expect(await offNetworks(docker, PRIMARY)).toBeUndefined();
    expect(await putBack(docker, PRIMARY)).toEqual([]);
  });

  test('since a person took it off them stays so', async () => {
    byHand();
    expect(await offNetworks(docker, PRIMARY)).toEqual({ by: 'somebody', home: 'veloz-ha' });
    expect(await putBack(docker, PRIMARY)).toEqual([]);
    expect(engine.did).toEqual([]);
    expect(putBackWords([])).toBe('');
  });

  test('since a person took it off them, after a run had done so and it had come back, stays so', async () => {
    await cutOff(docker, PRIMARY);
    await putBack(docker, PRIMARY);
    byHand();
    expect((await offNetworks(docker, PRIMARY))?.by).toBe('somebody');
  });

  test('is put back by the next one where the first one died in the middle', async () => {
    engine.networks = ['backup', 'veloz-ha'];
    await cutOff(docker, PRIMARY);
    const { connect } = engine.docker;
    engine.docker.connect = (node, place) =>
      place.network === 'veloz-ha' ? Promise.reject(new Error('the worker is gone')) : connect(node, place);
    await expect(putBack(docker, PRIMARY)).rejects.toThrow(
      `${PRIMARY} can't be put on network veloz-ha again: the worker is gone. Next: docker network connect veloz-ha ${PRIMARY}`,
    );
    engine.docker.connect = connect;
    engine.did.length = 0;
    expect(await putBack(docker, PRIMARY)).toEqual(['backup', 'veloz-ha']);
    expect(engine.did[0]).toBe(AGAIN);
    expect(engine.networks).toEqual(['backup', 'veloz-ha']);
    expect(engine.volumes.size).toBe(0);
  });

  test('is no matter of marks about another one that had its name: it was made anew since', async () => {
    await cutOff(docker, PRIMARY);
    engine.id = 'another';
    expect((await offNetworks(docker, PRIMARY))?.by).toBe('somebody');
    engine.did.length = 0;
    expect(await putBack(docker, PRIMARY)).toEqual([]);
    // And they are gone.
    expect(engine.did).toEqual([`unmark veloz-cut-off-${PRIMARY}-a1b2c3d4e5f6-veloz-ha`]);
  });

  test('that somebody put back by hand loses the marks alone', async () => {
    await cutOff(docker, PRIMARY);
    engine.networks = ['veloz-ha'];
    engine.did.length = 0;
    await putBack(docker, PRIMARY);
    expect(engine.did).toEqual([`unmark veloz-cut-off-${PRIMARY}-a1b2c3d4e5f6-veloz-ha`]);
  });

  test('and whose marks can’t be read is not started off its networks: that is an error', async () => {
    byHand();
    engine.docker.volumes = () => Promise.reject(new Error('forbidden'));
    await expect(putBack(docker, PRIMARY)).rejects.toThrow('forbidden');
    // One that is on a network goes on without.
    engine.networks = ['veloz-ha'];
    expect(await putBack(docker, PRIMARY)).toEqual([]);
  });
});

test('marks of containers that there are no more are swept away, and no others', async () => {
  const engine = new FakeEngine();
  const docker = engine.docker as unknown as DockerClient;
  await cutOff(docker, PRIMARY);
  expect(await sweepMarks(docker)).toBe(0);
  engine.status[engine.id] = 'absent';
  expect(await sweepMarks(docker)).toBe(1);
  expect(engine.volumes.size).toBe(0);
});
