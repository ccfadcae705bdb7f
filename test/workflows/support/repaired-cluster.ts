import { ApplicationFailure, WorkflowFailedError } from '@temporalio/client';
import type { Activities } from '../../../src/activities';
import type { Ledger } from '../../../src/cluster/guard/ledger';
import type { ObservedCluster } from '../../../src/cluster/observed';
import { slotName } from '../../../src/cluster/topology';
import { approveUpdate, giveWaySignal, type Decision } from '../../../src/workflows/messages';
import type { Report } from '../../../src/workflows/run-state';
import type { RejoinInput, RepairInput } from '../../../src/workflows/standby-input';
import { clusterTopology, picture, POOLER, PRIMARY, STANDBY, STANDBY_2, stopped } from '../../cluster/support/picture';
import { type WorkflowServer } from './server';

let clusters = 0;

/** A cluster of three nodes, of which some are fenced, hang or are dead, and activities that mend it and write down that they were asked. */
export class RepairedCluster {
  readonly name = `r${++clusters}-${process.pid}`;
  /** The activities that change something, with their node. */
  readonly did: string[] = [];
  readonly fenced = new Set<string>();
  /** Neither the agent nor the server answers, and the container runs. */
  readonly silent = new Set<string>();
  readonly dead = new Set<string>();
  /** Take writes beside the primary, on a newer timeline. */
  readonly promoted = new Set<string>();
  /** Docker's word on the pooler's container, where it does not run. */
  poolerIs: string | undefined;
  ledger: Ledger | undefined;
  /** With these words the primary refuses clients. */
  refuses: string | undefined;
  readonly can: Partial<Activities> = {};

  constructor(private readonly server: WorkflowServer) {}

  observed(): ObservedCluster {
    const seen = picture({ three: true });
    if (this.poolerIs !== undefined)
      Object.assign(seen.observed.pooler, {
        agent: null,
        agentError: `container ${POOLER} is ${this.poolerIs === 'paused' ? 'paused' : 'not running'}`,
        console: null,
        container: { exists: true, status: this.poolerIs, running: this.poolerIs === 'paused' },
      });
    for (const name of this.promoted)
      Object.assign(seen.node(name).sql, { inRecovery: false, timeline: 4, receiver: null });
    const off = new Set([...this.fenced, ...this.silent, ...this.dead]);
    for (const name of off) {
      const node = seen.node(name);
      Object.assign(node, { sql: null, sqlError: 'no answer' });
      if (this.fenced.has(name) && node.agent !== null)
        Object.assign(node.agent, { desired: 'fenced', postgresState: 'stopped' });
      if (this.silent.has(name)) Object.assign(node, { agent: null, agentError: 'no answer' });
      if (this.dead.has(name)) stopped(node);
      if (name !== PRIMARY && !off.has(PRIMARY)) {
        const { sql } = seen.node(PRIMARY);
        sql.replication = sql.replication.filter(({ slot }) => slot !== slotName(name));
        for (const slot of sql.slots) if (slot.name === slotName(name)) slot.active = false;
      }
    }
    if (this.refuses !== undefined)
      seen.node(PRIMARY).client = { ok: false, user: 'veloz', code: '3D000', readOnly: false, error: this.refuses };
    return seen.observed;
  }

  private activities(): Partial<Activities> {
    const all: Partial<Activities> = {
      describeCluster: () => Promise.resolve({ name: this.name, topology: clusterTopology() }),
      observe: () => Promise.resolve(this.observed()),
      readLedger: () => Promise.resolve(this.ledger),
      lockHolder: () => Promise.resolve(undefined),
      heldLocks: () => Promise.resolve([]),
      lookThroughDoor: () => Promise.resolve({ inRecovery: false, address: '10.0.0.1' }),
      takeNodes: () => Promise.resolve('took all'),
      endClaims: () => Promise.resolve('nobody owns anything'),
      lookAtRejoin: ({ node, primary }) =>
        Promise.resolve({ state: 'streams', says: `${node} streams from ${primary}` }),
      startAsStandby: () => Promise.resolve({ streams: true, ms: 300 }),
      settleRejoin: ({ node }) => {
        for (const each of [this.fenced, this.silent, this.dead]) each.delete(node);
        return Promise.resolve({
          protectedAt: Date.now(),
          timeline: 3,
          names: 'veloz_standby',
          detail: 'synchronous',
          freedBytes: 0,
          warnings: [],
        });
      },
      wakeNode: ({ node }) => {
        this.dead.delete(node);
        return Promise.resolve({ says: `${node} is a primary`, up: true });
      },
      startPooler: () => {
        this.poolerIs = undefined;
        return Promise.resolve({ says: `${POOLER} runs`, up: true });
      },
      fenceSecondPrimary: ({ node }) => {
        this.promoted.delete(node);
        this.fenced.add(node);
        return Promise.resolve(`${node} is fenced`);
      },
      startOldPrimary: ({ node }) => {
        this.fenced.delete(node);
        return Promise.resolve(`${node} is the primary again`);
      },
      restoreNames: () => Promise.resolve({ detail: 'names' }),
      verifyRepair: () => Promise.resolve('verified'),
      verifyStandbys: () => Promise.resolve({ detail: 'verified', soakedMs: 0 }),
      giveBack: () => Promise.resolve(),
      ...this.can,
    };
    const looks = new Set(['describeCluster', 'observe', 'readLedger', 'lockHolder', 'heldLocks', 'lookThroughDoor']);
    return Object.fromEntries(
      Object.entries(all).map(([name, activity]) => [
        name,
        (...args: unknown[]) => {
          const node = (args[0] as { node?: string } | undefined)?.node;
          if (!looks.has(name)) this.did.push(node === undefined ? name : `${name} ${node}`);
          return (activity as (...values: unknown[]) => unknown)(...args);
        },
      ]),
    );
  }

  /** Runs a repair beside `body`, to its end. */
  run(
    input: RepairInput = {},
    body?: (asks: (primary: string) => Promise<void>, approve: () => Promise<unknown>) => Promise<unknown>,
  ): Promise<{ type?: string; report: Report }> {
    return this.runOf('repair', input, body);
  }

  /** The same of another runbook that works on one node. */
  async runOf(
    runbook: 'repair' | 'rejoin',
    input: RepairInput | RejoinInput,
    body: (asks: (primary: string) => Promise<void>, approve: () => Promise<unknown>) => Promise<unknown> = () =>
      Promise.resolve(),
  ): Promise<{ type?: string; report: Report }> {
    return this.server.withWorker(this.activities(), async (taskQueue) => {
      const args = [{ cluster: this.name, approval: 'given', soak: '0s', ...input }];
      const handle = await this.server.client.start(runbook, {
        taskQueue,
        workflowId: `${runbook}-${this.name}`,
        args,
      });
      const approve = () => handle.executeUpdate<string, [Decision]>(approveUpdate.name, { args: [{ by: 'test' }] });
      await body((primary) => handle.signal(giveWaySignal, { primary, why: `${primary} is dead` }), approve);
      try {
        return { report: (await handle.result()) as Report };
      } catch (error) {
        const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
        if (!(cause instanceof ApplicationFailure)) throw error;
        return { type: cause.type ?? '', report: cause.details?.[0] as Report };
      }
    });
  }
}

export { POOLER, PRIMARY, STANDBY, STANDBY_2 };
