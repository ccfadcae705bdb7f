import { rejoinCommand } from '../../cluster/failover/commands';
import { disagreement } from '../../cluster/failover/own-settings';
import type { NodeAnswer } from '../../cluster/guard/signals';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { fenceNode, type Fence } from '../fence';
import { messageOf } from '../guard/probe';
import type { SubStepRecorder } from '../move-journal';
import { Overtaken } from '../still-mine';
import type { Choice } from './choose';
import type { FailoverJournal } from './journal';
import type { FailoverMove } from './move';
import { readOwnSettings } from './own-settings';
import type { FailoverParts } from './parts';

/** What a failover's fence is made with. */
export interface Fencing {
  deps: ActivityDeps;
  access: ClusterAccess;
  request: FailoverMove;
  parts: FailoverParts;
  recorder: SubStepRecorder;
  journal: FailoverJournal;
}

/** The fence of a failover's old primary: it stands before the promotion, or is made beside it. */
export class SourceFence {
  /** The fence that is made beside the promotion. Never rejects: it gives what went wrong. */
  private beside: Promise<unknown> | undefined;

  constructor(private readonly fencing: Fencing) {}

  /** Fences the old primary, and keeps how. */
  async make({ target }: Choice): Promise<Fence['how']> {
    const { deps, access, request, parts, recorder, journal } = this.fencing;
    const { how, says, ms } = await recorder.run(
      'fence',
      `fence ${request.source}, and prove it`,
      () => fenceNode(deps, access, parts.token, request.source, access.internal(target.name)),
      (made) => made.says,
    );
    journal.fence = says;
    journal.marks.fenceMs = ms;
    journal.marks.fencedAt = Date.now();
    return how;
  }

  /** Reads whom the commits of the fenced primary waited for in the end, and keeps that. */
  async readSettings(): Promise<void> {
    const { deps, request, journal } = this.fencing;
    journal.own = await readOwnSettings(deps.docker, request.source);
  }

  /** The promotion does not wait for this one, which {@link make} is making. */
  goOnBeside(making: Promise<unknown>): void {
    this.beside = settled(making);
  }

  /** Ends with a fence that is made beside the promotion, however that ends. */
  over(): Promise<unknown> | undefined {
    return this.beside;
  }

  /**
   * Waits for the fence that was made beside the promotion. Clients go on already, and the rejoin fences once more: where it fails, that
   * is told.
   */
  async finish(): Promise<void> {
    if (this.beside === undefined) return;
    const { deps, journal, request } = this.fencing;
    const failure = await this.beside;
    if (failure === undefined) return requireOwnSettings(deps, request, journal);
    // Another attempt goes on, and makes it.
    if (failure instanceof Overtaken) throw failure;
    const { source } = request;
    (journal.warnings ??= []).push(
      `H2: ${source} is not fenced yet: ${reasonOf(failure)} (limit: proof that it takes no write). Next: ${rejoinCommand(request.cluster, source)}`,
    );
  }
}

/**
 * What proved that nothing is lost was seen a moment before the end. Where the old primary's own files say something else, somebody
 * changed them in that moment: nothing is undone, and nothing is claimed.
 */
async function requireOwnSettings(
  { docker }: ActivityDeps,
  { run, source, ledger }: FailoverMove,
  journal: FailoverJournal,
): Promise<void> {
  journal.own ??= await readOwnSettings(docker, source);
  const other = disagreement(journal.own, ledger?.names ?? '');
  if (other === undefined || journal.lossBound !== 0) return;
  delete journal.proof;
  journal.lossBound = null;
  (journal.warnings ??= []).push(
    `I7: whether something is lost is not known: ${source} was seen protected a moment before its end, and ${other} (limit: the same). Its rejoin tells what it alone had, and keeps it. Next: veloz-ha show ${run.split('/')[0] ?? run}`,
  );
}

/** Why there is no fence, without what is true of a refusal alone: somebody was promoted. */
const reasonOf = (failure: unknown): string =>
  messageOf(failure)
    .replace(/ \(limit: .*$/, '')
    .replace(/^H2: /, '')
    .replace(/\.$/, '');

/** What went wrong; undefined when all went well. */
const settled = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error ?? new Error('no reason given'),
  );

/**
 * May the promotion go on before the fence stands, where the old primary has certainly ended? Only where it can acknowledge nothing even
 * if somebody starts it in that moment: each of its commits waits for a standby, by the ledger, and its only one is promoted. What that
 * one confirms before it is through is part of its data.
 */
export function mayPromoteBeside(
  request: FailoverMove,
  { lossBound, proof }: FailoverJournal,
  chosen: Choice,
): boolean {
  const proven = request.watched === true && chosen.unproven !== true && lossBound === 0 && proof !== undefined;
  return request.kind === 'dead' && request.ledger?.state === 'protected' && proven && chosen.alone === true;
}

/** Nobody is there to answer. While Docker takes a container down, its port swallows whoever asks. */
export const silentSource = (name: string): Promise<NodeAnswer> =>
  Promise.resolve({ name, answered: false, ms: 0, problem: 'its container has ended' });
