import { createInterface } from 'node:readline/promises';
import type { Cli } from './io';

/**
 * Asks for a line. Enter ends it, so that a key that was pressed by accident decides nothing.
 * @param signal takes the question back
 * @returns the answer, or undefined when there was none: Ctrl-C, Ctrl-D, or the question was taken back
 */
export async function askLine(cli: Cli, question: string, signal?: AbortSignal): Promise<string | undefined> {
  const lines = createInterface({ input: cli.io.stdin, output: cli.io.stdout, terminal: true, historySize: 0 });
  const gone = new AbortController();
  const give = () => gone.abort();
  signal?.addEventListener('abort', give, { once: true });
  if (signal?.aborted === true) give();
  lines.once('SIGINT', give);
  lines.once('close', give);
  try {
    return (await lines.question(question, { signal: gone.signal })).trim();
  } catch {
    cli.io.stdout.write('\n');
    return undefined;
  } finally {
    signal?.removeEventListener('abort', give);
    lines.close();
  }
}

/** Asks a question that only `y` or `yes` answers with yes. */
export async function askYes(cli: Cli, question: string, signal?: AbortSignal): Promise<boolean | undefined> {
  const { colour, glyphs } = cli.style;
  const answer = await askLine(
    cli,
    `${colour.yellow(glyphs.question)} ${colour.bold(question)} ${colour.dim('[y/N]')} `,
    signal,
  );
  return answer === undefined ? undefined : /^y(es)?$/i.test(answer);
}
