import { actions } from './actions';
import { HaCommand, makeBuilder, oneOf, type Builder } from './command';
import { addDailyCommands } from './commands-daily';
import { addSetUpCommands } from './commands-setup';
import type { Io } from './io';

const AFTER_HELP = `
Exit codes:
  0 ok   1 failed or rolled back   2 usage   3 refused by a check   4 busy   5 incomplete, or waited too long
  6 aborted, rejected or not approved in time   7 Temporal or worker out of reach   8 unhealthy   130 interrupted

First steps:
  $ veloz-ha stack up && veloz-ha temporal --detach && veloz-ha worker --detach
  $ veloz-ha status
  $ veloz-ha postgres switchover
  $ veloz-ha guard start && veloz-ha guard status`;

/**
 * The command line.
 * @param onExit receives the exit code of the command that ran
 */
export function createProgram(io: Io, version: string, onExit: (code: number) => void): HaCommand {
  const program = new HaCommand('veloz-ha');
  const build: Builder = makeBuilder(io, onExit);
  program
    .description('Switchover, failover and rejoin of the VeloZ trading stack, as durable Temporal workflows.')
    .version(version, '-V, --version', 'print the version')
    .addOption(
      oneOf('-o, --output <format>', 'json: one document; jsonl: a stream of events; markdown: reports', [
        'text',
        'json',
        'jsonl',
        'markdown',
      ]),
    )
    .option('-q, --quiet', 'only the outcome and errors')
    .option('-v, --verbose', 'every check, every measured detail, stack traces')
    .option('--color', 'colours, whatever stdout is')
    .option('--no-color', 'no colours')
    .helpOption('-h, --help', 'show help')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
    })
    .exitOverride()
    .addHelpText('after', AFTER_HELP);
  addDailyCommands(program, build, actions);
  addSetUpCommands(program, build, actions);
  return program;
}
