import { clusterStatus } from '../../cluster/commands';
import { attempt, finalFailure } from '../context';
import type { ActivityDeps, ClusterAccess } from '../deps';
import type { Choice } from './choose';
import type { FailoverJournal } from './journal';
import { queryLimitOf, type FailoverMove } from './move';
import { needed, observeCandidates, reachSilent, type Candidate, type FailoverParts } from './parts';

/** So many attempts, of some three seconds each, wait for somebody who may have been asked to be promoted and gives no answer. */
const PATIENT_ATTEMPTS = 4;

/**
 * Whom an earlier attempt of this run asked to be promoted: nobody else may be. Undefined when nobody was.
 * @throws ApplicationFailure `Failed` when the one that this run promoted is primary no more; Error when somebody that may have been
 * asked gives no answer
 */
export async function askedBefore(
  deps: Pick<ActivityDeps, 'docker'>,
  access: ClusterAccess,
  request: FailoverMove,
  parts: FailoverParts,
  journal: FailoverJournal,
): Promise<Choice | undefined> {
  const found = recordedBy(request.run, parts, await observeCandidates(parts));
  if (found !== undefined) return choiceOf(found, parts, journal);
  if (journal.began !== 'promotion') return undefined;
  // One that was asked may be slow just now: its silence is believed later than anybody else's.
  await reachSilent(deps, access, parts, queryLimitOf(request));
  const said = await observeCandidates(parts);
  const late = recordedBy(request.run, parts, said);
  if (late !== undefined) return choiceOf(late, parts, journal);
  for (const { name, problem } of parts.candidates) {
    if (said.has(name) || !(await deps.docker.inspect(name)).exists) continue;
    const says = `${name}, which may have been asked to be promoted, does not answer: ${problem ?? 'no reason given'}`;
    throw attempt() < PATIENT_ATTEMPTS ? new Error(says) : finalFailure('Failed', says);
  }
  if (journal.marks.promotedAt === null) return undefined;
  throw finalFailure(
    'Failed',
    `the node that this run promoted is a standby again: another run has moved the primary since. Next: ${clusterStatus(access.name)}`,
  );
}

function recordedBy(
  run: string,
  parts: FailoverParts,
  said: Awaited<ReturnType<typeof observeCandidates>>,
): Candidate | undefined {
  return parts.candidates.find(({ name }) => said.get(name)?.promotion?.run === run);
}

async function choiceOf(target: Candidate, parts: FailoverParts, journal: FailoverJournal): Promise<Choice> {
  const others = parts.candidates.filter((each) => each !== target && each.agent !== undefined).map(({ name }) => name);
  return { target, others, names: journal.names ?? (others.length > 0 ? await namesOf(target) : '') };
}

async function namesOf(target: Candidate): Promise<string> {
  const [row] = await needed(target.sql, target).query<{ names: string }>(
    `SELECT current_setting('synchronous_standby_names') AS names`,
  );
  return row?.names ?? '';
}
