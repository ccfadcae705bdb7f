import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { linkFault } from '../../src/bench/faults';
import { routeByHand } from '../../src/cluster/commands';
import { composeArguments } from '../../src/cli/compose';
import { packageRoot } from '../../src/cli/paths';
import { slotName } from '../../src/cluster/topology';
import { giveWaySignal } from '../../src/workflows/messages';
import { obey, untouched, whileClientsWrite } from './support/refusal';
import { failureOf, Rig } from './support/rig';
import { relax, run, slotsOf, syncStates } from './support/standby-runs';
import { cli, docker, look, POOLER, psql, roles, thenAlways, waitUntil, whole } from './support/stack';

const THIRD = 'veloz-postgres-standby-2';

/** A cluster of two becomes one of three, and one of two again. */
describe('a second standby', () => {
  let rig: Rig;
  let primary: string;
  let standby: string;
  beforeAll(async () => {
    rig = await Rig.start();
    await rig.worker();
    gone();
    await whole();
    ({ primary, standby } = await roles());
  });
  afterAll(async () => {
    gone();
    await rig.close();
  });

  /** Its container and its volume are deleted, as the report of its removal says. */
  function gone(): void {
    docker('rm', '--force', THIRD);
    if (docker('volume', 'ls', '--quiet', '--filter', `name=^${THIRD}$`).trim() !== '') docker('volume', 'rm', THIRD);
  }

  const names = () => psql(primary, 'SHOW synchronous_standby_names');
  const both = () => [standby, THIRD].map((node) => `${slotName(node)} quorum`).sort();

  test('without a container it is refused, with the command that makes one', async () => {
    const { type, message } = await untouched(() => failureOf(run(rig, 'addStandby')));
    expect(type).toBe('Refused');
    expect(message).toContain(`E4: ${THIRD} has no container`);
    expect(message).toMatch(/Next: veloz-ha stack up --standbys 2$/);
  });

  test('is added under load: it copies the primary, and any one of the two confirms a commit', async () => {
    const up = await cli(['stack', 'up', '--standbys', '2']);
    expect({ code: up.code, stderr: up.code === 0 ? '' : up.stderr }).toEqual({ code: 0, stderr: '' });
    await whileClientsWrite(async () => {
      const report = await run(rig, 'addStandby');
      expect(report.outcome).toBe('completed');
      expect(report.primaryAfter).toBe(primary);
    });
    expect(names()).toBe('ANY 1 (veloz_standby)');
    expect(syncStates(primary)).toEqual(both());
    const again = await untouched(() => run(rig, 'addStandby', { node: THIRD }));
    expect(again.says).toBe(`${THIRD} is a standby of ${primary} already, and quorum. Nothing was changed`);
  });

  test('may be the primary, and the old primary after it: all follow, and the names stay right', async () => {
    await whileClientsWrite(async () => {
      expect((await rig.switchover({ target: THIRD })).outcome).toMatch(/^completed/);
      expect(psql(THIRD, 'SHOW synchronous_standby_names')).toBe('ANY 1 (veloz_standby)');
      expect(syncStates(THIRD)).toEqual([primary, standby].map((node) => `${slotName(node)} quorum`).sort());
      expect((await rig.switchover({ target: primary })).outcome).toMatch(/^completed/);
    });
    expect(syncStates(primary)).toEqual(both());
  });

  test('replays with a delay: the primary moves between the two others, and it follows once it replays', async () => {
    const delay = (setting: string) => {
      psql(THIRD, setting);
      psql(THIRD, 'SELECT pg_reload_conf()');
    };
    await thenAlways(
      async () => {
        delay(`ALTER SYSTEM SET recovery_min_apply_delay = '30min'`);
        await waitUntil('the delay', () => psql(THIRD, 'SHOW recovery_min_apply_delay') === '30min');
        await whileClientsWrite(async () => {
          const report = await rig.switchover({ target: standby });
          expect(report.outcome).toBe('completed with warnings');
          expect(report.warnings.join('\n')).toContain(`${THIRD} follows ${standby} only once it replays`);
          expect(report.primaryAfter).toBe(standby);
        });
        expect(psql(standby, 'SHOW synchronous_standby_names')).toBe('ANY 1 (veloz_standby)');
      },
      async () => {
        delay('ALTER SYSTEM RESET recovery_min_apply_delay');
        await waitUntil('the third node following', async () => {
          const now = (await roles()).primary;
          return syncStates(now)
            .join()
            .includes(`${slotName(THIRD)} quorum`);
        });
        if ((await roles()).primary !== primary)
          expect((await rig.switchover({ target: primary })).outcome).toMatch(/^completed/);
      },
    );
    expect(syncStates(primary)).toEqual(both());
  }, 300_000);

  test('was promoted by hand at the very point where the primary was: copied, although it wrote less', async () => {
    const both = [standby, THIRD];
    const rows = (node: string) => psql(node, 'SELECT count(*), min(i) FROM e2e_apart');
    const newestLine = (node: string) =>
      docker(
        'exec',
        node,
        'sh',
        '-c',
        'tail -n 1 "$(ls /var/lib/postgresql/data/pg_wal/*.history | tail -n 1)"',
      ).trim();
    psql(primary, 'CREATE TABLE e2e_apart (i int)');
    for (const node of both) relax(node);
    docker('stop', primary);
    for (const node of both) psql(node, 'SELECT pg_promote()');
    // Nobody who promotes by hand thinks of it: without it the WAL that the primary needs may be gone by the time it comes back.
    psql(standby, `SELECT pg_create_physical_replication_slot('${slotName(primary)}', true)`);
    // The same number and the same point: by these alone it is one history.
    expect(newestLine(THIRD)).toBe(newestLine(standby));
    psql(THIRD, 'INSERT INTO e2e_apart VALUES (-1)');
    psql(standby, 'INSERT INTO e2e_apart SELECT generate_series(1, 1000)');
    await obey(routeByHand(POOLER, { host: standby, port: 5432 }));

    const copied = await run(rig, 'rejoin', { node: THIRD });
    expect(copied.rejoin).toMatchObject({ node: THIRD, method: 'copy', lost: expect.anything() as unknown });
    expect(copied.rejoin?.lost?.commits).toBeGreaterThanOrEqual(1);
    expect(docker('exec', THIRD, 'cat', `${copied.rejoin?.quarantine}/lost-wal.txt`)).toContain('COMMIT');
    await waitUntil('the rows being there', () => rows(THIRD) === '1000|1');

    // The primary before, which was stopped cleanly on the timeline that both had left, follows as it is.
    expect((await run(rig, 'rejoin', { node: primary })).rejoin).toMatchObject({ node: primary, method: 'none' });
    expect((await rig.switchover({ target: primary })).outcome).toMatch(/^completed/);
    psql(primary, 'DROP TABLE e2e_apart');
    expect(syncStates(primary)).toEqual(both.map((node) => `${slotName(node)} quorum`).sort());
  }, 300_000);

  const repair = (name: string) =>
    rig.client.workflow.start('repair', {
      taskQueue: rig.stand.taskQueue,
      workflowId: `e2e/repair/${process.pid}/${name}/${Date.now()}`,
      args: [{ approval: 'given', soak: '0s', startedBy: 'e2e' }],
    });

  /** The first standby can't reach the primary during `body`, and both of them know; then all is mended. */
  async function whileCutOff(body: () => Promise<void>): Promise<void> {
    const link = linkFault(standby, primary);
    await thenAlways(
      async () => {
        await link.inject(standby);
        psql(standby, 'SELECT pg_terminate_backend(pid) FROM pg_stat_wal_receiver');
        psql(
          primary,
          `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${slotName(standby)}' AND active`,
        );
        await body();
      },
      async () => {
        await link.heal(standby);
      },
    );
    await (await repair('mend')).result();
    expect(syncStates(primary)).toEqual(both());
  }

  test('is mended by a repair that can not mend the other one, and tells both', async () => {
    await whileCutOff(async () => {
      docker('kill', THIRD);
      const handle = await repair('one of two');
      await expect(handle.result()).rejects.toMatchObject({ cause: { type: 'Incomplete' } });
      expect(syncStates(primary).join()).toContain(slotName(THIRD));
    });
  }, 600_000);

  test('a repair that looks gives way at once, and has changed nothing', async () => {
    await whileCutOff(async () => {
      const handle = await repair('gives way');
      const asking = setInterval(() => {
        handle.signal(giveWaySignal, { primary, why: 'the test' }).catch(() => undefined);
      }, 500);
      try {
        const failure = { type: 'Incomplete', message: expect.stringContaining('gave way') as unknown };
        await expect(handle.result()).rejects.toMatchObject({ cause: failure });
      } finally {
        clearInterval(asking);
      }
    });
  }, 300_000);

  test('is not removed while it is the primary, and neither is the last standby', async () => {
    const { message } = await untouched(() => failureOf(run(rig, 'removeStandby', { node: primary })));
    expect(message).toContain(`A2: ${primary} is the primary`);
  });

  test('is removed under load: nothing waits for it, nothing is kept for it, and whoever starts it, it stays down', async () => {
    await whileClientsWrite(async () => {
      const report = await run(rig, 'removeStandby', { node: THIRD });
      expect(report.outcome).toBe('completed');
      expect(report.next.map(({ command }) => command)).toContain(`docker volume rm ${THIRD}`);
    });
    expect(names()).toBe('veloz_standby');
    expect(syncStates(primary)).toEqual([`${slotName(standby)} sync`]);
    expect(slotsOf(primary)).toEqual([slotName(standby)]);
    docker('restart', THIRD);
    await waitUntil('its agent answering', async () => {
      const node = (await look()).nodes.find(({ name }) => name === THIRD);
      return node?.agent?.desired === 'fenced' && node.agent.postgresState === 'stopped';
    });
    const again = await untouched(() => run(rig, 'removeStandby', { node: THIRD }));
    expect(again.says).toBe(`${THIRD} is no standby of ${primary} any more. Nothing was changed`);
    const { message } = await untouched(() => failureOf(run(rig, 'removeStandby', { node: standby })));
    expect(message).toContain(`B2: without ${standby} no standby would be left`);
  });

  test('comes back as it was, without a copy, when it is added again', async () => {
    const report = await run(rig, 'addStandby');
    expect(report.rejoin).toMatchObject({ node: THIRD, method: 'none' });
    expect([names(), syncStates(primary)]).toEqual(['ANY 1 (veloz_standby)', both()]);
    await run(rig, 'removeStandby', { node: THIRD });
    gone();
    await whole();
    expect(names()).toBe('veloz_standby');
  });
});

/** `VELOZ_PG_ROLE` says who may create a new database system, and only ever the first one. */
describe('a node that begins anew with the role of the primary', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await Rig.start();
    await rig.worker();
    await whole();
  });
  afterAll(() => rig.close());

  test('has seen the primary before that was killed: it creates no database system, and copies the primary when it is back', async () => {
    const before = await roles();
    const role = (node: string) => docker('exec', node, 'printenv', 'VELOZ_PG_ROLE').trim();
    if (role(before.primary) === 'primary') await rig.switchover();
    const { primary, standby } = await roles();
    expect(role(standby)).toBe('primary');
    const system = psql(primary, 'SELECT system_identifier FROM pg_control_system()');
    const says = async () => (await look()).nodes.find(({ name }) => name === standby)?.agent?.startGuard ?? '';
    // The copy can't begin, so that it does not end before the primary does.
    psql(primary, 'ALTER ROLE replicator NOLOGIN');
    await thenAlways(
      async () => {
        docker('rm', '--force', standby);
        docker('volume', 'rm', standby);
        const up = composeArguments(1, ['up', '-d', '--no-deps', standby.replace(/^veloz-/, '')]);
        execFileSync('bash', [join('scripts', 'compose.sh'), ...up], { cwd: packageRoot, stdio: 'pipe' });
        await waitUntil('the copy being tried', async () => (await says()).includes('is begun anew'));
        docker('kill', primary);
        await waitUntil('the node waiting', async () => (await says()).includes(`database system ${system}`));
        // It knows that from its volume too.
        docker('restart', standby);
        await waitUntil('the node waiting again', async () => (await says()).includes(`database system ${system}`));
      },
      async () => {
        docker('start', primary);
        await waitUntil('the primary being back', () => psql(primary, 'SELECT pg_is_in_recovery()') === 'f');
        psql(primary, 'SET synchronous_commit = local; ALTER ROLE replicator LOGIN');
      },
    );
    await whole(120_000);
    expect(await roles()).toEqual({ primary, standby });
    expect(psql(standby, 'SELECT system_identifier FROM pg_control_system()')).toBe(system);
  }, 300_000);
});
