import type { ClusterDescription, FailoverMove, FailoverResult, MoveRequest } from '../activities';
import { formatMs } from '../cluster/duration';
import { act, changing, holding, leaving } from './runbook/activity-options';
import type { Run } from './runbook/run';
import { rootDetails, type Step } from './runbook/runner';
import { proveAndWatch } from './runbook/soak';
import { rejoinSteps, type RejoinWish } from './rejoin-steps';
import type { RejoinFacts } from './run-state';

/** What the steps of a failover learn, for its report. */
export interface FailoverStory {
  result?: FailoverResult;
  timeline?: number;
  protectedAt?: number;
  rejoin?: RejoinFacts;
  /** The old primary was told to stop and was left, in a sentence. */
  left?: string;
  /** What became of the old primary, in a sentence. */
  after?: string;
}

/**
 * Undoes a failover that failed: what the failure tells decides how much has to be heard before that. Returns false where there is only
 * forward; then the move's next attempts come after the undo.
 */
export async function undoFailOver(move: FailoverMove, cause: unknown): Promise<boolean> {
  // The watch itself saw the promotion through.
  const promoted = move.journal?.marks.promotedAt != null;
  const { neverAsked, fencedBefore } = rootDetails(cause);
  const undone =
    !promoted &&
    (await act(changing, 'Put everything back').undoFailOver({
      ...move,
      ...(neverAsked === true ? { neverAsked: true } : {}),
      ...(typeof fencedBefore === 'string' ? { fencedBefore } : {}),
    }));
  if (!undone) move.afterUndo = true;
  return undone;
}

/** Gives every node of a failover back. */
export async function releaseFailover(
  run: Run,
  { cluster, run: token, source, candidates }: FailoverMove,
): Promise<void> {
  await act(changing, 'Give the nodes back')
    .releaseNodes({ cluster, run: token, source, target: source, others: candidates })
    .catch(() => run.warn('the nodes could not be given back; the next run takes them over'));
}

/** The runbook, as a list that a newcomer can read aloud. */
export function failoverSteps(
  run: Run,
  described: ClusterDescription,
  move: FailoverMove,
  options: { soakMs: number; rejoins: boolean; leavesStopped?: boolean },
  story: FailoverStory,
): Step[] {
  const { source } = move;
  const { soakMs, rejoins, leavesStopped = false } = options;
  const wish: RejoinWish = { cluster: move.cluster, run: move.run, node: source, method: 'auto' };
  const target = (): string => story.result?.target ?? '';
  return [
    {
      id: 'failover',
      says: `Hold clients, fence ${source}, promote ${move.target ?? 'the most advanced standby'}, route, let clients go`,
      pointOfNoReturn: { rollBack: (cause) => undoFailOver(move, cause) },
      run: async () => {
        const result = await act(
          holding,
          `Hold clients, fence ${source}, and promote ${move.target ?? 'the most advanced standby'}`,
        ).failOver(move);
        story.result = result;
        const cost = [
          result.marks.fenceMs === null ? undefined : `fenced in ${formatMs(result.marks.fenceMs)}`,
          result.marks.promoteMs === null ? undefined : `promoted in ${formatMs(result.marks.promoteMs)}`,
        ].filter((part) => part !== undefined);
        return {
          detail: [`${result.target} is the primary`, ...cost].join(', '),
          subSteps: result.subSteps,
          warnings: result.warnings,
        };
      },
    },
    {
      id: 'record',
      says: 'CHECKPOINT on the new primary, and write the epoch',
      givesWayFor: target,
      run: async () => {
        const result = await act(leaving, 'CHECKPOINT on the new primary, and write the epoch').recordPromotion({
          cluster: move.cluster,
          run: move.run,
          target: target(),
        });
        story.timeline = result.timeline;
        return { detail: result.detail, warnings: result.warnings };
      },
    },
    ...(rejoins ? rejoinSteps(run, leavesStopped ? { ...wish, leavesStopped } : wish, story) : []),
    ...(rejoins
      ? [
          {
            id: 'verify',
            says: `Verify through the front door${soakMs > 0 ? `, and watch for ${formatMs(soakMs)}` : ''}`,
            givesWayFor: target,
            run: async () => {
              if (story.left !== undefined) {
                story.after = `${story.left}, fenced: once somebody starts it, it becomes a standby`;
                return { detail: `nothing to watch: ${source} stays stopped` };
              }
              const { holdLimitMs, cluster, run: token, ledger } = move;
              const request: MoveRequest = {
                cluster,
                run: token,
                source,
                target: target(),
                others: story.result?.others ?? [],
                protection: described.topology.protection,
                holdLimitMs,
                pauseLimitMs: holdLimitMs,
                timeline: story.result?.timelineBefore ?? ledger?.timeline ?? 0,
                unplanned: true,
              };
              const verify = act(leaving, 'Prove the new state through the front door');
              const result = await proveAndWatch(
                run,
                soakMs,
                (watchMs) => verify.verifyMove(request, watchMs),
                () => releaseFailover(run, move),
              );
              story.after = `${source} is a standby again`;
              return { detail: result.detail, warnings: result.warnings };
            },
          },
        ]
      : []),
  ];
}
