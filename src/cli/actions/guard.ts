import { setTimeout as sleep } from 'node:timers/promises';
import { guardCommand } from '../../cluster/commands';
import type { GuardMode } from '../../cluster/guard/policy';
import { whyWatchesWait } from '../../cluster/guard/watch-slots';
import { exitCodes } from '../../failures';
import { guardText, modeWords, noGuard, type GuardLook } from '../../report/guard';
import { whyUnhealthy } from '../../report/guard-troubles';
import { Problem } from '../../systems/problem';
import { requireWorker } from '../../systems/temporal';
import type { Decision } from '../../workflows/messages';
import { guardedCluster, inCluster, withTemporal } from '../context';
import { TemporalGuard, type GuardSource } from '../guard-source';
import { print, printDocument, say, type Cli } from '../io';
import { whoami } from '../who';

/** How long a guard may take to say how it is. */
export const GUARD_LIMIT_MS = 3_000;
/** How long a guard that was just started may take until its first word. */
const FIRST_WORD_MS = 10_000;

/** A command to run next, and what for. */
interface NextWord {
  why: string;
  command: string;
}
const lookAtIt = ({ cluster }: Pick<GuardSource, 'cluster'>): NextWord => ({
  why: 'Look at it',
  command: guardCommand('status', cluster),
});
const startAgain = ({ cluster }: Pick<GuardSource, 'cluster'>): NextWord => ({
  why: 'Start it',
  command: guardCommand('start', cluster),
});

interface GuardOptions {
  cluster?: string;
}
interface OrderOptions extends GuardOptions {
  reason?: string;
  by?: string;
}

/** `guard start`: from now on the cluster is watched. Where a guard runs already, its mode is set when one was named. */
export function guardStart(cli: Cli, options: OrderOptions & { mode?: GuardMode }): Promise<number> {
  return withGuard(cli, options, async (guard) => {
    const { by, why } = decision(cli, options);
    const startedBy = `${by}${why === undefined ? '' : `: ${why}`}`;
    const mode = options.mode === undefined ? {} : { mode: options.mode };
    const started = await guard.start({ cluster: guard.cluster, ...mode, startedBy });
    let says = `the guard of ${guard.cluster} ${started ? 'is started' : 'runs already'}`;
    if (!started && options.mode !== undefined)
      says = `${says}; ${await guard.setMode(options.mode, decision(cli, options))}`;
    const look = await firstWord(guard);
    if (look.kind === 'nobody') {
      throw new Problem('Failed', `the guard of ${guard.cluster} ended at once`, {
        why: await guard.lastWords(),
        next: `see ${guard.link}`,
      });
    }
    if (look.kind === 'silent') throw guardProblem(guard.cluster, look);
    if (started) says = `${says}, mode ${look.state.mode}: ${modeWords[look.state.mode]}`;
    const wait = whyWatchesWait((await guard.count()) ?? 0);
    if (wait !== undefined) says = `${says}. Warning: ${wait}`;
    tell(cli, guard, says, { started });
    return exitCodes.ok;
  });
}

/** `guard status`: what it sees, waits for and will do. */
export function guardStatus(cli: Cli, options: GuardOptions): Promise<number> {
  return withTemporal(cli, async (temporal) => {
    const guard = new TemporalGuard(temporal, guardedCluster(cli, options.cluster), cli.io.env);
    return showGuard(cli, guard, await guard.look(GUARD_LIMIT_MS));
  });
}

/**
 * Shows what a guard says of itself.
 * @throws Problem `Unhealthy` when nobody guards, `Unreachable` when it can't be asked
 */
export function showGuard(cli: Cli, guard: Pick<GuardSource, 'cluster' | 'link'>, look: GuardLook): number {
  if (look.kind !== 'guards') throw guardProblem(guard.cluster, look);
  const now = cli.io.now();
  const { state } = look;
  const troubles = whyUnhealthy(state, now);
  if (cli.format === 'json' || cli.format === 'jsonl') printDocument(cli, state);
  else if (cli.quiet) print(cli, troubles.length === 0 ? 'healthy' : `unhealthy: ${troubles.join('; ')}`);
  else print(cli, guardText(state, now, cli.style, guard.link));
  return troubles.length === 0 ? exitCodes.ok : exitCodes.unhealthy;
}

/** Why there is no guard to show, as an error. */
export function guardProblem(cluster: string, look: GuardLook): Problem {
  const { says = 'the guard gave no answer', next = guardCommand('status', cluster) } = noGuard(look, cluster) ?? {};
  return new Problem(look.kind === 'nobody' ? 'Unhealthy' : 'Unreachable', says, { next });
}

/** `guard mode`: what it does on its own from now on. */
export function guardMode(cli: Cli, options: OrderOptions, mode: GuardMode): Promise<number> {
  return order(cli, options, (guard, decided) => guard.setMode(mode, decided));
}

/** `guard maintenance on|off`: whether it keeps its hands off. */
export async function guardMaintenance(
  cli: Cli,
  options: OrderOptions & { for?: string },
  turn: 'on' | 'off',
): Promise<number> {
  if (turn === 'off' && options.for !== undefined) {
    throw new Problem('BadInput', '--for says how long maintenance lasts, and off ends it', {
      next: inCluster('veloz-ha guard maintenance off', options.cluster),
    });
  }
  const change = { on: turn === 'on', ...(options.for === undefined ? {} : { for: options.for }) };
  return order(cli, options, (guard, decided) => guard.maintenance(change, decided));
}

/** `guard hand-over`: its history begins anew, before workers of another version take it over. Where nobody guards, nothing is changed. */
export function guardHandOver(cli: Cli, options: OrderOptions): Promise<number> {
  return withGuard(cli, options, async (guard) => {
    const { kind } = await guard.look(GUARD_LIMIT_MS);
    if (kind === 'nobody')
      tell(cli, guard, `nobody guards cluster ${guard.cluster}: there is nothing to hand over`, {}, startAgain(guard));
    else tell(cli, guard, await guard.handOver(decision(cli, options)), {});
    return exitCodes.ok;
  });
}

/** `guard stop`: nobody watches any more. Where nobody does, nothing is changed. */
export function guardStop(cli: Cli, options: OrderOptions): Promise<number> {
  return withGuard(cli, options, async (guard) => {
    const { kind } = await guard.look(GUARD_LIMIT_MS);
    if (kind === 'nobody') {
      tell(cli, guard, `nobody guards cluster ${guard.cluster}: there is nothing to stop`, {}, startAgain(guard));
      return exitCodes.ok;
    }
    tell(cli, guard, await guard.stop(decision(cli, options)), {}, startAgain(guard));
    return exitCodes.ok;
  });
}

/** Gives the guard an order and shows its answer. */
function order(
  cli: Cli,
  options: OrderOptions,
  give: (guard: TemporalGuard, decided: Decision) => Promise<string>,
): Promise<number> {
  return withGuard(cli, options, async (guard) => {
    tell(cli, guard, await give(guard, decision(cli, options)), {});
    return exitCodes.ok;
  });
}

function withGuard(cli: Cli, options: GuardOptions, use: (guard: TemporalGuard) => Promise<number>): Promise<number> {
  return withTemporal(cli, async (temporal) => {
    const guard = new TemporalGuard(temporal, guardedCluster(cli, options.cluster), cli.io.env);
    await requireWorker(temporal);
    return use(guard);
  });
}

/** A guard that was just started answers as soon as a worker has taken it up. */
async function firstWord(guard: GuardSource): Promise<GuardLook> {
  const until = Date.now() + FIRST_WORD_MS;
  for (;;) {
    const look = await guard.look(Math.max(500, until - Date.now()));
    if (look.kind !== 'silent' || Date.now() > until) return look;
    await sleep(200);
  }
}

function decision(cli: Cli, options: OrderOptions): Decision & { by: string } {
  const by = options.by ?? whoami(cli.io.env);
  return { by, ...(options.reason === undefined ? {} : { why: options.reason }) };
}

/** The guard's answer, and where to look next. */
function tell(cli: Cli, guard: GuardSource, answer: string, more: object, next = lookAtIt(guard)): void {
  if (cli.format === 'json' || cli.format === 'jsonl') {
    const { cluster, workflowId, link } = guard;
    printDocument(cli, { version: 1, guard: { cluster, workflowId, link, answer, ...more } });
    return;
  }
  const { colour, glyphs } = cli.style;
  say(cli, `${colour.green(glyphs.done)} ${answer}\n  ${colour.dim(next.why)}  ${colour.cyan(next.command)}`);
}
