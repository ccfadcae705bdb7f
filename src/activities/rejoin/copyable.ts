import { refusalSentence } from '../../cluster/check';
import { shellWord } from '../../cluster/commands';
import { readableWords, wholeWords } from '../../cluster/readiness/copies';
import { Checklist } from '../../cluster/switchover/checklist';
import type { CopyCheck, PostgresAgent } from '../../systems/agent';
import { finalFailure } from '../context';
import { withSession, type ClusterAccess } from '../deps';
import type { RejoinRequest } from './parts';

/** The primary's agent may have to look at all names below its data directory, in milliseconds. */
const LIMIT_MS = 8000;

/**
 * A full copy is begun only where it would be whole and can be made: asked of the node's agent, which asks the primary and its agent. Where
 * nobody can tell it is begun, and the agent looks at what it has made.
 * @param aside a sentence without full stop that says how the node is left
 * @throws ApplicationFailure `Refused` (M7, M12)
 */
export async function requireCopyable(
  access: ClusterAccess,
  { node, primary }: RejoinRequest,
  agent: PostgresAgent,
  aside: string,
): Promise<void> {
  const found = await agent
    .call('checkCopy', { upstream: access.internal(primary) }, LIMIT_MS)
    .catch((): undefined => undefined);
  const sentence = found === undefined ? undefined : refusalSentence(copyChecks(found, node, primary), aside);
  if (sentence !== undefined) throw finalFailure('Refused', sentence);
}

/** The same before the node is fenced; of one that does not answer nothing is known then. */
export async function requireCopyableNow(access: ClusterAccess, request: RejoinRequest): Promise<void> {
  const agent = await access.agent(request.node).catch(() => undefined);
  if (agent === undefined) return;
  await withSession(Promise.resolve(agent), (session) =>
    requireCopyable(access, request, session, `${request.node} is left as it is`),
  );
}

function copyChecks({ leftOut, unreadable, tablespaces }: CopyCheck, node: string, primary: string) {
  const list = new Checklist();
  if (leftOut !== null && leftOut.links.length > 0) list.require('M7', false, wholeWords(primary, leftOut));
  if (unreadable !== null && unreadable.files.length > 0)
    list.require('M12', false, readableWords(primary, unreadable));
  const [first] = tablespaces;
  if (first !== undefined)
    list.require('M7', false, {
      says: `${node} has a place for each tablespace of ${primary}`,
      refusal: `${node} has no place for a copy of a tablespace of ${primary}`,
      measured: tablespaces.map(({ oid, path, problem }) => `tablespace ${oid} at ${path}: ${problem}`).join('; '),
      limit: "a directory to which its server's user may write, on its own volume or empty",
      next: placeFor(node, first),
    });
  return list.checks;
}

/** Makes the directory, or shows what is in it: whose that is nobody but a person can tell. */
function placeFor(node: string, { path, problem }: CopyCheck['tablespaces'][number]): string {
  const word = /^[\w@%+=:,./-]+$/.test(path) ? path : shellWord(path);
  return /no such directory|may not write/.test(problem)
    ? `docker exec -u root ${node} install -d -o postgres -g postgres -m 0700 ${word}`
    : `docker exec -u root ${node} ls -la ${word}`;
}
