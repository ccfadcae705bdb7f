import { steadyMs } from '../clock';
import type { ActivityDeps } from '../deps';
import { withinLimit } from './probe';

/** How long Temporal may take to take the question down, in milliseconds: the watch goes on meanwhile. */
const ASK_LIMIT_MS = 1000;
/** How often it is asked, in milliseconds: a run in the middle of a critical section does not listen. */
const ASK_EVERY_MS = 1000;

/** Asks a run that holds the lock of PostgreSQL to let go of it, while clients wait for something that needs it. */
export class Way {
  private askedAt: number | undefined;

  constructor(
    private readonly deps: Pick<ActivityDeps, 'askForWay'>,
    private readonly request: { mayInterrupt?: boolean; ledger: { primary: string | null } },
  ) {}

  /** Asks once a second at most, for the ledger's primary. Never throws: a question that gets lost is asked again. */
  async ask(holder: string, why: string): Promise<void> {
    const { mayInterrupt, ledger } = this.request;
    if (mayInterrupt !== true || ledger.primary === null || this.deps.askForWay === undefined) return;
    if (this.askedAt !== undefined && steadyMs() - this.askedAt < ASK_EVERY_MS) return;
    this.askedAt = steadyMs();
    // It may have ended this moment: the next look at the lock says so.
    await withinLimit(this.deps.askForWay(holder, { primary: ledger.primary, why }), ASK_LIMIT_MS).catch(
      () => undefined,
    );
  }
}
