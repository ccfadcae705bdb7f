import { setTimeout as sleep } from 'node:timers/promises';
import { fenceRogue } from '../../src/activities/guard/fence-rogue';
import { faultsOf, linkFault } from '../../src/bench/faults';
import { guardWorkflowId } from '../../src/workflows/guard-messages';
import { WORKFLOW_TASK_TIMEOUT } from '../../src/workflows/messages';
import { Guarded } from './support/guarded';
import { frontDoorWriters } from './support/rig';
import { sampled as test } from './support/sample';
import {
  cli,
  cluster,
  deps,
  docker,
  look,
  POOLER,
  psql,
  recovered,
  roles,
  signalAgent,
  stopAgentForGood,
  thenAlways,
  trading,
  waitUntil,
  wake,
  whole,
} from './support/stack';

/** What the guard does where a failover is not the answer, or not its decision. */
describe('the guard', () => {
  let guarded: Guarded;
  beforeAll(async () => {
    guarded = await Guarded.start();
    await whole();
  });
  afterAll(() => guarded.close());
  beforeEach(() => guarded.work(1));
  afterEach(async () => {
    await guarded.rest();
    await recovered();
  }, 240_000);

  test('tells what it sees, waits for and does next; its history does not grow with time', async () => {
    const state = await guarded.guard();
    expect(state).toMatchObject({ version: 1, mode: 'auto', ledger: { state: 'protected', epoch: 1 } });
    expect(state.next).toMatch(/failover at once/);
    const length = async () => (await guarded.handle.describe()).historyLength;
    const stays = async () => {
      const before = await length();
      await sleep(3000);
      return (await length()) === before;
    };
    // What the first looks come to is news.
    await waitUntil('an end of news', stays, 30_000);
    expect(await stays()).toBe(true);
    const { code, stdout } = await cli(['guard', 'status', '-o', 'json'], guarded.env);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ version: 1 });
  });

  test('a standby that was not in sync when the primary died is not promoted; a person accepts a bounded loss, and it goes on', async () => {
    const before = await roles();
    await guarded.guard();
    docker('kill', before.standby);
    // Commits wait for the standby; after the limit the guard lets them go on, and says so.
    await guarded.until('commits going on alone', ({ ledger }) => ledger.state === 'degraded');
    psql(before.primary, 'CREATE TABLE IF NOT EXISTS e2e_alone (what text)');
    psql(before.primary, "INSERT INTO e2e_alone VALUES ('only on the primary')");
    // A person takes over: in auto the guard would start the old primary again, which has everything.
    expect((await cli(['guard', 'mode', 'off', '--reason', 'the primary is lost'], guarded.env)).code).toBe(0);
    // The standby comes back too late to catch up, and the primary lets it in no more: that is on no standby.
    psql(before.primary, 'ALTER ROLE replicator NOREPLICATION');
    docker('kill', before.primary);
    docker('start', before.standby);
    await waitUntil('the standby answering', async () =>
      (await look()).nodes.some(({ name, sql }) => name === before.standby && sql?.inRecovery === true),
    );
    expect((await guarded.state()).ledger.state).toBe('degraded');

    // The primary itself is read first: it has more, and is started again in its place.
    const without = await cli(['postgres', 'promote', '--yes'], guarded.env);
    expect(without.code).toBe(3);
    const told = without.stderr + without.stdout;
    expect(told).toMatch(/I7.*itself goes to .*was started again in its place/s);
    expect(told).not.toContain('--allow-data-loss');
    await waitUntil('the primary taking writes again', async () =>
      (await look()).nodes.some(({ name, sql }) => name === before.primary && sql?.inRecovery === false),
    );
    expect(psql(before.primary, 'SELECT count(*) FROM e2e_alone')).toBe('1');
    // It is lost after all.
    docker('kill', before.primary);
    const args = ['--allow-data-loss', 'unlimited', '--reason', 'the primary is lost', '--yes', '-o', 'json'];
    const promoted = await cli(['postgres', 'promote', ...args], guarded.env);
    expect({ ...promoted, stdout: '', report: JSON.parse(promoted.stdout) as unknown }).toMatchObject({
      code: 0,
      report: { failover: { dataLoss: { reason: 'the primary is lost' } } },
    });
    await whole(120_000);
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
    expect(psql(before.standby, "SELECT to_regclass('e2e_alone') IS NULL")).toBe('t');
  });

  test('a second loss of the standby lets commits go on as the first one did, although the ledger is never protected between', async () => {
    const { primary, standby } = await roles();
    await guarded.guard();
    const names = () => psql(primary, 'SHOW synchronous_standby_names');
    const relaxed = ({ events }: { events: { kind: string }[] }) =>
      events.filter(({ kind }) => kind === 'relaxed').length;
    psql(primary, 'CREATE ROLE e2e_loader LOGIN');
    psql(primary, 'ALTER ROLE e2e_loader SET synchronous_commit = off');
    await thenAlways(
      async () => {
        await guarded.until('the role being seen', ({ ledger }) => ledger.state === 'degraded');
        docker('kill', standby);
        await guarded.until('commits going on', (state) => relaxed(state) === 1);
        // The guard's own repair brings it back, and has commits wait for it again.
        await waitUntil('commits waiting for it again', () => names() !== '', 120_000);
        await guarded.until('the repair being over', ({ mending }) => mending?.acting === undefined);
        docker('stop', standby);
        await guarded.until('commits going on once more', (state) => relaxed(state) === 2, 30_000);
        psql(primary, 'DROP ROLE e2e_loader');
      },
      () => {
        docker('start', standby);
        psql(primary, 'SET synchronous_commit = local; DROP ROLE IF EXISTS e2e_loader');
      },
    );
    await guarded.protectedBy(primary);
  }, 300_000);

  // Not the pooler's: Docker 20.10 hangs for a container into which an exec begins at the moment of the freeze.
  test('a container that is frozen alone is told with the command that ends it, and nobody is promoted', async () => {
    const { primary } = await roles();
    await guarded.guard();
    docker('pause', 'veloz-haproxy');
    await thenAlways(
      async () => {
        const frozen = ({ node, byHand }: { node: string; byHand?: string }) =>
          node === 'veloz-haproxy' && byHand === 'docker unpause veloz-haproxy';
        await guarded.until('the freeze being told', ({ mending }) => mending?.nodes.some(frozen) === true, 30_000);
        const { code } = await cli(['guard', 'status', '-o', 'json'], guarded.env);
        expect(code).toBe(8);
      },
      () => {
        docker('unpause', 'veloz-haproxy');
      },
    );
    await guarded.until('its end', ({ mending }) => mending?.nodes.length === 0, 30_000);
    expect((await roles()).primary).toBe(primary);
    expect(await guarded.runs()).toEqual([]);
  });

  test('clients’ only way that a person stopped stays so, and is told with the command that starts it', async () => {
    await guarded.guard();
    docker('stop', 'veloz-haproxy');
    try {
      const stopped = ({ node, byHand }: { node: string; byHand?: string }) =>
        node === 'veloz-haproxy' && byHand === 'docker start veloz-haproxy';
      await guarded.until('the stop being told', ({ mending }) => mending?.nodes.some(stopped) === true, 60_000);
      expect((await cli(['guard', 'status', '-o', 'json'], guarded.env)).code).toBe(8);
    } finally {
      docker('start', 'veloz-haproxy');
    }
    await guarded.until('its end', ({ mending }) => mending?.nodes.length === 0, 30_000);
    expect(await guarded.runs()).toEqual([]);
  });

  test.each(['PAUSE veloz', 'PAUSE', 'SUSPEND'])(
    '%s at the pooler is told with the command that ends it, and left so',
    async (command) => {
      await guarded.guard();
      const console = ['psql', '-h', '/run/pgbouncer', '-p', '6432', '-U', 'pgbouncer', '-d', 'pgbouncer', '-c'];
      docker('exec', '-u', 'pgbouncer', POOLER, ...console, command);
      const told = ({ node, byHand }: { node: string; byHand?: string }) => node === POOLER && byHand !== undefined;
      await guarded.until('the pause being told', ({ mending }) => mending?.nodes.some(told) === true, 30_000);
      const { code } = await cli(['guard', 'status', '-o', 'json'], guarded.env);
      expect(code).toBe(8);
      // Longer than a PgBouncer that hangs has.
      if (command === 'SUSPEND') await sleep(20_000);
      const { mending } = await guarded.state();
      const { byHand } = mending?.nodes.find(told) ?? {};
      expect(byHand).toMatch(command === 'SUSPEND' ? /^veloz-ha repair/ : /-c "?RESUME/);
      if (command !== 'SUSPEND')
        docker('exec', '-u', 'pgbouncer', POOLER, ...console, command.replace('PAUSE', 'RESUME'));
      else expect((await cli(['repair', '--yes'], guarded.env)).code).toBe(0);
      await trading();
      await guarded.until('its end', (state) => state.mending?.nodes.length === 0, 30_000);
    },
  );

  test('a container that answers while the check of its health fails is told, and not ended', async () => {
    const proxy = 'veloz-haproxy';
    const startedAt = () => docker('inspect', '-f', '{{.State.StartedAt}}', proxy).trim();
    const began = startedAt();
    await guarded.guard();
    const check = docker('exec', proxy, 'sh', '-c', 'command -v haproxy-health').trim();
    docker('exec', '-u', 'root', proxy, 'chmod', 'a-x', check);
    try {
      const told = ({ node, next }: { node: string; next?: string }) =>
        node === proxy && next?.startsWith('docker inspect') === true;
      await guarded.until('the check being told', ({ mending }) => mending?.nodes.some(told) === true, 90_000);
      await sleep(10_000);
      expect(startedAt()).toBe(began);
    } finally {
      docker('exec', '-u', 'root', proxy, 'chmod', 'a+x', check);
    }
    await guarded.until('its end', ({ mending }) => mending?.nodes.length === 0, 30_000);
    expect(startedAt()).toBe(began);
  }, 240_000);

  test('processes that hang while their containers run are restarted, and nobody is promoted', async () => {
    const before = await roles();
    await guarded.guard();
    const stop = (name: string) => docker('exec', '-u', 'root', name, 'sh', '-c', 'kill -s STOP -- -1');
    const hung = ['veloz-pgbouncer', 'veloz-engine-1', 'veloz-redis-sentinel-1'];
    const starts = () => hung.map((name) => docker('inspect', '-f', '{{.State.StartedAt}}', name).trim());
    const began = starts();
    // All but process 1 of a container can be stopped from within, and process 1 from outside.
    stop('veloz-pgbouncer');
    for (const name of hung.slice(1)) docker('kill', '-s', 'STOP', name);
    await waitUntil('each of them started anew', () => starts().every((at, index) => at !== began[index]), 90_000);
    await trading();
    await guarded.until('nothing being left over', ({ mending }) => mending?.nodes.length === 0, 30_000);
    const mended = (await guarded.state()).events.filter(({ kind }) => kind === 'mended').map(({ says }) => says);
    // On a machine that starves others may hang for a moment too.
    const restarted = mended.filter((says) => says.includes('does not answer')).map((says) => says.split(' ')[0]);
    expect(restarted).toEqual(expect.arrayContaining(hung.slice(1)));
    expect(await roles()).toEqual(before);
    expect(await guarded.runs()).toEqual([]);
  }, 240_000);

  test.each([
    [
      'a role',
      'ALTER ROLE veloz SET synchronous_commit = off',
      'ALTER ROLE veloz RESET synchronous_commit',
      'veloz in every database',
    ],
    [
      'a role, in capitals',
      "ALTER ROLE veloz SET synchronous_commit = 'OFF'",
      'ALTER ROLE veloz RESET synchronous_commit',
      'veloz in every database',
    ],
    [
      'the server',
      'ALTER SYSTEM SET synchronous_commit = off',
      'ALTER SYSTEM RESET synchronous_commit',
      'the whole server',
    ],
  ])(
    '%s whose commits wait for nobody ends the protection, until that is taken back',
    async (_who, set, reset, told) => {
      const { primary } = await roles();
      const say = (statement: string) => {
        psql(primary, statement);
        psql(primary, 'SELECT pg_reload_conf()');
      };
      await guarded.guard();
      await guarded.until('the protection', (state) => state.ledger.state === 'protected');
      say(set);
      await thenAlways(
        async () => {
          const { ledger, waitsFor } = await guarded.until('the end', (state) => state.ledger.state === 'degraded');
          expect(ledger.why).toContain(`synchronous_commit is off for ${told}`);
          expect(waitsFor).toContain('B4');
        },
        () => {
          say(reset);
        },
      );
      await guarded.until('the protection', (state) => state.ledger.state === 'protected');
    },
  );

  test.each<[string, () => string, (verifier: string) => string, string]>([
    ['may not log in any more', () => 'ALTER ROLE replicator NOLOGIN', () => 'ALTER ROLE replicator LOGIN', 'C8'],
    [
      'has another password',
      () => "ALTER ROLE replicator PASSWORD 'rotated'",
      (verifier: string) => `ALTER ROLE replicator PASSWORD '${verifier}'`,
      'C4',
    ],
  ])('a replication role that %s is told while everything still streams', async (_what, set, reset, id) => {
    const { primary } = await roles();
    const verifier = psql(primary, "SELECT rolpassword FROM pg_authid WHERE rolname = 'replicator'");
    await guarded.guard();
    await guarded.until('ready', (state) => state.readiness?.ready === true);
    psql(primary, set());
    await thenAlways(
      async () => {
        const { readiness } = await guarded.until('not ready', (state) => state.readiness?.ready === false);
        expect(readiness?.findings.filter(({ result }) => result === 'refuse').map((found) => found.id)).toContain(id);
      },
      () => {
        psql(primary, reset(verifier));
      },
    );
    await guarded.until('ready again', (state) => state.readiness?.ready === true);
  });

  test('an agent that is shut out of its own server is told', async () => {
    const { standby } = await roles();
    const hba = '/etc/veloz/pg_hba.conf';
    const asRoot = (script: string) => docker('exec', '-u', 'root', standby, 'sh', '-c', script);
    // Nobody else has the superuser's way in then: the server is told by a signal.
    const reload = 'kill -HUP "$(head -1 /var/lib/postgresql/data/postmaster.pid)"';
    await guarded.guard();
    await guarded.until('ready', (state) => state.readiness?.ready === true);
    asRoot(
      `cp -p ${hba} /tmp/e2e-hba && { echo 'local all postgres reject'; cat /tmp/e2e-hba; } > ${hba} && ${reload}`,
    );
    await thenAlways(
      async () => {
        const { readiness } = await guarded.until('not ready', (state) => state.readiness?.ready === false);
        expect(readiness?.findings.map(({ id }) => id)).toEqual(expect.arrayContaining(['M9', 'M10']));
      },
      () => {
        asRoot(`cat /tmp/e2e-hba > ${hba} && rm /tmp/e2e-hba && ${reload}`);
      },
    );
    await guarded.until('ready again', (state) => state.readiness?.ready === true);
  });

  test('a standby promoted by hand behind its back is seen, fenced and made a standby again', async () => {
    const before = await roles();
    await guarded.guard();
    psql(before.standby, 'SELECT pg_promote(true, 10)');
    // It has just become writable.
    const began = Date.now();
    const state = await guarded.until('the alarm', ({ events }) => events.some(({ kind }) => kind === 'split brain'));
    const alarm = state.events.find(({ kind }) => kind === 'split brain');
    expect((alarm?.at ?? Infinity) - began).toBeLessThan(10_000);
    expect(alarm?.says).toContain(before.standby);
    await guarded.protectedBy(before.primary);
    await whole();
    expect(await roles()).toEqual(before);
  });

  test('started while a standby was promoted by mistake: the primary that clients write to is not fenced, and people decide', async () => {
    const before = await roles();
    psql(before.primary, "ALTER SYSTEM SET synchronous_standby_names = ''");
    psql(before.primary, 'SELECT pg_reload_conf()');
    psql(before.standby, 'SELECT pg_promote(true, 10)');
    await thenAlways(
      async () => {
        await guarded.rig.client.workflow.start('guard', {
          taskQueue: guarded.rig.stand.taskQueue,
          workflowId: guardWorkflowId('veloz'),
          args: [{ mode: 'auto', startedBy: 'e2e' }],
        });
        const { events, backoffUntil } = await guarded.until('the refusal', (state) =>
          state.events.some(({ kind }) => kind === 'backoff'),
        );
        expect(backoffUntil).toBeUndefined();
        expect(events.find(({ kind }) => kind === 'backoff')?.says).toContain(`A3: ${before.standby} is on the newest`);
        expect(psql(before.primary, 'SELECT pg_is_in_recovery()')).toBe('f');
      },
      async () => {
        await guarded.rest();
        psql(before.primary, 'ALTER SYSTEM RESET synchronous_standby_names');
        psql(before.primary, 'SELECT pg_reload_conf()');
        await cli(['stack', 'reset', '--yes']);
        await cli(['stack', 'up']);
        await whole();
      },
    );
  }, 240_000);

  test('a second primary that was fenced, and whose rejoin never began: it becomes a standby all the same', async () => {
    const before = await roles();
    // As a guard leaves it that is stopped, or loses its worker, between the fence and the rejoin.
    psql(before.standby, 'SELECT pg_promote(true, 10)');
    const run = `e2e/fence/${process.pid}/${Date.now()}`;
    await fenceRogue(deps, { cluster: 'veloz', run, node: before.standby, keep: before.primary });
    await guarded.guard();
    await whole(120_000);
    expect(await roles()).toEqual(before);
  });

  test('only the link between primary and standby is cut: nobody fails over; commits go on after the limit, and wait again when it is back', async () => {
    const before = await roles();
    await guarded.guard();
    const link = linkFault(before.primary, before.standby);
    const writers = frontDoorWriters(2, 20);
    await thenAlways(
      async () => {
        await writers.start();
        writers.beginWindow();
        await link.inject(before.primary);
        await guarded.until('commits going on alone', ({ ledger }) => ledger.state === 'degraded');
        const soFar = writers.acknowledgedSoFar();
        await waitUntil('clients writing again', () => writers.acknowledgedSoFar() > soFar + 20, 30_000);
        await link.heal(before.primary);
        await guarded.protectedBy(before.primary);
        const seen = await writers.endWindow();
        expect(seen.lost).toBe(0);
      },
      async () => {
        await link.heal(before.primary);
        await writers.stop();
      },
    );
    await whole();
    expect(await guarded.runs()).toEqual([]);
    expect(await roles()).toEqual(before);
  });

  test('a standby whose agent is frozen and whose server is dead: commits go on at once, and it is brought back', async () => {
    const before = await roles();
    await guarded.guard();
    const writers = frontDoorWriters(2, 20);
    const wakeAgent = stopAgentForGood(before.standby);
    await thenAlways(
      async () => {
        await writers.start();
        writers.beginWindow();
        docker('exec', before.standby, 'sh', '-c', 'kill -9 "$(head -1 /var/lib/postgresql/data/postmaster.pid)"');
        // Before the repair, which waits 20 s, could have ended its container.
        await guarded.until('commits going on alone', ({ ledger }) => ledger.state === 'degraded', 15_000);
        const soFar = writers.acknowledgedSoFar();
        await waitUntil('clients writing again', () => writers.acknowledgedSoFar() > soFar + 20, 15_000);
        await guarded.protectedBy(before.primary, 120_000);
        expect((await writers.endWindow()).lost).toBe(0);
      },
      async () => {
        // No harm to one that was ended and started meanwhile.
        docker('start', before.standby);
        wakeAgent();
        await writers.stop();
      },
    );
    await whole(120_000);
    expect(await roles()).toEqual(before);
  });

  test('relaxing that is refused is told with its reason, exit 8', async () => {
    const before = await roles();
    await guarded.guard();
    const record = '/var/lib/postgresql/veloz/agent.json';
    const inStandby = (script: string) => docker('exec', before.standby, 'sh', '-c', script);
    const wakeAgent = stopAgentForGood(before.standby);
    await thenAlways(
      async () => {
        // Nobody says whether it was promoted, so nothing proves that it is no primary.
        inStandby(`mv ${record} ${record}.e2e && kill -9 "$(head -1 /var/lib/postgresql/data/postmaster.pid)"`);
        const { namesFailed } = await guarded.until('the refusal', (state) => state.namesFailed !== undefined, 30_000);
        expect(namesFailed?.says).toContain(`A3: ${before.standby} may be a primary`);
        const { code, stdout } = await cli(['guard', 'status'], guarded.env);
        expect([code, stdout]).toEqual([8, expect.stringContaining('COMMITS WAIT')]);
      },
      () => {
        docker('start', before.standby);
        inStandby(`[ ! -e ${record}.e2e ] || mv ${record}.e2e ${record}`);
        wakeAgent();
      },
    );
    await guarded.protectedBy(before.primary, 120_000);
    // Looked at anew once the back-off is over.
    await guarded.until('nothing being told of it any more', ({ namesFailed }) => namesFailed === undefined, 60_000);
  });

  test('a pooler that is killed while a repair of the guard goes on is started again at once', async () => {
    const before = await roles();
    await guarded.guard();
    docker('kill', before.standby);
    await guarded.until('the repair', ({ mending }) => mending?.acting !== undefined);
    docker('kill', POOLER);
    await waitUntil(
      'the pooler running',
      () => docker('inspect', '-f', '{{.State.Running}}', POOLER).trim() === 'true',
      15_000,
    );
    await guarded.protectedBy(before.primary, 120_000);
    await whole();
  }, 360_000);

  test.each([
    ['that nobody who streams answers to', 'somebody_else'],
    ['that ask for more standbys than stream', 'ANY 2 (veloz_standby)'],
  ])('names %s, set by hand: commits go on, and the names become right', async (_what, names) => {
    const { primary } = await roles();
    const set = (value: string) => {
      psql(primary, `ALTER SYSTEM SET synchronous_standby_names = '${value}'`);
      psql(primary, 'SELECT pg_reload_conf()');
    };
    await guarded.guard();
    set(names);
    await thenAlways(
      async () => {
        await guarded.until('the names being right', ({ events }) => events.some(({ kind }) => kind === 'restored'));
        await guarded.protectedBy(primary);
        expect(psql(primary, 'SHOW synchronous_standby_names')).toBe(cluster.postgres.synchronousStandbyNames);
        expect((await guarded.state()).events.map(({ kind }) => kind)).toContain('relaxed');
      },
      () => {
        set(cluster.postgres.synchronousStandbyNames);
      },
    );
  });

  test.each<[string, (before: { primary: string; standby: string }) => string]>([
    ['the pooler', () => POOLER],
    ['the standby', ({ standby }) => standby],
    ['the primary', ({ primary }) => primary],
  ])(
    'the agent of %s is stopped while its server works: it is woken, nobody loses a connection, and a failover works',
    async (_name, of) => {
      const before = await roles();
      await guarded.guard();
      const node = of(before);
      const writers = frontDoorWriters(2, 10);
      try {
        await writers.start();
        writers.beginWindow();
        signalAgent(node, 'SIGSTOP');
        const state = await guarded.until('it being woken', ({ events }) =>
          events.some(({ says }) => says.startsWith(`the agent of ${node} was woken`)),
        );
        expect(state.ledger.state).toBe('protected');
        expect(await guarded.runs()).toEqual([]);
        expect((await writers.endWindow()).failed).toBe(0);
        docker('kill', before.primary);
        await guarded.protectedBy(before.standby);
        const acknowledged = writers.acknowledgedSoFar();
        await waitUntil('clients writing again', () => writers.acknowledgedSoFar() > acknowledged + 10);
      } finally {
        signalAgent(node, 'SIGCONT');
        await writers.stop();
      }
      expect((await guarded.report()).outcome).toMatch(/^completed/);
      await whole();
    },
  );

  test('the agent of the standby is stopped, and people act themselves: it is not ready, until somebody wakes it', async () => {
    const { standby } = await roles();
    await guarded.guard('approve');
    await guarded.until('a first look', ({ readiness }) => readiness?.ready === true);
    signalAgent(standby, 'SIGSTOP');
    try {
      const { readiness } = await guarded.until('its being told', ({ readiness: seen }) => seen?.ready === false);
      expect(readiness?.findings.map(({ id }) => id)).toContain('E4');
      const { code, stdout } = await cli(['guard', 'status'], guarded.env);
      expect({ code, told: stdout.includes(`${standby} could not be promoted`) }).toEqual({ code: 8, told: true });
    } finally {
      signalAgent(standby, 'SIGCONT');
    }
    await guarded.until('its being ready', ({ readiness }) => readiness?.ready === true);
    expect((await guarded.state()).events.some(({ says }) => says.includes('was woken'))).toBe(false);
  });

  test('a pooler that hangs with its agent, which nothing wakes, is ended and started', async () => {
    await guarded.guard();
    docker('exec', '-u', 'root', POOLER, 'sh', '-c', 'kill -s STOP -- -1');
    const wakeAgent = stopAgentForGood(POOLER);
    await thenAlways(
      async () => {
        const state = await guarded.until('its start', ({ events }) =>
          events.some(({ says }) => says.startsWith(`${POOLER} was ended and started again`)),
        );
        expect(state.ledger.state).toBe('protected');
        await whole();
        expect(await guarded.runs()).toEqual([]);
      },
      () => {
        docker('start', POOLER);
        wakeAgent();
      },
    );
  });

  test('names that the checkpointer has not taken protect nothing, whatever sessions show', async () => {
    const { primary, standby } = await roles();
    await guarded.guard();
    // Stopped by a person: the guard does not start it again.
    docker('stop', standby);
    await guarded.until('commits going on alone', ({ ledger }) => ledger.state === 'degraded');
    const checkpointer = psql(primary, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
    docker('exec', '-u', 'root', primary, 'sh', '-c', `kill -STOP ${checkpointer}`);
    await thenAlways(
      async () => {
        wake([standby]);
        const { events } = await guarded.until('the names not being in force', (state) =>
          state.events.some(({ kind, says }) => kind === 'backoff' && says.includes('not in force yet')),
        );
        expect(events.map(({ kind }) => kind)).not.toContain('restored');
      },
      () => {
        docker('exec', '-u', 'root', primary, 'sh', '-c', `kill -CONT ${checkpointer}`);
      },
    );
    await guarded.protectedBy(primary);
  });

  test('a killed primary is started in its place where its only standby is cut off', async () => {
    const before = await roles();
    const { partition } = faultsOf(cluster);
    await guarded.guard();
    psql(before.primary, 'CREATE TABLE IF NOT EXISTS e2e_revived (what text)');
    await partition.inject(before.standby);
    await thenAlways(
      async () => {
        await guarded.until('commits going on alone', ({ ledger }) => ledger.state === 'degraded');
        psql(before.primary, "INSERT INTO e2e_revived VALUES ('only on the primary')");
        docker('kill', before.primary);
        await guarded.until('the failure being seen', ({ events }) =>
          events.some(({ kind }) => kind === 'primary failed'),
        );
        await waitUntil(
          'the primary taking writes again',
          async () =>
            (await look()).nodes.some(({ name, sql }) => name === before.primary && sql?.inRecovery === false),
          120_000,
        );
      },
      async () => {
        await partition.heal(before.standby);
      },
    );
    await guarded.protectedBy(before.primary, 120_000);
    expect(await roles()).toEqual(before);
    expect(psql(before.primary, 'SELECT what FROM e2e_revived')).toBe('only on the primary');
    psql(before.primary, 'DROP TABLE e2e_revived');
  }, 400_000);

  test('a node that takes writes and is of another database system than the ledger is followed by nobody', async () => {
    const { primary, standby } = await roles();
    const state = await guarded.guard();
    await guarded.handle.terminate('begun anew with the ledger of another system');
    await guarded.rig.client.workflow.start('guard', {
      taskQueue: guarded.rig.stand.taskQueue,
      workflowId: guardWorkflowId('veloz'),
      workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
      args: [
        { mode: 'auto', startedBy: 'e2e', carried: { ...state, ledger: { ...state.ledger, systemIdentifier: '1' } } },
      ],
    });
    docker('kill', standby);
    const told = await guarded.until(
      'the other system being told',
      ({ mending }) => mending?.nodes.some(({ says }) => says.includes('(A4)')) === true,
    );
    expect(told.mending?.nodes).toMatchObject([{ node: 'the primary', acts: false, next: `docker stop ${primary}` }]);
    await sleep(12_000);
    expect(docker('inspect', '-f', '{{.State.Status}}', standby).trim()).toBe('exited');
    expect((await guarded.state()).mending?.acting).toBeUndefined();
    const plan = await cli(['repair', '--plan'], guarded.env);
    expect(plan.code).toBe(3);
    expect(plan.stdout + plan.stderr).toMatch(/A4: .*another\s+database\s+system\s+than\s+the\s+ledger/s);
  }, 240_000);

  test('a primary that a person stops stays stopped; once it is started it becomes a standby', async () => {
    const before = await roles();
    await guarded.guard();
    docker('stop', before.primary);
    await guarded.until(
      'the stopped primary being told',
      ({ ledger, acting, mending }) =>
        ledger.primary === before.standby &&
        acting === undefined &&
        mending?.nodes.some(
          ({ node, byHand }) => node === before.primary && byHand === `docker start ${before.primary}`,
        ) === true,
      120_000,
    );
    expect((await guarded.report()).says).toContain(`${before.primary} was told to stop`);
    await sleep(12_000);
    expect(docker('inspect', '-f', '{{.State.Status}}', before.primary).trim()).toBe('exited');
    docker('start', before.primary);
    await guarded.protectedBy(before.standby, 120_000);
    await whole();
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
  }, 400_000);

  test('in approve it plans and asks; approved, it fails over', async () => {
    const before = await roles();
    await guarded.guard('approve');
    docker('kill', before.primary);
    const { acting } = await guarded.until('the question', (state) => state.acting !== undefined);
    const run = acting?.workflowId ?? '';
    await waitUntil('the run waiting for approval', async () => {
      const { stdout } = await cli(['show', run, '-o', 'json'], guarded.env);
      return /"awaiting approval"/.test(stdout);
    });
    expect((await look()).nodes.filter(({ sql }) => sql?.inRecovery === false)).toEqual([]);
    expect((await cli(['approve', run], guarded.env)).code).toBe(0);
    await guarded.protectedBy(before.standby);
    expect(await roles()).toEqual({ primary: before.standby, standby: before.primary });
  });

  test('in maintenance mode it watches and touches nothing; afterwards it acts', async () => {
    const before = await roles();
    await guarded.guard();
    expect((await cli(['guard', 'maintenance', 'on', '--reason', 'e2e'], guarded.env)).code).toBe(0);
    docker('kill', before.primary);
    await guarded.until('the failure being seen', ({ events }) => events.some(({ kind }) => kind === 'primary failed'));
    await sleep(2000);
    expect(await guarded.runs()).toEqual([]);
    expect((await guarded.state()).maintenance).toMatchObject({ until: null });
    expect((await cli(['guard', 'maintenance', 'off'], guarded.env)).code).toBe(0);
    await guarded.protectedBy(before.standby);
  });

  test.each(['the primary', 'the standby'])(
    'both nodes are down, and %s comes back first: nothing is lost',
    async (first) => {
      const before = await roles();
      await guarded.guard();
      psql(before.primary, 'CREATE TABLE IF NOT EXISTS e2e_both (what text)');
      psql(before.primary, "INSERT INTO e2e_both VALUES ('kept')");
      docker('kill', before.primary, before.standby);
      await guarded.until('the failure being seen', ({ events }) =>
        events.some(({ kind }) => kind === 'primary failed'),
      );
      const order = first === 'the primary' ? [before.primary, before.standby] : [before.standby, before.primary];
      for (const node of order) {
        docker('start', node);
        await sleep(2500);
      }
      // The ledger goes on saying what was so before, until somebody takes writes.
      await whole(120_000);
      const { primary } = await roles();
      await guarded.until(
        'a protected primary',
        ({ ledger, acting, mending }) =>
          acting === undefined &&
          mending?.acting === undefined &&
          ledger.state === 'protected' &&
          ledger.synchronous.length === 1 &&
          ledger.primary === primary,
        120_000,
      );
      expect(psql(primary, 'SELECT what FROM e2e_both')).toBe('kept');
      psql(primary, 'DROP TABLE e2e_both');
    },
    400_000,
  );
});
