import type { SubStep } from '../workflows/run-state';
import type { Lsn } from '../cluster/lsn';

/** What survives the worker of an attempt: the last heartbeat carries it to the next attempt. */
export interface MoveJournal {
  subSteps: SubStep[];
  /** The sub-step that runs now. */
  now?: string;
  shutdownCheckpoint?: Lsn;
  receivedByTarget?: Lsn;
  /** Milliseconds since the epoch at which the first PAUSE was asked for. */
  heldSince?: number;
  /** Milliseconds from there until RESUME. Absent where nobody knows. */
  heldMs?: number;
}

/** Times sub-steps and keeps what they measured. */
export class SubStepRecorder {
  private readonly started = performance.now();
  /** When this attempt began the hold, on the clock that only goes forward; undefined where an earlier attempt did. */
  private heldAt: number | undefined;

  constructor(
    readonly journal: MoveJournal,
    private readonly onChange: (journal: MoveJournal) => void,
    private readonly faultPoint: (point: string) => void,
  ) {}

  /** A named moment inside a sub-step, or after the last one. */
  at(point: string): void {
    this.faultPoint(`hold:${point}`);
  }

  /** Clients wait from now on, unless an earlier attempt had them wait already. To be called before that is asked for. */
  holdBegins(): void {
    if (this.journal.heldSince !== undefined) return;
    this.journal.heldSince = Date.now();
    this.heldAt = performance.now();
  }

  /**
   * Clients go on: notes for how long they had waited. Over several attempts, perhaps of several workers, that is what the wall clock
   * says; where it was set back meanwhile, nobody knows.
   */
  holdEnds(): void {
    const { journal, heldAt } = this;
    if (journal.heldSince === undefined || journal.heldMs !== undefined) return;
    const ms = heldAt === undefined ? Date.now() - journal.heldSince : Math.round(performance.now() - heldAt);
    if (ms >= 0) journal.heldMs = ms;
  }

  /** Runs one sub-step; `detail` says what it measured. */
  async run<T>(
    id: string,
    says: string,
    body: () => Promise<T>,
    detail?: (result: T) => string | undefined,
  ): Promise<T> {
    this.faultPoint(`hold:${id}`);
    this.journal.now = says;
    this.onChange(this.journal);
    const at = performance.now();
    const result = await body();
    const measured = detail?.(result);
    this.journal.subSteps.push({
      id,
      says,
      ms: Math.round((performance.now() - at) * 10) / 10,
      atMs: Math.round((at - this.started) * 10) / 10,
      ...(measured === undefined ? {} : { detail: measured }),
    });
    return result;
  }
}
