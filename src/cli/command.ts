import { Command, CommanderError, InvalidArgumentError, Option, type HelpContext } from 'commander';
import { durationMs } from '../cluster/duration';
import { UNLIMITED_LOSS } from '../cluster/failover/commands';
import { Problem } from '../systems/problem';
import type { Action } from './actions';
import { makeCli, type GlobalOptions, type Io } from './io';
import { nearest } from './nearest';

/** A command line that was typed wrong is one problem with the nearest command, and not a page of help. */
export class HaCommand extends Command {
  override createCommand(name?: string): HaCommand {
    return new HaCommand(name);
  }

  override error(message: string): never {
    throw usageProblem(this, message);
  }

  /** Commander shows help as an error where a subcommand is missing. The program alone just shows it. */
  override help(context?: HelpContext | ((text: string) => string)): never {
    if (typeof context !== 'object' || context.error !== true || this.parent === null) return super.help();
    return this.error(`${this.name()} needs a subcommand: ${this.commands.map((one) => one.name()).join(', ')}`);
  }
}

/** The words of a command: `veloz-ha postgres switchover`. */
export function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

/** Turns the parser's message into a problem of ours. */
function usageProblem(command: Command, message: string): Problem {
  const name = fullName(command);
  // A command that does something by itself and has subcommands too takes a mistyped one for an argument too many.
  const word = command.args[0];
  if (message.startsWith('error: too many arguments') && command.commands.length > 0 && word !== undefined) {
    return withNearest(
      name,
      `unknown command '${word}'`,
      nearest(
        word,
        command.commands.map((one) => one.name()),
      ),
    );
  }
  const [first = '', ...rest] = message.replace(/^error: /, '').split('\n');
  const invalid = /^(.+ is invalid(?: for argument '.+')?)\. (.+)$/.exec(first);
  if (invalid !== null)
    return new Problem('BadInput', invalid[1] ?? first, { why: lowerFirst(invalid[2] ?? ''), next: `${name} --help` });
  return withNearest(name, first, /\(Did you mean (?:one of )?(.+)\?\)/.exec(rest.join(' '))?.[1]?.split(', ')[0]);
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function withNearest(name: string, what: string, near: string | undefined): Problem {
  if (near === undefined) return new Problem('BadInput', what, { next: `${name} --help` });
  return new Problem('BadInput', `${what}; the nearest is ${near}`, {
    next: near.startsWith('-') ? `${name} --help` : `${name} ${near}`,
  });
}

/** How commands are put together: adds one, with its action, its options and its examples. */
export interface Builder {
  command(parent: HaCommand, usage: string, says: string, examples: readonly string[]): HaCommand;
  act(command: HaCommand, load: (options: object) => Action): HaCommand;
}

/** @param onExit receives the exit code of the command that ran */
export function makeBuilder(io: Io, onExit: (code: number) => void): Builder {
  return {
    command(parent, usage, says, examples) {
      const command = parent.command(usage).description(says);
      const lines = examples.map((example) => `  $ ${example}`).join('\n');
      return command.addHelpText('after', `\nExamples:\n${lines}`);
    },
    act(command, load) {
      command.action(async (...given: unknown[]) => {
        // Commander hands over arguments, options, and the command itself.
        const args = given.slice(0, -2) as never[];
        // With those of the commands around it: `temporal stop --port 7300` is read by `temporal`.
        const options = command.optsWithGlobals<GlobalOptions>();
        onExit(await load(options)(makeCli(io, options), options as never, ...args));
      });
      return command;
    },
  };
}

/** A whole number within limits. */
export function wholeNumber(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < low || value > high)
      throw new InvalidArgumentError(`Expected a whole number from ${low} to ${high}.`);
    return value;
  };
}

/** A duration such as `90s`, in milliseconds. */
export function duration(text: string): number {
  try {
    return durationMs(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

/** A duration that travels as it was typed, once it is known to be one. */
export function durationText(text: string): string {
  duration(text);
  return text;
}

/** Bytes of a loss that somebody accepts: a number, with a unit or without, or `unlimited`. */
export function dataLoss(text: string): number {
  if (text === 'unlimited') return UNLIMITED_LOSS;
  const [, number, unit = 'B'] = /^(\d+(?:\.\d+)?)\s*(B|kB|MB|GB)?$/i.exec(text) ?? [];
  const power = ['b', 'kb', 'mb', 'gb'].indexOf(unit.toLowerCase());
  const bytes = Math.round(Number(number) * 1024 ** power);
  if (!Number.isSafeInteger(bytes))
    throw new InvalidArgumentError('Expected bytes such as 0, 1048576 or 16MB, or unlimited.');
  return bytes;
}

/** What `--cluster` says of itself. */
export const CLUSTER = "cluster of the topology (default: the topology's)";

/** Adds `--cluster`. */
export function clusterOption(command: HaCommand): void {
  command.option('--cluster <name>', CLUSTER);
}

/** The name of a worker in the background, which becomes a file name. */
export function workerName(text: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,30}$/.test(text) && !text.startsWith('temporal')) return text;
  throw new InvalidArgumentError('Expected small letters, digits and dashes, such as worker-2.');
}

/** `--name <value>` that takes one of a few words. */
export function oneOf(flags: string, says: string, choices: readonly string[]): Option {
  return new Option(flags, says).choices(choices);
}

/** The parser ends a command early when it has shown help or the version. */
export function isShownHelp(error: unknown): boolean {
  return error instanceof CommanderError && error.exitCode === 0;
}
