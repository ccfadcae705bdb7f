import { InvalidArgumentError, Option } from 'commander';
import { innermost } from '../systems/temporal';
import type { Spread } from './summary';

/** Prose goes to stderr: stdout is the document's. */
export const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** A whole number from 1 to 1000. */
export const positive = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1000)
    throw new InvalidArgumentError('expected a whole number from 1 to 1000');
  return value;
};

/** Options that benches share. */
export const standbysOption = () =>
  new Option('--standbys <n>', 'standbys')
    .choices(['1', '2'])
    .default(1)
    .argParser((text) => (text === '2' ? 2 : 1));
export const outputOption = () =>
  new Option('-o, --output <format>', 'json prints one document on stdout').choices(['json', 'text']).default('text');
export const asIsOption = () => new Option('--as-is', 'use the containers as they run; do not bring the stack up');

/** Ends the program with the bench's exit code, and an error with a sentence. */
export function end(bench: Promise<number>): Promise<never> {
  return bench.then(
    (code) => process.exit(code),
    (error: unknown) => {
      say(`Error: ${innermost(error)}`);
      process.exit(1);
    },
  );
}

/** A spread of milliseconds in words. */
export const words = (spread: Spread | null | undefined): string =>
  spread == null ? '–' : `${spread.median} ms (${spread.min}–${spread.max})`;
