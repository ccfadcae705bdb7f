import { waitsForStandby } from '../synchronous-commit';

/** What the failed primary's own files say of whom its commits waited for in the end. */
export interface OwnSettings {
  /** `synchronous_standby_names`. */
  names?: string;
  /** Which setting lets commits pass without a standby, in half a sentence; absent where none does. */
  weak?: string;
  /** When ALTER SYSTEM wrote last, in milliseconds since the epoch by the clock of the node's machine; absent where it never has. */
  writtenAt?: number;
  /** Why nobody knows, in half a sentence. */
  problem?: string;
}

const LINE = /^\s*(synchronous_standby_names|synchronous_commit)\s*=?\s*('(?:[^']|'')*'|[^\s#]*)/i;

/**
 * What the files say. Nobody can change the names past them: a session can't, and the server's command line is its agent's. But names can
 * be emptied and put back, and then the files say what they said before: see {@link OwnSettings.writtenAt}.
 * @param files contents in the order in which PostgreSQL reads them: the last word counts
 */
export function ownSettingsOf(files: readonly string[]): OwnSettings {
  const said = new Map<string, string>();
  for (const line of files.flatMap((content) => content.split('\n'))) {
    const [, name = '', value = ''] = LINE.exec(line) ?? [];
    if (name !== '') said.set(name.toLowerCase(), unquoted(value));
  }
  const names = said.get('synchronous_standby_names');
  const commit = said.get('synchronous_commit');
  if (names === undefined) return { problem: 'they say nothing of synchronous_standby_names' };
  return {
    names: names.trim(),
    ...(commit !== undefined && !waitsForStandby(commit) ? { weak: `synchronous_commit is ${commit}` } : {}),
  };
}

const unquoted = (value: string): string => (value.startsWith("'") ? value.slice(1, -1).replaceAll("''", "'") : value);

/**
 * In what the files say something else than the ledger, in half a sentence; undefined where they agree. Of files that could not be read
 * this tells nothing.
 */
export function disagreement(own: OwnSettings, names: string): string | undefined {
  if (own.names !== undefined && own.names !== names.trim())
    return `its files say synchronous_standby_names = '${own.names}', and the ledger '${names.trim()}'`;
  return own.weak === undefined ? undefined : `its files say that ${own.weak}`;
}
