import { createProgram } from '../../src/cli/program';
import type { HaCommand } from '../../src/cli/command';
import { fakeIo } from '../cli/fake-io';

const program = createProgram(fakeIo(), '0.0.0', () => undefined);

/** The command lines of `veloz-ha` in a line of a document, without comments, prompts, and what they are joined with. */
export function commandLinesIn(line: string): string[] {
  return line
    .replace(/\s#\s.*$/, '')
    .split(/&&|\||;/)
    .map((part) => part.trim().replace(/^\$ /, ''))
    .filter((part) => /^(bin\/)?veloz-ha(\s|$)/.test(part));
}

/** The command that a line names, with the words behind it. */
export function commandOf(line: string): { command: HaCommand; rest: string[] } {
  const rest = (line.match(/"[^"]*"|\S+/g) ?? []).slice(1);
  let command: HaCommand = program;
  for (;;) {
    const below = command.commands.find((one) => one.name() === rest[0]);
    if (below === undefined) return { command, rest };
    command = below;
    rest.shift();
  }
}

/** Whether a command acts on a cluster, or one of those below it does. */
export function actsOnCluster(command: HaCommand): boolean {
  return command.options.some(({ long }) => long === '--cluster') || command.commands.some(actsOnCluster);
}

/** What is wrong with a command line; undefined when the program would take it. */
export function faultOf(line: string): string | undefined {
  const words = (line.match(/"[^"]*"|\S+/g) ?? []).slice(1);
  let command: HaCommand = program;
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? '';
    if (word.startsWith('-') && word !== '-') {
      const option = optionOf(command, word.split('=')[0] ?? '');
      if (option === undefined) return `${command.name()} has no option ${word}`;
      if ((option.required || option.optional) && !word.includes('=')) index += 1;
      continue;
    }
    const below = command.commands.find((one) => one.name() === word);
    if (below !== undefined) command = below;
    else if (command.registeredArguments.length === 0 && !/^[….]/.test(word))
      return `${command.name()} takes no ${word}`;
  }
  return undefined;
}

function optionOf(command: HaCommand, flag: string) {
  if (['-h', '--help'].includes(flag)) return { required: false, optional: false };
  for (let at: HaCommand | null = command; at !== null; at = at.parent) {
    const found = at.options.find((option) => option.long === flag || option.short === flag);
    if (found !== undefined) return found;
  }
  return undefined;
}
