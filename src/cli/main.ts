import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { exitCodes } from '../failures';
import { isShownHelp } from './command';
import { reportProblem } from './errors';
import { makeCli, type GlobalOptions, type Io } from './io';
import { packageRoot } from './paths';
import { createProgram } from './program';

/**
 * Runs one command line.
 * @param words what was typed behind the program's name
 * @returns the exit code; every error has been reported
 */
export async function main(words: readonly string[], io: Io): Promise<number> {
  let code: number = exitCodes.ok;
  const program = createProgram(io, version(), (exitCode) => {
    code = exitCode;
  });
  try {
    await program.parseAsync([...words], { from: 'user' });
    return code;
  } catch (error) {
    if (isShownHelp(error)) return exitCodes.ok;
    return reportProblem(makeCli(io, program.opts<GlobalOptions>()), error);
  }
}

function version(): string {
  const manifest = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  return manifest.version;
}
