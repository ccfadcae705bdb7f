import { setTimeout as sleep } from 'node:timers/promises';
import { eventsBetween, type Progress, type RunEvent } from '../report/events';
import { approvalLines, isOver, liveRegion, troubleText, type RunView } from '../report/live';
import { progressLine } from '../report/progress';
import { pictureText } from '../report/state';
import { labelWidth, stepLine, underStep } from '../report/steps';
import type { RunState, StepState } from '../workflows/run-state';
import { print, type Cli } from './io';
import type { RunEnd } from './run-end';
import { RunTrouble, type RunSource } from './run-source';
import { appendScreen, noScreen, terminalScreen, type Screen } from './screen';

/** How often the state is asked for. */
const POLL_MS = 250;
/** How often the screen is redrawn. */
const FRAME_MS = 100;
/** Trouble shorter than this is not shown: a worker that is being replaced, a server that is busy. */
const TROUBLE_SHOWN_AFTER_MS = 1_500;
/** A step that runs for longer than this is looked at more closely: attempts and heartbeats of its activity. */
const LOOK_CLOSER_AFTER_MS = 1_500;
const LOOK_CLOSER_EVERY_MS = 1_000;
const RETRY_END_MS = 1_000;
/** How often a long copy is told of where nothing is redrawn: in a log, and in a stream of events. */
const PROGRESS_LOG_EVERY_MS = 10_000;
const PROGRESS_EVENT_EVERY_MS = 1_000;

/** Why waiting for a run came to an end. */
export type Waited = 'ended' | 'stopped' | 'detached' | 'timeout';

/** What {@link Attachment.until} waits for, besides the end of the run. */
export interface Until {
  /** Stops waiting as soon as this holds. */
  stop?: (state: RunState) => boolean;
  /** Milliseconds since the epoch after which waiting ends. The run goes on. */
  deadline?: number;
}

/**
 * Follows one run: asks for its state, shows what happens, and waits for its end. Neither a dead worker nor a lost
 * Temporal ends it; both are shown, and it goes on when they come back.
 */
export class Attachment {
  /** The end of the run, once there is one. */
  end: RunEnd | undefined;
  private readonly view: RunView;
  private readonly screen: Screen;
  private readonly stopper = new AbortController();
  private readonly listeners = new Set<() => void>();
  private drawn: Progress | undefined;
  private pictureShown = false;
  private approvalShown = false;
  private troubleShown = false;
  /** What was told last of a long copy, and when. */
  private copyTold: { at: number; doneBytes: number } | undefined;
  private silent = true;
  private tick = 0;
  /** Milliseconds since the epoch of the last answer. */
  private answeredAt: number;

  constructor(
    private readonly cli: Cli,
    private readonly source: RunSource,
    screen?: Screen,
  ) {
    this.view = { workflowId: source.workflowId, link: source.link };
    this.answeredAt = cli.io.now();
    this.screen = screen ?? screenFor(cli);
    void this.followState();
    void this.followEnd();
  }

  /** The state that was seen last. */
  get state(): RunState | undefined {
    return this.view.state;
  }

  /** Draws until the run has ended, `stop` holds, Ctrl-C was pressed, or the deadline is past: whichever comes first. */
  async until(wanted: Until = {}): Promise<Waited> {
    this.silent = false;
    const frames = this.screen.redraws ? setInterval(() => this.draw(), FRAME_MS) : undefined;
    let offInterrupt: (() => void) | undefined;
    const interrupted = new Promise<Waited>((resolve) => {
      offInterrupt = this.cli.io.onInterrupt(() => resolve('detached'));
    });
    try {
      this.show();
      return await this.wait(wanted, interrupted);
    } finally {
      clearInterval(frames);
      offInterrupt?.();
      this.show();
      this.screen.close();
      this.silent = true;
    }
  }

  /** The same without drawing, and Ctrl-C belongs to somebody else: while a question is on the screen. */
  unseen(wanted: Until): Promise<Waited> {
    return this.wait(wanted);
  }

  private async wait(wanted: Until, interrupted?: Promise<Waited>): Promise<Waited> {
    let timer: NodeJS.Timeout | undefined;
    let listener: (() => void) | undefined;
    const happened = new Promise<Waited>((resolve) => {
      listener = () => {
        if (this.end !== undefined) resolve('ended');
        else if (this.view.state !== undefined && wanted.stop?.(this.view.state) === true) resolve('stopped');
      };
      this.listeners.add(listener);
      if (wanted.deadline !== undefined) {
        timer = setTimeout(() => resolve('timeout'), Math.max(0, wanted.deadline - this.cli.io.now()));
      }
      listener();
    });
    try {
      return await (interrupted === undefined ? happened : Promise.race([happened, interrupted]));
    } finally {
      clearTimeout(timer);
      if (listener !== undefined) this.listeners.delete(listener);
    }
  }

  /** Stops following. The run goes on. */
  close(): void {
    this.stopper.abort();
  }

  private async followState(): Promise<void> {
    let lookedAt = 0;
    while (!this.isClosed()) {
      try {
        const state = await this.source.status();
        if (this.isClosed()) return;
        this.view.state = state;
        this.answeredAt = this.cli.io.now();
        this.clearTrouble();
      } catch (error) {
        this.noteTrouble(error);
      }
      if (this.shouldLookCloser() && this.cli.io.now() - lookedAt >= LOOK_CLOSER_EVERY_MS) {
        lookedAt = this.cli.io.now();
        this.view.pending = await this.source.pending().catch(() => undefined);
      } else if (!this.shouldLookCloser()) {
        delete this.view.pending;
      }
      this.changed();
      await sleep(POLL_MS, undefined, { signal: this.stopper.signal }).catch(() => undefined);
    }
  }

  private async followEnd(): Promise<void> {
    while (!this.isClosed()) {
      try {
        this.end = await this.source.end();
        delete this.view.trouble;
        delete this.view.pending;
        this.changed();
        return;
      } catch (error) {
        this.noteTrouble(error);
        await sleep(RETRY_END_MS, undefined, { signal: this.stopper.signal }).catch(() => undefined);
      }
    }
  }

  private isClosed(): boolean {
    return this.stopper.signal.aborted || this.end !== undefined;
  }

  private shouldLookCloser(): boolean {
    if (this.view.trouble !== undefined) return false;
    const running = this.view.state?.steps.find((step) => step.state === 'running' || step.state === 'undoing');
    return running?.startedAt !== undefined && this.cli.io.now() - running.startedAt > LOOK_CLOSER_AFTER_MS;
  }

  private noteTrouble(error: unknown): void {
    if (this.isClosed()) return;
    const { kind, message } =
      error instanceof RunTrouble
        ? error
        : new RunTrouble('stuck', error instanceof Error ? error.message : String(error));
    this.view.trouble = { kind, says: message, since: this.answeredAt };
  }

  private clearTrouble(): void {
    delete this.view.trouble;
    if (this.troubleShown && !this.silent) this.screen.keep(['the run answers again']);
    this.troubleShown = false;
  }

  private changed(): void {
    if (!this.silent) this.show();
    for (const listener of [...this.listeners]) listener();
  }

  /** Writes down what happened since the last time. */
  private show(): void {
    if (this.silent) return;
    const after = this.progress();
    if (after !== undefined) {
      // A run that had ended before anybody looked tells its story by its report alone.
      const first = this.drawn === undefined;
      const untold = first && this.end !== undefined && this.cli.format !== 'jsonl';
      const events = untold ? [] : eventsBetween(this.drawn, after);
      this.drawn = after;
      if (this.cli.format === 'jsonl') for (const event of events) this.printEvent(event);
      // What was looked at first, then the picture of it, then what began after it. Who comes later sees the picture first.
      if (first) this.showPicture();
      this.screen.keep(this.linesOf(events, isOver));
      this.showPicture();
      if (!this.screen.redraws) this.screen.keep(this.linesOf(events, (step) => !isOver(step)));
    }
    this.showOnce();
    this.showCopy();
    if (this.screen.redraws) this.draw();
  }

  /** What is known of the steps: from the report once the run has left one, else from its state. */
  private progress(): Progress | undefined {
    if (this.end?.kind !== 'report') return this.view.state;
    const { says, steps } = this.end.report;
    return { phase: 'ended', says, steps };
  }

  private linesOf(events: readonly RunEvent[], wanted: (step: StepState) => boolean): string[] {
    const style = this.style();
    const label = labelWidth(this.drawn?.steps ?? [], style);
    return events.flatMap((event) => {
      if (event.event === 'phase' || !wanted(event.step)) return [];
      const line = stepLine(event.step, { index: event.index, total: event.total, label }, style);
      return isOver(event.step) ? [line, ...underStep(event.step, label, style)] : [line];
    });
  }

  /** Members, checks and plan, once there is a plan. */
  private showPicture(): void {
    const { state } = this.view;
    if (this.pictureShown || this.end !== undefined || state?.plan === undefined) return;
    this.pictureShown = true;
    this.screen.keep(['', ...pictureText(state, this.style()).split('\n'), '']);
  }

  /** Things that are written once, when they become known. */
  private showOnce(): void {
    const { state, trouble } = this.view;
    const style = this.style();
    const waits = state?.approval.state === 'waiting' && this.end === undefined;
    if (waits && !this.approvalShown && !this.screen.redraws) {
      this.screen.keep(approvalLines(state, this.cli.io.now(), style));
    }
    this.approvalShown = waits;
    if (trouble !== undefined && !this.troubleShown && !this.screen.redraws && this.troubleIsOld()) {
      this.troubleShown = true;
      this.screen.keep([`${style.glyphs.warning} ${troubleText(trouble, this.cli.io.now())}`]);
    }
  }

  /** A screen that is redrawn shows a bar; a log gets a line now and then, a program an event a second. */
  private showCopy(): void {
    const copy = this.end === undefined ? this.view.state?.progress : undefined;
    const isStream = this.cli.format === 'jsonl';
    if (copy === undefined || (this.screen.redraws && !isStream)) return;
    const now = this.cli.io.now();
    const every = isStream ? PROGRESS_EVENT_EVERY_MS : PROGRESS_LOG_EVERY_MS;
    const told = this.copyTold;
    if (told !== undefined && (now - told.at < every || told.doneBytes === copy.doneBytes)) return;
    this.copyTold = { at: now, doneBytes: copy.doneBytes };
    if (isStream) this.printDocument({ version: 1, event: 'progress', progress: copy });
    else this.screen.keep([' '.repeat(11) + progressLine(copy)]);
  }

  private draw(): void {
    if (this.silent || this.end !== undefined) return;
    this.tick += 1;
    const { trouble, ...rest } = this.view;
    const view = trouble !== undefined && this.troubleIsOld() ? this.view : rest;
    this.screen.live(liveRegion(view, this.cli.io.now(), this.tick, this.style()));
  }

  private troubleIsOld(): boolean {
    return this.view.trouble !== undefined && this.cli.io.now() - this.view.trouble.since >= TROUBLE_SHOWN_AFTER_MS;
  }

  private printEvent(event: RunEvent): void {
    if (event.event === 'phase') {
      this.printDocument({ version: 1, event: 'phase', phase: event.phase, says: event.says });
      return;
    }
    const { index, total, step } = event;
    this.printDocument({ version: 1, event: 'step', n: index + 1, of: total, step });
  }

  private printDocument(document: object): void {
    const { workflowId, runId } = this.source;
    print(this.cli, JSON.stringify({ ...document, workflowId, runId, at: this.cli.io.now() }));
  }

  private style() {
    return this.cli.format === 'text' ? this.cli.style : this.cli.errStyle;
  }
}

function screenFor(cli: Cli): Screen {
  if (cli.quiet || cli.format === 'jsonl') return noScreen;
  if (cli.format !== 'text') return appendScreen(cli.io.stderr);
  return cli.io.stdout.isTTY === true && cli.io.env.TERM !== 'dumb'
    ? terminalScreen(cli.io.stdout)
    : appendScreen(cli.io.stdout);
}
