import { ApplicationFailure } from '@temporalio/workflow';
import type { ClusterDescription } from '../activities';
import { headline, splitNext, type Check } from '../cluster/check';
import { clusterStatus, guardCommand, repairCommand } from '../cluster/commands';
import { primaries } from '../cluster/observed';
import type { RepairLook } from './repair-look';
import type { RepairStory } from './repair-steps';
import type { Run } from './runbook/run';
import { rootMessage, type StepsOutcome } from './runbook/runner';
import type { Report } from './run-state';

/** The command that starts a repair, without its cluster. */
export const START = 'veloz-ha repair';

/** How steps ended that did not get to their end. */
export type Failed = Exclude<StepsOutcome, { kind: 'done' | 'aborted' }>;

/** What a repair knows at its end, as far as a report tells it. */
export interface RepairSoFar {
  readonly run: Run;
  readonly described: ClusterDescription;
  readonly story: RepairStory;
  readonly rest: Partial<Report>;
  /** The last look, whatever came of it. */
  readonly seen?: RepairLook;
  /** Nodes that this run made standbys. */
  readonly mended: ReadonlySet<string>;
  /** Nodes that it could not make one, and a pooler that it restarted in vain, and how that ended. */
  readonly failed: ReadonlyMap<string, Failed>;
  /** The lock is its own. */
  readonly mayGoOn: boolean;
}

/** The ends of a repair that is not through: each says what is so, why, and what to run. They change nothing of the cluster. */
export class RepairEnds {
  constructor(private readonly soFar: RepairSoFar) {}

  /** The command that goes on with it. */
  get command(): string {
    return repairCommand(this.soFar.described.name);
  }

  /** The command that shows what is. */
  get status() {
    return { command: clusterStatus(this.soFar.described.name), why: 'shows what is' };
  }

  /** The end of a run of which one step did not finish. */
  failedAt(outcome: Failed, facts: Partial<Report>): Report {
    const { command, status } = this;
    const { run } = this.soFar;
    const again = { command, why: 'looks again, and goes on with it' };
    const { says, what, next } = this.wordsOf(outcome);
    const refusal = refusalOf(outcome.cause);
    if (refusal?.checks !== undefined) run.state.checks = refusal.checks;
    const commands = [...(next === undefined ? [] : [{ command: next, why: 'takes the cause away' }]), again, status];
    const end = `${what}. Next: ${next ?? command}`;
    if (refusal !== undefined) return run.end('refused', end, { ...facts, next: commands });
    return run.end('incomplete', `Step "${says}" did not finish: ${end}`, { ...facts, next: commands });
  }

  /** What failed, why, and the command that its cause names. */
  private wordsOf({ step, cause }: Failed): { says: string; what: string; next?: string } {
    const says = this.soFar.run.state.steps.find(({ id, state }) => id === step && state !== 'done')?.says ?? step;
    return { says, ...splitNext(rootMessage(cause)) };
  }

  /**
   * Some nodes could not be made standbys, or a pooler's clients do not get through.
   * @param rest what else is not right, as a sentence; absent where all else is done
   */
  partly(since: number, rest?: { says: string; next: Report['next'] }): Report {
    const { command, status } = this;
    const { run, failed } = this.soFar;
    const mended = [...this.soFar.mended].filter((node) => !failed.has(node));
    const [only, another] = failed.values();
    const facts = this.facts(since);
    if (rest === undefined && mended.length === 0 && only !== undefined && another === undefined)
      return this.failedAt(only, facts);
    const poolers = this.soFar.described.topology.pgbouncer.nodes.map(({ name }) => name);
    const told = [...failed].map(([node, outcome]) => ({ node, ...this.wordsOf(outcome) }));
    const ways = told.flatMap(({ node, next }) =>
      next === undefined ? [] : [{ command: next, why: `takes the cause of ${node} away` }],
    );
    const well =
      mended.length === 0
        ? ''
        : `${mended.join(' and ')} ${mended.length === 1 ? 'is a standby' : 'are standbys'} again. `;
    const not = told
      .map(({ node, says, what }, index) => {
        const shut = `${index === 0 ? 'Clients' : 'clients'} do not get through ${node}`;
        const is = poolers.includes(node) ? shut : `${node} is not`;
        return `${is}: step "${says}" did not finish: ${what}`;
      })
      .join('; ');
    const all = [...ways, ...(rest?.next ?? [])];
    const end = `${well}${not}${rest === undefined ? '' : `. ${rest.says.replace(/ Next: .*$/, '').replace(/\.$/, '')}`}`;
    return run.end('incomplete', `${end}. Next: ${all[0]?.command ?? command}`, {
      ...facts,
      next: [...all, { command, why: 'looks again, and goes on with it' }, status],
    });
  }

  /** Others have to act now: it lets go of the lock with its end. What is left is found by the next repair. */
  gaveWay(why: string): Report {
    const { command, status } = this;
    const { run } = this.soFar;
    const done = run.state.steps.some(({ state }) => state !== 'pending');
    const guard = guardCommand('status', this.soFar.described.name);
    return run.end(
      'incomplete',
      `${sentence(why)} ${done ? 'What was done stays' : 'Nothing was changed'}. Next: ${guard}`,
      {
        ...this.facts(run.state.startedAt),
        gaveWay: true,
        next: [
          { command: guard, why: 'says who acts, and how far that is' },
          { command, why: 'goes on with it' },
          status,
        ],
      },
    );
  }

  stop(since: number, why: string): Report {
    const { command, status } = this;
    const { run, seen } = this.soFar;
    const waits = seen?.round.tasks.find(({ kind }) => kind === 'start-pooler')?.node;
    const down = seen?.round.staysDown ?? (waits === undefined ? undefined : `${waits} stays down until that is done`);
    const says = `The cluster is not right yet, and it takes something ${why}${down === undefined ? '' : `. ${down}`}`;
    if (this.soFar.failed.size > 0)
      return this.partly(since, {
        says,
        next: nextOf(seen?.round.findings ?? []),
      });
    return run.end('incomplete', `${says}. Next: ${command}`, {
      ...this.facts(since),
      next: [...nextOf(seen?.round.findings ?? []), { command, why: 'plans it anew' }, status],
    });
  }

  facts(since: number): Partial<Report> {
    const { story, rest, run, seen, mayGoOn } = this.soFar;
    return {
      ...rest,
      // Others had to act: the attempt was none.
      ...(mayGoOn ? {} : { gaveWay: true }),
      ...(seen === undefined ? {} : { primaryAfter: primaryOf(seen) }),
      membersAfter: run.state.members,
      ...(story.timeline === undefined ? {} : { timelineAfter: story.timeline }),
      ...(story.rejoin === undefined ? {} : { rejoin: story.rejoin }),
      ...(story.protectedAt === undefined
        ? {}
        : { protectedAgainMs: story.protectedAt - since, protectedSince: story.protectedAt }),
    };
  }
}

/** The only node that takes writes. */
export function primaryOf({ observed }: RepairLook): string | undefined {
  const [only, another] = primaries(observed);
  return another === undefined ? only?.name : undefined;
}

/** A sentence of a clause. */
export const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** What the first of the findings suggests: the next look tells whether the others are still there. */
export function nextOf(checks: readonly Check[]): Report['next'] {
  const first = checks.find(({ result }) => result === 'refuse') ?? checks.find(({ result }) => result === 'warn');
  return first?.next === undefined ? [] : [{ command: first.next, why: `${first.id}: ${headline(first)}` }];
}

/** What an activity refused, with the checks that it made; undefined when it failed otherwise. */
function refusalOf(error: unknown): { checks?: Check[] } | undefined {
  let current = error;
  while (current instanceof Error && current.cause instanceof Error) current = current.cause;
  if (!(current instanceof ApplicationFailure) || current.type !== 'Refused') return undefined;
  return (current.details?.[0] as { checks?: Check[] } | undefined) ?? {};
}
