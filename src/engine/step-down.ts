import type { Logger } from 'pino';
import type { Heir, Lock } from './lock';
import type { EngineTimes } from './settings';
import type { Standing } from './standing';

/** What came of a step-down. */
export interface StepDownResult {
  /** `handed over`: another engine is active. `released`: nobody was named, or it has not shown up yet. `unchanged`: it was no active one. */
  outcome: 'handed over' | 'released' | 'unchanged';
  run: string;
  node: string;
  /** The engine that is active now, where one is. */
  active: { node: string; epoch: number } | null;
  /** The epoch that ended. */
  epoch: number | null;
  /** From the moment when no order was taken up any more until another engine was seen to be active. */
  heldMs: number;
}

/** A step-down that was not carried out: the engine goes on as before. */
export class StepDownRefused extends Error {
  constructor(
    readonly status: 409 | 412 | 422 | 503,
    what: string,
  ) {
    super(what);
    this.name = 'StepDownRefused';
  }
}

/** Who asks for a step-down, and who is to be active then; default: anyone else. */
export interface StepDownRequest {
  run: string;
  to?: string;
  /** The epoch that is to end; default: whichever it is. One who asks late would else end somebody else's. */
  epoch?: number;
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Hands the lock over to another engine. */
export class StepDown {
  private inProgress: { run: string; result: Promise<StepDownResult> } | undefined;

  /**
   * @param inFlight orders that were taken up and have not ended
   * @param wake looks at the lock at once
   */
  constructor(
    private readonly node: string,
    private readonly times: Pick<EngineTimes, 'handoverMs'>,
    private readonly lock: Lock,
    private readonly standing: Standing,
    private readonly inFlight: () => number,
    private readonly wake: () => void,
    private readonly log: Logger,
  ) {}

  /**
   * Takes up no more orders, finishes those in flight, lets the lock go to `to` (or to anyone else), and waits until another engine is
   * active. Who asks meanwhile has the same answer.
   * @throws StepDownRefused where it could not let go; the engine is active as before then
   */
  ask(request: StepDownRequest): Promise<StepDownResult> {
    if (this.inProgress !== undefined) return this.inProgress.result;
    const result = this.handOver(request).finally(() => (this.inProgress = undefined));
    this.inProgress = { run: request.run, result };
    return result;
  }

  private async handOver({ run, to, epoch: asked }: StepDownRequest): Promise<StepDownResult> {
    const { standing, lock, times } = this;
    if (standing.role === 'taking') await standing.changed(times.handoverMs);
    if (standing.role !== 'active') return this.unchanged(run);
    if (asked !== undefined && asked !== standing.ownEpoch)
      throw new StepDownRefused(
        412,
        `${this.node} is active in epoch ${standing.ownEpoch}, and epoch ${asked} was to end: it goes on as before`,
      );
    await this.someoneCanTakeOver(to);
    const epoch = standing.ownEpoch;
    const began = performance.now();
    if (!standing.servesIn(epoch)) return this.unchanged(run);
    standing.become('leaving', `step-down of run ${run}`);
    while (this.inFlight() > 0 && performance.now() - began < times.handoverMs) await sleep(2);
    if (!standing.servesIn(epoch)) return this.unchanged(run);
    if (this.inFlight() > 0) {
      const left = this.inFlight();
      standing.become('active', 'its orders did not end, so it goes on');
      throw new StepDownRefused(
        503,
        `${left} orders in flight did not end within ${times.handoverMs} ms (PostgreSQL held or out of reach): it goes on as the active engine`,
      );
    }
    const heir: Heir = to === undefined ? { not: this.node } : { to };
    try {
      await lock.release(heir, 2000);
    } catch (error) {
      standing.become('active', 'Redis did not answer, so it goes on');
      throw new StepDownRefused(
        503,
        `the lock could not be let go (${(error as Error).message}): it goes on as the active engine`,
      );
    }
    standing.other = undefined;
    standing.become('standby', `handed over by run ${run}`);
    const active = await this.newActive(epoch, began + times.handoverMs * 2);
    if (active?.node === this.node)
      throw new StepDownRefused(
        503,
        `${to ?? 'no other engine'} did not take over in time: ${this.node} is active again, in epoch ${active.epoch}`,
      );
    const heldMs = Math.round(performance.now() - began);
    this.log.info({ run, epoch, heldMs, active }, 'stepped down');
    return { outcome: active === null ? 'released' : 'handed over', run, node: this.node, active, epoch, heldMs };
  }

  private unchanged(run: string): StepDownResult {
    const { other } = this.standing;
    return {
      outcome: 'unchanged',
      run,
      node: this.node,
      active: other === undefined ? null : { node: other.node, epoch: other.epoch },
      epoch: null,
      heldMs: 0,
    };
  }

  /** @throws StepDownRefused where nobody is there to take over */
  private async someoneCanTakeOver(to: string | undefined): Promise<void> {
    if (to === this.node) throw new StepDownRefused(422, `${to} is active already: it can not hand over to itself`);
    const others = await this.lock.otherCandidates().catch((error: Error) => {
      throw new StepDownRefused(503, `Redis did not say who could take over (${error.message}): it goes on as before`);
    });
    if (to === undefined ? others.length === 0 : !others.includes(to))
      throw new StepDownRefused(
        409,
        `${to ?? 'no other engine'} can not take over: connected to the Redis master and not drained are ${others.join(', ') || 'no others'}`,
      );
  }

  private async newActive(after: number, until: number): Promise<{ node: string; epoch: number } | null> {
    const { standing } = this;
    for (;;) {
      this.wake();
      const { other } = standing;
      if (other !== undefined && other.epoch > after) return { node: other.node, epoch: other.epoch };
      if (standing.role === 'active') return { node: this.node, epoch: standing.ownEpoch };
      if (performance.now() > until) return null;
      await sleep(10);
    }
  }
}
