import { hasRoom, isUnfinished, segmentName } from '../../cluster/failover/timeline-end';
import { lsnDistance, type Lsn } from '../../cluster/lsn';
import type { DockerClient } from '../../systems/docker';
import type { PostgresSession } from '../../systems/postgres';
import { messageOf, withinLimit } from '../guard/probe';
import { parseHistory } from '../rejoin/look';
import type { FailoverJournal } from './journal';
import type { FailoverMove } from './move';
import { needed, type Candidate } from './parts';

const PG_WAL = '/var/lib/postgresql/data/pg_wal';
/** How long each question may take, in milliseconds. Nobody waits for it: clients go on already. */
const LIMIT_MS = 5000;

/**
 * What a standby has received counts as safe, and a promotion replays as far as records are whole: WAL that its disk lost or damaged
 * ends it earlier. Where the old timeline was left before the end of what the proof said, nothing is undone, and nothing is claimed.
 */
export async function requireAllReplayed(
  docker: DockerClient,
  { run, source }: FailoverMove,
  target: Candidate,
  journal: FailoverJournal,
): Promise<void> {
  const { lossBound, timelineBefore: timeline, receivedByTarget: received } = journal;
  // Nothing is claimed of another one.
  if (lossBound !== 0 || timeline === undefined || received === undefined) return;
  const problem = await withinLimit(lackOf(docker, target, { timeline, received }), LIMIT_MS).catch(
    (error: unknown) => `where ${target.name} left timeline ${timeline} could not be read: ${messageOf(error)}`,
  );
  if (problem === undefined) return;
  delete journal.proof;
  journal.lossBound = null;
  (journal.warnings ??= []).push(
    `I7: whether something is lost is not known: ${problem.replace(/\.$/, '')} (limit: all that it had received, ${received}).${source === '' ? '' : ` The rejoin of ${source} tells what it alone had, and keeps it.`} Next: veloz-ha show ${run.split('/')[0] ?? run}`,
  );
}

/** What the promotion did not replay of what its node had, in half a sentence; undefined where it replayed every whole record. */
async function lackOf(
  docker: DockerClient,
  target: Candidate,
  { timeline, received }: { timeline: number; received: Lsn },
): Promise<string | undefined> {
  const [row] = await needed(target.sql, target).query<{ timeline: number }>(timelineQuestion);
  const text = row === undefined ? undefined : await docker.readFile(target.name, historyPath(row.timeline));
  if (text === undefined) throw new Error('its timeline has no history file');
  const end = parseHistory(text).find((entry) => entry.timeline === timeline)?.endLsn;
  if (end === undefined) throw new Error(`its timeline ${row?.timeline} does not come from it`);
  if (!hasRoom({ end, received })) return undefined;
  if (await endsUnfinished(docker, target, { timeline, end, received })) return undefined;
  return `${target.name} had received WAL up to ${received} on timeline ${timeline}, and its promotion could replay only up to ${end}: the ${lsnDistance(received, end)} bytes behind it are damaged or gone`;
}

async function endsUnfinished(
  docker: DockerClient,
  target: Candidate,
  { timeline, end, received }: { timeline: number; end: Lsn; received: Lsn },
): Promise<boolean> {
  const size = await segmentSize(needed(target.sql, target));
  const path = `${PG_WAL}/${segmentName(timeline, end, size)}`;
  // With a WAL archive the promotion renames the segment that it left in the middle.
  const bytes = (await docker.readBytes(target.name, path)) ?? (await docker.readBytes(target.name, `${path}.partial`));
  if (bytes === undefined) throw new Error(`${path} is not there`);
  return isUnfinished({ end, received }, { bytes, size });
}

async function segmentSize(session: PostgresSession): Promise<number> {
  const [row] = await session.query<{ segment: number }>(segmentQuestion);
  if (row === undefined) throw new Error('it returned no row');
  return row.segment;
}

const historyPath = (timeline: number): string =>
  `${PG_WAL}/${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;

const timelineQuestion = `SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS timeline`;

const segmentQuestion = `SELECT pg_size_bytes(current_setting('wal_segment_size'))::int AS segment`;
