import { cutOff } from '../../src/activities/end-container';
import { wakeNode } from '../../src/activities/repair/wake';
import type { DockerClient } from '../../src/systems/docker';
import { FakeEngine, PRIMARY, wellObserved } from './guard/support/fake-engine';

describe('while nobody is the primary, a node that a run took off its networks', () => {
  let engine: FakeEngine;
  const request = { cluster: 'veloz', run: 'repair 7', turn: 1, node: PRIMARY };
  beforeEach(async () => {
    engine = new FakeEngine();
    const fenced = { ...wellObserved, desired: 'fenced', postgres: { state: 'stopped', pid: null, sinceMs: 5 } };
    engine.agent = (_node, command) => (command === 'observe' ? fenced : { already: true, ms: 1, control: null });
    await cutOff(engine.docker as unknown as DockerClient, PRIMARY);
    engine.did.length = 0;
  });

  test('wakes up fenced: another one may have been promoted since, and merely not run now', async () => {
    engine.status[PRIMARY] = 'exited';
    expect(await wakeNode(engine.deps, request)).toMatchObject({ up: true });
    expect(engine.did).toEqual([
      `put /var/lib/postgresql/veloz/fence.json into ${PRIMARY}`,
      `connect ${PRIMARY} to veloz-ha as postgres-primary`,
      `unmark veloz-cut-off-${PRIMARY}-a1b2c3d4e5f6-veloz-ha`,
      `start ${PRIMARY}`,
    ]);
    expect(engine.files[0]?.content).toMatchObject({ run: 'repair 7' });
  });

  test('is left where it is by a run that has no name to fence it in', async () => {
    engine.status[PRIMARY] = 'exited';
    const { up, says } = await wakeNode(engine.deps, { cluster: 'veloz', node: PRIMARY });
    expect(up).toBe(false);
    expect(says).toContain('it can be put on them only as a standby');
    expect(engine.did).toEqual([]);
  });
});
