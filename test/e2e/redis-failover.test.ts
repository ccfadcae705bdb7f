import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { moveMaster, putBackMaster } from '../../src/activities/redis/move';
import type { Started } from '../../src/bench/stand';
import { redisFindings } from '../../src/cluster/redis/health';
import { composeArguments } from '../../src/cli/compose';
import { packageRoot } from '../../src/cli/paths';
import type { RedisWindow } from '../../src/bench/redis-writers';
import type { RedisFailoverInput } from '../../src/workflows/redis-input';
import type { Report } from '../../src/workflows/run-state';
import { failureOf, Rig, startedUntil } from './support/rig';
import { lookAtRedis, recoveredRedis, redis, underWrites, wholeRedis } from './support/redis';
import { sampled as test } from './support/sample';
import { cli, deps, docker, thenAlways, waitUntil, wake } from './support/stack';

let rig: Rig;
let counter = 0;
/** Of the test that runs: a worker that a failed test left would do the next one's work. */
const workers: Started[] = [];
const work = async (env?: NodeJS.ProcessEnv): Promise<Started> => {
  const worker = await rig.worker(env);
  workers.push(worker);
  return worker;
};
const dead = () => workers.filter((worker) => worker.process.signalCode === 'SIGKILL');

function start(input: RedisFailoverInput = {}) {
  return rig.client.workflow.start('redisFailover', {
    taskQueue: rig.stand.taskQueue,
    workflowId: `redis-failover/e2e-${process.pid}-${++counter}`,
    args: [{ approval: 'given', soak: '0s', startedBy: 'e2e', ...input }],
  });
}
const run = async (input?: RedisFailoverInput) => (await (await start(input)).result()) as Report;

/** Of a planned move no client learns anything. */
const nothingLost = {
  failed: 0,
  failures: {},
  lostWaited: 0,
  lostUnwaited: 0,
  duplicatesWaited: 0,
  duplicatesUnwaited: 0,
} satisfies Partial<RedisWindow>;
/** Replication is asynchronous: what was acknowledged without WAIT may be lost with the master. */
const nothingWaitedLost = { failed: 0, lostWaited: 0, duplicatesWaited: 0 } satisfies Partial<RedisWindow>;

/** What a command says; an empty text where it fails. */
const answerOf = (command: () => string): string => {
  try {
    return command();
  } catch {
    return '';
  }
};

/** Writes `kept` under a key, and waits until the replica has it: by one client, since WAIT is about what the client itself wrote. */
const keeps = (master: string, key: string) => {
  const script = `printf 'set ${key} kept\\nwait 1 10000\\n' | redis-cli`;
  expect(docker('exec', master, 'sh', '-c', script).trim().split('\n')).toEqual(['OK', '1']);
};

/** Whether a process of this machine stands still. */
const isStopped = (pid: number | undefined): boolean =>
  /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

const roleOf = (node: string) => docker('exec', node, 'redis-cli', 'role').split('\n')[0];

beforeAll(async () => {
  rig = await Rig.start();
  await recoveredRedis();
});
afterAll(() => rig.close());
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.kill()));
  await recoveredRedis();
});

describe('a planned move of the master', () => {
  test('loses no acknowledged write, fails no client, and every Sentinel names the new master', async () => {
    await work();
    const { master, replica } = await wholeRedis();
    let report: Report | undefined;
    const writes = await underWrites(async () => {
      report = await run();
    });
    expect(writes).toMatchObject(nothingLost);
    expect(report).toMatchObject({
      outcome: 'completed',
      primaryBefore: master,
      primaryAfter: replica,
      heldMs: expect.any(Number) as number,
      warnings: [],
    });
    expect(await wholeRedis()).toEqual({ master: replica, replica: master });
  });

  test.each([
    'hold:hold',
    'hold:equal',
    'hold:demote',
    'hold:compare',
    'hold:promote',
    'hold:announce',
    'hold:let go',
    'after:moveMaster',
    'after:verifyRedis',
  ])('a worker that dies at %s loses nothing: the other one goes on', async (point) => {
    const dying = rig.dying(point);
    await Promise.all([work(dying), work(dying)]);
    const { master, replica } = await wholeRedis();
    let report: Report | undefined;
    const writes = await underWrites(async () => {
      const died = () => dead().length > 0;
      const handle = await startedUntil(`a worker dying at ${point}`, died, () => start());
      report = (await handle.result()) as Report;
    });
    expect(dead()).toHaveLength(1);
    expect(writes).toMatchObject(nothingLost);
    expect(report).toMatchObject({ outcome: 'completed', primaryAfter: replica });
    expect(await wholeRedis()).toEqual({ master: replica, replica: master });
  });

  test.each(['hold:equal', 'hold:compare', 'hold:announce', 'hold:let go'])(
    'a worker that freezes at %s and goes on once the other one has moved the master changes nothing',
    async (point) => {
      const freezing = { ...rig.dying(point), VELOZ_HA_DIE_BY: 'SIGSTOP' };
      const both = await Promise.all([work(freezing), work(freezing)]);
      const { master, replica } = await wholeRedis();
      const frozen = () => both.find((worker) => isStopped(worker.process.pid));
      const writes = await underWrites(async () => {
        const handle = await startedUntil(
          `a worker freezing at ${point}`,
          () => frozen() !== undefined,
          () => start(),
        );
        expect(await handle.result()).toMatchObject({ outcome: 'completed', primaryAfter: replica });
        frozen()?.process.kill('SIGCONT');
        // Its keeper would have taken an old master back after some 3 s.
        for (const end = Date.now() + 4000; Date.now() < end; await sleep(50)) expect(roleOf(master)).toBe('slave');
      });
      expect(writes).toMatchObject(nothingLost);
      expect(await wholeRedis()).toEqual({ master: replica, replica: master });
    },
  );

  test('every worker dying with writes held: Redis lets them go, and the run ends when a worker is back', async () => {
    const worker = await work(rig.dying('hold:equal'));
    const { replica } = await wholeRedis();
    const writes = await underWrites(async () => {
      const handle = await start();
      await waitUntil('the worker being dead', () => worker.process.signalCode !== null);
      await new Promise((resolve) => setTimeout(resolve, 3000));
      await work();
      expect(await handle.result()).toMatchObject({ outcome: 'completed', primaryAfter: replica });
    });
    expect(writes).toMatchObject(nothingLost);
  });

  test('asked for what is so already it changes nothing; plan mode changes nothing', async () => {
    await work();
    const { master, replica } = await wholeRedis();
    expect(await run({ target: master })).toMatchObject({
      outcome: 'completed',
      says: `${master} is the master already. Nothing was changed`,
    });
    expect(await run({ mode: 'plan' })).toMatchObject({
      outcome: 'planned',
      plan: { kind: 'planned', primary: master, target: replica },
    });
    expect(await wholeRedis()).toEqual({ master, replica });
  });

  test('is refused when the replica is gone, when the wrong node is named, and without a majority of the Sentinels', async () => {
    await work();
    const { master, replica } = await wholeRedis();
    const refused = async (input?: RedisFailoverInput) => {
      const failure = await failureOf((await start(input)).result());
      expect(failure.type).toBe('Refused');
      return failure.message;
    };
    expect(await refused({ expectedMaster: replica })).toContain(`A1: ${replica} is not the master`);
    expect(await refused({ target: 'nobody' })).toContain('A1: nobody is no Redis node of the cluster');
    docker('pause', replica);
    expect(await refused({ target: replica })).toContain('L3: something is not as it should be, and is mended first');
    docker('unpause', replica);
    const [one, two] = redis.sentinels.map(({ name }) => name);
    docker('pause', one!, two!);
    expect(await refused()).toContain('L1: no majority of the Sentinels answers');
    docker('unpause', one!, two!);
    await recoveredRedis();
    expect((await wholeRedis()).master).toBe(master);
  });
});

describe('a node that dies in the middle of a planned move', () => {
  /** The move itself, without Temporal; something happens once, right before one of its sub-steps. */
  async function move(point: string, happens: (nodes: { master: string; replica: string }) => void) {
    const nodes = await wholeRedis();
    let once = true;
    const faultPoint = (at: string) => {
      if (at !== point || !once) return;
      once = false;
      happens(nodes);
    };
    const request = { cluster: 'veloz', run: `e2e-${++counter}`, source: nodes.master, target: nodes.replica };
    const again = () => moveMaster({ ...deps, faultPoint }, request);
    return {
      nodes,
      again,
      failure: await again().then(
        () => undefined,
        (error: Error) => error,
      ),
    };
  }

  test.each(['hold:equal', 'hold:compare'])(
    'the replica freezes at %s: the old master takes writes again, and none is lost',
    async (point) => {
      let moved: Awaited<ReturnType<typeof move>> | undefined;
      const writes = await underWrites(async () => {
        moved = await move(point, ({ replica }) => docker('pause', replica));
        expect(moved.failure).toMatchObject({ type: 'RolledBack' });
        expect(roleOf(moved.nodes.master)).toBe('master');
        docker('unpause', moved.nodes.replica);
      });
      expect(writes).toMatchObject({ ...nothingLost, failures: expect.anything() as object });
      expect(await wholeRedis()).toEqual(moved?.nodes);
    },
  );

  test('a master that was set to take writes as a replica refuses what it held once it is one, and none is lost', async () => {
    let moved: Awaited<ReturnType<typeof move>> | undefined;
    const writes = await underWrites(async () => {
      moved = await move('hold:demote', ({ master }) =>
        docker('exec', master, 'redis-cli', 'config', 'set', 'replica-read-only', 'no'),
      );
    });
    expect(moved?.failure).toBeUndefined();
    expect(writes).toMatchObject(nothingLost);
    expect(await wholeRedis()).toEqual({ master: moved?.nodes.replica, replica: moved?.nodes.master });
  });

  test('a target that falls silent when it may have been promoted: the old master is not promoted again', async () => {
    const { master, replica } = await wholeRedis();
    const request = { cluster: 'veloz', run: `e2e-${++counter}`, source: master, target: replica };
    docker('exec', master, 'redis-cli', 'replicaof', replica, '6379');
    docker('pause', replica);
    await expect(putBackMaster(deps, request)).rejects.toThrow('no node is known to be the master');
    await expect(moveMaster(deps, request)).rejects.toThrow(`${replica} does not answer`);
    expect(roleOf(master)).toBe('slave');
    docker('unpause', replica);
    await moveMaster(deps, request);
    expect(await wholeRedis()).toEqual({ master: replica, replica: master });
  });

  test('the old master dies once the new one is promoted: the next attempt goes on without it', async () => {
    const { nodes, again } = await move('hold:announce', ({ master }) => docker('kill', master));
    await again();
    expect(roleOf(nodes.replica)).toBe('master');
    docker('start', nodes.master);
    expect(await wholeRedis()).toEqual({ master: nodes.replica, replica: nodes.master });
  });
});

describe('a forced failover', () => {
  test.each(['kill', 'pause'])('the master is gone (docker %s): a replica takes over', async (how) => {
    await work();
    const { master, replica } = await wholeRedis();
    let report: Report | undefined;
    const writes = await underWrites(async () => {
      docker(how, master);
      report = await run({ expectedMaster: master });
    });
    expect(report).toMatchObject({ primaryBefore: master, primaryAfter: replica });
    expect(report?.outcome).toMatch(/^completed/);
    expect(writes).toMatchObject(nothingWaitedLost);
    expect(await wholeRedis()).toEqual({ master: replica, replica: master });
  });

  test.each(['hold:prove', 'hold:end', 'hold:promote', 'hold:announce', 'before:returnRedisNode'])(
    'a worker that dies at %s: the other one goes on',
    async (point) => {
      const dying = rig.dying(point);
      await Promise.all([work(dying), work(dying)]);
      const { master, replica } = await wholeRedis();
      const writes = await underWrites(async () => {
        docker('kill', master);
        expect(await run({ expectedMaster: master })).toMatchObject({ primaryAfter: replica });
      });
      expect(dead()).toHaveLength(1);
      expect(writes).toMatchObject(nothingWaitedLost);
    },
  );

  test('a frozen master whose container was renamed is ended before the replica is promoted', async () => {
    await work();
    const { master, replica } = await wholeRedis();
    const renamed = `${master}-renamed`;
    docker('pause', master);
    docker('rename', master, renamed);
    try {
      expect(await run({ expectedMaster: master })).toMatchObject({ primaryBefore: master, primaryAfter: replica });
      expect(docker('inspect', '-f', '{{.State.Status}}', renamed).trim()).toBe('exited');
    } finally {
      docker('rename', renamed, master);
      docker('start', master);
    }
    expect(await wholeRedis()).toEqual({ master: replica, replica: master });
  });

  test('a master that wakes up after it was replaced takes no write', async () => {
    const { master, replica } = await wholeRedis();
    docker('pause', master);
    // The Sentinels alone: nobody ends the old master.
    await waitUntil('the Sentinels promoting the replica', () => roleOf(replica) === 'master', 30_000);
    docker('unpause', master);
    await waitUntil('the old master being a replica', () => roleOf(master) === 'slave', 30_000);
    expect((await wholeRedis()).master).toBe(replica);
  });
});

describe('containers that start again', () => {
  test("with each other's addresses are found by their names, and the master can be moved there", async () => {
    await work();
    const { master, replica } = await wholeRedis();
    const sentinel = redis.sentinels[0]!.name;
    const address = (name: string) =>
      docker('inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', name).trim();
    const before = { replica: address(replica), sentinel: address(sentinel) };
    docker('stop', '-t', '5', replica, sentinel);
    // Docker gives the lowest free address: whoever starts first gets it.
    const last = (of: string) => Number(of.split('.').at(-1));
    const [first, second] = last(before.replica) < last(before.sentinel) ? [sentinel, replica] : [replica, sentinel];
    docker('start', first);
    docker('start', second);
    await wholeRedis();
    expect({ replica: address(replica), sentinel: address(sentinel) }).toEqual({
      replica: before.sentinel,
      sentinel: before.replica,
    });
    expect(await run()).toMatchObject({ outcome: 'completed', primaryBefore: master, primaryAfter: replica });
    expect(await wholeRedis()).toEqual({ master: replica, replica: master });
  });
});

describe('a master that comes back empty', () => {
  test('takes no role: the replica keeps what it has, is chosen by the Sentinels, and gives it back', async () => {
    const { master, replica } = await wholeRedis();
    keeps(master, 'e2e:precious');
    docker('exec', master, 'rm', '-rf', '/var/lib/redis/appendonlydir');
    // Sooner back than the Sentinels notice that it was away.
    docker('kill', master);
    docker('start', master);
    await waitUntil('the replica being the master', async () => (await wholeRedis()).master === replica, 60_000);
    for (const node of [master, replica])
      expect(docker('exec', node, 'redis-cli', 'get', 'e2e:precious').trim()).toBe('kept');
  });
});

describe('Sentinels that lost what they knew', () => {
  const compose = (...words: string[]) =>
    execFileSync('bash', [join('scripts', 'compose.sh'), ...composeArguments(1, words)], {
      cwd: packageRoot,
      stdio: 'pipe',
    });
  const sentinels = redis.sentinels.map(({ name }) => name);
  const removeSentinels = () => {
    docker('rm', '-f', ...sentinels);
    docker('volume', 'rm', ...sentinels);
  };
  const services = [...redis.nodes, ...redis.sentinels].map(({ name }) => name.replace('veloz-', ''));

  test('make the node the master that was it last, and wait for it: nothing acknowledged is lost', async () => {
    let { master, replica } = await wholeRedis();
    // The one that a Sentinel would take as a default is to be the older one.
    if (master !== redis.nodes[0]?.name) {
      await work();
      await run();
      ({ master, replica } = await wholeRedis());
    }
    const remembers = (node: string, whom: string) =>
      docker('exec', node, 'cat', '/var/lib/redis/last-master').startsWith(`${whom}:`);
    await waitUntil('both remembering the master', () => remembers(master, master) && remembers(replica, master));
    docker('stop', master);
    await waitUntil('the replica being the master', () => roleOf(replica) === 'master', 60_000);
    docker('exec', replica, 'redis-cli', 'set', 'e2e:newer', 'kept');
    await waitUntil('the replica remembering it', () => remembers(replica, replica));
    removeSentinels();
    docker('stop', replica);
    compose('up', '-d', '--no-deps', ...services.filter((name) => `veloz-${name}` !== replica));
    await waitUntil(
      'the finding',
      async () =>
        redisFindings(redis, await lookAtRedis()).some(
          ({ measured, next }) =>
            measured.includes(`${replica}, which may hold newer data, does not answer`) &&
            next?.startsWith(`docker start ${replica}`) === true,
        ),
      30_000,
    );
    // Longer than a node that is named needs to take its role.
    await sleep(5000);
    expect(roleOf(master)).toBe('slave');
    docker('start', replica);
    expect(await wholeRedis()).toEqual({ master: replica, replica: master });
    for (const node of [master, replica])
      expect(docker('exec', node, 'redis-cli', 'get', 'e2e:newer').trim()).toBe('kept');
    docker('exec', replica, 'redis-cli', 'del', 'e2e:newer');
  }, 400_000);

  test('watch the node that a person made the master, where the last one is gone', async () => {
    const { master, replica } = await wholeRedis();
    keeps(master, 'e2e:copied');
    removeSentinels();
    docker('stop', master);
    compose('up', '-d', '--no-deps', ...services.filter((name) => `veloz-${name}` !== master));
    docker('exec', replica, 'redis-cli', 'replicaof', 'no', 'one');
    await waitUntil('the Sentinels naming it', async () =>
      (await lookAtRedis()).sentinels.every(({ state }) => state?.master?.host === replica),
    );
    docker('start', master);
    expect(await wholeRedis()).toEqual({ master: replica, replica: master });
    expect(docker('exec', master, 'redis-cli', 'get', 'e2e:copied').trim()).toBe('kept');
    docker('exec', replica, 'redis-cli', 'del', 'e2e:copied');
  });
});

describe('a master whose append-only file is switched off', () => {
  test('switches it on again by itself, and has everything after a restart', async () => {
    const { master } = await wholeRedis();
    const cli = (...words: string[]) => docker('exec', master, 'redis-cli', ...words);
    cli('config', 'set', 'appendonly', 'no');
    cli('set', 'e2e:precious', 'kept');
    const whole = () => {
      const info = cli('info', 'persistence');
      return info.includes('aof_enabled:1') && info.includes('aof_rewrite_in_progress:0');
    };
    // As long as the node has it in mind that its files are behind, it gives its role away when it comes back.
    const isMarked = () => docker('exec', master, 'ls', '/var/lib/redis').includes('files-behind');
    await waitUntil('the file being whole', () => whole() && !isMarked(), 30_000);
    docker('kill', master);
    docker('start', master);
    const { master: now } = await wholeRedis();
    expect(docker('exec', now, 'redis-cli', 'get', 'e2e:precious').trim()).toBe('kept');
    docker('exec', now, 'redis-cli', 'del', 'e2e:precious');
  });

  test('is told where it can’t switch it on, and comes back as the replica of the node that has more', async () => {
    const { master, replica } = await wholeRedis();
    // The node can't mend itself: it may not. The rule is gone with the server.
    const words = 'multi\\nconfig set appendonly no\\nacl setuser default -config|set\\nexec\\n';
    docker('exec', master, 'sh', '-c', `printf '${words}' | redis-cli`);
    await waitUntil('the finding', async () =>
      redisFindings(redis, await lookAtRedis()).some(
        ({ id, refusal }) => id === 'L1' && /no append-only file/.test(refusal ?? ''),
      ),
    );
    keeps(master, 'e2e:precious');
    docker('restart', master);
    await waitUntil('the replica being the master', async () => (await wholeRedis()).master === replica, 60_000);
    for (const node of [master, replica])
      expect(docker('exec', node, 'redis-cli', 'get', 'e2e:precious').trim()).toBe('kept');
    docker('exec', replica, 'redis-cli', 'del', 'e2e:precious');
  });
});

test('a node that was set to let nobody new in does so within a second', async () => {
  const { master } = await wholeRedis();
  const cli = (...words: string[]) => docker('exec', master, 'redis-cli', ...words);
  cli('config', 'set', 'maxclients', '1');
  await waitUntil('its places', () => /^maxclients\n10000$/m.test(answerOf(() => cli('config', 'get', 'maxclients'))));
  cli('config', 'set', 'requirepass', 'other');
  await waitUntil('its password', () => answerOf(() => cli('ping')).trim() === 'PONG');
  await wholeRedis();
});

test('a replica that can not log in to its master any more is restarted by a repair', async () => {
  await work();
  const { master, replica } = await wholeRedis();
  // The node can't mend itself: it may not. The rule is gone with the server.
  const words = 'multi\\nconfig set masteruser nobody\\nacl setuser default -config|set\\nexec\\n';
  docker('exec', replica, 'sh', '-c', `printf '${words}' | redis-cli`);
  docker('exec', master, 'redis-cli', 'client', 'kill', 'type', 'replica');
  await waitUntil(
    'the finding',
    async () =>
      redisFindings(redis, await lookAtRedis()).some(
        ({ next }) => next === 'veloz-ha redis failover --cluster veloz --repair',
      ),
    30_000,
  );
  expect(await run({ only: 'repair' })).toMatchObject({ outcome: 'completed', primaryAfter: master });
  expect(await wholeRedis()).toEqual({ master, replica });
});

describe('a replica whose append-only file is damaged', () => {
  test('copies the master anew, and keeps the file under another name', async () => {
    const { master, replica } = await wholeRedis();
    const volume = '/var/lib/redis';
    const damage = `for f in ${volume}/appendonlydir/*.incr.aof; do printf XXXXXXXX | dd of=$f bs=1 seek=20 conv=notrunc; done`;
    keeps(master, 'e2e:precious');
    docker('exec', replica, 'sh', '-c', damage);
    docker('kill', replica);
    docker('start', replica);
    await thenAlways(
      async () => {
        expect(await wholeRedis()).toEqual({ master, replica });
        expect(docker('exec', replica, 'redis-cli', 'get', 'e2e:precious').trim()).toBe('kept');
        expect(docker('exec', replica, 'ls', volume)).toContain('appendonlydir.damaged-');
      },
      () => {
        docker('exec', replica, 'sh', '-c', `rm -rf ${volume}/appendonlydir.damaged-*`);
        docker('exec', master, 'redis-cli', 'del', 'e2e:precious');
      },
    );
  });
});

describe('a repair', () => {
  /** Whether a Sentinel has an answer of the master, and of every replica that it knows. */
  const sees = async (index: number): Promise<boolean> => {
    const { state } = (await lookAtRedis()).sentinels[index]!;
    const flags = [...(state?.master?.flags ?? ['none']), ...(state?.replicas ?? []).flatMap((one) => one.flags)];
    return flags.every((flag) => flag === 'master' || flag === 'slave');
  };

  test('takes back a second master, a replica astray and a Sentinel that was told somebody else, and moves nothing', async () => {
    await work();
    const { master, replica } = await wholeRedis();
    const [sentinel] = redis.sentinels;
    docker('exec', replica, 'redis-cli', 'replicaof', 'no', 'one');
    docker('exec', sentinel!.name, 'redis-cli', '-p', '26379', 'sentinel', 'remove', redis.master);
    const status = await cli(['redis', 'status'], rig.env);
    expect(status.code).toBe(8);
    expect(status.stdout).toContain('veloz-ha redis failover --cluster veloz --repair');
    const report = await run({ only: 'repair' });
    expect(report).toMatchObject({ outcome: 'completed', primaryAfter: master, warnings: [] });
    expect(await wholeRedis()).toEqual({ master, replica });
  });

  test('tells a Sentinel that hears nobody, and leaves it its settings', async () => {
    await work();
    const { replica } = await wholeRedis();
    const sentinel = (...words: string[]) =>
      docker('exec', redis.sentinels[1]!.name, 'redis-cli', '-p', '26379', 'sentinel', ...words).trim();
    const address = docker('inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', replica).trim();
    sentinel('remove', redis.master);
    // Without the password it reads no gossip.
    sentinel('monitor', redis.master, address, '6379', '2');
    sentinel('set', redis.master, 'down-after-milliseconds', '7000', 'failover-timeout', '90000');
    await thenAlways(
      async () => {
        // It is warned of: nobody but itself watches there. The others may be faster, and tell it who is the master: without the
        // password it does not see that one either.
        await waitUntil('the Sentinel seeing the master', async () => {
          expect((await run({ only: 'repair' })).outcome).toMatch(/^completed/);
          return sees(1);
        });
        await wholeRedis();
        const settings = sentinel('master', redis.master).split('\n');
        const of = (name: string) => settings[settings.indexOf(name) + 1];
        expect([of('down-after-milliseconds'), of('failover-timeout')]).toEqual(['7000', '90000']);
      },
      () => {
        sentinel('set', redis.master, 'down-after-milliseconds', '5000', 'failover-timeout', '60000');
      },
    );
  });

  test('has a Sentinel watch anew that names the master and does not see it', async () => {
    await work();
    const { master, replica } = await wholeRedis();
    const { name } = redis.sentinels[2]!;
    docker('exec', name, 'redis-cli', '-p', '26379', 'sentinel', 'set', redis.master, 'auth-pass', 'another');
    let told = '';
    await waitUntil('`redis status` telling of it', async () => {
      const { code, stdout } = await cli(['redis', 'status'], rig.env);
      told = stdout;
      return code === 8 && stdout.includes(`${name} gets no answer from ${master}, which others hear`);
    }).catch((error: Error) => {
      throw new Error(`${error.message}: ${told}`);
    });
    expect(await run({ only: 'repair' })).toMatchObject({ outcome: 'completed', primaryAfter: master });
    expect(await wholeRedis()).toEqual({ master, replica });
    await waitUntil('the Sentinel seeing the master', () => sees(2));
  });

  test('finds nothing to do on a cluster that is well', async () => {
    await work();
    const { master } = await wholeRedis();
    expect((await run({ only: 'repair' })).says).toBe('everything is as it should be. Nothing was changed');
    expect((await wholeRedis()).master).toBe(master);
  });
});

test('a replica that has no data yet is not chosen by the Sentinels, and nothing is wiped', async () => {
  const { master, replica } = await wholeRedis();
  docker('exec', master, 'redis-cli', 'set', 'veloz:e2e:precious', 'yes');
  const service = replica.replace(/^veloz-/, '');
  await thenAlways(
    async () => {
      docker('rm', '-f', replica);
      docker('volume', 'rm', replica);
      docker('pause', master);
      const compose = composeArguments(1, ['up', '-d', '--no-deps', service]);
      execFileSync('bash', [join('scripts', 'compose.sh'), ...compose], { cwd: packageRoot, stdio: 'pipe' });
      // Longer than the Sentinels wait, and than their failover takes.
      await sleep(20_000);
      expect(roleOf(replica)).toBe('slave');
    },
    () => {
      wake([master]);
    },
  );
  expect(await wholeRedis()).toEqual({ master, replica });
  for (const node of [master, replica])
    expect(docker('exec', node, 'redis-cli', 'get', 'veloz:e2e:precious').trim()).toBe('yes');
  docker('exec', master, 'redis-cli', 'del', 'veloz:e2e:precious');
});
