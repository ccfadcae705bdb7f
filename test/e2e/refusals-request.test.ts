import { randomUUID } from 'node:crypto';
import type { ErrorDocument } from '../../src/cli/errors';
import { lockWorkflowId } from '../../src/workflows/messages';
import type { Report, RunState } from '../../src/workflows/run-state';
import {
  asked,
  cameToNothing,
  failedCommand,
  obey,
  refused,
  topologyText,
  addElsewhere,
  topologyWith,
  untouched,
  whileClientsWrite,
} from './support/refusal';
import { failureOf, Rig } from './support/rig';
import { cli, roles, waitUntil, whole } from './support/stack';

describe('a switchover is refused when what was asked for can not be', () => {
  let rig: Rig;
  let primary: string;
  let standby: string;
  beforeAll(async () => {
    rig = await Rig.start();
    const twoClusters = topologyWith(rig, (document) => {
      addElsewhere(document);
    });
    await rig.worker(twoClusters);
    await whole();
    ({ primary, standby } = await roles());
  });
  afterAll(() => rig.close());

  const phaseOf = async (workflowId: string) =>
    (await rig.client.workflow.getHandle(workflowId).query<RunState>('status')).phase;
  const untilWaiting = (workflowId: string) =>
    waitUntil(`${workflowId} waiting for approval`, async () => (await phaseOf(workflowId)) === 'awaiting approval');
  /** Starts a run that waits for approval; returns its id. */
  const detached = async (...args: string[]) => {
    const { code, document } = await asked(rig, 'postgres', 'switchover', '--detach', ...args);
    expect(code).toBe(0);
    return (document as { run: { workflowId: string } }).run.workflowId;
  };
  const endOf = async (workflowId: string) => {
    const { code, document } = await asked(rig, 'watch', workflowId);
    const { outcome, says } = document as Report;
    return { code, outcome, says };
  };

  it('the primary is another one than the request expects', () =>
    whileClientsWrite(async () => {
      const { id, sentence, next } = await refused(rig, '--expected-primary', standby);

      expect(id).toBe('A1');
      expect(sentence).toContain(`${primary} is the primary, not ${standby} (limit: expectedPrimary ${standby})`);
      expect(next).toBe('veloz-ha postgres status --cluster veloz');
      expect(await obey(next)).toContain(primary);
    }));

  it('the target is no node of the cluster', async () => {
    const { id, sentence, next } = await refused(rig, '--to', 'veloz-postgres-standbye');

    expect(id).toBe('A2');
    expect(sentence).toContain('veloz-postgres-standbye is no standby of this cluster: the topology has no such node');
    expect(sentence).toContain(standby);
    expect(next).toBe(`veloz-ha postgres switchover --cluster veloz --to ${standby}`);
  });

  it('it is too late', async () => {
    const { id, sentence, next } = await refused(rig, '--not-after', '2020-01-01T00:00:00Z');

    expect(id).toBe('E7');
    expect(sentence).toMatch(/it is too late to start: it is 20\S+Z \(limit: notAfter 2020-01-01T00:00:00Z\)/);
    expect(next).toBe('veloz-ha postgres switchover --cluster veloz');
  });

  it('the cluster is unknown', async () => {
    const { code, error } = await failedCommand(rig, ['postgres', 'switchover', '--yes', '--cluster', 'velos']);

    expect(code).toBe(2);
    expect(error).toMatchObject({
      type: 'BadInput',
      message: 'unknown cluster "velos": the topology has veloz, elsewhere. Nothing was changed',
      next: 'veloz-ha postgres switchover --cluster veloz',
    });
  });

  it.each([
    [{ clutser: 'veloz' }, 'Unrecognized key: "clutser"'],
    [{ protection: 'fats' }, 'protection: '],
    [{ target: 7 }, 'target: '],
    [{ soak: 'soon' }, 'soak: '],
    [{ pauseLimit: '0s' }, 'pauseLimit: '],
    ['veloz', 'expected object'],
    [42, 'expected object'],
    [[], 'expected object'],
    [{ cluster: 'velos' }, 'unknown cluster "velos"'],
  ])('the form of the Web UI says %j', async (input, says) => {
    const { type, message } = await untouched(async () => failureOf((await rig.start(input)).result()));

    expect(type).toBe('BadInput');
    expect(message).toContain(says);
    expect(message).toMatch(/Nothing was changed/);
  });

  it('an empty form, and null, are no mistake: the run plans for the default cluster and waits for approval', () =>
    untouched(async () => {
      for (const input of [undefined, null]) {
        const run = await rig.start(input);
        await untilWaiting(run.workflowId);
        const { cluster, plan } = await run.query<RunState>('status');
        expect({ cluster, primary: plan?.primary, target: plan?.target }).toEqual({
          cluster: 'veloz',
          primary,
          target: standby,
        });
        await run.executeUpdate('reject');
        expect((await failureOf(run.result())).type).toBe('Rejected');
      }
    }));

  it('another run holds the lock; one that waits for a person holds none', async () => {
    const workflowId = `tuesday's maintenance/${randomUUID()}`;
    await rig.start({}, workflowId);
    await untilWaiting(workflowId);
    const lock = await rig.client.workflow.start('clusterLock', {
      taskQueue: rig.stand.taskQueue,
      workflowId: lockWorkflowId('veloz'),
      args: [{ cluster: 'veloz', runbook: 'e2e', holder: 'e2e', holderRunId: 'e2e' }],
    });

    const { code, report } = await cameToNothing(rig);
    expect({ code, outcome: report.outcome }).toEqual({ code: 4, outcome: 'busy' });
    expect(report.says).toContain(
      `PostgreSQL of cluster veloz is locked: run ${lock.workflowId} holds it (limit: one run at a time). Nothing was changed. Next: veloz-ha watch `,
    );

    // A plan changes nothing and needs no lock; another cluster has a lock of its own.
    const planned = await cli(['postgres', 'switchover', '--plan', '-o', 'json'], rig.env);
    expect(planned.code).toBe(0);
    expect((await refused(rig, '--cluster', 'elsewhere')).sentence).toContain('its container does not exist');

    // Approved, it needs the lock again.
    expect((await cli(['approve', workflowId], rig.env)).code).toBe(0);
    expect(await endOf(workflowId)).toMatchObject({ code: 4, outcome: 'busy' });
    await lock.terminate('end of the scenario');
    const next = await detached();
    await untilWaiting(next);
    expect((await cli(['reject', next, '--why', 'not tonight'], rig.env)).code).toBe(0);
    expect(await endOf(next)).toMatchObject({ code: 6, outcome: 'rejected' });
  });

  it('nobody approves in time', () =>
    untouched(async () => {
      const id = await detached('--approval-timeout', '1s');

      const end = await endOf(id);
      expect(end).toMatchObject({ code: 6, outcome: 'not approved in time' });
      expect(end.says).toBe(
        'Nobody approved within 1.00 s. Nothing was changed. Next: veloz-ha postgres switchover --cluster veloz',
      );
    }));

  it('somebody aborts it before it begins, and nothing more can be decided afterwards', () =>
    untouched(async () => {
      const id = await detached('--reason', 'kernel update');
      await untilWaiting(id);

      expect((await cli(['abort', id, '--by', 'e2e', '--why', 'the market moves'], rig.env)).code).toBe(0);
      const end = await endOf(id);
      expect(end).toMatchObject({ code: 6, outcome: 'aborted' });
      expect(end.says).toContain('aborted by e2e: the market moves');

      for (const decision of ['abort', 'approve', 'reject']) {
        const { code, error } = await failedCommand(rig, [decision, id]);
        expect(code).toBe(3);
        expect(error).toEqual({
          type: 'Refused',
          message: `the run did not take the ${decision}`,
          why: 'it has ended already',
          next: `veloz-ha show ${id}`,
        });
      }
    }));

  it.each([
    ['clusters.veloz.postgres.nodes[1].address.port', 'port: 15433', 'port: fifteen'],
    ['clusters.veloz', 'protection: zero-loss', 'protektion: zero-loss'],
    ['clusters.veloz.postgres.control.passwordFrom', 'VELOZ_PG_HA_PASSWORD', 'hunter2'],
    ['default', 'default: veloz', 'default: velos'],
  ])('the topology has a mistake at %s', async (path, right, wrong) => {
    const environment = topologyText(rig, (text) => text.replace(right, wrong));
    for (const command of [['postgres', 'status'], ['worker']]) {
      const { code, stdout } = await cli([...command, '-o', 'json'], { ...rig.env, ...environment });
      const { error } = JSON.parse(stdout) as ErrorDocument;
      expect({ code, type: error.type }).toEqual({ code: 2, type: 'BadInput' });
      expect(error.why).toContain(`${path}: `);
    }
  });
});
