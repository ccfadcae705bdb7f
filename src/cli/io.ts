import type { Readable, Writable } from 'node:stream';
import { makeStyle, type Style } from '../report/style';

/** A stream that may be a terminal. */
export type Out = Writable & { isTTY?: boolean; columns?: number; rows?: number };

/** The process as commands see it, so that tests can hand in another one. */
export interface Io {
  stdin: Readable & { isTTY?: boolean };
  stdout: Out;
  stderr: Out;
  env: NodeJS.ProcessEnv;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls `listener` on Ctrl-C instead of ending the process. Returns what takes it off again. */
  onInterrupt(listener: () => void): () => void;
}

/** How a command prints its result. */
export type Format = 'text' | 'json' | 'jsonl' | 'markdown';

/** What a command is given: streams, format, and how text is drawn on each of the two streams. */
export interface Cli {
  io: Io;
  format: Format;
  quiet: boolean;
  verbose: boolean;
  /** For stdout. */
  style: Style;
  /** For stderr. */
  errStyle: Style;
}

/** Options that every command takes. */
export interface GlobalOptions {
  output?: Format;
  quiet?: boolean;
  verbose?: boolean;
  color?: boolean;
}

/** The real process. */
export function processIo(): Io {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    now: () => Date.now(),
    onInterrupt(listener) {
      process.on('SIGINT', listener);
      return () => process.off('SIGINT', listener);
    },
  };
}

/** Puts together what a command is given. */
export function makeCli(io: Io, options: GlobalOptions): Cli {
  const styleOf = (stream: Out) =>
    makeStyle({
      colour: wantsColour(stream, io.env, options.color),
      unicode: hasUnicode(io.env),
      width: Math.max(60, stream.isTTY === true ? (stream.columns ?? 80) : 120),
      verbose: options.verbose,
    });
  return {
    io,
    format: options.output ?? 'text',
    quiet: options.quiet ?? false,
    verbose: options.verbose ?? false,
    style: styleOf(io.stdout),
    errStyle: styleOf(io.stderr),
  };
}

/** A person sits at both ends: questions may be asked. */
export function isInteractive(cli: Cli): boolean {
  return cli.io.stdin.isTTY === true && cli.io.stdout.isTTY === true && cli.format === 'text';
}

/** Writes a result to stdout. */
export function print(cli: Cli, text: string): void {
  cli.io.stdout.write(`${text}\n`);
}

/** Writes prose: to stdout beside a text result, to stderr beside a document of a program; nowhere with `-q`. */
export function say(cli: Cli, text: string): void {
  if (cli.quiet) return;
  (cli.format === 'text' ? cli.io.stdout : cli.io.stderr).write(`${text}\n`);
}

/** Writes one versioned document to stdout: indented for `json`, on one line for `jsonl`. */
export function printDocument(cli: Cli, document: object): void {
  print(cli, cli.format === 'jsonl' ? JSON.stringify(document) : JSON.stringify(document, null, 2));
}

/** `--color` and `--no-color` decide, then NO_COLOR and FORCE_COLOR, then whether it is a terminal. */
function wantsColour(stream: Out, env: NodeJS.ProcessEnv, asked: boolean | undefined): boolean {
  if (asked !== undefined) return asked;
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false;
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '' && env.FORCE_COLOR !== '0') return true;
  return stream.isTTY === true && env.TERM !== 'dumb';
}

/** The locale says UTF-8. */
function hasUnicode(env: NodeJS.ProcessEnv): boolean {
  const locale = [env.LC_ALL, env.LC_CTYPE, env.LANG].find((value) => value !== undefined && value !== '') ?? '';
  return /utf-?8/i.test(locale);
}
