import { isKilled, mayReviveIn, type KnownLedger, type MembersRound } from '../../cluster/guard/mending';
import type { ActivityDeps, ClusterAccess } from '../deps';
import { proofByFiles } from './no-primary';

/** A ledger that nobody could be asked for, or that tells little, is asked for again after this time, in milliseconds. */
const AGAIN_MS = 5000;

/**
 * What the guard's ledger says about a look at all nodes, and what has to be known for it beside the look. Asked for only where something
 * follows from it: nobody takes writes, and a container was killed or an optional one is not there; or somebody does, and a node does not
 * follow. Never throws.
 */
export class LedgerOfLook {
  /** The newest one that was told. Its database system stays what it is for as long as the guard runs. */
  private known: KnownLedger | undefined;
  private askedAt = -Infinity;

  constructor(
    private readonly deps: Pick<ActivityDeps, 'docker' | 'guardState'>,
    private readonly access: Pick<ClusterAccess, 'name'>,
  ) {}

  /** The ledger where it matters, and the look with the proofs that it asks for. */
  async of(round: MembersRound): Promise<{ round: MembersRound; ledger?: KnownLedger }> {
    const ledger = await this.ledgerFor(round);
    if (ledger === undefined) return { round };
    if (round.writable.length > 0 || !mayReviveIn(round.members, ledger)) return { round, ledger };
    return { round: await this.withFiles(round), ledger };
  }

  private async ledgerFor({
    writable: [primary, second],
    members,
    streams,
  }: MembersRound): Promise<KnownLedger | undefined> {
    if (primary === undefined) {
      if (members.some(({ container }) => isKilled(container))) return this.ask();
      // As a rule it was never made: whether the ledger names it is asked now and then.
      if (!members.some(({ optional, container }) => optional && container.status === 'absent')) return undefined;
      return performance.now() - this.askedAt < AGAIN_MS ? this.known : this.ask();
    }
    if (second !== undefined) return undefined;
    if (members.every(({ name }) => name === primary || streams.includes(name))) return undefined;
    // A node can stay away for days, and what is asked of the ledger then does not change.
    if (this.known?.systemIdentifier !== undefined || performance.now() - this.askedAt < AGAIN_MS) return this.known;
    return this.ask();
  }

  private async ask(): Promise<KnownLedger | undefined> {
    this.askedAt = performance.now();
    const state = await this.deps.guardState?.(this.access.name).catch(() => undefined);
    this.known = state?.ledger ?? this.known;
    return state?.ledger;
  }

  /** The files are read of those alone of which nobody hears anything else. */
  private async withFiles(round: MembersRound): Promise<MembersRound> {
    const members = await Promise.all(
      round.members.map(async (member) => {
        const { name, container, sql, agent } = member;
        if (sql !== undefined || agent !== undefined || !['running', 'paused'].includes(container.status))
          return member;
        const { problem, timeline } = await proofByFiles(this.deps.docker, name);
        return problem === undefined ? { ...member, files: { timeline } } : member;
      }),
    );
    return { ...round, members };
  }
}
