import { ApplicationFailure, setHandler } from '@temporalio/workflow';
import { maintenanceCommand } from '../cluster/maintenance/commands';
import { tierName } from '../cluster/maintenance/sides';
import { finishUpdate, moveBackUpdate } from './maintenance-messages';
import { abortUpdate, type Decision } from './messages';
import type { Run } from './runbook/run';
import type { MaintenanceState } from './run-state';

/** What a person wants of a maintenance that is held. */
export type Wish = { kind: 'move back' | 'finish'; by: string; why?: string };

const nameOf = (decision: Decision | null | undefined): string => decision?.by ?? 'somebody who gave no name';
const refuse = (says: string) => ApplicationFailure.nonRetryable(says, 'Refused');

/** The Updates by which people say what becomes of a maintenance, and what they have said. */
export class MaintenancePeople {
  /** What is to be done with what is held; undefined while nobody has said. */
  wish: Wish | undefined;
  /** Why it stops moving away, once somebody asked; everything is moved back then. */
  private stop: string | undefined;

  constructor(
    private readonly run: Run,
    private readonly held: MaintenanceState,
  ) {}

  listen(): void {
    const { state } = this.run;
    const onlyHeld = (what: string) => (_decision?: Decision | null) => {
      if (state.phase !== 'held')
        throw refuse(
          `nothing is held that could be ${what}: the maintenance is ${state.phase} (${state.says}). Next: ${maintenanceCommand('status', state.cluster)}`,
        );
      if (this.wish !== undefined)
        throw refuse(`the maintenance is to ${this.wish.kind} already: ${this.wish.by} said so`);
    };
    const wishFor = (kind: Wish['kind']) => (decision?: Decision | null) => {
      this.wish = { kind, by: nameOf(decision), ...(decision?.why === undefined ? {} : { why: decision.why }) };
      // From here on a look at the state shows that it goes on, and a second wish is refused.
      state.phase = 'checking';
      return kind === 'finish'
        ? 'finished: everything stays where it is'
        : `moving back, one tier after the other: ${[...this.held.away]
            .reverse()
            .map(({ tier }) => tierName[tier])
            .join(', then ')}`;
    };
    setHandler(moveBackUpdate, wishFor('move back'), {
      validator: onlyHeld('moved back'),
      description: 'Move everything back to where it was',
    });
    setHandler(finishUpdate, wishFor('finish'), {
      validator: onlyHeld('finished'),
      description: 'End the maintenance; everything stays where it is',
    });
  }

  /** From the first move on an abort means another thing than before it: a move is never torn apart. */
  listenForAbort(): void {
    const { state } = this.run;
    setHandler(
      abortUpdate,
      (decision?: Decision) => {
        this.stop = `aborted by ${nameOf(decision)}${decision?.why === undefined ? '' : `: ${decision.why}`}`;
        return 'aborting: the move that is under way is finished, then everything is moved back';
      },
      {
        validator: (_decision?: Decision) => {
          const { phase, cluster } = state;
          if (phase === 'ended') throw refuse('the run has ended');
          if (phase === 'held')
            throw refuse(
              `the maintenance is held. To move back: ${maintenanceCommand('back', cluster)}. To end it and move nothing: ${maintenanceCommand('finish', cluster)}`,
            );
          if (phase === 'undoing' || this.wish !== undefined)
            throw refuse('everything is being moved back already, or the maintenance is being finished');
          if (this.stop !== undefined) throw refuse(`the run is being ${this.stop} already`);
        },
        description: 'Stop moving away, and move everything back',
      },
    );
  }

  /** Why it is to stop moving away: a person's abort, or a cancellation. */
  stopped(): string | undefined {
    return this.stop ?? this.run.abortRequested();
  }
}
