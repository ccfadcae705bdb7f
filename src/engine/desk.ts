import type { Logger } from 'pino';
import type { Leader } from './leader';
import { fingerprint, type Order, type OrderRequest } from './order';
import type { EngineTimes } from './settings';
import { StaleEpoch, StoreUnavailable, type Store } from './store';

/** What a client is told about its order. */
export type Outcome =
  | { kind: 'accepted'; order: Order; again: boolean }
  /** The key belongs to an order with another body. */
  | { kind: 'conflict'; order: Order }
  /** Certainly not accepted by this request. */
  | { kind: 'unavailable'; why: string }
  /** It may have been accepted: PostgreSQL's answer was lost. Sending it again with its key finds out. */
  | { kind: 'unknown'; why: string }
  /** The active engine answered. */
  | { kind: 'passed on'; status: number; body: string };

/** Passes an order on to the active engine. */
export type PassOn = (
  url: string,
  body: string,
  key: string,
  limitMs: number,
  /** Gives the call up. */
  signal: AbortSignal,
) => Promise<{ status: number; body: string } | { failed: string; maybeAccepted: boolean }>;

/** An order as it came. */
export interface Intake {
  asked: OrderRequest;
  key: string;
  /** The body, to be passed on as it is. */
  body: string;
  /** Whether another engine has passed it on: it goes no further. */
  passedOn: boolean;
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
/** Between two attempts at a PostgreSQL that does not answer. */
const RETRY_MS = 25;

/**
 * Takes orders: writes them where this engine is active, waits a little where none is, and passes them on where another
 * is. So a client sees a change of engines as a slow answer.
 */
export class Desk {
  private counter = 0;
  /** Orders that are being placed, by key and fingerprint. */
  private readonly underWay = new Map<string, Promise<Outcome>>();
  /** Orders that this process has accepted, and the last one's id. */
  accepted = 0;
  lastOrder: string | undefined;

  constructor(
    private readonly node: string,
    private readonly times: EngineTimes,
    private readonly leader: Leader,
    private readonly store: Store,
    private readonly passOn: PassOn,
    private readonly log: Logger,
  ) {}

  /**
   * An order that is sent again while its first sending is under way waits for the same outcome: a proxy that gives up
   * and comes again would otherwise leave a statement more in PostgreSQL each time.
   * @returns when the order is durable, or when it is known that it can't be had in time
   * @throws Error on a mistake of the program
   */
  async place(intake: Intake): Promise<Outcome> {
    // Whoever was passed on goes no further, so the two kinds have not the same outcome.
    const name = `${intake.key}\n${fingerprint(intake.asked)}\n${intake.passedOn}`;
    const earlier = this.underWay.get(name);
    if (earlier !== undefined) {
      const outcome = await earlier;
      // The first sending is answered 201, here or by the engine to which it was passed on; this one finds the order there.
      if (outcome.kind === 'accepted') return { ...outcome, again: true };
      return outcome.kind === 'passed on' && outcome.status === 201 ? { ...outcome, status: 200 } : outcome;
    }
    const placing = this.placeOnce(intake);
    this.underWay.set(name, placing);
    try {
      return await placing;
    } finally {
      this.underWay.delete(name);
    }
  }

  private async placeOnce(intake: Intake): Promise<Outcome> {
    const began = performance.now();
    const spent = () => performance.now() - began;
    let id: string | undefined;
    let maybeWritten = false;
    let why = 'no engine is active';
    /** How long it has waited without an active engine. */
    let waitedMs = 0;
    while (spent() < this.times.orderLimitMs) {
      const turn = this.leader.begin();
      if (turn !== undefined) {
        id ??= `${turn.epoch}-${(this.counter += 1)}`;
        try {
          const identity = { id, node: this.node, epoch: turn.epoch, at: new Date() };
          const { order, again, sameBody } = await this.store.accept(intake.asked, intake.key, identity);
          if (!sameBody) return { kind: 'conflict', order };
          const isNew = !again || order.id === id;
          if (isNew) {
            this.accepted += 1;
            this.lastOrder = order.id;
          }
          return { kind: 'accepted', order, again: !isNew };
        } catch (error) {
          if (error instanceof StaleEpoch) {
            this.leader.superseded(turn.epoch, error.allowed);
            why = error.message;
            continue;
          }
          if (!(error instanceof StoreUnavailable)) throw error;
          maybeWritten ||= error.maybeWritten;
          why = `PostgreSQL is out of reach: ${error.message}`;
          this.log.debug({ key: intake.key, why }, 'an order is tried again');
        } finally {
          turn.end();
        }
        await sleep(RETRY_MS);
        continue;
      }
      const other = intake.passedOn ? undefined : this.leader.activeElsewhere;
      if (other !== undefined && other.url !== '') {
        // The active engine may hang; once it is known not to be active any more, nobody waits for it.
        const given = new AbortController();
        const stopWatching = this.leader.onChange(() => given.abort());
        const limitMs = this.times.orderLimitMs - spent();
        const answer = await this.passOn(other.url, intake.body, intake.key, limitMs, given.signal);
        stopWatching();
        if ('status' in answer && answer.status !== 503)
          return { kind: 'passed on', status: answer.status, body: answer.body };
        if ('failed' in answer) maybeWritten ||= answer.maybeAccepted;
        why = 'failed' in answer ? `${other.node} did not answer: ${answer.failed}` : `${other.node} is not active`;
      }
      const left = this.times.holdMs - waitedMs;
      if (left <= 0) break;
      const waitBegan = performance.now();
      await this.leader.changed(Math.min(left, other === undefined ? left : RETRY_MS));
      waitedMs += performance.now() - waitBegan;
    }
    return { kind: maybeWritten ? 'unknown' : 'unavailable', why };
  }
}
