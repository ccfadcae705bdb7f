import { EndedContainers } from '../../../src/activities/guard/ended-containers';

const running = { exists: true, status: 'running', running: true, restartPolicy: 'no' };
const killed = { ...running, status: 'exited', running: false, exitCode: 137 };

class Engine {
  states = new Map<string, typeof running>();
  started: string[] = [];
  /** What somebody told to stop, by its list of what happened; undefined while it does not answer. */
  toldToStop: string[] | undefined = [];
  killed: string[] = [];
  hangsInTheKernel = false;
  asked: string[] = [];
  /** The run that holds a lock, by the lock's name. */
  holders: Record<string, string> = {};
  /** Those that answer when they are asked from here. */
  answering: string[] = [];
  /** Those that were asked so. */
  askedFromHere: string[] = [];
  onKill: (name: string) => void = () => undefined;
  broken: string | undefined;
  silent = false;
  /** By Docker's list. */
  frozen: string[] = [];
  onEvent: ((event: { container: string; action: string }) => void) | undefined;
  ended = 0;

  readonly docker = {
    inspect: (name: string) => {
      this.asked.push(name);
      return this.silent ? Promise.reject(new Error('no answer')) : Promise.resolve(this.states.get(name) ?? running);
    },
    toldToStop: (name: string) =>
      this.toldToStop === undefined
        ? Promise.reject(new Error('no answer'))
        : Promise.resolve(this.toldToStop.includes(name)),
    isFrozen: (name: string) => Promise.resolve(this.frozen.includes(name)),
    kill: (name: string) => {
      this.killed.push(name);
      this.onKill(name);
      if (!this.hangsInTheKernel) this.states.set(name, killed);
      return Promise.resolve();
    },
    start: (name: string) => {
      this.started.push(name);
      if (this.broken !== undefined) return Promise.reject(new Error(this.broken));
      this.states.set(name, running);
      return Promise.resolve();
    },
    events: (_names: readonly string[], onEvent: (event: { container: string; action: string }) => void) => {
      this.onEvent = onEvent;
      return Promise.resolve(() => {
        this.ended += 1;
      });
    },
  };

  readonly deps = {
    docker: this.docker as never,
    lockHolder: (_cluster: string, lock = 'postgres') => Promise.resolve(this.holders[lock]),
  };

  end(name: string, state: typeof running = killed, action = 'die') {
    this.states.set(name, state);
    this.onEvent?.({ container: name, action });
  }
}

const access = {
  name: 'veloz',
  topology: {
    pgbouncer: { nodes: [{ name: 'pooler' }] },
    engines: {
      nodes: ['engine-1', 'engine-2'].map((name) => ({ name, address: { host: '127.0.0.1', port: 1 } })),
    },
    guard: { backoff: 60_000 },
  },
};

function watched(engine: Engine, mayAct = true, known: { node: string; says: string }[] = []) {
  return new EndedContainers(engine.deps, access as never, mayAct, known, (name) => {
    engine.askedFromHere.push(name);
    return Promise.resolve(engine.answering.includes(name));
  });
}

describe('containers through which clients come', () => {
  let engine: Engine;
  let containers: EndedContainers;
  let now = 0;

  beforeEach(() => {
    engine = new Engine();
    now = 1000;
    jest.spyOn(performance, 'now').mockImplementation(() => now);
  });
  afterEach(() => {
    containers.close();
    jest.restoreAllMocks();
  });

  /** A look, that much later. */
  const look = async (ms = 0) => {
    now += ms;
    const found = await containers.look();
    if (!containers.isBusy) return found;
    // What hangs is in hand beside the look.
    await containers.idle();
    return containers.look();
  };

  test('one that was killed is started, once Docker had the time to do so', async () => {
    containers = watched(engine);
    expect(await look()).toEqual([]);
    engine.end('pooler');
    expect(await look(2000)).toMatchObject([{ node: 'pooler', says: 'its container is exited, exit code 137' }]);
    expect(engine.started).toEqual([]);
    expect(await look(1000)).toEqual([]);
    expect(engine.started).toEqual(['pooler']);
    // People are told of it, once.
    expect(containers.takeStarted()).toEqual(['pooler was started again: its container is exited, exit code 137']);
    expect(containers.takeStarted()).toEqual([]);
  });

  test('one that somebody told to stop stays stopped, and nothing is told of it', async () => {
    containers = watched(engine);
    await look();
    engine.end('engine-1', { ...killed, exitCode: 143 } as never);
    expect(await look(2000)).toEqual([]);
    expect(await look(20_000)).toEqual([]);
    expect(engine.started).toEqual([]);
  });

  test('so does one that Docker had to kill for that, also where it says so only a moment later', async () => {
    containers = watched(engine);
    await look();
    engine.end('engine-1');
    expect(await look(900)).toMatchObject([{ node: 'engine-1', says: 'its container is exited, exit code 137' }]);
    engine.toldToStop = ['engine-1'];
    expect(await look(2000)).toEqual([]);
    expect(await look(20_000)).toEqual([]);
    expect(engine.started).toEqual([]);
  });

  test('of a pooler it is told, since no client gets through without it', async () => {
    containers = watched(engine);
    await look();
    engine.end('pooler', { ...killed, exitCode: 0 } as never);
    expect(await look(2000)).toMatchObject([{ node: 'pooler', byHand: 'docker start pooler', settleMs: 5000 }]);
    expect(await look(20_000)).toHaveLength(1);
    expect(engine.started).toEqual([]);
    engine.end('pooler', running, 'start');
    expect(await look(2000)).toEqual([]);
  });

  test('one that is gone is told until somebody made it', async () => {
    containers = watched(engine);
    engine.states.set('engine-1', { exists: false, status: 'absent', running: false, restartPolicy: 'no' });
    expect(await look(2000)).toMatchObject([{ node: 'engine-1', says: 'it has no container', settleMs: 10_000 }]);
    await look(20_000);
    expect(engine.started).toEqual([]);
    engine.states.set('engine-1', running);
    expect(await look(2000)).toEqual([]);
  });

  test('where all that are deployed together are missing, nobody has lost one', async () => {
    const absent = { exists: false, status: 'absent', running: false, restartPolicy: 'no' };
    for (const name of ['engine-1', 'engine-2']) engine.states.set(name, absent);
    containers = watched(engine);
    expect(await look(2000)).toEqual([]);
    engine.end('engine-2', running, 'start');
    expect(await look(2000)).toMatchObject([{ node: 'engine-1', says: 'it has no container' }]);
    engine.states.set('pooler', absent);
    engine.end('engine-2', absent);
    expect(await look(2000)).toMatchObject([{ node: 'pooler', says: 'it has no container' }]);
  });

  test('one that ends each time that Docker starts it is told, also while it runs for a moment', async () => {
    containers = watched(engine);
    const restarts = { ...running, status: 'restarting' };
    const loops = [{ node: 'engine-1', says: 'it ends each time that Docker starts it', settleMs: 15_000 }];
    await look();
    engine.end('engine-1', restarts);
    expect(await look(2000)).toMatchObject(loops);
    engine.end('engine-1', running, 'start');
    expect(await look(2000)).toMatchObject(loops);
    engine.end('engine-1', restarts);
    expect(await look(9000)).toMatchObject(loops);
    engine.end('engine-1', running, 'start');
    expect(await look(1000)).toMatchObject(loops);
    expect(await look(9000)).toMatchObject(loops);
    // It stays up.
    expect(await look(2000)).toEqual([]);
    expect(engine.started).toEqual([]);
  });

  test('one that another stretch told as such is believed to be one until it has stayed up', async () => {
    containers = watched(engine, true, [
      { node: 'engine-1', says: 'it ends each time that Docker starts it; its log says why' },
    ]);
    expect(await look()).toHaveLength(1);
    await look(9000);
    expect(await look(2000)).toEqual([]);
  });

  test('nothing is started while nobody can say whether it was told to stop', async () => {
    containers = watched(engine);
    await look();
    engine.toldToStop = undefined;
    engine.end('pooler');
    expect(await look(2000)).toEqual([]);
    await look(2000);
    expect(engine.started).toEqual([]);
    engine.toldToStop = [];
    await look(2000);
    await look(2000);
    expect(engine.started).toEqual(['pooler']);
  });

  test('one that somebody froze is told with the command that ends it, and is not started', async () => {
    containers = watched(engine);
    await look();
    engine.end('pooler', { ...running, status: 'paused' }, 'pause');
    const says = [{ node: 'pooler', says: 'its container is paused', byHand: 'docker unpause pooler' }];
    expect(await look(2000)).toMatchObject(says);
    expect(await look(20_000)).toMatchObject(says);
    // Killed in its freeze, it is one that was killed.
    engine.end('pooler');
    expect(await look(2000)).toMatchObject([{ says: 'its container is exited, exit code 137' }]);
    await look(2000);
    expect(engine.started).toEqual(['pooler']);
    engine.end('pooler', { ...running, status: 'paused' }, 'pause');
    await look(2000);
    engine.end('pooler', running, 'unpause');
    expect(await look(2000)).toEqual([]);
    expect(engine.started).toEqual(['pooler']);
  });

  describe('whose check of health fails', () => {
    const unhealthy = { ...running, health: 'unhealthy' };
    const says =
      "its container runs, and its process does not answer: neither Docker's check of its health nor a question from here";
    const begin = async (...names: string[]) => {
      containers = watched(engine);
      await look();
      for (const name of names) engine.end(name, unhealthy, 'health_status: unhealthy');
      return look(2000);
    };

    test('one whose process hangs is ended and started, and a pooler, whose agent looks after that, is not', async () => {
      expect(await begin('engine-1', 'pooler')).toMatchObject([
        {
          node: 'engine-1',
          says: "its container runs, and its process does not answer by Docker's check of its health",
        },
      ]);
      await look(9000);
      expect([engine.killed, engine.started, engine.askedFromHere]).toEqual([[], [], []]);
      expect(await look(2000)).toEqual([]);
      expect([engine.killed, engine.started]).toEqual([['engine-1'], ['engine-1']]);
      expect(containers.takeStarted()).toEqual([`engine-1 was started again: ${says}`]);
    });

    test('one that answers from here is not ended, and it is told what its check says', async () => {
      engine.answering = ['engine-1'];
      await begin('engine-1');
      const told = [
        {
          node: 'engine-1',
          says: "Docker's check of its health fails, and it answers when it is asked from here",
          next: "docker inspect --format '{{json .State.Health.Log}}' engine-1",
        },
      ];
      expect(await look(11_000)).toMatchObject(told);
      for (let times = 0; times < 20; times++) expect(await look(15_000)).toMatchObject(told);
      expect([engine.killed, containers.takeStarted()]).toEqual([[], []]);
      // The next stretch says the same from its beginning.
      containers.close();
      containers = watched(engine);
      expect(await look()).toMatchObject(told);
      engine.end('engine-1', { ...running, health: 'healthy' } as never, 'health_status: healthy');
      expect(await look(2000)).toEqual([]);
    });

    test('none is ended while a run holds the lock of its tier', async () => {
      engine.holders = { engine: 'engine-switchover-1' };
      await begin('engine-1');
      for (let times = 0; times < 5; times++) await look(11_000);
      expect(engine.killed).toEqual([]);
      engine.holders = { postgres: 'switchover-1', redis: 'redis-failover-1' };
      await look(11_000);
      expect(engine.killed).toEqual(['engine-1']);
    });

    test('one that a person freezes while it is asked is not ended', async () => {
      await begin('engine-1');
      let inspected = 0;
      const { inspect } = engine.docker;
      engine.docker.inspect = (name) =>
        ++inspected === 1 ? inspect(name) : Promise.resolve({ ...running, status: 'paused' });
      await look(11_000);
      expect([engine.askedFromHere, engine.killed]).toEqual([['engine-1'], []]);
    });

    test('of two that do the same work one is ended, and the other one once that one is well', async () => {
      const starting = { ...running, health: 'starting' };
      await begin('engine-1', 'engine-2');
      const { start } = engine.docker;
      engine.docker.start = (name) => start(name).then(() => void engine.states.set(name, starting));
      await look(11_000);
      expect(engine.killed).toEqual(['engine-1']);
      for (let times = 0; times < 4; times++) await look(6000);
      expect(engine.killed).toEqual(['engine-1']);
      engine.end('engine-1', { ...running, health: 'healthy' } as never, 'health_status: healthy');
      await look(6000);
      expect(engine.killed).toEqual(['engine-1', 'engine-2']);
    });

    test('the other one is not kept waiting for one that does not get well', async () => {
      await begin('engine-1', 'engine-2');
      const { start } = engine.docker;
      engine.docker.start = (name) => start(name).then(() => void engine.states.set(name, unhealthy));
      await look(11_000);
      for (let times = 0; times < 9; times++) await look(6000);
      expect(engine.killed).toEqual(['engine-1']);
      await look(7000);
      expect(engine.killed).toContain('engine-2');
    });

    test('one that fails its check again after each restart is ended more and more rarely, then never, over stretches', async () => {
      await begin('engine-1');
      const kills: number[] = [];
      const began = now;
      engine.onKill = () => kills.push(now - began);
      let told: unknown;
      for (let seconds = 0; seconds < 3600; seconds += 5) {
        told = await look(5000);
        if (containers.takeStarted().length > 0) {
          // Docker says `starting` for a while, and the news ends the stretch.
          containers.close();
          containers = watched(engine);
          await look(5000);
          engine.end('engine-1', unhealthy, 'health_status: unhealthy');
        }
      }
      const pauses = kills.slice(1).map((at, index) => at - (kills[index] ?? 0));
      expect(pauses).toHaveLength(4);
      for (const [index, atLeast] of [60_000, 120_000, 240_000, 300_000].entries())
        expect(pauses[index]).toBeGreaterThanOrEqual(atLeast);
      expect(told).toMatchObject([
        { leaves: 'it was ended and started 5 times, and that did not help', next: 'docker logs --tail 20 engine-1' },
      ]);
    });

    test('one that was well for long after its restart counts anew', async () => {
      await begin('engine-1');
      await look(11_000);
      for (let times = 0; times < 2; times++) {
        engine.end('engine-1', { ...running, health: 'healthy' } as never, 'health_status: healthy');
        await look(600_000);
        engine.end('engine-1', unhealthy, 'health_status: unhealthy');
        await look(2000);
        await look(11_000);
        expect(engine.killed).toHaveLength(times + 2);
      }
    });

    test('one that somebody told to stop meanwhile is not started, and that is told', async () => {
      await begin('engine-1');
      engine.onKill = () => (engine.toldToStop = ['engine-1']);
      expect(await look(11_000)).toEqual([]);
      expect([engine.killed, engine.started]).toEqual([['engine-1'], []]);
      expect(containers.takeStarted()).toEqual([
        'engine-1 was ended, and stays so: somebody told it to stop meanwhile. Next: docker start engine-1',
      ]);
      await look(20_000);
      expect(engine.started).toEqual([]);
    });

    test('one that does not end is not started, and that is told', async () => {
      engine.hangsInTheKernel = true;
      await begin('engine-1');
      // Nobody waits for as long as it is given.
      jest.spyOn(performance, 'now').mockImplementation(() => (now += 500));
      expect(await look(11_000)).toMatchObject([
        { says: expect.stringContaining('its container has not ended 3000 ms after it was killed') as string },
      ]);
      expect([engine.killed, engine.started]).toEqual([['engine-1'], []]);
    });

    test('one that can’t be ended is tried on: what was in vain is no restart', async () => {
      await begin('engine-1');
      let tries = 0;
      engine.onKill = () => {
        tries += 1;
        throw new Error('no answer within 5000 ms');
      };
      let told: unknown;
      for (let seconds = 0; seconds < 3600; seconds += 30) told = await look(30_000);
      expect(tries).toBeGreaterThan(8);
      expect(told).toMatchObject([{ says: expect.stringContaining('no answer within 5000 ms') as string }]);
    });

    test('it is only told where nothing may be done', async () => {
      await begin();
      containers.close();
      containers = watched(engine, false);
      engine.end('engine-1', unhealthy);
      await look();
      expect(await look(11_000)).toMatchObject([{ node: 'engine-1', says }]);
      expect(engine.killed).toEqual([]);
    });
  });

  test('one that answers again in time is left alone', async () => {
    containers = watched(engine);
    await look();
    engine.end('engine-1', { ...running, health: 'unhealthy' } as never, 'health_status: unhealthy');
    expect(await look(2000)).toHaveLength(1);
    engine.end('engine-1', { ...running, health: 'healthy' } as never, 'health_status: healthy');
    expect(await look(9000)).toEqual([]);
    await look(20_000);
    expect(engine.killed).toEqual([]);
  });

  test('it is only told where nothing may be done', async () => {
    containers = watched(engine, false);
    engine.end('pooler');
    await look();
    expect(await look(5000)).toMatchObject([{ node: 'pooler', started: true }]);
    expect(engine.started).toEqual([]);
  });

  test('one that does not start is told with the reason, and tried again after the back-off', async () => {
    containers = watched(engine);
    engine.end('pooler');
    engine.broken = 'port is already allocated';
    await look();
    const says = 'its container is exited, exit code 137; it could not be started: port is already allocated';
    expect(await look(2000)).toMatchObject([{ says }]);
    await look(59_000);
    expect(engine.started).toHaveLength(1);
    expect(await look(2000)).toMatchObject([{ says }]);
    expect(engine.started).toHaveLength(2);
  });

  test('while Docker tells of no end they are looked at now and then, and at once when it does', async () => {
    containers = watched(engine);
    await look();
    engine.asked = [];
    await look(2000);
    expect(engine.asked).toEqual([]);
    await look(15_000);
    expect(engine.asked).toEqual(['pooler', 'engine-1', 'engine-2']);
  });

  test('an engine that gives no answer is asked again, and starts nothing', async () => {
    containers = watched(engine);
    engine.end('pooler');
    engine.silent = true;
    expect(await look()).toEqual([]);
    engine.silent = false;
    expect(await look(2000)).toMatchObject([{ node: 'pooler' }]);
  });

  test('one that the engine keeps to itself, and lists as frozen, is told as frozen', async () => {
    containers = watched(engine);
    engine.silent = true;
    engine.frozen = ['pooler'];
    expect(await look(2000)).toMatchObject([{ node: 'pooler', byHand: 'docker unpause pooler' }]);
  });

  test('the stream of events ends with the watch', async () => {
    containers = watched(engine);
    await look();
    containers.close();
    expect(engine.ended).toBe(1);
  });
});
