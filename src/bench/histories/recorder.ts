import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import { packageRoot } from '../../cli/paths';
import { statusQuery, type Decision } from '../../workflows/messages';
import { Stand } from '../stand';
import { callInterceptors } from '../../systems/temporal-calls';

const folder = join(packageRoot, 'test', 'histories');

/** Records real histories for the replay test, on a Temporal server and a worker of its own. */
export class Recorder {
  private constructor(
    private readonly stand: Stand,
    private readonly connection: Connection,
    readonly client: Client,
  ) {}

  static async start(): Promise<Recorder> {
    mkdirSync(folder, { recursive: true });
    const stand = await Stand.start(`veloz-ha-record-${process.pid}`);
    await stand.startWorker();
    const connection = await Connection.connect({ address: stand.address, interceptors: callInterceptors() });
    return new Recorder(stand, connection, new Client({ connection }));
  }

  get taskQueue(): string {
    return this.stand.taskQueue;
  }

  /** Starts a runbook as a person would, under an id that is its name. */
  start(runbook: string, name: string, input?: unknown): Promise<WorkflowHandle> {
    return this.client.workflow.start(runbook, {
      taskQueue: this.taskQueue,
      workflowId: `recorded/${name}`,
      args: input === undefined ? [] : [input],
    });
  }

  /** Waits until a run has ended, however it did, and writes its history. */
  async save(name: string, handle: WorkflowHandle): Promise<void> {
    await handle.result().catch(() => undefined);
    const history = await handle.fetchHistory();
    writeFileSync(join(folder, `${name}.json`), `${historyToJSON(history).replaceAll(`${packageRoot}/`, './')}\n`);
    process.stderr.write(`recorded ${name}: ${history.events?.length} events\n`);
  }

  /** Runs a runbook to its end and writes its history. */
  async run(runbook: string, name: string, input?: unknown): Promise<void> {
    await this.save(name, await this.start(runbook, name, input));
  }

  /** Waits until a run asks for approval. @throws Error with what it says, where it has ended instead */
  async asks(handle: WorkflowHandle): Promise<void> {
    for (;;) {
      const { phase, says } = await handle.query(statusQuery);
      if (phase === 'awaiting approval') return;
      if (phase === 'ended') throw new Error(`${handle.workflowId} ended and asked nobody: ${says}`);
      await sleep(50);
    }
  }

  async decide(handle: WorkflowHandle, what: 'approve' | 'reject'): Promise<void> {
    await handle.executeUpdate<string, [Decision]>(what, { args: [{ by: 'recorder', why: 'for the replay test' }] });
  }

  async close(): Promise<void> {
    await this.connection.close();
    await this.stand.close();
  }
}
