import { create as createLogUpdate } from 'log-update';
import type { Out } from './io';

/** Where the progress of a run is drawn. */
export interface Screen {
  /** True when `live` draws: false means that everything worth knowing has to be kept. */
  readonly redraws: boolean;
  /** Adds lines that stay. */
  keep(lines: readonly string[]): void;
  /** Replaces the part at the bottom that goes on changing. */
  live(text: string): void;
  /** Takes the changing part away and gives the cursor back. */
  close(): void;
}

/** A terminal: lines that stay scroll up, the changing part is redrawn below them. */
export function terminalScreen(stream: Out): Screen {
  const draw = createLogUpdate(stream as NodeJS.WriteStream);
  let shown = '';
  return {
    redraws: true,
    keep(lines) {
      if (lines.length === 0) return;
      draw.clear();
      stream.write(`${lines.join('\n')}\n`);
      if (shown !== '') draw(shown);
    },
    live(text) {
      shown = text;
      draw(text);
    },
    close() {
      draw.clear();
      draw.done();
      shown = '';
    },
  };
}

/**
 * A terminal of which all is taken. Each picture is drawn over the one before: nothing flickers, and a terminal that changes its
 * size is drawn anew. No line may be wider than it, and no picture higher. The last picture stays.
 */
export function wholeScreen(stream: Out): Pick<Screen, 'live' | 'close'> {
  let shown: string | undefined;
  return {
    live(text) {
      const picture = `${stream.columns}x${stream.rows}\n${text}`;
      if (picture === shown) return;
      const begin = shown === undefined ? '\u001b[2J' : '';
      shown = picture;
      stream.write(`${begin}\u001b[H${text.replace(/\n/g, '\u001b[K\r\n')}\u001b[K\u001b[J`);
    },
    close() {
      if (shown !== undefined) stream.write('\n');
    },
  };
}

/** A log file or a pipe: lines are only added. */
export function appendScreen(stream: Out): Screen {
  return {
    redraws: false,
    keep(lines) {
      if (lines.length > 0) stream.write(`${lines.join('\n')}\n`);
    },
    live() {
      // What changes four times a second has no place in a log.
    },
    close() {
      // Nothing was held.
    },
  };
}

/** `-q`, and streams of events, draw nothing. */
export const noScreen: Screen = {
  redraws: false,
  keep() {
    // Asked to be quiet.
  },
  live() {
    // Asked to be quiet.
  },
  close() {
    // Nothing was held.
  },
};
