import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes } from '../../failures';
import { clockTimes, eventLine, guardCard, noGuard, type GuardLook } from '../../report/guard';
import { Problem } from '../../systems/problem';
import type { GuardEvent, GuardState } from '../../workflows/guard-messages';
import { guardedCluster, inCluster, withTemporal } from '../context';
import { TemporalGuard, type GuardSource } from '../guard-source';
import { print, type Cli } from '../io';
import { appendScreen, noScreen, terminalScreen, type Screen } from '../screen';
import { guardProblem } from './guard';

/** How often the guard is asked. It is a query: it leaves nothing in the guard's history. */
const POLL_MS = 500;
const LOOK_LIMIT_MS = 2_500;
/** What happened before anybody watched is told this far back. */
const EARLIER_EVENTS = 8;

/** `guard watch`: what the guard sees and does, as it happens, until Ctrl-C. */
export function guardWatch(cli: Cli, options: { cluster?: string }): Promise<number> {
  if (cli.format === 'json' || cli.format === 'markdown') {
    throw new Problem('BadInput', `guard watch has no end, so there is no ${cli.format} document of it`, {
      next: `${inCluster('veloz-ha guard watch', options.cluster)} -o jsonl, or ${inCluster('veloz-ha guard status', options.cluster)} -o json`,
    });
  }
  return withTemporal(cli, async (temporal) =>
    followGuard(cli, new TemporalGuard(temporal, guardedCluster(cli, options.cluster), cli.io.env)),
  );
}

/**
 * Follows a guard until Ctrl-C.
 * @throws Problem `Unhealthy` when nobody guards, be it from the start or from now on
 */
export async function followGuard(cli: Cli, guard: GuardSource): Promise<number> {
  const stopper = new AbortController();
  const offInterrupt = cli.io.onInterrupt(() => stopper.abort());
  const interrupted = aborted(stopper.signal);
  const view = new GuardView(cli, screenFor(cli), guard.cluster);
  try {
    while (!stopper.signal.aborted) {
      const look = await Promise.race([guard.look(LOOK_LIMIT_MS), interrupted]);
      if (look === undefined) break;
      if (look.kind === 'nobody') throw guardProblem(guard.cluster, look);
      view.show(look);
      await sleep(POLL_MS, undefined, { signal: stopper.signal }).catch(() => undefined);
    }
    return exitCodes.interrupted;
  } finally {
    offInterrupt();
    view.close();
  }
}

/** Draws what changes: events stay, the card below them is redrawn; without a terminal, events and changed sentences. */
class GuardView {
  /** Events that were written already; the guard keeps the last 50, so this need not grow for ever. */
  private told: ReadonlySet<string> | undefined;
  private said: string | undefined;
  private silentSince: number | undefined;

  constructor(
    private readonly cli: Cli,
    private readonly screen: Screen,
    private readonly cluster: string,
  ) {}

  show(look: Exclude<GuardLook, { kind: 'nobody' }>): void {
    if (look.kind === 'silent') {
      this.showSilence(look);
      return;
    }
    if (this.silentSince !== undefined) this.screen.keep(['the guard answers again']);
    this.silentSince = undefined;
    const { state } = look;
    const { told } = this;
    const news =
      told === undefined
        ? state.events.slice(-EARLIER_EVENTS)
        : state.events.filter((event) => !told.has(keyOf(event)));
    this.told = new Set(state.events.map(keyOf));
    if (this.cli.format === 'jsonl') {
      this.printNews(state, news);
      return;
    }
    const style = this.cli.style;
    this.screen.keep(news.map((event) => eventLine(event, style)));
    if (this.screen.redraws) {
      this.screen.live(`\n${guardCard(state, this.cli.io.now(), style)}`);
    } else if (this.changed(state)) {
      const { redis } = state;
      const now = this.cli.io.now();
      const line = (says: string) => `${style.clock(now)}  ${clockTimes(says, now, style)}`;
      this.screen.keep([
        line(`${state.sees.replace(/\.$/, '')}. Next: ${state.next}`),
        ...(redis === undefined ? [] : [line(`Redis: ${redis.sees}. Next: ${redis.next ?? 'not known yet'}`)]),
      ]);
    }
  }

  close(): void {
    this.screen.close();
  }

  private showSilence(look: GuardLook): void {
    const says = noGuard(look, this.cluster)?.says ?? '';
    const first = this.silentSince === undefined;
    this.silentSince ??= this.cli.io.now();
    if (!first) return;
    if (this.cli.format === 'jsonl') this.printDocument({ event: 'silent', says });
    else this.screen.keep([`${this.cli.style.glyphs.warning} ${says}`]);
  }

  private printNews(state: GuardState, news: readonly GuardEvent[]): void {
    for (const happened of news) this.printDocument({ event: 'happened', happened });
    if (this.changed(state)) this.printDocument({ event: 'guard', guard: state });
  }

  /** True when what the guard says is not what it said last. Times in it that only count up do not matter. */
  private changed({ mode, ledger, sees, waitsFor, next, acting, maintenance, signals, redis }: GuardState): boolean {
    const { master, sees: seen, next: after, acting: run } = redis ?? {};
    const of = redis === undefined ? [] : [master, seen, after, run];
    const said = JSON.stringify([mode, ledger, sees, waitsFor, next, acting, maintenance, signals.length, ...of]);
    const isNew = said !== this.said;
    this.said = said;
    return isNew;
  }

  private printDocument(document: object): void {
    print(this.cli, JSON.stringify({ version: 1, at: this.cli.io.now(), ...document }));
  }
}

function keyOf(event: GuardEvent): string {
  return `${event.at} ${event.kind} ${event.says}`;
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined), { once: true }));
}

function screenFor(cli: Cli): Screen {
  if (cli.quiet || cli.format === 'jsonl') return noScreen;
  return cli.io.stdout.isTTY === true && cli.io.env.TERM !== 'dumb'
    ? terminalScreen(cli.io.stdout)
    : appendScreen(cli.io.stdout);
}
