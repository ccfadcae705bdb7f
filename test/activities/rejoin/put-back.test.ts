import { accessCluster } from '../../../src/activities/deps';
import { cutOff } from '../../../src/activities/end-container';
import { fencedAgent } from '../../../src/activities/rejoin/parts';
import type { DockerClient } from '../../../src/systems/docker';
import { FakeEngine, PRIMARY, wellObserved } from '../guard/support/fake-engine';

const token = { run: 'run 7', attempt: 5_000_001 };
const upstream = { host: 'veloz-postgres-standby', port: 5432 };
const FILE = `put /var/lib/postgresql/veloz/fence.json into ${PRIMARY}`;
const BACK = [
  `connect ${PRIMARY} to veloz-ha as postgres-primary`,
  `unmark veloz-cut-off-${PRIMARY}-a1b2c3d4e5f6-veloz-ha`,
];
const fencedObserved = { ...wellObserved, desired: 'fenced', postgres: { state: 'stopped', pid: null, sinceMs: 5 } };

describe('a node that was taken off its networks, on its way back', () => {
  let engine: FakeEngine;
  let seen: Record<string, unknown>;
  const bring = async () => {
    const { agent, says } = await fencedAgent(
      engine.deps,
      accessCluster(engine.deps, 'veloz'),
      token,
      PRIMARY,
      upstream,
    );
    agent.close();
    return says;
  };
  beforeEach(async () => {
    engine = new FakeEngine();
    seen = wellObserved;
    engine.agent = (_node, command) => {
      if (command === 'fenceNow') seen = fencedObserved;
      return command === 'observe' ? seen : { already: false, ms: 12, control: null };
    };
    await cutOff(engine.docker as unknown as DockerClient, PRIMARY);
    engine.did.length = 0;
  });

  test('has ended: it is put back behind its fence, and before it is started', async () => {
    engine.status[PRIMARY] = 'exited';
    expect(await bring()).toContain(
      'it was put on veloz-ha again, which a run had taken it off; its container was started',
    );
    expect(engine.did).toEqual([FILE, ...BACK, `start ${PRIMARY}`]);
  });

  test('still hangs: it stays where nobody reaches it, and that is a refusal', async () => {
    engine.agent = () => new Error('gone');
    engine.onKill = () => {
      throw new Error('its container has not ended');
    };
    await expect(bring()).rejects.toMatchObject({
      type: 'Refused',
      message: `H2: ${PRIMARY} still hangs: its container has not ended (limit: a server that has ended). It stays off its networks, and nobody reaches it. Next: veloz-ha postgres rejoin ${PRIMARY} --cluster veloz`,
    });
    expect(engine.networks).toEqual([]);
    expect(engine.volumes.size).toBe(1);
  });

  test('goes on, since its kill never reached it or somebody started it: its server is ended before anybody reaches it', async () => {
    expect(await bring()).toContain(`${PRIMARY} was fenced by its agent`);
    expect(engine.did).toEqual(BACK);
    expect(engine.asked.indexOf(`${PRIMARY} fenceNow`)).toBeLessThan(engine.asked.length - 1);
  });

  test('was fenced by an attempt that died before it put it back', async () => {
    seen = fencedObserved;
    expect(await bring()).toBe(
      `${PRIMARY} was fenced already; it was put on veloz-ha again, which a run had taken it off`,
    );
    expect(engine.did).toEqual(BACK);
  });

  test('makes its data directory by itself: off its networks it finds nobody to copy, and is fenced', async () => {
    seen = { ...wellObserved, postgres: { state: 'starting', pid: null, sinceMs: 5 } };
    await bring();
    expect(engine.did).toEqual(BACK);
    expect(engine.asked).toContain(`${PRIMARY} fenceNow`);
  });

  test('by a person stays off them', async () => {
    engine.volumes.clear();
    engine.status[PRIMARY] = 'exited';
    await bring();
    expect(engine.did).toEqual([FILE, `start ${PRIMARY}`]);
  });

  test('can’t be put back: it is not started', async () => {
    engine.status[PRIMARY] = 'exited';
    engine.docker.connect = () => Promise.reject(new Error('no such network'));
    await expect(bring()).rejects.toThrow(/can't be put on network veloz-ha again: no such network/);
    expect(engine.did).toEqual([FILE]);
  });
});
