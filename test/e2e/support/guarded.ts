import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { readFileSync } from 'node:fs';
import type { Started } from '../../../src/bench/stand';
import { packageRoot } from '../../../src/cli/paths';
import type { GuardMode } from '../../../src/cluster/guard/policy';
import { guardQuery, guardWorkflowId, type GuardState } from '../../../src/workflows/guard-messages';
import { WORKFLOW_TASK_TIMEOUT } from '../../../src/workflows/messages';
import type { Report } from '../../../src/workflows/run-state';
import { Rig } from './rig';
import { waitUntil } from './stack';

const CLUSTER = 'veloz';

/** The topology of the tests with a guard whose waits are short. */
function quickTopology(folder: string): string {
  const shipped = process.env.VELOZ_HA_TOPOLOGY ?? join(packageRoot, 'topology.yaml');
  const topology = parse(readFileSync(shipped, 'utf8')) as {
    clusters: Record<string, Record<string, unknown>>;
  };
  Object.assign(topology.clusters[CLUSTER] ?? {}, {
    soak: '0s',
    // A PostgreSQL that crashed may take its time on a busy machine.
    guard: { mode: 'auto', standbyLostAfter: '3s', backoff: '2s', restartBudget: '10s' },
  });
  const file = join(folder, 'topology.yaml');
  writeFileSync(file, stringify(topology));
  return file;
}

/** A cluster under guard: Temporal, workers, the guard, and what it says. */
export class Guarded {
  private readonly folder = mkdtempSync(join(tmpdir(), 'veloz-ha-guarded-'));
  private readonly topology = quickTopology(this.folder);
  workers: Started[] = [];

  private constructor(readonly rig: Rig) {}

  static async start(): Promise<Guarded> {
    return new Guarded(await Rig.start());
  }

  get env(): NodeJS.ProcessEnv {
    return { ...this.rig.env, VELOZ_HA_TOPOLOGY: this.topology };
  }

  /** Workers with the quick topology; they are ended by {@link rest}. */
  async work(count = 2, env: NodeJS.ProcessEnv = {}): Promise<Started[]> {
    const started = await Promise.all(
      Array.from({ length: count }, () => this.rig.worker({ VELOZ_HA_TOPOLOGY: this.topology, ...env })),
    );
    this.workers.push(...started);
    return started;
  }

  get handle() {
    return this.rig.client.workflow.getHandle(guardWorkflowId(CLUSTER));
  }

  /** Starts the guard, and waits until its ledger says protected and it knows the master of Redis. */
  async guard(mode: GuardMode = 'auto'): Promise<GuardState> {
    await this.rig.client.workflow.start('guard', {
      taskQueue: this.rig.stand.taskQueue,
      workflowId: guardWorkflowId(CLUSTER),
      workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT,
      args: [{ mode, startedBy: 'e2e' }],
    });
    return this.until(
      'the ledger being protected',
      ({ ledger, redis }) => ledger.state === 'protected' && redis?.master !== null,
    );
  }

  async state(): Promise<GuardState> {
    return this.handle.query(guardQuery);
  }

  /** Waits until the guard's state is as wanted, and returns it. */
  async until(what: string, holds: (state: GuardState) => boolean, limitMs = 60_000): Promise<GuardState> {
    let last: GuardState | undefined;
    try {
      await waitUntil(
        what,
        async () => {
          last = await this.state();
          return holds(last);
        },
        limitMs,
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}; the guard: ${JSON.stringify(last, null, 1)}`);
    }
    if (last === undefined) throw new Error(what);
    return last;
  }

  /** Waits until the cluster is protected with this node as primary, and nothing is under way: no failover, no rejoin, no repair. */
  protectedBy(primary: string, limitMs = 90_000): Promise<GuardState> {
    return this.until(
      `${primary} being a protected primary`,
      ({ ledger, acting, mending }) =>
        ledger.state === 'protected' &&
        ledger.primary === primary &&
        acting === undefined &&
        mending?.acting === undefined,
      limitMs,
    );
  }

  /** The runs of a runbook that the guard started, oldest first. */
  async runs(what = 'failover'): Promise<string[]> {
    const { events } = await this.state();
    const ids = events.flatMap(({ kind, says, run }) =>
      kind === 'failover' && run !== undefined && says.startsWith(`${what} started`) ? [run] : [],
    );
    return [...new Set(ids)];
  }

  /** The report of the newest failover. */
  async report(what = 'failover'): Promise<Report> {
    const run = (await this.runs(what)).at(-1);
    if (run === undefined) throw new Error(`the guard started no ${what}`);
    return (await this.rig.client.workflow.getHandle(run).result()) as Report;
  }

  /** Ends the guard and the workers: the next scenario begins anew. */
  async rest(): Promise<void> {
    await this.handle.terminate('end of the scenario').catch(() => undefined);
    await this.endRuns().catch(() => undefined);
    await Promise.all(this.workers.map((worker) => worker.kill()));
    this.workers = [];
  }

  /** A run that is under way would go on with the next scenario's workers, and hold its lock. */
  private async endRuns(): Promise<void> {
    const { workflow } = this.rig.client;
    for await (const { workflowId } of workflow.list({ query: `ExecutionStatus = 'Running'` }))
      await workflow
        .getHandle(workflowId)
        .terminate('end of the scenario')
        .catch(() => undefined);
  }

  async close(): Promise<void> {
    await this.rest();
    await this.rig.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
