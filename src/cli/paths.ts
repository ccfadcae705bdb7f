import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';

/** The folder that holds package.json, both from `src` and from `dist`. */
export const packageRoot = resolve(__dirname, '..', '..');

/** Databases, logs and process ids of what the CLI started: `VELOZ_HA_STATE`, else `~/.local/state/veloz-ha`. */
export function stateDirectory(env: NodeJS.ProcessEnv): string {
  const named = env.VELOZ_HA_STATE;
  if (named !== undefined && named !== '') return resolve(named);
  const base = env.XDG_STATE_HOME;
  return join(base === undefined || base === '' ? join(homedir(), '.local', 'state') : base, 'veloz-ha');
}

/**
 * The `temporal` binary: `VELOZ_HA_TEMPORAL`, else the one that set-up made, else on PATH; undefined where there is none. Set-up
 * makes one only where the one on PATH is missing or too old, so its own goes first.
 */
export function findTemporalBinary(env: NodeJS.ProcessEnv, home: string = homedir()): string | undefined {
  const named = env.VELOZ_HA_TEMPORAL;
  const candidates = [
    ...(named !== undefined && named !== '' ? [resolve(named)] : []),
    join(home, '.cache', 'veloz-ha', 'bin', 'temporal'),
    ...(env.PATH ?? '')
      .split(delimiter)
      .filter((folder) => folder !== '')
      .map((folder) => join(folder, 'temporal')),
  ];
  return candidates.find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
