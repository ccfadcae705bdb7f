import { log, patched, uuid4, workflowInfo } from '@temporalio/workflow';
import type { WatchResult } from '../activities';
import { formatMs } from '../cluster/duration';
import { mendingBackoffMs } from '../cluster/guard/mending';
import type { GuardHost } from './guard-host';
import { act, changing } from './runbook/activity-options';
import { rootMessage } from './runbook/runner';

/** Nobody watches meanwhile: what is in vain twice is tried again later. */
const fencing = { ...changing, retry: { ...changing.retry, maximumAttempts: 2 } } as const;

/** A node that was fenced and is to become a standby, and why it was fenced. */
export interface ToRejoin {
  node: string;
  reason: string;
}

/** Fences the nodes that take writes beside the primary, and keeps which of them are to become standbys. */
export class SplitBrainGuard {
  /** One after the other: each needs the lock of PostgreSQL. */
  readonly toRejoin: ToRejoin[];

  constructor(private readonly host: GuardHost) {
    const { known } = host;
    this.toRejoin = known.toRejoin ?? [];
    delete known.toRejoin;
  }

  /** When a fence that was in vain is tried again, in milliseconds since the epoch; undefined where none is. */
  get againAt(): number | undefined {
    return this.host.known.fenceAgainAt;
  }

  /** A fence that was in vain is tried again once its time is over. */
  retryWhenDue(now: number): void {
    const { known } = this.host;
    if (known.fenceAgainAt === undefined || now < known.fenceAgainAt) return;
    delete known.fenceAgainAt;
    known.splitBrain = false;
  }

  /** One node alone is seen writable. One that could not be fenced may only have missed a round: it has to stay so for its back-off. */
  isOver(): void {
    const { known } = this.host;
    known.splitBrain = false;
    if (known.fenceAgainAt === undefined) delete known.fencesInVain;
  }

  /** Two nodes are writable: the ones that are not the primary are fenced, where it is known which that is. */
  async take({ splitBrain }: WatchResult): Promise<void> {
    if (splitBrain === undefined) return;
    const { state, known } = this.host;
    known.splitBrain = true;
    log.error('Two nodes are writable', { cluster: state.cluster, says: splitBrain.says });
    this.host.note('split brain', splitBrain.says);
    const { keep } = splitBrain;
    if (keep === null || !this.host.acts() || state.acting !== undefined) return;
    if (known.fenceAgainAt !== undefined && Date.now() < known.fenceAgainAt) return;
    // All of them first: each takes writes until it is fenced, and a rejoin holds the lock meanwhile.
    for (const node of splitBrain.fence) {
      try {
        const run = `${workflowInfo().workflowId}/${uuid4()}`;
        const says = await act(fencing, `Fence ${node}, which is not the primary`).fenceRogue({
          cluster: state.cluster,
          run,
          node,
          keep,
          ...(splitBrain.named === undefined ? {} : { named: splitBrain.named }),
        });
        delete known.fencesInVain;
        this.host.note('fenced', says);
        this.toRejoin.push({ node, reason: splitBrain.says });
      } catch (error) {
        this.fenceLater(`${node} could not be fenced: ${rootMessage(error)}`);
      }
    }
  }

  /** A failover does not wait for that: a primary that dies meanwhile is failed over at once. */
  private fenceLater(says: string): void {
    // A guard that was started by a version in which everything waited goes on as it began, until its history begins anew.
    if (!patched('guard-back-off-of-failovers')) return this.host.backOff(says);
    const { known, policy } = this.host;
    known.fencesInVain = (known.fencesInVain ?? 0) + 1;
    const ms = mendingBackoffMs(known.fencesInVain, policy);
    known.fenceAgainAt = Date.now() + ms;
    this.host.note('backoff', `${says}. It is tried again after ${formatMs(ms)}`);
  }
}
