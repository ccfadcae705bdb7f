import { join } from 'node:path';
import { Client, Connection, WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { Stand, type Started } from '../../../src/bench/stand';
import { Writers } from '../../../src/bench/writers';
import { selectCluster } from '../../../src/cluster/topology';
import { readSecret } from '../../../src/systems/secrets';
import { callInterceptors } from '../../../src/systems/temporal-calls';
import { loadTopology } from '../../../src/systems/topology-file';
import type { Report } from '../../../src/workflows/run-state';
import type { SwitchoverInput } from '../../../src/workflows/switchover-input';
import { waitUntil } from './stack';

/** Temporal, workers and a client of one test file. */
export class Rig {
  private counter = 0;

  private constructor(
    readonly stand: Stand,
    readonly client: Client,
    private readonly connection: Connection,
  ) {}

  static async start(): Promise<Rig> {
    const stand = await Stand.start();
    const connection = await Connection.connect({ address: stand.address, interceptors: callInterceptors() });
    return new Rig(stand, new Client({ connection }), connection);
  }

  /** For the CLI: which Temporal it should talk to. */
  get env(): NodeJS.ProcessEnv {
    return { TEMPORAL_ADDRESS: this.stand.address };
  }

  worker(env: NodeJS.ProcessEnv = {}): Promise<Started> {
    return this.stand.startWorker(env);
  }

  /** A worker that dies at a point of the runbook, unless another one did already. */
  dyingWorker(at: string): Promise<Started> {
    return this.worker(this.dying(at));
  }

  dying(at: string): NodeJS.ProcessEnv {
    return {
      VELOZ_HA_TEST_FAULTS: 'yes-end-this-worker',
      VELOZ_HA_DIE_AT: at,
      VELOZ_HA_DIE_ONCE: join(this.stand.folder, `died-${++this.counter}`),
    };
  }

  /** Starts a switchover as the Web UI would: some id, one JSON payload or none. */
  start(input?: unknown, workflowId = `e2e/${process.pid}/${++this.counter}/${Date.now()}`) {
    return this.client.workflow.start('switchover', {
      taskQueue: this.stand.taskQueue,
      workflowId,
      args: input === undefined ? [] : [input],
    });
  }

  /** Runs a switchover without approval and without soak. */
  async switchover(input: SwitchoverInput = {}): Promise<Report> {
    const handle = await this.start({ approval: 'given', soak: '0s', startedBy: 'e2e', ...input });
    return (await handle.result()) as Report;
  }

  async close(): Promise<void> {
    await this.connection.close();
    await this.stand.close();
  }
}

/** How often a run is started that ends before its worker dies. */
const START_TRIES = 3;

/**
 * Starts a run whose worker dies at a point of it, and waits for that death. On a machine that stalls a switchover gives up before (clients
 * are held for two seconds at most), and is rolled back: then it is started again.
 * @returns the run whose worker died
 * @throws Error with how they ended, where several in a row end before that
 */
export async function startedUntil(
  what: string,
  died: () => boolean,
  start: () => Promise<WorkflowHandle>,
): Promise<WorkflowHandle> {
  const ends: string[] = [];
  while (ends.length < START_TRIES) {
    const handle = await start();
    const run = { ended: '' };
    handle.result().then(
      (report) => (run.ended = JSON.stringify(report)),
      (error: unknown) => (run.ended = String((error as Error).cause ?? error)),
    );
    await waitUntil(what, () => died() || run.ended !== '').catch(async (error: unknown) => {
      throw new Error(`${(error as Error).message}: ${JSON.stringify(await handle.query('status'))}`);
    });
    if (died()) return handle;
    ends.push(run.ended);
  }
  throw new Error(`${what}: the runs ended before it:\n${ends.join('\n')}`);
}

/** The failure with which a run ended: its type, its sentence, its report. */
export async function failureOf(run: Promise<unknown>): Promise<{ type: string; message: string; report?: Report }> {
  try {
    await run;
  } catch (error) {
    const cause = error instanceof WorkflowFailedError ? error.cause : error;
    if (cause instanceof ApplicationFailure)
      return { type: cause.type ?? '', message: cause.message, report: cause.details?.[0] as Report | undefined };
    throw error;
  }
  throw new Error('the run succeeded');
}

/** Clients at the front door: 8 that insert 50 rows a second each. */
export function frontDoorWriters(clients = 8, rate = 50): Writers {
  const selected = selectCluster(loadTopology());
  if ('error' in selected) throw new Error(selected.error);
  const { cluster } = selected;
  const door = cluster.pgbouncer.nodes[0]?.address ?? { host: '127.0.0.1', port: 6432 };
  const { client, database } = cluster.postgres;
  return new Writers(
    door,
    { user: client.user, password: readSecret(client.passwordFrom, process.env), database },
    clients,
    rate,
  );
}
