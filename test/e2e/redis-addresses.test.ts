import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { composeArguments } from '../../src/cli/compose';
import { packageRoot } from '../../src/cli/paths';
import { recoveredRedis, redis, wholeRedis } from './support/redis';
import { rarely as test } from './support/sample';
import { docker, thenAlways, waitUntil } from './support/stack';

/** Sentinels ask a node who it is every 10 s, and act on it 8 s later at the earliest; two such rounds. */
const WATCHED_MS = 40_000;
const TEST_LIMIT_MS = 300_000;

const address = (name: string) =>
  docker('inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', name).trim();
/** In the order in which Docker gives them away. */
const isLower = (one: string, other: string): boolean => {
  const number = (of: string) => of.split('.').reduce((sum, part) => 256 * sum + Number(part), 0);
  return number(one) < number(other);
};
/** A node's answer to ROLE; empty where it gives none. */
const roleOf = (node: string): string => {
  try {
    return docker('exec', node, 'timeout', '2', 'redis-cli', 'role').split('\n')[0]?.trim() ?? '';
  } catch {
    return '';
  }
};
const write = (node: string, value: string): string => {
  try {
    return docker('exec', node, 'timeout', '2', 'redis-cli', 'set', 'veloz:e2e:address', value).trim();
  } catch {
    return '';
  }
};
const read = (node: string) => docker('exec', node, 'redis-cli', 'get', 'veloz:e2e:address').trim();
const takingWrites = (node: string, value: string, limitMs: number) =>
  waitUntil(`${node} taking writes`, () => write(node, value) === 'OK', limitMs);

/** A node that is the master stays it, for as long as Sentinels need that take it for another one. */
const staysMaster = async (node: string): Promise<void> => {
  const began = Date.now();
  while (Date.now() - began < WATCHED_MS) {
    expect({ node, role: roleOf(node), afterMs: Date.now() - began }).not.toMatchObject({ role: 'slave' });
    await sleep(500);
  }
};

/** Two nodes that get each other's addresses, as Docker gives the lowest free one to whoever starts. No guard is at work. */
describe('a Redis node that gets the address of another one', () => {
  const taken: string[] = [];
  beforeAll(() => recoveredRedis());
  afterEach(async () => {
    await recoveredRedis();
    if (taken.length > 0) docker('rm', '-f', ...taken.splice(0));
  }, TEST_LIMIT_MS);

  /** The nodes, the named one of which has the lower address; no other one that is lower is free. */
  const nodes = async (lower: 'master' | 'replica'): Promise<{ master: string; replica: string }> => {
    let found = await wholeRedis();
    const other = lower === 'master' ? 'replica' : 'master';
    if (!isLower(address(found[lower]), address(found[other]))) {
      const group = ['redis-cli', '-p', '26379', 'sentinel', 'failover', redis.master];
      expect(docker('exec', redis.sentinels[0]!.name, ...group).trim()).toBe('OK');
      const before = found.master;
      await waitUntil('the other master', async () => (found = await wholeRedis()).master !== before, 90_000);
    }
    const highest = address(found[other]);
    const network = docker(
      ...['inspect', '-f', '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}', found.master],
    ).trim();
    const image = docker('inspect', '-f', '{{.Image}}', found.master).trim();
    for (;;) {
      const name = `veloz-e2e-address-${process.pid}-${taken.length}`;
      const what = ['--network', network, '--no-healthcheck', '--entrypoint', 'sleep', image, '600'];
      docker('run', '-d', '--name', name, ...what);
      taken.push(name);
      if (!isLower(address(name), highest)) break;
    }
    docker('rm', '-f', taken.pop()!);
    return found;
  };

  for (const awayMs of [3_000, 25_000])
    test(
      `is not made to follow itself, as a master that has its replica's (away for ${awayMs} ms)`,
      async () => {
        const { master, replica } = await nodes('replica');
        const its = address(replica);
        docker('stop', '-t', '5', replica);
        docker('kill', master);
        docker('start', master);
        expect(address(master)).toBe(its);
        await takingWrites(master, 'alone', 20_000);
        const back = sleep(awayMs).then(() => docker('start', replica));
        await Promise.all([back, staysMaster(master)]);
        expect(await wholeRedis()).toEqual({ master, replica });
        for (const node of [master, replica]) expect(read(node)).toBe('alone');
      },
      TEST_LIMIT_MS,
    );

  test(
    'stays the master that it was made, as a replica that has the one of the removed master',
    async () => {
      const { master, replica } = await nodes('master');
      const its = address(master);
      expect(write(master, 'before')).toBe('OK');
      await sleep(500);
      docker('kill', replica);
      docker('rm', '-f', master);
      await thenAlways(
        async () => {
          docker('start', replica);
          expect(address(replica)).toBe(its);
          // Sentinels that found nobody at first try again after two minutes.
          await waitUntil('the replica being the master', () => roleOf(replica) === 'master', 150_000);
          expect(read(replica)).toBe('before');
          await takingWrites(replica, 'since', 5000);
        },
        () => {
          const compose = composeArguments(1, ['up', '-d', '--no-deps', master.replace('veloz-', '')]);
          execFileSync('bash', [join('scripts', 'compose.sh'), ...compose], { cwd: packageRoot, stdio: 'pipe' });
        },
      );
      await staysMaster(replica);
      expect(await wholeRedis()).toEqual({ master: replica, replica: master });
      for (const node of [replica, master]) expect(read(node)).toBe('since');
    },
    TEST_LIMIT_MS,
  );

  test(
    'has no master replaced that is well, as a replica that has the address of before of that one',
    async () => {
      const { master, replica } = await nodes('master');
      const its = address(master);
      docker('kill', replica, master);
      docker('start', replica);
      docker('start', master);
      expect(address(replica)).toBe(its);
      // Where the master was back too late for the Sentinels the other one is it.
      let is = '';
      await waitUntil(
        'a master',
        () => (is = [master, replica].find((node) => write(node, 'both') === 'OK') ?? '') !== '',
        60_000,
      );
      await staysMaster(is);
      expect((await wholeRedis()).master).toBe(is);
      for (const node of [master, replica]) expect(read(node)).toBe('both');
    },
    TEST_LIMIT_MS,
  );
});
