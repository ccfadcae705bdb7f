import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { composeArguments } from '../../src/cli/compose';
import { packageRoot } from '../../src/cli/paths';
import type { GuardState } from '../../src/workflows/guard-messages';
import { lockWorkflowId } from '../../src/workflows/messages';
import { Guarded } from './support/guarded';
import { recoveredRedis, redis, wholeRedis } from './support/redis';
import { rarely as test } from './support/sample';
import { docker, thenAlways, waitUntil, whole } from './support/stack';

/** What hangs is ended after half a minute; the Sentinels take a master that says that it is a replica for down after about as long. */
const HANG_LIMIT_MS = 150_000;
/** Longer than a test that waits for that twice. */
const TEST_LIMIT_MS = 400_000;

const status = (name: string) => docker('inspect', '-f', '{{.State.Status}}', name).trim();
const runs = (name: string) => status(name) === 'running';
/** A node's answer to ROLE; empty where it gives none. */
const roleOf = (node: string): string => {
  try {
    return docker('exec', node, 'timeout', '2', 'redis-cli', 'role').split('\n')[0]?.trim() ?? '';
  } catch {
    return '';
  }
};
const takesWrites = (node: string): boolean => {
  try {
    return docker('exec', node, 'timeout', '2', 'redis-cli', 'setrange', 'veloz:e2e:nothing', '0', '').trim() === '0';
  } catch {
    return false;
  }
};
/** Stops Redis's process, and nothing else in the container, or has it go on. @throws Error where there is none */
const signal = (node: string, name: 'STOP' | 'CONT') => {
  const each = `if [ "$(cat $p/comm)" = redis-server ]; then kill -${name} \${p#/proc/} && found=1; fi`;
  docker('exec', '-u', 'root', node, 'sh', '-c', `for p in /proc/[0-9]*; do ${each}; done; [ -n "$found" ]`);
};
const signalled = (node: string, name: 'STOP' | 'CONT' = 'STOP'): boolean => {
  try {
    signal(node, name);
    return true;
  } catch {
    return false;
  }
};
const says = ({ events }: GuardState, text: string) => events.some((event) => event.says.includes(text));
const runsIn = ({ events }: GuardState) =>
  events.flatMap(({ says: said, run }) =>
    said.startsWith('redis failover started') && run !== undefined ? [run] : [],
  );
const keep = (node: string, value: string) =>
  expect(docker('exec', node, 'redis-cli', 'set', 'veloz:e2e:masterless', value).trim()).toBe('OK');
const kept = (node: string) => docker('exec', node, 'redis-cli', 'get', 'veloz:e2e:masterless').trim();

/** What the guard does where Redis has no master, and while a run of its own goes on, on real containers. */
describe('the guard, of a Redis without a master', () => {
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
    // What a failed test has stopped would fail the next one.
    for (const { name } of redis.nodes) if (runs(name)) signalled(name, 'CONT');
    await recoveredRedis();
  }, TEST_LIMIT_MS);

  /** @throws Error with what the guard sees, where it does not come to that in time */
  const until = async (what: string, holds: () => boolean, limitMs = HANG_LIMIT_MS): Promise<void> => {
    await waitUntil(what, holds, limitMs).catch(async (error: unknown) => {
      const { redis: seen, events } = await guarded.state();
      const containers = docker('ps', '-a', '--filter', 'name=veloz-redis', '--format', '{{.Names}} {{.Status}}');
      throw new Error(`${(error as Error).message}; ${containers}${JSON.stringify({ seen, events }, null, 1)}`);
    });
  };

  /** Both are well for as long as the guard needs to have seen that. */
  const watched = async () => {
    const nodes = await wholeRedis();
    await guarded.guard();
    await sleep(4000);
    return nodes;
  };

  test(
    'a master that hangs and has no replica is ended and started, and loses nothing',
    async () => {
      const { master, replica } = await watched();
      docker('stop', replica);
      keep(master, 'hung');
      signal(master, 'STOP');
      await until('the master taking writes', () => takesWrites(master));
      expect(kept(master)).toBe('hung');
      expect(runs(replica)).toBe(false);
      await guarded.until('what is told', (state) => says(state, `${master} was ended and started again`), 30_000);
      docker('start', replica);
      expect(await wholeRedis()).toEqual({ master, replica });
    },
    TEST_LIMIT_MS,
  );

  test(
    'a master that is frozen and has no replica is ended and started',
    async () => {
      const { master, replica } = await watched();
      docker('stop', replica);
      docker('pause', master);
      await until('the master taking writes', () => runs(master) && takesWrites(master));
      docker('start', replica);
      expect(await wholeRedis()).toEqual({ master, replica });
    },
    TEST_LIMIT_MS,
  );

  test(
    'a replica that is killed the moment before the master hangs is started, and there is a master again',
    async () => {
      const { master, replica } = await watched();
      docker('kill', replica);
      signal(master, 'STOP');
      await until('the replica running', () => runs(replica), 15_000);
      // The Sentinels choose it, or the master is ended and started.
      await until('a master', () => [master, replica].some((node) => takesWrites(node)));
      await wholeRedis(HANG_LIMIT_MS);
    },
    TEST_LIMIT_MS,
  );

  test(
    'a replica that was killed long before the master hangs stays so until that is back: it lacks what was written',
    async () => {
      const { master, replica } = await wholeRedis();
      await guarded.guard('approve');
      await sleep(4000);
      docker('kill', replica);
      await sleep(8000);
      keep(master, 'written since');
      signal(master, 'STOP');
      await guarded.handle.executeUpdate('setMode', { args: [{ mode: 'auto' }] });
      await until('the master taking writes', () => takesWrites(master));
      expect(kept(master)).toBe('written since');
      await until('the replica running', () => runs(replica), 30_000);
      expect(await wholeRedis()).toEqual({ master, replica });
    },
    TEST_LIMIT_MS,
  );

  test(
    'a replica that the master was made to follow, and that is killed then, is started, and there is a master again',
    async () => {
      const { master, replica } = await watched();
      keep(master, 'followed');
      docker('exec', master, 'redis-cli', 'replicaof', replica, '6379');
      docker('kill', replica);
      await until('the replica running', () => runs(replica), 15_000);
      await until('a master', () => [master, replica].some((node) => takesWrites(node)));
      expect(kept((await wholeRedis(HANG_LIMIT_MS)).master)).toBe('followed');
    },
    TEST_LIMIT_MS,
  );

  test(
    'a replica that is killed after the container of the master was removed takes over all the same',
    async () => {
      const { master, replica } = await watched();
      keep(master, 'removed');
      await sleep(500);
      docker('kill', replica);
      docker('rm', '-f', master);
      await thenAlways(
        async () => {
          // Sentinels that found nobody at first try again after two minutes.
          await until('the replica taking writes', () => takesWrites(replica), 150_000);
          expect(kept(replica)).toBe('removed');
          keep(replica, 'written since');
        },
        () => {
          const service = master.replace('veloz-', '');
          const compose = composeArguments(1, ['up', '-d', '--no-deps', service]);
          execFileSync('bash', [join('scripts', 'compose.sh'), ...compose], { cwd: packageRoot, stdio: 'pipe' });
        },
      );
      // It was not made to follow the one that it replaced in between, whose address it may have.
      expect(await wholeRedis(HANG_LIMIT_MS)).toEqual({ master: replica, replica: master });
      for (const node of [replica, master]) expect(kept(node)).toBe('written since');
    },
    TEST_LIMIT_MS,
  );

  test(
    'what a person stopped is not started where the master hangs',
    async () => {
      const { master, replica } = await watched();
      docker('stop', replica);
      signal(master, 'STOP');
      await sleep(15_000);
      expect(runs(replica)).toBe(false);
      signal(master, 'CONT');
      docker('start', replica);
    },
    TEST_LIMIT_MS,
  );

  test(
    'a new master that is killed is back at once, although the run that replaced the old one still waits for that',
    async () => {
      const { master, replica } = await watched();
      docker('kill', master);
      await guarded.until('the failover', ({ redis }) => redis?.master === replica, 30_000);
      // It hangs as soon as it is there: the run goes on to wait for it.
      await waitUntil('the old master hanging', () => runs(master) && signalled(master), 30_000);
      await sleep(2000);
      docker('kill', replica);
      await until('the new master taking writes', () => takesWrites(replica), 20_000);
      expect(runsIn(await guarded.state()).length).toBeGreaterThan(1);
      await wholeRedis(HANG_LIMIT_MS);
    },
    TEST_LIMIT_MS,
  );

  test(
    'a node that dies while a run proves its move is started at once: nobody holds the lock',
    async () => {
      const { master, replica } = await watched();
      const move = await guarded.rig.client.workflow.start('redisFailover', {
        taskQueue: guarded.rig.stand.taskQueue,
        workflowId: `redis-failover/e2e-proof-${process.pid}`,
        args: [{ approval: 'given', soak: '0s', startedBy: 'e2e' }],
      });
      const moved = move.result().catch((error: unknown) => error);
      await until('the new master', () => roleOf(replica) === 'master', 30_000);
      docker('kill', master);
      await until('the old master running', () => runs(master), 30_000);
      await moved;
      await wholeRedis();
      const lock = await guarded.rig.client.workflow.getHandle(lockWorkflowId('veloz', 'redis')).describe();
      expect(lock.status.name).not.toBe('RUNNING');
    },
    TEST_LIMIT_MS,
  );
});
