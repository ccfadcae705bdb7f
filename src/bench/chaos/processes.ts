import { setTimeout as sleep } from 'node:timers/promises';
import type { Guarded } from '../guarded';
import type { OwnClocks } from '../own-clocks';
import type { Stand, Started } from '../stand';
import { clockFault } from './clock-faults';
import type { TakeBack } from './container-faults';
import type { Action } from './schedule';

/** Workers that a campaign keeps running. */
const WORKERS = 2;
/** The guard is asked for this long who watches. */
const ASK_MS = 2000;

/** The workers and the Temporal server of a campaign, and what can be done to them. */
export class Processes {
  private workers: Started[] = [];
  /** Whose clock each worker has, by the worker's number. */
  private readonly clockOf = new Map<number | undefined, string>();

  constructor(
    private readonly stand: Stand,
    private readonly clocks: OwnClocks | undefined,
  ) {}

  /** Starts the workers that are missing. */
  async complete(): Promise<void> {
    this.workers = this.workers.filter(({ process }) => process.exitCode === null && process.signalCode === null);
    for (let left = 3; this.workers.length < WORKERS; left--) {
      try {
        this.workers.push(await this.start());
      } catch (error) {
        // Temporal may be dead or frozen at this moment.
        if (left <= 1) throw error;
      }
    }
  }

  private async start(): Promise<Started> {
    const clock = `worker-${this.clockOf.size + 1}`;
    const worker = await this.stand.startWorker(this.clocks?.environment(clock));
    this.clockOf.set(worker.process.pid, clock);
    return worker;
  }

  /** The worker that watches the cluster now, or another one. */
  private async worker(watching: boolean, guarded: Guarded): Promise<Started> {
    const asked = guarded.watcher().catch(() => undefined);
    const identity = await Promise.race([asked, sleep(ASK_MS, undefined, { ref: false })]);
    const watches = ({ process }: Started) => identity?.startsWith(`${process.pid}@`) === true;
    const found = this.workers.find((worker) => watches(worker) === watching) ?? this.workers[watching ? 0 : 1];
    if (found === undefined) throw new Error('no worker runs');
    return found;
  }

  /** Does something to one of the processes. @throws Error for what can't be done */
  async apply({ what, where, forMs }: Action, guarded: Guarded): Promise<TakeBack> {
    if (where === 'temporal') {
      if (what === 'freeze') return stopped(this.stand.serverPid);
      await this.stand.killTemporal();
      return this.once(() => this.stand.startTemporal());
    }
    const worker = await this.worker(where === 'worker-watching', guarded);
    if (what === 'freeze') return stopped(worker.process.pid);
    if (what.startsWith('clock-'))
      return clockFault(this.clocks, what, this.clockOf.get(worker.process.pid) ?? where, forMs);
    await worker.kill();
    return () => this.complete();
  }

  private once(start: () => Promise<void>): TakeBack {
    let started: Promise<void> | undefined;
    return () => (started ??= start());
  }
}

/** SIGSTOP to a process, as when its machine stands still. */
function stopped(pid: number | undefined): TakeBack {
  if (pid === undefined) throw new Error('the process does not run');
  process.kill(pid, 'SIGSTOP');
  return () => {
    try {
      process.kill(pid, 'SIGCONT');
    } catch {
      // It was killed meanwhile.
    }
    return Promise.resolve();
  };
}
