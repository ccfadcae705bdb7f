import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError } from '@temporalio/client';
import { parse, stringify } from 'yaml';
import { createActivities, type Activities, type MoveRequest } from '../../src/activities';
import { accessCluster, withSession } from '../../src/activities/deps';
import { tokenOf } from '../../src/activities/token';
import { faultsOf } from '../../src/bench/faults';
import { slotName } from '../../src/cluster/topology';
import { topologyPath } from '../../src/systems/topology-file';
import { Guarded } from './support/guarded';
import { whileClientsWrite } from './support/refusal';
import { Rig } from './support/rig';
import { sampled as test } from './support/sample';
import {
  cli,
  cluster,
  deps,
  docker,
  fingerprint,
  look,
  psql,
  recovered,
  roles,
  takesWrites,
  thenAlways,
  waitUntil,
  whole,
} from './support/stack';

/** What a switchover proves while it goes on and at its end, held against a cluster in which it is not so. */
describe('what is not proven is not called so', () => {
  const activities = createActivities(deps);
  let move: MoveRequest;
  beforeAll(() => whole());
  beforeEach(async () => {
    const { primary, standby } = await roles();
    move = await moveOf(primary, standby);
  });
  afterEach(() => recovered());

  async function moveOf(source: string, target: string): Promise<MoveRequest> {
    const { nodes } = await look();
    return {
      cluster: 'veloz',
      run: `e2e/proofs/${process.pid}/${Date.now()}`,
      source,
      target,
      others: [],
      protection: 'zero-loss',
      holdLimitMs: 8000,
      pauseLimitMs: 2000,
      timeline: nodes.find(({ name, sql }) => name === source && sql !== null)?.sql?.timeline ?? 0,
    };
  }

  /** As it is after a move: the primary was the target, and came from the timeline before. */
  const moved = (): MoveRequest => ({
    ...move,
    source: move.target,
    target: move.source,
    timeline: move.timeline - 1,
  });

  /** Activities of a worker whose topology has other limits. */
  const within = (limits: Partial<typeof cluster.limits>): Activities =>
    createActivities({
      ...deps,
      topology: { ...deps.topology, clusters: { veloz: { ...cluster, limits: { ...cluster.limits, ...limits } } } },
    });

  const setNames = (value: string) => {
    psql(moved().target, `ALTER SYSTEM SET synchronous_standby_names = '${value}'`);
    psql(moved().target, 'SELECT pg_reload_conf()');
  };

  test('G2: a target that has not replayed the shutdown checkpoint is not promoted; everything is put back', async () => {
    await whileClientsWrite(async () => {
      psql(move.target, 'SELECT pg_wal_replay_pause()');
      await thenAlways(
        async () => {
          await activities.prepareMove(move);
          await expect(activities.movePrimary(move)).rejects.toThrow(
            new RegExp(
              `${move.target} receiving the shutdown checkpoint .* Everything was put back, and clients go on`,
            ),
          );
        },
        () => {
          psql(move.target, 'SELECT pg_wal_replay_resume()');
        },
      );
      await activities.unprepareMove(move);
      await activities.releaseNodes(move);
      expect(await roles()).toEqual({ primary: move.source, standby: move.target });
    });
  });

  test('the old primary can not start as a standby: clients go on within the hold, and it is told that nobody confirms', async () => {
    const junk = (command: string) =>
      docker('exec', '-u', 'postgres', move.source, 'sh', '-c', `${command} /var/lib/postgresql/data/pg_replslot/e2e`);
    const seen = await whileClientsWrite(async () => {
      await activities.prepareMove(move);
      junk('mkdir');
      await thenAlways(
        async () => {
          const result = await activities.movePrimary(move);
          expect(result.confirmedBeforeRelease).toBe(false);
          expect(result.heldMs).toBeLessThan(move.holdLimitMs);
          expect(result.warnings.join('\n')).toMatch(/^K2: no standby confirmed a commit of .* commits go on without/m);
        },
        () => {
          junk('rmdir');
        },
      );
      await activities.settleMove(move);
      await activities.releaseNodes(move);
      expect(await roles()).toEqual({ primary: move.target, standby: move.source });
    });
    expect(seen.gapMs).toBeLessThan(move.holdLimitMs + 1000);
  });

  test('the old primary is killed after the promotion, and its worker dies: the next attempt lets clients go without it', async () => {
    let killed = false;
    const dying = createActivities({
      ...deps,
      faultPoint: (point) => {
        if (point !== 'hold:route' || killed) return;
        killed = true;
        docker('kill', move.source);
        throw new Error('the worker died');
      },
    });
    await whileClientsWrite(async () => {
      await activities.prepareMove(move);
      await expect(dying.movePrimary(move)).rejects.toThrow('the worker died');
      const result = await dying.movePrimary(move);
      expect(result.warnings.join('\n')).toMatch(new RegExp(`^K2: ${move.source} was not reached any more: `, 'm'));
      expect(result.warnings.join('\n')).toMatch(/^K2: no standby confirmed a commit/m);
      expect(psql(move.target, 'SHOW synchronous_standby_names')).toBe('');
      // Whoever comes after that finds a commit that waits for nobody: it proves nothing.
      const again = await dying.movePrimary(move);
      expect(again.confirmedBeforeRelease).toBe(false);
      expect(again.warnings.join('\n')).toMatch(/^K2: commits of .* wait for no standby by now/m);
      docker('start', move.source);
      await waitUntil('the old primary', () => psql(move.source, 'SELECT pg_is_in_recovery()') === 't');
      await activities.settleMove(move);
      await activities.releaseNodes(move);
      expect(await roles()).toEqual({ primary: move.target, standby: move.source });
    });
  });

  test('G2: a reader that holds replay up on the target is ended, and the move goes through', async () => {
    const patience = ['max_standby_streaming_delay', 'hot_standby_feedback'];
    psql(move.source, 'CREATE TABLE IF NOT EXISTS e2e_read AS SELECT generate_series(1, 2000) AS i');
    psql(move.target, 'ALTER SYSTEM SET max_standby_streaming_delay = -1');
    psql(move.target, 'ALTER SYSTEM SET hot_standby_feedback = off');
    psql(move.target, 'SELECT pg_reload_conf()');
    await waitUntil(
      'the end of feedback',
      () => psql(move.source, 'SELECT bool_and(xmin IS NULL) FROM pg_replication_slots') === 't',
    );
    const reading = `BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM e2e_read; SELECT pg_sleep(120)`;
    docker('exec', '-d', move.target, 'psql', '-U', 'postgres', '-d', 'veloz', '-c', reading);
    await thenAlways(
      async () => {
        await waitUntil(
          'the reader',
          () =>
            psql(
              move.target,
              `SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)%' AND pid <> pg_backend_pid()`,
            ) === '1',
        );
        await activities.prepareMove(move);
        psql(move.source, 'DELETE FROM e2e_read WHERE i > 1000');
        psql(move.source, 'VACUUM e2e_read');
        await waitUntil('replay being held up', () =>
          psql(move.target, `SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'`).startsWith(
            'RecoveryConflict',
          ),
        );
        const { heldMs } = await activities.movePrimary(move);
        expect(heldMs).toBeLessThan(2500);
        await activities.settleMove(move);
        await activities.releaseNodes(move);
        expect(await roles()).toEqual({ primary: move.target, standby: move.source });
      },
      async () => {
        for (const name of patience) psql(move.target, `ALTER SYSTEM RESET ${name}`);
        psql(move.target, 'SELECT pg_reload_conf()');
        const { primary } = await roles();
        psql(primary, 'DROP TABLE IF EXISTS e2e_read');
      },
    );
  });

  test("a receiver of somebody else's that gets no further does not hold the stop up", async () => {
    // The agent starts every server with 5 s; a session may ask for more.
    const patient = 'PGOPTIONS="-c wal_sender_timeout=60s"; export PGOPTIONS';
    const receivewal = `${patient}; mkdir -p /tmp/e2e-wal && exec pg_receivewal -h /var/run/postgresql -U postgres -D /tmp/e2e-wal -s 1`;
    docker('exec', '-d', move.source, 'sh', '-c', `PATH=/usr/lib/postgresql/17/bin:$PATH; ${receivewal}`);
    const inSource = (script: string) => docker('exec', '-u', 'root', move.source, 'sh', '-c', script);
    await thenAlways(
      async () => {
        await waitUntil(
          'the receiver',
          () =>
            psql(move.source, `SELECT state FROM pg_stat_replication WHERE application_name = 'pg_receivewal'`) ===
            'streaming',
        );
        inSource(
          'for p in /proc/[0-9]*; do [ "$(cat $p/comm)" = pg_receivewal ] && kill -STOP ${p#/proc/}; done; true',
        );
        psql(
          move.source,
          `SELECT count(pg_logical_emit_message(true, 'e2e', repeat('x', 1048576))) FROM generate_series(1, 16)`,
        );
        await activities.prepareMove(move);
        const { heldMs } = await activities.movePrimary(move);
        expect(heldMs).toBeLessThan(3000);
        await activities.settleMove(move);
        await activities.releaseNodes(move);
        expect(await roles()).toEqual({ primary: move.target, standby: move.source });
      },
      () => {
        inSource(
          'for p in /proc/[0-9]*; do [ "$(cat $p/comm)" = pg_receivewal ] && kill -KILL ${p#/proc/}; done; rm -rf /tmp/e2e-wal',
        );
      },
    );
  });

  test('H7: a promotion that takes longer than its limit is not given up: the next attempt goes forward', async () => {
    await whileClientsWrite(async () => {
      await activities.prepareMove(move);
      await expect(within({ promote: 1 }).movePrimary(move)).rejects.toThrow(
        new RegExp(`the promotion of ${move.target}`),
      );
      await activities.movePrimary(move);
      const settled = await activities.settleMove(move);
      // H8: what a rewind would read.
      const [inControlFile] = psql(move.target, 'SELECT timeline_id FROM pg_control_checkpoint()').split('\n');
      expect(settled.timeline).toBe(Number(inControlFile));
      expect(settled.timeline).toBeGreaterThan(move.timeline);
      await activities.verifyMove(move, 0);
      await activities.releaseNodes(move);
      expect(await roles()).toEqual({ primary: move.target, standby: move.source });
    });
  });

  test('H7: a promotion that was recorded, and lost with the server of the target, is asked for again', async () => {
    // Recovery can't end while its process is stopped, so the request is there and nothing follows from it. Its agent wakes it every
    // half a second: it is stopped again at once, until its container ends.
    const startup = `pid=$(pgrep -f '^postgres: .*startup')`;
    const interrupted = createActivities({
      ...deps,
      topology: { ...deps.topology, clusters: { veloz: { ...cluster, limits: { ...cluster.limits, promote: 300 } } } },
      faultPoint: (point) => {
        if (point !== 'hold:promote') return;
        docker('exec', move.target, 'sh', '-c', `${startup}; kill -STOP $pid`);
        docker('exec', '-d', move.target, 'sh', '-c', `${startup}; while kill -STOP $pid; do :; done`);
      },
    });
    await activities.prepareMove(move);
    await expect(interrupted.movePrimary(move)).rejects.toThrow(new RegExp(`the promotion of ${move.target}`));
    docker('kill', move.target);
    docker('start', move.target);
    await waitUntil('both being standbys, with the promotion on record', async () => {
      const { nodes } = await look();
      const target = nodes.find(({ name }) => name === move.target);
      return target?.sql?.inRecovery === true && nodes.every(({ sql }) => sql?.inRecovery !== false);
    });
    await activities.movePrimary(move);
    await activities.settleMove(move);
    await activities.verifyMove(move, 0);
    await activities.releaseNodes(move);
    expect(await roles()).toEqual({ primary: move.target, standby: move.source });
  });

  test('K1: nothing is settled before the standby has replayed what was written after the question', async () => {
    const request = moved();
    psql(request.source, 'SELECT pg_wal_replay_pause()');
    let settled = false;
    const settling = activities.settleMove(request).finally(() => {
      settled = true;
    });
    settling.catch(() => undefined);
    await thenAlways(
      async () => {
        await sleep(3000);
        expect(settled).toBe(false);
      },
      () => {
        psql(request.source, 'SELECT pg_wal_replay_resume()');
      },
    );
    await settling;
    await activities.releaseNodes(request);
  });

  test('F5: a pool that leads to somebody else is no success', async () => {
    const request = moved();
    const access = accessCluster(deps, 'veloz');
    await activities.verifyMove(request, 0);
    await withSession(access.pooler(), async (pooler) => {
      const token = tokenOf(request.run, 'move');
      await pooler.call('claim', { token });
      // Its agent leads writers to a standby only while they are held.
      const candidates = access.topology.postgres.nodes.map(({ name }) => access.internal(name));
      await pooler.call('hold', { token, pauseLimitMs: 2000, limitMs: 5000, candidates });
      await pooler.call('route', { token, ...access.internal(request.source) });
      await pooler.call('release', { token });
      await thenAlways(
        async () => {
          await expect(activities.verifyMove(request, 0)).rejects.toThrow(
            /^F5: no client gets through veloz-pgbouncer, /,
          );
        },
        async () => {
          await pooler.call('route', { token, ...access.internal(request.target) });
          await pooler.call('forget', { token });
        },
      );
    });
    await waitUntil('the pool reaching the primary again', async () => {
      await activities.verifyMove(request, 0);
      return true;
    });
  });

  test('M8: a pool that applications have filled delays no proof, and is told', async () => {
    const access = accessCluster(deps, 'veloz');
    const clients = await Promise.all(Array.from({ length: 25 }, () => access.frontDoor(60_000)));
    const busy = clients.map((client) => client.query('SELECT pg_sleep(8)').catch(() => undefined));
    try {
      await waitUntil('a pool that is full', async () => ((await look()).pooler.console?.waitingClients ?? 0) > 0);
      const began = performance.now();
      const { warnings } = await activities.verifyMove(moved(), 0);
      expect(performance.now() - began).toBeLessThan(4000);
      expect(warnings.join('\n')).toContain('M8: clients wait at veloz-pgbouncer for a server');
    } finally {
      for (const client of clients) client.close();
      await Promise.allSettled(busy);
    }
  });

  test('K2 and K8: settings that change in the middle of the soak end it', async () => {
    const request = moved();
    const before = psql(request.target, 'SHOW synchronous_standby_names');
    const watching = activities.verifyMove(request, 20_000);
    watching.catch(() => undefined);
    await thenAlways(
      async () => {
        await sleep(1000);
        setNames('');
        await expect(watching).rejects.toThrow(/^synchronous_standby_names is '', expected '/);
      },
      () => {
        setNames(before);
      },
    );
    expect((await activities.verifyMove(request, 600)).soakedMs).toBeGreaterThanOrEqual(600);
  });
});

describe('a CHECKPOINT that takes longer than a stop may (D4)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'veloz-ha-proofs-'));
  let rig: Rig;
  beforeAll(async () => {
    const topology = parse(readFileSync(topologyPath(), 'utf8')) as { clusters: { veloz: { limits?: object } } };
    topology.clusters.veloz.limits = { ...topology.clusters.veloz.limits, checkpoint: '0s' };
    const file = join(folder, 'topology.yaml');
    writeFileSync(file, stringify(topology));
    rig = await Rig.start();
    await rig.worker({ VELOZ_HA_TOPOLOGY: file });
    await whole();
  });
  afterAll(async () => {
    await rig.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test('ends the run before anybody is held, and nothing is left of it', () =>
    whileClientsWrite(async () => {
      const before = await fingerprint();
      const error = await rig.switchover().catch((caught: unknown) => caught as WorkflowFailedError);
      expect(String((error as WorkflowFailedError).cause)).toMatch(
        /D4: a CHECKPOINT takes .* \(limit: 0 ms, limits\.checkpoint\)/,
      );
      expect(await fingerprint()).toEqual(before);
    }));
});

describe('what a ledger that says protected does not know by itself', () => {
  let guarded: Guarded;
  beforeAll(async () => {
    guarded = await Guarded.start();
    await whole();
  });
  afterAll(() => guarded.close());
  afterEach(async () => {
    await guarded.rest();
    await recovered();
  }, 240_000);

  test('I7: a commit whose wait was cancelled is not lost: the primary that alone has it is started again', async () => {
    const before = await roles();
    await guarded.work();
    await guarded.guard();
    psql(before.primary, 'DROP TABLE IF EXISTS e2e_cancelled');
    psql(before.primary, 'CREATE TABLE e2e_cancelled (n int)');
    const waiting = `FROM pg_stat_activity WHERE wait_event = 'SyncRep'`;
    const count = () => psql(before.primary, `SELECT count(*) ${waiting}`);
    await faultsOf(cluster).partition.inject(before.standby);
    await thenAlways(
      async () => {
        const insert = 'INSERT INTO e2e_cancelled VALUES (1)';
        docker('exec', '-d', before.primary, 'psql', '-U', 'postgres', '-d', 'veloz', '-c', insert);
        await waitUntil('the commit waiting', () => count() !== '0');
        psql(before.primary, `SELECT pg_cancel_backend(pid) ${waiting}`);
        await waitUntil('the commit being acknowledged', () => count() === '0');
        // Two rounds of the watch.
        await sleep(500);
        docker('kill', before.primary);
      },
      async () => {
        await faultsOf(cluster).partition.heal(before.standby);
      },
    );
    await takesWrites(before.primary, guarded);
    expect(psql(before.primary, 'SELECT count(*) FROM e2e_cancelled')).toBe('1');
    await guarded.protectedBy(before.primary, 120_000);
    await whole();
    expect(await roles()).toEqual(before);
    psql(before.primary, 'DROP TABLE e2e_cancelled');
  }, 240_000);

  test('a stranger without a slot that would confirm as soon as the standby ends is told long before', async () => {
    const before = await roles();
    await guarded.work();
    await guarded.guard();
    const state = () =>
      psql(
        before.primary,
        "SELECT string_agg(sync_state, ',') FROM pg_stat_replication WHERE pid NOT IN (SELECT active_pid FROM pg_replication_slots WHERE active)",
      );
    const receive = `mkdir -p /tmp/e2e-next && exec pg_receivewal -n --synchronous -D /tmp/e2e-next -d "host=/var/run/postgresql user=postgres application_name=veloz_standby"`;
    // Of two with the same name the one that came first, to the first free place, confirms.
    docker('restart', before.standby);
    const streams = `SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE r.sync_state = 'sync'`;
    await waitUntil('the standby confirming again', () => psql(before.primary, streams) === '1', 60_000);
    await guarded.protectedBy(before.primary, 120_000);
    docker('exec', '-d', before.primary, 'sh', '-c', `PATH=/usr/lib/postgresql/17/bin:$PATH; ${receive}`);
    await thenAlways(
      async () => {
        await waitUntil('the stranger', () => state() === 'potential');
        await guarded.until(
          'the ledger telling it',
          ({ ledger }) =>
            ledger.state === 'degraded' && ledger.why.includes('veloz_standby, which has no slot, may confirm commits'),
        );
        // While it is there, nothing is promised.
        const told = await cli(['guard', 'status'], guarded.env);
        expect((told.stdout + told.stderr).replace(/\s+/g, ' ')).toContain('may confirm commits');
      },
      () => {
        docker(
          ...['exec', before.primary, 'sh', '-c'],
          'for p in /proc/[0-9]*; do [ "$(cat $p/comm)" = pg_receivewal ] && kill -KILL ${p#/proc/}; done; rm -rf /tmp/e2e-next',
        );
      },
    );
    await guarded.protectedBy(before.primary, 120_000);
    await whole();
    expect(await roles()).toEqual(before);
  }, 240_000);

  test('I7: WAL that the disk of the standby damaged before it was replayed is not called safe', async () => {
    const before = await roles();
    await guarded.work();
    await guarded.guard();
    psql(before.primary, 'DROP TABLE IF EXISTS e2e_damaged');
    psql(before.primary, 'CREATE TABLE e2e_damaged (n int)');
    // A segment of its own: what is damaged lies inside it.
    psql(before.primary, 'SELECT pg_switch_wal()');
    psql(before.primary, 'INSERT INTO e2e_damaged VALUES (0)');
    await waitUntil('its replay', () => psql(before.standby, 'SELECT count(*) FROM e2e_damaged') === '1');
    psql(before.standby, 'SELECT pg_wal_replay_pause()');
    await waitUntil('the pause', () => psql(before.standby, 'SELECT pg_get_wal_replay_pause_state()') === 'paused');
    const [file = '', offset = ''] = psql(
      before.primary,
      `SELECT file_name || ' ' || file_offset FROM pg_walfile_name_offset(pg_current_wal_flush_lsn())`,
    ).split(' ');
    // Acknowledged: the standby has it on its disk.
    psql(before.primary, 'INSERT INTO e2e_damaged SELECT generate_series(1, 2000)');
    const damage = `head -c 64 /dev/urandom | dd of=/var/lib/postgresql/data/pg_wal/${file} bs=1 seek=${Number(offset) + 16_384} conv=notrunc`;
    docker('exec', '-u', 'postgres', before.standby, 'sh', '-c', damage);
    docker('kill', before.primary);
    await takesWrites(before.standby, guarded);
    expect(psql(before.standby, 'SELECT count(*) FROM e2e_damaged')).toBe('1');
    const report = await guarded.report();
    expect(report.outcome).toBe('completed with warnings');
    expect(report.failover?.lossBound).toBeNull();
    expect(report.failover?.proof).toBeUndefined();
    expect(report.warnings.join('\n')).toMatch(
      new RegExp(`I7: whether something is lost is not known: ${before.standby} had received WAL up to .* are damaged`),
    );
    await guarded.protectedBy(before.standby, 120_000);
    psql(before.standby, 'DROP TABLE e2e_damaged');
  }, 300_000);

  test('a stranger on the slot of a standby protects nothing: that is told, and what it confirmed is not lost', async () => {
    const before = await roles();
    await guarded.work();
    await guarded.guard();
    psql(before.primary, 'DROP TABLE IF EXISTS e2e_stranger');
    psql(before.primary, 'CREATE TABLE e2e_stranger (n int)');
    // It waits for the slot, and dies with the container of the primary.
    const receive = `pg_receivewal -n --synchronous -S ${slotName(before.standby)} -D /tmp/e2e-stranger -d "host=/var/run/postgresql user=postgres application_name=veloz_standby"`;
    const loop = `PATH=/usr/lib/postgresql/17/bin:$PATH; mkdir -p /tmp/e2e-stranger; while [ -d /tmp/e2e-stranger ]; do ${receive}; sleep 0.05; done`;
    docker('exec', '-d', before.primary, 'sh', '-c', loop);
    await thenAlways(
      async () => {
        docker('stop', before.standby);
        docker('start', before.standby);
        psql(before.primary, 'INSERT INTO e2e_stranger VALUES (1)');
        await guarded.until(
          'the ledger telling it',
          ({ ledger }) => ledger.state === 'degraded' && ledger.why.startsWith('somebody else may confirm commits'),
        );
        docker('kill', before.primary);
        await takesWrites(before.primary, guarded);
      },
      () => {
        docker('start', before.primary, before.standby);
        docker('exec', '-u', 'root', before.primary, 'rm', '-rf', '/tmp/e2e-stranger');
      },
    );
    expect(psql(before.primary, 'SELECT count(*) FROM e2e_stranger')).toBe('1');
    await guarded.protectedBy(before.primary, 120_000);
    await whole();
    expect(await roles()).toEqual(before);
    psql(before.primary, 'DROP TABLE e2e_stranger');
  }, 240_000);
});
