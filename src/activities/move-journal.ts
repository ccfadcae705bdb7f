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
  /** Milliseconds from there until RESUME. */
  heldMs?: number;
}

/** Times sub-steps and keeps what they measured. */
export class SubStepRecorder {
  private readonly started = performance.now();

  constructor(
    readonly journal: MoveJournal,
    private readonly onChange: (journal: MoveJournal) => void,
    private readonly faultPoint: (point: string) => void,
  ) {}

  /** A named moment inside a sub-step, or after the last one. */
  at(point: string): void {
    this.faultPoint(`hold:${point}`);
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
