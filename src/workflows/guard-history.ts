import { patched, workflowInfo } from '@temporalio/workflow';
import { HOLDS_UP_MS, holdsUp } from '../cluster/guard/run-end';
import type { GuardKnowledge, GuardState } from './guard-messages';
import type { StartedRun } from './guard-runs';
import type { ToRejoin } from './guard-split-brain';

/** A history of this length is begun anew. */
const HISTORY_LIMIT = 2000;

/** The guard, as the part of it that says when its history begins anew needs it. */
export interface HistoryHost {
  readonly state: GuardState;
  readonly known: GuardKnowledge;
  /** Fenced nodes that wait for their turn to become standbys. */
  readonly toRejoin: readonly ToRejoin[];
}

/** When the guard's history begins anew, what holds that up, and what is handed over to the next one. */
export class GuardHistory {
  /** Somebody asked for a new history: the next version of the code finds nothing in it that it would do in another way. */
  private handsOver = false;

  constructor(private readonly host: HistoryHost) {}

  /** Begins it anew as soon as it can be. Returns what has to end before, if anything. */
  handOver(): string | undefined {
    this.handsOver = true;
    return this.busyWith();
  }

  /** It is to begin anew, and nothing holds that up. */
  isDue(): boolean {
    const { historyLength, continueAsNewSuggested } = workflowInfo();
    const due = historyLength > HISTORY_LIMIT || continueAsNewSuggested || this.handsOver;
    return due && this.busyWith() === undefined;
  }

  /**
   * Why its history can't begin anew just now: it waits for the end of a run that it started. Not for ever: a run may wait for a person,
   * hang or copy for hours, and a rejoin may wait for the end of maintenance. These are handed on.
   */
  busyWith(): string | undefined {
    const { toRejoin } = this.host;
    const young = holdsUp(this.goingOn(), Date.now());
    if (young !== undefined) return young.workflowId;
    const [old] = this.goingOn();
    if (old === undefined && toRejoin.length === 0) return undefined;
    // A guard that was started by a version which waited for all of it does so, until its history begins anew.
    if (patched('guard-hands-on')) return undefined;
    return old?.workflowId ?? `the rejoin of ${toRejoin.map(({ node }) => node).join(', ')}`;
  }

  /** When the last of what goes on holds a new history up no more, where somebody asked for one. Milliseconds since the epoch. */
  handsOnAt(): number | undefined {
    const began = this.goingOn().map(({ since }) => since);
    return this.handsOver && began.length > 0 ? Math.max(...began) + HOLDS_UP_MS : undefined;
  }

  /** What the next history knows at its beginning. */
  handedOver(): GuardKnowledge {
    const { known, toRejoin } = this.host;
    return toRejoin.length === 0 ? known : { ...known, toRejoin: [...toRejoin] };
  }

  private goingOn(): StartedRun[] {
    const { acting, redis, mending } = this.host.state;
    return [acting, redis?.acting, mending?.acting].filter((run) => run !== undefined);
  }
}
