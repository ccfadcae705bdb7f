import { cutOff } from '../../src/activities/end-container';
import { wakeNode } from '../../src/activities/repair/wake';
import type { DockerClient } from '../../src/systems/docker';
import { controlFile } from '../cluster/guard/support/standby-files';
import { FakeEngine, PRIMARY, STANDBY, STANDBY_2, wellObserved } from './guard/support/fake-engine';

// No server answers here: what a node is its agent tells.
jest.mock('../../src/systems/postgres', () => ({
  ...jest.requireActual<object>('../../src/systems/postgres'),
  connectPostgres: () => Promise.reject(new Error('connect ECONNREFUSED')),
}));

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
    expect(says).toContain('it can be started only as a standby');
    expect(engine.did).toEqual([]);
  });
});

describe('while nobody is the primary, a node that was one, and that the ledger does not name', () => {
  let engine: FakeEngine;
  let files: { signal?: string; control?: Buffer };
  let ledger: object | undefined;
  const request = { cluster: 'veloz', run: 'repair 7', turn: 1, node: PRIMARY };
  const startsFenced = [`put /var/lib/postgresql/veloz/fence.json into ${PRIMARY}`, `start ${PRIMARY}`];
  beforeEach(() => {
    engine = new FakeEngine();
    const stopped = { state: 'stopped', pid: null, sinceMs: 5 };
    const fenced = { ...wellObserved, desired: 'fenced', deadman: null, postgres: stopped };
    engine.agent = (_node, command) => (command === 'observe' ? fenced : { already: true, ms: 1, control: null });
    engine.status[PRIMARY] = 'exited';
    // It ended as a primary on timeline 3.
    files = { control: controlFile(6) };
    engine.nodeFile = (_node, path) => (path.endsWith('standby.signal') ? files.signal : files.control);
    ledger = { primary: STANDBY_2, timeline: 4, synchronous: [] };
    Object.assign(engine.deps, {
      environment: { VELOZ_PG_HA_PASSWORD: 'x' },
      guardState: () => Promise.resolve(ledger === undefined ? undefined : { ledger }),
    });
  });

  test('wakes up fenced where that one was on a newer timeline: beside nobody who takes writes it would start as a primary', async () => {
    const { up, says } = await wakeNode(engine.deps, request);
    expect(up).toBe(true);
    expect(says).toMatch(
      new RegExp(`: it was a primary on timeline 3, and ${STANDBY_2} is the primary of the ledger, on timeline 4$`),
    );
    expect(engine.did).toEqual(startsFenced);
    expect(engine.files[0]?.content).toMatchObject({ run: 'repair 7' });
  });

  test('also where it is frozen: what wakes up in it would go on as a primary', async () => {
    engine.status[PRIMARY] = 'paused';
    expect(await wakeNode(engine.deps, request)).toMatchObject({ up: true });
    expect(engine.did).toEqual([`kill ${PRIMARY}`, ...startsFenced]);
  });

  test('also where its container was made anew and never started: its agent would find no primary, and start it as one', async () => {
    engine.status[PRIMARY] = 'created';
    expect(await wakeNode(engine.deps, request)).toMatchObject({ up: true });
    expect(engine.did).toEqual(startsFenced);
    expect(engine.files[0]?.content).toMatchObject({ run: 'repair 7' });
  });

  test('and stays down where its volume takes no fence', async () => {
    engine.status[PRIMARY] = 'created';
    engine.onPutFile = () => Promise.reject(new Error('no space left on device'));
    const { up, says } = await wakeNode(engine.deps, request);
    expect({ up, says }).toEqual({
      up: false,
      says: expect.stringContaining("can't be started: it takes no fence: no space left on device") as string,
    });
    expect(engine.did).not.toContain(`start ${PRIMARY}`);
  });

  test.each<[string, () => void]>([
    ['it can start only as a standby', () => (files.signal = '')],
    ['the ledger names this very node', () => (ledger = { primary: PRIMARY, timeline: 4, synchronous: [] })],
    ['it was on the timeline of the ledger', () => (ledger = { primary: STANDBY, timeline: 3, synchronous: [] })],
    ['no guard keeps a ledger', () => (ledger = undefined)],
    ['its files can not be read', () => delete files.control],
  ])('is started as it is where %s', async (_what, make) => {
    make();
    expect(await wakeNode(engine.deps, request)).toMatchObject({ up: true, says: `${PRIMARY} is fenced` });
    expect(engine.did).toEqual([`start ${PRIMARY}`]);
  });
});
