import { exitCodeOf, type FailureType } from '../failures';
import type { Style } from '../report/style';
import { Problem } from '../systems/problem';
import { print, printDocument, type Cli } from './io';

/** An error as a person reads it and a program parses it. */
export interface ErrorDocument {
  version: 1;
  error: { type: FailureType; message: string; why?: string; next?: string };
}

/** Whatever was thrown, as a problem. Something unforeseen is a `Failed` with its message. */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new Problem('Failed', 'the command broke off unexpectedly', {
    why: message,
    next: 'run it again with -v to see where',
    cause: error,
  });
}

/** `Error: what. Why: cause. Next: command [Type]`. */
export function problemLine(problem: Problem, style: Style): string {
  const { colour } = style;
  const parts = [`${colour.bold(colour.red('Error:'))} ${sentence(problem.message)}`];
  if (problem.detail.why !== undefined) parts.push(`Why: ${sentence(problem.detail.why)}`);
  // The command stands for itself, without a full stop, so that it can be copied.
  if (problem.detail.next !== undefined) parts.push(`Next: ${colour.cyan(problem.detail.next)}`);
  return `${parts.join(' ')} ${colour.dim(`[${problem.type}]`)}`;
}

/**
 * Reports an error: one line on stderr, a document on stdout where one was asked for, the stack with `-v`.
 * @returns the exit code
 */
export function reportProblem(cli: Cli, error: unknown): number {
  const problem = toProblem(error);
  cli.io.stderr.write(`${problemLine(problem, cli.errStyle)}\n`);
  if (cli.verbose) {
    const cause = problem.detail.cause;
    cli.io.stderr.write(
      `${cause instanceof Error && cause.stack !== undefined ? cause.stack : (problem.stack ?? '')}\n`,
    );
  }
  if (cli.format === 'json' || cli.format === 'jsonl') {
    const document: ErrorDocument = {
      version: 1,
      error: {
        type: problem.type,
        message: problem.message,
        ...(problem.detail.why === undefined ? {} : { why: problem.detail.why }),
        ...(problem.detail.next === undefined ? {} : { next: problem.detail.next }),
      },
    };
    if (cli.format === 'jsonl') print(cli, JSON.stringify({ event: 'error', ...document }));
    else printDocument(cli, document);
  }
  return exitCodeOf(problem.type);
}

/** Ends with exactly one full stop. */
function sentence(text: string): string {
  const trimmed = text.trim().replace(/\s*\n\s*/g, '; ');
  return /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}
