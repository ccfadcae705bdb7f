import { psql, shellWord, sqlText } from '../commands';
import type { AnsweringNode } from '../observed';
import type { Checklist, CheckWords } from '../switchover/checklist';
import type { LeftOut, UnreadableFiles } from './observed';
import type { Weight } from './start';

/** A path as one word of a shell. */
const word = (path: string): string => (/^[\w@%+=:,./-]+$/.test(path) ? path : shellWord(path));

const andMore = (named: readonly string[], more: number): string =>
  [...named, ...(more === 0 ? [] : [`${more} more`])].join(', ');

/** All of the node's data would be in a copy, and only files are left out that its settings name. */
const lacksNoData = ({ links }: LeftOut): boolean => links.every(({ setting }) => setting !== undefined);

/** That a copy of the node would be whole (M7), in the words of a check. Nobody copies a node of which that is not so. */
export function wholeWords(name: string, leftOut: LeftOut): CheckWords {
  const { links, more } = leftOut;
  const settingsOnly = lacksNoData(leftOut);
  return {
    says: `a copy of ${name} would be whole`,
    refusal: settingsOnly
      ? `a copy of ${name} would not start: it would lack what its settings name, since its server follows links, and no copy does`
      : `a copy of ${name} would lack a part of its data: its server follows links, and no copy does`,
    measured: andMore(
      links.map(
        ({ path, target, setting }) => `${path} is a link to ${target}${setting === undefined ? '' : ` (${setting})`}`,
      ),
      more,
    ),
    limit: settingsOnly
      ? 'no link below the data directory to what the settings name'
      : 'no link in the data but pg_wal and those in pg_tblspc',
    next: settingsOnly ? pastLinks(name, leftOut) : showLinks(name, leftOut),
  };
}

/** What lies behind the links: databases by their names. */
function showLinks(name: string, { links }: LeftOut): string {
  const databases = links.flatMap(({ path }) => /\/base\/(\d+)$/.exec(path)?.[1] ?? []);
  return databases.length > 0
    ? psql(name, `SELECT oid, datname FROM pg_database WHERE oid IN (${databases.join(', ')})`)
    : `docker exec ${name} ls -ld ${links.map(({ path }) => word(path)).join(' ')}`;
}

/** Has the settings name the places themselves, where a reload is enough. */
function pastLinks(name: string, leftOut: LeftOut): string {
  const reloaded = leftOut.links.flatMap(({ setting = '', leadsTo }) =>
    setting.startsWith('ssl_') && leadsTo !== undefined ? `ALTER SYSTEM SET ${setting} = ${sqlText(leadsTo)}` : [],
  );
  return reloaded.length > 0 ? psql(name, ...reloaded, 'SELECT pg_reload_conf()') : showLinks(name, leftOut);
}

/** That a copy of the node comes to its end (M12), in the words of a check. */
export function readableWords(name: string, { user, files, more }: UnreadableFiles): CheckWords {
  // Its own files lack the right alone.
  const own = files.every(({ owner }) => owner === user);
  const paths = files.map(({ path }) => word(path)).join(' ');
  return {
    says: `all of the data directory of ${name} can be copied`,
    refusal: `no node could be copied or rewound from ${name}: its server may not read what lies in its data directory`,
    measured: andMore(
      files.map(({ path, mode, owner }) => `${path} is ${owner}'s, mode ${mode}`),
      more,
    ),
    limit: `all of it readable for ${user}`,
    next: `docker exec -u root ${name} ${own ? 'chmod u+rX' : `chown ${user}:`} ${paths}`,
  };
}

/**
 * M7: a copy of the node would be whole. `pg_basebackup` passes over a database that somebody moved to another disk and linked, and ends
 * well. A standby that has such a link is whole again after a copy of a node that has none. Where only a file of the settings would be left
 * out, that is told: whoever is about to copy the node is refused.
 */
export function checkWhole(
  list: Checklist,
  cluster: string,
  { name, readiness }: AnsweringNode,
  isPrimary: boolean,
  weight: Weight,
): void {
  const leftOut = readiness?.agent?.leftOut;
  if (leftOut == null || leftOut.links.length === 0) return;
  const words = wholeWords(name, leftOut);
  if (lacksNoData(leftOut)) {
    list.advise('M7', false, words);
    return;
  }
  const next = isPrimary ? words.next : `veloz-ha postgres rejoin --cluster ${cluster} ${name} --method copy`;
  list[weight]('M7', false, { ...words, next });
}

/**
 * M7: all databases of the node are there. A standby that was copied without one replays and confirms like any other, and would be promoted
 * without it.
 */
export function checkDatabases(
  list: Checklist,
  cluster: string,
  { name, agent, readiness }: AnsweringNode,
  isPrimary: boolean,
  weight: Weight,
): void {
  const { databases, more } = readiness?.agent?.lacking ?? { databases: [], more: 0 };
  if (databases.length === 0) return;
  list[isPrimary ? 'advise' : weight]('M7', false, {
    says: `the databases of ${name} are all there`,
    refusal: `${name} lacks the directory of a database, which a copy may have left out`,
    measured: andMore(
      databases.map((database) => `${database.name} (${database.oid})`),
      more,
    ),
    limit: 'a directory of each database',
    next: isPrimary
      ? `docker exec ${name} ls -l ${agent?.dataDirectory.path}/base`
      : `veloz-ha postgres rejoin --cluster ${cluster} ${name} --method copy`,
  });
}

/**
 * M12: the server's user may read all that lies in the data directory. A file that somebody put there as root ends every copy and every
 * rewind from this node, and the server itself never tells of it. Told: a node that follows needs neither.
 */
export function checkReadable(list: Checklist, { name, readiness }: AnsweringNode): void {
  const unreadable = readiness?.agent?.unreadable;
  if (unreadable == null || unreadable.files.length === 0) return;
  list.advise('M12', false, readableWords(name, unreadable));
}

/** M7: all of the node lies where a copy can replace it. Told: a node that follows needs no copy. */
export function checkPlaces(list: Checklist, { name, readiness }: AnsweringNode): void {
  const { tablespaces = [], walOutside = null } = readiness?.agent ?? {};
  const missing = tablespaces.filter(({ there }) => !there);
  const outside = tablespaces.filter(({ there, own }) => there && own !== true);
  if (missing.length === 0 && outside.length === 0 && walOutside === null) return;
  list.advise('M7', false, {
    says: `all of ${name} lies where a copy can replace it`,
    refusal:
      missing.length > 0
        ? `${name} would not find a tablespace at its next start`
        : outside.length > 0
          ? `${name} can't be copied anew by itself: what lies outside of its own volume has to be emptied by hand first`
          : `a full copy of ${name} would leave its WAL where it is, and put new WAL into its data directory`,
    measured: [
      ...[...missing, ...outside].map(
        ({ oid, path, there }) => `tablespace ${oid} at ${path}${there ? '' : ', which is not there'}`,
      ),
      ...(walOutside === null ? [] : [`pg_wal at ${walOutside}`]),
    ].join(', '),
    limit: "tablespaces on the node's own volume, and pg_wal in its place",
    next: psql(name, 'SELECT oid, spcname, pg_tablespace_location(oid) FROM pg_tablespace'),
  });
}
