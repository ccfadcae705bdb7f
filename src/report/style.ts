import pc from 'picocolors';

/** The signs in front of lines, and the few others that not every terminal can show. */
export interface Glyphs {
  done: string;
  running: string;
  failed: string;
  undo: string;
  skipped: string;
  pending: string;
  warning: string;
  question: string;
  part: string;
  arrow: string;
  rule: string;
  bar: string;
  /** The part of a progress bar that is still to come. */
  barToCome: string;
  ellipsis: string;
  spinner: readonly string[];
}

const unicodeGlyphs: Glyphs = {
  done: '✔',
  running: '▶',
  failed: '✖',
  undo: '↩',
  skipped: '–',
  pending: '·',
  warning: '!',
  question: '?',
  part: '·',
  arrow: '→',
  rule: '─',
  bar: '█',
  barToCome: '░',
  ellipsis: '…',
  spinner: ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'],
};

const asciiGlyphs: Glyphs = {
  done: '+',
  running: '>',
  failed: 'x',
  undo: '<',
  skipped: '-',
  pending: '.',
  warning: '!',
  question: '?',
  part: '-',
  arrow: '->',
  rule: '-',
  bar: '#',
  barToCome: '.',
  ellipsis: '...',
  spinner: ['-', '\\', '|', '/'],
};

/** How text is drawn: everything that depends on the terminal and not on what is said. */
export interface Style {
  colour: ReturnType<typeof pc.createColors>;
  glyphs: Glyphs;
  /** Columns that a line may take. Lines that are kept may run over it; lines that are redrawn are cut at it. */
  width: number;
  /** Shows each check, each measured detail, and stack traces. */
  verbose: boolean;
  /** Hours, minutes and seconds of an epoch time in milliseconds. */
  clock: (epochMs: number) => string;
  /** Date and time of an epoch time in milliseconds. */
  dateTime: (epochMs: number) => string;
}

/** What a style is made from. */
export interface StyleOptions {
  colour: boolean;
  unicode: boolean;
  /** Columns. */
  width: number;
  verbose?: boolean;
  /** Times in UTC instead of the local zone. */
  utc?: boolean;
}

/** Makes a style. */
export function makeStyle(options: StyleOptions): Style {
  const two = (value: number) => String(value).padStart(2, '0');
  const clock = (date: Date) =>
    options.utc
      ? `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`
      : `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const day = (date: Date) =>
    options.utc
      ? `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`
      : `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return {
    colour: pc.createColors(options.colour),
    glyphs: options.unicode ? unicodeGlyphs : asciiGlyphs,
    width: options.width,
    verbose: options.verbose ?? false,
    clock: (epochMs) => clock(new Date(epochMs)),
    dateTime: (epochMs) => `${day(new Date(epochMs))} ${clock(new Date(epochMs))}${options.utc ? ' UTC' : ''}`,
  };
}
