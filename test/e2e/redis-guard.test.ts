import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { redisFindings } from '../../src/cluster/redis/health';
import type { GuardEvent, GuardState } from '../../src/workflows/guard-messages';
import type { Report } from '../../src/workflows/run-state';
import { Guarded } from './support/guarded';
import { lookAtRedis, password, recoveredRedis, redis, underWrites, wholeRedis } from './support/redis';
import { sampled as test } from './support/sample';
import { docker, roles, thenAlways, waitUntil, whole } from './support/stack';

/** Longer than anything that the guard waits for, and than the Sentinels wait. */
const LONG_MS = 8000;
const [sentinel = ''] = redis.sentinels.map(({ name }) => name);

const runs = (name: string) => docker('inspect', '-f', '{{.State.Status}}', name).trim() === 'running';
const event = ({ events }: GuardState, kind: GuardEvent['kind']) => events.findLast((each) => each.kind === kind);
const runsIn = ({ events }: GuardState) =>
  events.flatMap(({ says, run }) => (says.startsWith('redis failover started') && run !== undefined ? [run] : []));

/** What the guard does about Redis, on real containers. */
describe('the guard, of Redis', () => {
  let guarded: Guarded;
  beforeAll(async () => {
    guarded = await Guarded.start();
    await whole(120_000);
    await recoveredRedis();
  });
  afterAll(() => guarded.close());
  beforeEach(() => guarded.work(1));
  afterEach(async () => {
    await guarded.rest();
    await recoveredRedis();
  });

  const calm = () =>
    guarded.until(
      'calm',
      ({ redis: seen }) => seen?.acting === undefined && seen?.movedFrom === null && seen.signals.length === 0,
    );

  test('a master that is killed is failed over before the Sentinels do it, and comes back as a replica', async () => {
    const { master, replica } = await wholeRedis();
    await guarded.guard();
    const writes = await underWrites(async () => {
      docker('kill', master);
      await guarded.until('the failover', ({ redis: seen }) => seen?.master === replica, 30_000);
    });
    // Replication is asynchronous: what was acknowledged without WAIT may be lost with the master.
    expect(writes).toMatchObject({ failed: 0, lostWaited: 0, duplicatesWaited: 0 });
    const state = await calm();
    const [run = '', ...more] = runsIn(state);
    expect(more).toEqual([]);
    expect(event(state, 'redis failed')?.says).toMatch(`${master} is dead: its container is exited, exit code 137`);
    expect(event(state, 'redis moved')?.run).toBe(run);
    const report = (await guarded.rig.client.workflow.getHandle(run).result()) as Report;
    expect(report).toMatchObject({
      outcome: 'completed',
      primaryBefore: master,
      primaryAfter: replica,
      startedBy: 'guard of veloz',
      reason: event(state, 'redis failed')?.says,
      warnings: [],
    });
    expect(await wholeRedis()).toEqual({ master: replica, replica: master });
    // PostgreSQL was not touched.
    expect(state.ledger.state).toBe('protected');
    expect(await guarded.runs()).toEqual([]);
  });

  test.each<[string, (nodes: { master: string; replica: string }) => Promise<void> | void]>([
    ['a replica that is killed', ({ replica }) => void docker('kill', replica)],
    ['a replica and a Sentinel that are restarted', ({ replica }) => void docker('restart', replica, sentinel)],
    ['a master that is restarted in place', ({ master }) => void docker('restart', master)],
    [
      'a master that hangs for a second',
      async ({ master }) => {
        docker('pause', master);
        await sleep(1000);
        docker('unpause', master);
      },
    ],
    [
      'a worker that hangs for two seconds',
      async () => {
        const pids = guarded.workers.map((worker) => worker.process.pid ?? 0);
        for (const pid of pids) process.kill(pid, 'SIGSTOP');
        await sleep(2000);
        for (const pid of pids) process.kill(pid, 'SIGCONT');
      },
    ],
  ])('%s is no failure', async (_what, happens) => {
    const nodes = await wholeRedis();
    await guarded.guard();
    await happens(nodes);
    await sleep(LONG_MS);
    const state = await guarded.state();
    expect(runsIn(state)).toEqual([]);
    expect(state.redis?.master).toBe(nodes.master);
  });

  test('a replica and two Sentinels that are killed are started again; what was told to stop is not', async () => {
    const { replica } = await wholeRedis();
    const [stays = '', ...killed] = redis.sentinels.map(({ name }) => name);
    await guarded.guard();
    docker('stop', stays);
    docker('kill', replica, ...killed);
    await waitUntil('all of them running', () => [replica, ...killed].every(runs), 30_000);
    await sleep(LONG_MS);
    expect(runs(stays)).toBe(false);
    expect(runsIn(await guarded.state())).toEqual([]);
  });

  test('two Sentinels that a person stopped stay so, and it is told that nobody could fail over', async () => {
    await wholeRedis();
    const stopped = redis.sentinels.slice(0, 2).map(({ name }) => name);
    await guarded.guard();
    docker('stop', ...stopped);
    try {
      const state = await guarded.until('what is told', ({ redis: seen }) => seen?.trouble !== undefined, 60_000);
      expect(state.redis?.trouble).toContain('nobody could fail over');
      expect(state.redis?.trouble).toContain(`Next: docker start ${stopped.join(' ')}`);
      expect(stopped.some(runs)).toBe(false);
    } finally {
      docker('start', ...stopped);
    }
    await guarded.until('its end', ({ redis: seen }) => seen !== undefined && seen.trouble === undefined, 30_000);
    expect(runsIn(await guarded.state())).toEqual([]);
  });

  test('where both nodes are killed the master comes back with its data, and the replica after it', async () => {
    const { master, replica } = await wholeRedis();
    await guarded.guard();
    docker('exec', master, 'redis-cli', 'set', 'veloz:e2e:kept', 'yes');
    docker('kill', replica, master);
    await waitUntil('both running', () => [master, replica].every(runs), 60_000);
    const nodes = await wholeRedis();
    expect(docker('exec', nodes.master, 'redis-cli', 'get', 'veloz:e2e:kept').trim()).toBe('yes');
    docker('exec', nodes.master, 'redis-cli', 'del', 'veloz:e2e:kept');
  });

  test('a master that answers nobody is ended, and a replica takes over', async () => {
    const { master, replica } = await wholeRedis();
    await guarded.guard();
    docker('pause', master);
    await guarded.until('the failover', ({ redis: seen }) => seen?.master === replica, 30_000);
    const state = await calm();
    expect(event(state, 'redis failed')?.says).toContain(`${master} has answered nobody for`);
    expect(await wholeRedis()).toEqual({ master: replica, replica: master });
  });

  test('a master that a person stops stays stopped: the replica takes over, and the guard tells how it comes back', async () => {
    const { master, replica } = await wholeRedis();
    await guarded.guard();
    docker('stop', master);
    await guarded.until('the failover', ({ redis: seen }) => seen?.master === replica, 30_000);
    const state = await guarded.until('what is told', ({ redis: seen }) => seen?.trouble !== undefined, 60_000);
    expect(state.redis?.trouble).toContain(`${master} was told to stop, and stays so`);
    expect(state.redis?.trouble).toContain(`Next: docker start ${master}`);
    expect(runs(master)).toBe(false);
    docker('start', master);
    await calm();
    expect(await wholeRedis()).toEqual({ master: replica, replica: master });
  });

  test('a snapshot that fails stops no writes', async () => {
    const { master } = await wholeRedis();
    await guarded.guard();
    const dump = '/var/lib/redis/dump.rdb';
    const cli = (...words: string[]) => docker('exec', master, 'redis-cli', ...words).trim();
    docker('exec', '-u', 'root', master, 'sh', '-c', `rm -rf ${dump}; mkdir -p ${dump}/x`);
    await thenAlways(
      async () => {
        // As a person might, or a tool that saves what it runs beside.
        cli('config', 'set', 'save', '3600 1');
        cli('bgsave');
        await waitUntil(
          'the snapshot having failed',
          () => cli('info', 'persistence').includes('bgsave_status:err'),
          30_000,
        );
        await waitUntil('a write', () => cli('setrange', 'veloz:e2e:nothing', '0', '') === '0', 10_000);
        expect(cli('config', 'get', 'save').split(/\s+/)).toEqual(['save']);
      },
      () => {
        docker('exec', '-u', 'root', master, 'rm', '-rf', dump);
        cli('bgsave');
      },
    );
    expect(runsIn(await guarded.state())).toEqual([]);
  });

  test('a master whose writes somebody paused is told until they go on', async () => {
    const { master } = await wholeRedis();
    await guarded.guard();
    docker('exec', master, 'redis-cli', 'client', 'pause', '600000', 'write');
    await thenAlways(
      async () => {
        const state = await guarded.until('what is told', ({ redis: seen }) => seen?.trouble !== undefined, 60_000);
        expect(state.redis?.trouble).toContain(`${master}, the master, takes no writes (it waits`);
        expect(state.redis?.trouble).toContain(`Next: docker exec ${master} redis-cli client unpause`);
      },
      () => {
        docker('exec', master, 'redis-cli', 'client', 'unpause');
      },
    );
    await guarded.until('that it is over', ({ redis: seen }) => seen?.trouble === undefined, 60_000);
    expect(runsIn(await guarded.state())).toEqual([]);
  });

  test('a replica that is frozen is told after some seconds, and stays so', async () => {
    const { replica } = await wholeRedis();
    await guarded.guard();
    docker('pause', replica);
    const state = await guarded.until('what is told', ({ redis: seen }) => seen?.trouble !== undefined, 60_000);
    expect(state.redis?.trouble).toBe(
      `${replica} is frozen, and stays so: nobody could take over. Next: docker unpause ${replica}`,
    );
    docker('unpause', replica);
    await guarded.until('that it is over', ({ redis: seen }) => seen?.trouble === undefined, 60_000);
    expect(runsIn(await guarded.state())).toEqual([]);
  });

  test('a Sentinel that hangs while somebody stops it is ended, and stays stopped', async () => {
    await wholeRedis();
    await guarded.guard();
    const health = () => docker('inspect', '-f', '{{.State.Health.Status}}', sentinel).trim();
    docker('kill', '-s', 'STOP', sentinel);
    let stopping: ChildProcess | undefined;
    try {
      await waitUntil('its check failing', () => health() === 'unhealthy', 60_000);
      // It hears no signal, so Docker waits for as long as it is told to.
      stopping = spawn('docker', ['stop', '-t', '120', sentinel], { stdio: 'ignore' });
      await guarded.until(
        'its end',
        ({ events }) => events.some(({ says }) => says.startsWith(`${sentinel} was ended, and stays so`)),
        100_000,
      );
      await sleep(LONG_MS);
      expect(runs(sentinel)).toBe(false);
      expect(runsIn(await guarded.state())).toEqual([]);
    } finally {
      stopping?.kill();
      if (runs(sentinel)) docker('kill', sentinel);
      docker('start', sentinel);
    }
  }, 240_000);

  test('a replica whose process hangs is ended and started', async () => {
    const { master, replica } = await wholeRedis();
    await guarded.guard();
    const signal = (name: 'STOP' | 'CONT') =>
      docker(
        'exec',
        replica,
        'sh',
        '-c',
        `for p in /proc/[0-9]*; do if [ "$(cat $p/comm)" = redis-server ]; then kill -${name} \${p#/proc/}; fi; done`,
      );
    signal('STOP');
    await thenAlways(
      async () => {
        const state = await guarded.until(
          'its start',
          ({ events }) => events.some(({ says }) => says.startsWith(`${replica} was ended and started again`)),
          120_000,
        );
        expect(runsIn(state)).toEqual([]);
        expect(await wholeRedis()).toEqual({ master, replica });
      },
      () => {
        signal('CONT');
      },
    );
  }, 240_000);

  test('a replica that waits for its copy while the master rewrites its file is told, and left running', async () => {
    const { master, replica } = await wholeRedis();
    await guarded.guard();
    const cli = (...words: string[]) => docker('exec', master, 'redis-cli', ...words).trim();
    const startedAt = () => docker('inspect', '-f', '{{.State.StartedAt}}', replica).trim();
    const before = startedAt();
    const keys = (command: string) =>
      `for i=1,2000 do redis.call(${command.replace('KEY', "'veloz:e2e:copy:'..i")}) end return 'OK'`;
    cli('config', 'set', 'repl-backlog-size', '16kb');
    cli('eval', keys("'set',KEY,'x'"), '0');
    // Microseconds for each key: a rewrite takes 40 s.
    cli('config', 'set', 'rdb-key-save-delay', String(Math.round(40_000_000 / Number(cli('dbsize')))));
    try {
      docker('pause', replica);
      cli('client', 'kill', 'type', 'replica');
      // More than the backlog holds.
      cli('eval', keys("'set',KEY,string.rep('x',100)"), '0');
      cli('bgrewriteaof');
      docker('unpause', replica);
      cli('config', 'set', 'rdb-key-save-delay', '0');
      const state = await guarded.until('what is told', ({ redis: seen }) => seen?.trouble !== undefined, 30_000);
      expect(state.redis?.trouble).toContain(`${replica} is not connected to ${master}, which it follows, and`);
      expect(state.redis?.trouble).toContain('wait');
      expect(state.redis?.trouble).toContain(`Next: docker exec ${master} redis-cli info persistence`);
      expect(await wholeRedis(90_000)).toEqual({ master, replica });
      expect(startedAt()).toBe(before);
      expect(runsIn(await guarded.state())).toEqual([]);
    } finally {
      cli('config', 'set', 'rdb-key-save-delay', '0');
      cli('config', 'set', 'repl-backlog-size', '64mb');
      cli('eval', keys("'del',KEY"), '0');
    }
  }, 240_000);

  test('a replica that the topology does not have makes the report doubt what was acknowledged with WAIT 1', async () => {
    const { master, replica } = await wholeRedis();
    const stranger = 'veloz-e2e-redis-stranger';
    const of = (format: string) => docker('inspect', '-f', format, master).trim();
    const network = of('{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}').split(' ')[0] ?? '';
    await guarded.guard();
    const server = ['redis-server', '--replicaof', master, '6379', '--masterauth', password, '--requirepass', password];
    const [program = '', ...args] = server;
    docker('run', '-d', '--name', stranger, '--network', network, '--entrypoint', program, of('{{.Image}}'), ...args);
    await thenAlways(
      async () => {
        await waitUntil('the stranger being told of', async () =>
          redisFindings(redis, await lookAtRedis()).some(({ id }) => id === 'L2'),
        );
        // The guard reads the list every three seconds.
        await sleep(5000);
        docker('kill', master);
        const state = await guarded.until('the failover', ({ redis: seen }) => seen?.master === replica, 30_000);
        const [run = ''] = runsIn(state);
        const report = (await guarded.rig.client.workflow.getHandle(run).result()) as Report;
        expect(report.says).toContain(`which the topology does not have, was a replica of ${master}`);
        expect(report.says).toContain('those acknowledged with WAIT 1 may be among them');
      },
      () => {
        docker('rm', '-f', '-v', stranger);
        // The Sentinels would remember it.
        for (const { name } of redis.sentinels)
          docker('exec', name, 'redis-cli', '-p', '26379', 'sentinel', 'reset', redis.master);
      },
    );
  });

  test('where every node is a replica, and the Sentinels do nothing, it makes one the master', async () => {
    const { master, replica } = await wholeRedis();
    await guarded.guard();
    const patience = (ms: number) => {
      for (const { name } of redis.sentinels) {
        const set = ['sentinel', 'set', redis.master, 'down-after-milliseconds', String(ms)];
        docker('exec', name, 'redis-cli', '-p', '26379', ...set);
      }
    };
    patience(600_000);
    await thenAlways(
      async () => {
        // A node takes this back within a second or two.
        docker('exec', replica, 'redis-cli', 'config', 'set', 'replica-priority', '0');
        docker('exec', master, 'redis-cli', 'replicaof', replica, '6379');
        const state = await guarded.until('a run', (each) => runsIn(each).length > 0, 90_000);
        expect(event(state, 'redis doubt')?.says).toContain(`no node is a master; ${master} has everything`);
        expect(await wholeRedis()).toEqual({ master, replica });
        expect(docker('exec', replica, 'redis-cli', 'config', 'get', 'replica-priority')).toContain('100');
        await calm();
      },
      () => {
        patience(5000);
      },
    );
  }, 240_000);

  test('in off the Sentinels act alone; in auto it mends what they left', async () => {
    const { master, replica } = await wholeRedis();
    await guarded.guard('off');
    docker('kill', master);
    await guarded.until('the Sentinels’ failover', ({ redis: seen }) => seen?.master === replica, 30_000);
    expect(runsIn(await guarded.state())).toEqual([]);
    await guarded.handle.executeUpdate('setMode', { args: [{ mode: 'auto' }] });
    const state = await calm();
    expect(event(state, 'redis doubt')?.says).toContain(`the container ${master} does not run`);
    expect(runsIn(state)).toHaveLength(1);
    expect(await wholeRedis()).toEqual({ master: replica, replica: master });
  });

  test.each([
    ['the moment before', ['redis', 'postgres']],
    ['the moment after', ['postgres', 'redis']],
  ])(
    'where the master dies %s, PostgreSQL is failed over as ever',
    async (_when, order) => {
      const { master } = await wholeRedis();
      const before = await roles();
      await guarded.guard();
      for (const tier of order) docker('kill', tier === 'redis' ? master : before.primary);
      const state = await guarded.protectedBy(before.standby);
      expect(event(state, 'backoff')).toBeUndefined();
      expect(await guarded.runs()).toHaveLength(1);
      // While it acted for PostgreSQL it did not look at Redis: that there is nothing to see at this moment says nothing.
      await guarded.until('another master', ({ redis: seen }) => seen?.master !== master);
      await calm();
      await wholeRedis(120_000);
      await whole(120_000);
    },
    240_000,
  );
});
