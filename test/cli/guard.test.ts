import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { showGuard } from '../../src/cli/actions/guard';
import { followGuard } from '../../src/cli/actions/guard-watch';
import { lookAtGuard, type GuardSource } from '../../src/cli/guard-source';
import type { GuardLook } from '../../src/report/guard';
import { LINK } from '../report/made-up';
import { acting, guardWith, ledger } from '../report/made-up-failover';
import { fakeCli, fakeIo } from './fake-io';

/** A guard that says what the test decides. */
class MadeUpGuard implements GuardSource {
  readonly cluster = 'veloz';
  readonly workflowId = 'guard/veloz';
  readonly link = LINK;
  constructor(public says: GuardLook = { kind: 'guards', state: guardWith() }) {}
  look = () => Promise.resolve(structuredClone(this.says));
}

const POLLED = 800;
const nobody: GuardLook = { kind: 'nobody' };
const silent: GuardLook = { kind: 'silent', says: 'no worker answers', next: 'veloz-ha worker --detach' };

describe('guard status', () => {
  test('exit 0 while the ledger is protected and nothing is wrong', () => {
    const cli = fakeCli();
    expect(showGuard(cli, new MadeUpGuard(), { kind: 'guards', state: guardWith() })).toBe(0);
    expect(cli.io.out()).toMatch(/^✔ PROTECTED {2}guard of veloz, mode auto\n/);
  });

  test('exit 8 when the ledger is not protected, and while a failure is seen', () => {
    const degraded = guardWith({ ledger: { ...ledger, state: 'degraded', why: 'no standby' } });
    expect(showGuard(fakeCli(), new MadeUpGuard(), { kind: 'guards', state: degraded })).toBe(8);
    const cli = fakeCli({ quiet: true });
    expect(showGuard(cli, new MadeUpGuard(), { kind: 'guards', state: acting })).toBe(8);
    expect(cli.io.out()).toMatch(/^unhealthy: a failover goes on: failover/);
  });

  test('exit 8 while it does nothing by the word of a person that has no end', () => {
    const cli = fakeCli({ quiet: true });
    expect(showGuard(cli, new MadeUpGuard(), { kind: 'guards', state: guardWith({ mode: 'off' }) })).toBe(8);
    expect(cli.io.out()).toBe('unhealthy: the guard is in mode off: nothing fails over by itself\n');
  });

  test('-o json is the guard’s own document', () => {
    const cli = fakeCli({ output: 'json' });
    showGuard(cli, new MadeUpGuard(), { kind: 'guards', state: acting });
    expect(JSON.parse(cli.io.out())).toEqual(acting);
  });

  test('nobody guards: one clear sentence, the next command, exit 8', () => {
    expect(() => showGuard(fakeCli(), new MadeUpGuard(), nobody)).toThrow(
      expect.objectContaining({
        type: 'Unhealthy',
        message: 'nobody guards cluster veloz: nothing fails over by itself',
        detail: { next: 'veloz-ha guard start --cluster veloz' },
      }) as Error,
    );
  });

  test('a guard that nobody carries out is out of reach, and not healthy', () => {
    expect(() => showGuard(fakeCli(), new MadeUpGuard(), silent)).toThrow(
      expect.objectContaining({ type: 'Unreachable', detail: { next: 'veloz-ha worker --detach' } }) as Error,
    );
  });
});

describe('guard watch', () => {
  const watch = (options: Parameters<typeof fakeCli>[0] = {}, io = fakeIo()) => {
    const guard = new MadeUpGuard();
    const cli = fakeCli(options, io);
    return { guard, io, code: followGuard(cli, guard) };
  };

  test('events once each, what it sees when that changes, until Ctrl-C', async () => {
    const { guard, io, code } = watch();
    await sleep(POLLED);
    guard.says = { kind: 'guards', state: acting };
    await sleep(2 * POLLED);
    io.interrupt();
    expect(await code).toBe(130);
    const lines = io
      .out()
      .trim()
      .split('\n')
      .map((line) => line.replace(/^\d\d:\d\d:\d\d/, 'hh:mm:ss'));
    expect(lines).toEqual([
      'hh:mm:ss  started         started by ops@desk, mode auto',
      'hh:mm:ss  ledger          protected: every commit waits for veloz-postgres-standby',
      expect.stringMatching(
        /^hh:mm:ss {2}veloz-postgres-primary answered in 2 ms .* Next: veloz-postgres-primary dead: failover at once/,
      ),
      'hh:mm:ss  in doubt        the session to veloz-postgres-primary was reset: looking harder',
      'hh:mm:ss  primary failed  veloz-postgres-primary is dead: its container is exited',
      'hh:mm:ss  failover        started the failover, clients are held (failover/veloz/20251123T032011Z-9f3a)',
      'hh:mm:ss  veloz-postgres-primary is dead: its container is exited. Next: It does nothing else before that.',
    ]);
  });

  test('-o jsonl: what happened, and the guard’s document when it changes', async () => {
    const { guard, io, code } = watch({ output: 'jsonl' });
    await sleep(2 * POLLED);
    guard.says = { kind: 'guards', state: acting };
    await sleep(POLLED);
    io.interrupt();
    await code;
    const documents = io
      .out()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { version: number; event: string; guard?: unknown });
    expect(documents.map(({ event }) => event)).toEqual([
      'happened',
      'happened',
      'guard',
      'happened',
      'happened',
      'happened',
      'guard',
    ]);
    expect(documents.every(({ version }) => version === 1)).toBe(true);
    expect(documents.at(-1)?.guard).toEqual(acting);
  });

  test('silence is said once, and so is its end', async () => {
    const { guard, io, code } = watch({});
    await sleep(POLLED);
    guard.says = silent;
    await sleep(2 * POLLED);
    guard.says = { kind: 'guards', state: guardWith() };
    await sleep(POLLED);
    io.interrupt();
    await code;
    expect(io.out().match(/! the guard can't be asked: no worker answers/g)).toHaveLength(1);
    expect(io.out().match(/the guard answers again/g)).toHaveLength(1);
  });

  test('a guard that is stopped meanwhile ends the watching with exit 8', async () => {
    const { guard, code } = watch();
    setTimeout(() => (guard.says = nobody), POLLED);
    await expect(code).rejects.toMatchObject({ type: 'Unhealthy' });
  });

  test('on a terminal the card is redrawn below the events', async () => {
    const { io, code } = watch({}, fakeIo({ tty: true, env: { TERM: 'xterm' } }));
    await sleep(POLLED);
    expect(stripVTControlCharacters(io.out())).toContain('✔ PROTECTED  guard of veloz, mode auto');
    io.interrupt();
    expect(await code).toBe(130);
  });
});

test('status asks the guard for a short time only, and says why there is no answer', async () => {
  const cli = fakeCli({}, fakeIo({ env: { TEMPORAL_ADDRESS: 'localhost:1', TEMPORAL_DISABLE_CONFIG_FILE: '1' } }));
  expect(await lookAtGuard(cli, 'veloz', 1_500)).toEqual({
    kind: 'silent',
    says: 'Temporal is not reachable at localhost:1',
    next: 'veloz-ha temporal --detach',
  });
  // Routed nowhere: neither refused nor accepted.
  const lost = fakeCli({}, fakeIo({ env: { TEMPORAL_ADDRESS: '192.0.2.1:7233', TEMPORAL_DISABLE_CONFIG_FILE: '1' } }));
  const look = await lookAtGuard(lost, 'veloz', 300);
  expect(look.kind).toBe('silent');
});
