import { Client, Connection } from '@temporalio/client';
import { BoundedDisks } from './bounded-disks';
import type { Cleanup } from './cleanup';
import { DirectWriters } from './direct-writers';
import type { FaultName } from './faults';
import { Guarded } from './guarded';
import type { Scene } from './incident';
import { say } from './options';
import { Stand, type Started } from './stand';
import { ensureStack, loadTarget, whole, type Target } from './target';
import { Writers } from './writers';
import { callInterceptors } from '../systems/temporal-calls';

/** A client gives an unanswered attempt up after this long. */
const ATTEMPT_LIMIT_MS = 5000;

/** What a bench of the guard sets up. */
export interface StageOptions {
  standbys: 1 | 2;
  clients: number;
  rate: number;
  asIs?: boolean;
  /** Some faults need more than a stack. */
  fault?: FaultName;
  /** What of the stack has to run; what runs besides goes on. Default: what a bench of PostgreSQL needs. */
  part?: 'postgres' | 'all of it';
}

/** A guarded cluster under load. */
export interface Stage extends Scene {
  target: Target;
  client: Client;
  stand: Stand;
  workers: Started[];
}

/** The stack, whole; Temporal and two workers of the bench's own. */
export async function setUpWorkers(
  cleanup: Cleanup,
  { standbys, asIs, fault, part }: Omit<StageOptions, 'clients' | 'rate'>,
): Promise<Pick<Stage, 'target' | 'client' | 'stand' | 'workers'>> {
  const target = loadTarget();
  if (asIs !== true) {
    say(`Stack with ${standbys} standby${standbys === 1 ? '' : 's'} …`);
    await ensureStack(standbys, part);
  }
  if (fault === 'disk-full') {
    say('Small disks, with empty databases, for as long as the bench runs …');
    const disks = await BoundedDisks.enter(
      nodesOf(target, standbys).map(({ name }) => name),
      target.cluster.pgbouncer.nodes.map(({ name }) => name),
      standbys,
    );
    cleanup.defer(() => disks.leave());
  }
  await whole(target, standbys);
  say('Temporal and two workers …');
  const stand = await Stand.start(`veloz-ha-bench-${process.pid}`);
  cleanup.defer(() => stand.close());
  const workers = await Promise.all([stand.startWorker(), stand.startWorker()]);
  const connection = await Connection.connect({ address: stand.address, interceptors: callInterceptors() });
  cleanup.defer(() => connection.close());
  return { target, stand, workers, client: new Client({ connection }) };
}

/** The same with a guard in `auto`, whose ledger says protected, and clients that write. */
export async function setUpStage(cleanup: Cleanup, options: StageOptions): Promise<Stage> {
  const { target, stand, workers, client } = await setUpWorkers(cleanup, options);
  say('The guard, and clients that write …');
  const guarded = await Guarded.start(client, stand.taskQueue, target.name);
  await guarded.calm();
  const { clients, rate } = options;
  const writers = new Writers(target.door, target.login, clients, rate, { attemptLimitMs: ATTEMPT_LIMIT_MS });
  cleanup.defer(() => writers.stop());
  await writers.start();
  // Whoever sits on the wrong side of a cut network is inside.
  const inside = options.fault === 'partition';
  const direct = new DirectWriters(nodesOf(target, options.standbys), target.door, target.login, inside);
  cleanup.defer(() => direct.stop());
  await direct.start();
  return { target, client, stand, workers, guarded, writers, direct };
}

/** The PostgreSQL nodes that take part. */
export function nodesOf({ cluster }: Target, standbys: 1 | 2) {
  return cluster.postgres.nodes.filter((node) => standbys === 2 || !node.optional);
}
