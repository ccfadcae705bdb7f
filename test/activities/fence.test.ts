import { fenceNode } from '../../src/activities/fence';
import { accessCluster } from '../../src/activities/deps';
import { FakeEngine, PRIMARY, Refusal, silence } from './guard/support/fake-engine';

const upstream = { host: 'veloz-postgres-standby', port: 5432 };
const token = { run: 'run 7', attempt: 5_000_001 };
const MARK = `mark veloz-cut-off-${PRIMARY}-a1b2c3d4e5f6-veloz-ha`;
const FILE = `put /var/lib/postgresql/veloz/fence.json into ${PRIMARY}`;

describe('a node is fenced', () => {
  let engine: FakeEngine;
  const fence = () => fenceNode(engine.deps, accessCluster(engine.deps, 'veloz'), token, PRIMARY, upstream);
  beforeEach(() => {
    engine = new FakeEngine();
  });

  test('by its agent, where that answers: its container goes on', async () => {
    engine.agent = (_node, command) => (command === 'fenceNow' ? { already: false, ms: 31.4, control: null } : {});
    const fenced = await fence();
    expect(fenced).toMatchObject({ how: 'agent', ms: expect.any(Number) as unknown });
    expect(fenced.says).toBe(
      `${PRIMARY} was fenced by its agent: its server is gone after 31 ms and can start only as a standby`,
    );
    expect(engine.asked).toEqual([`${PRIMARY} claim`, `${PRIMARY} fenceNow`]);
    expect(engine.args).toEqual([{ token }, { token, upstream }]);
    expect(engine.did).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(engine.open).toBe(0);
  });

  test.each([
    ['its container has ended', 'exited', []],
    ['its container was never started', 'created', []],
    ['it is frozen', 'paused', [`kill ${PRIMARY}`]],
    ['Docker is about to start it', 'restarting', [`kill ${PRIMARY}`]],
  ])(
    'by its container, where %s: nobody asks its agent, and the fence lies in its volume',
    async (_what, status, killed) => {
      engine.status[PRIMARY] = status;
      const { how, says } = await fence();
      expect(how).toBe('container');
      expect(says).toContain('the fence lies in its volume: whoever starts it, it can start only as a standby');
      expect(engine.asked).toEqual([]);
      expect(engine.did).toEqual([...killed, FILE]);
      expect(engine.files).toEqual([
        {
          content: { version: 1, run: 'run 7', attempt: 5_000_001, upstream, at: expect.any(Number) as unknown },
          owner: { uid: 999, gid: 999 },
        },
      ]);
    },
  );

  test.each([
    ['refuses', () => new Refusal('Failed', 'the disk is full')],
    ['gives no answer', () => silence],
    ['can’t be reached', () => new Error('gone')],
  ])('by its container, where its agent %s', async (_what, agent) => {
    engine.agent = agent;
    expect((await fence()).how).toBe('container');
    expect(engine.did).toEqual([`kill ${PRIMARY}`, FILE]);
  });

  test('by its agent after all, where somebody started it before the fence lay in its volume', async () => {
    engine.status[PRIMARY] = 'exited';
    engine.onPutFile = () => {
      engine.status[PRIMARY] = 'running';
      engine.onPutFile = () => undefined;
    };
    expect((await fence()).how).toBe('agent');
    expect(engine.did).toEqual([FILE]);
    expect(engine.asked).toEqual([`${PRIMARY} claim`, `${PRIMARY} fenceNow`]);
  });

  test('by being killed, where it was started and frozen meanwhile: a frozen server wakes up', async () => {
    engine.status[PRIMARY] = 'exited';
    engine.onPutFile = () => {
      engine.status[PRIMARY] = 'paused';
      engine.onPutFile = () => undefined;
    };
    expect((await fence()).how).toBe('container');
    expect(engine.did).toEqual([FILE, `kill ${PRIMARY}`, FILE]);
  });

  describe('already, where it has no container, and', () => {
    const IN_VOLUME = `put /var/lib/postgresql/veloz/fence.json into volume ${PRIMARY}`;
    const told = (volume: string) => ({
      how: 'container',
      says: `${PRIMARY} has no container: nobody can write to it; ${volume}`,
    });
    const writes = 'made a container again with its old data, it writes where no other node answers it';
    beforeEach(() => {
      engine.status[PRIMARY] = 'absent';
      engine.volumes.set(PRIMARY, { 'io.veloz.cluster': 'veloz' });
    });

    test('the fence lies in its volume', async () => {
      expect(await fence()).toMatchObject(
        told('the fence lies in its volume: whoever makes it a container again, it can start only as a standby'),
      );
      expect(engine.did).toEqual([IN_VOLUME]);
      expect(engine.files[0]).toMatchObject({ content: { run: 'run 7', upstream }, owner: { uid: 999 } });
    });

    test.each([
      ['no volume of it is known', () => engine.volumes.clear()],
      ['no volume of it is known', () => engine.volumes.set(PRIMARY, { 'io.veloz.cluster': 'ledger' })],
      [
        'its volume took no fence (no space left on device)',
        () => (engine.onPutIntoVolume = () => Promise.reject(new Error('no space left on device'))),
      ],
    ])('it is said that %s', async (why, make) => {
      make();
      expect(await fence()).toMatchObject(told(`${why}: ${writes}`));
    });

    test('a container that has its volume under another name is ended', async () => {
      engine.usersOf = { [PRIMARY]: [{ id: 'abc', name: 'pg-old', status: 'paused', serves: true }] };
      engine.status.abc = 'paused';
      engine.onKill = (id) => (engine.status[id] = 'exited');
      const { how, says } = await fence();
      expect(how).toBe('container');
      expect(says).toContain(
        'has no container of its name, and pg-old, which had its volume, was ended: nobody can write',
      );
      expect(engine.did).toEqual(['kill abc', IN_VOLUME]);
    });

    test('a backup that has its volume is left alone, and named', async () => {
      engine.usersOf = { [PRIMARY]: [{ id: 'abc', name: 'backup', status: 'running', serves: false }] };
      const { how, says } = await fence();
      expect(how).toBe('container');
      expect(says).toContain(
        'has no container (backup, which had its volume, was left alone: no PostgreSQL runs in it): nobody can write',
      );
      expect(engine.did).toEqual([IN_VOLUME]);
    });

    test('nothing is proven where Docker does not tell of such containers', async () => {
      engine.docker.livingWritersOf = () => Promise.reject(new Error('no answer within 5000 ms'));
      await expect(fence()).rejects.toThrow('has no container of its name, and another one may have its volume');
      expect(engine.did).not.toContain(IN_VOLUME);
    });

    test('a volume that was never used holds nothing that it could write', async () => {
      engine.onPutIntoVolume = () => Promise.resolve(false);
      expect(await fence()).toMatchObject(told('its volume was never used'));
    });

    test('is fenced by its agent where somebody makes it a container meanwhile', async () => {
      engine.onPutIntoVolume = () => {
        engine.status[PRIMARY] = 'running';
        return Promise.resolve(true);
      };
      engine.agent = (_node, command) => (command === 'fenceNow' ? { already: false, ms: 3, control: null } : {});
      expect((await fence()).how).toBe('agent');
    });
  });

  describe('not, and that is a refusal with the next command, where', () => {
    const refusal =
      /^H2: veloz-postgres-primary can't be fenced: .*\(limit: proof that it takes no write\)\. Nothing was promoted\. Next: docker kill veloz-postgres-primary$/;

    test('Docker gives no answer', async () => {
      engine.status[PRIMARY] = 'unreachable';
      await expect(fence()).rejects.toMatchObject({
        type: 'Refused',
        nonRetryable: true,
        message: expect.stringMatching(refusal) as unknown,
      });
      expect(engine.did).toEqual([]);
    });

    test('its container can neither be killed nor cut off', async () => {
      engine.status[PRIMARY] = 'paused';
      engine.onKill = () => {
        throw new Error('permission denied');
      };
      engine.onDisconnect = () => undefined;
      await expect(fence()).rejects.toMatchObject({
        type: 'Refused',
        message: expect.stringContaining('permission denied; it is still on network veloz-ha') as unknown,
      });
      // Who takes it off later is somebody else.
      expect(engine.volumes.size).toBe(0);
    });
  });

  describe('by its networks, where', () => {
    const CUT = `disconnect ${PRIMARY} from veloz-ha`;
    const cut = [MARK, CUT];
    const hangs = () => {
      engine.status[PRIMARY] = 'paused';
      engine.onKill = () => {
        throw new Error('hangs');
      };
    };

    test('its container can’t be killed', async () => {
      engine.status[PRIMARY] = 'paused';
      engine.onKill = () => {
        throw new Error('tried to kill container, but did not receive an exit event');
      };
      expect(await fence()).toMatchObject({
        how: 'network',
        says: `${PRIMARY} could not be ended (tried to kill container, but did not receive an exit event), and was cut off from veloz-ha: nobody reaches it. Once it has ended it is put back and made a standby, by the guard in auto, by veloz-ha repair --cluster veloz, or by veloz-ha postgres rejoin ${PRIMARY} --cluster veloz`,
        hangs: { next: `veloz-ha postgres rejoin ${PRIMARY} --cluster veloz` },
      });
      // The mark comes first: who dies in between has left it.
      expect(engine.did.slice(-2)).toEqual(cut);
    });

    test('its container was killed and goes on: something in it hangs on a dead disk, and Docker never answers the kill', async () => {
      engine.status[PRIMARY] = 'paused';
      engine.onKill = () => undefined;
      engine.docker.kill = (node: string) => {
        engine.did.push(`kill ${node}`);
        return new Promise(() => undefined);
      };
      const { how, says, ms } = await fence();
      expect(how).toBe('network');
      expect(says).toContain('something in it hangs in the kernel');
      expect(engine.did).toEqual([`kill ${PRIMARY}`, ...cut]);
      // Clients are held for five seconds.
      expect(ms).toBeLessThan(4500);
    }, 10_000);

    test('its container has ended, and its volume takes no fence', async () => {
      engine.status[PRIMARY] = 'exited';
      engine.docker.putFile = (node: string) => {
        engine.did.push(`put into ${node}`);
        return new Promise(() => undefined);
      };
      const { how, says } = await fence();
      expect(how).toBe('network');
      expect(says).toContain('its volume took no file within 2000 ms');
      expect(engine.did).toEqual([`put into ${PRIMARY}`, ...cut]);
    }, 10_000);

    test('somebody starts it again and again, and its agent never answers', async () => {
      engine.agent = () => new Refusal('Failed', 'the disk is full');
      engine.onPutFile = () => {
        engine.status[PRIMARY] = 'running';
      };
      const { how, says } = await fence();
      expect(how).toBe('network');
      expect(says).toContain('its container is running again');
      expect(engine.did).toHaveLength(10);
    });

    test('it was on none already, by whomever: a person has to put it on them again', async () => {
      hangs();
      engine.networks = [];
      const { how, says } = await fence();
      expect(how).toBe('network');
      expect(says).toContain(
        `When it is mended: docker network connect veloz-ha ${PRIMARY}, then veloz-ha postgres rejoin ${PRIMARY} --cluster veloz`,
      );
      expect(engine.volumes.size).toBe(0);
    });

    test('an earlier attempt did that: it is known still what it was taken off', async () => {
      hangs();
      await fence();
      const { says } = await fence();
      expect(says).toContain('was cut off from veloz-ha: nobody reaches it. Once it has ended it is put back');
      expect(engine.volumes.size).toBe(1);
    });

    test('an earlier attempt died between two networks: both are on record', async () => {
      hangs();
      engine.networks = ['backup', 'veloz-ha'];
      engine.onDisconnect = (network) => {
        if (network === 'veloz-ha') throw new Error('the worker is gone');
        engine.networks = ['veloz-ha'];
      };
      await expect(fence()).rejects.toMatchObject({ type: 'Refused' });
      engine.onDisconnect = () => {
        engine.networks = [];
      };
      expect((await fence()).says).toContain('was cut off from veloz-ha and backup:');
      expect([...engine.volumes.keys()]).toEqual([
        `veloz-cut-off-${PRIMARY}-a1b2c3d4e5f6-backup`,
        `veloz-cut-off-${PRIMARY}-a1b2c3d4e5f6-veloz-ha`,
      ]);
    });

    test('Docker can note nothing: it is cut off all the same, and a person has to put it back', async () => {
      hangs();
      engine.docker.createVolume = () => new Promise(() => undefined);
      const { how, says, ms } = await fence();
      expect(how).toBe('network');
      expect(says).toContain(`docker network connect veloz-ha ${PRIMARY}`);
      expect(engine.did.at(-1)).toBe(CUT);
      expect(ms).toBeLessThan(1500);
    });
  });

  test('by its container after all, where a kill was only slow: it gets its networks back', async () => {
    engine.status[PRIMARY] = 'paused';
    engine.docker.kill = (node: string) => {
      engine.did.push(`kill ${node}`);
      return new Promise(() => undefined);
    };
    engine.onDisconnect = (network) => {
      engine.networks = engine.networks.filter((each) => each !== network);
      engine.status[PRIMARY] = 'exited';
    };
    expect(await fence()).toMatchObject({ how: 'container' });
    expect(engine.did).toEqual([
      `kill ${PRIMARY}`,
      MARK,
      `disconnect ${PRIMARY} from veloz-ha`,
      FILE,
      `connect ${PRIMARY} to veloz-ha as postgres-primary`,
      `un${MARK}`,
    ]);
  }, 10_000);

  test('not by a run that another one has replaced', async () => {
    engine.agent = () => new Refusal('Superseded', 'run 8 holds it');
    await expect(fence()).rejects.toMatchObject({ type: 'Superseded' });
    expect(engine.did).toEqual([]);
  });
});
