import { NO_SLOT_LEFT, slotsLeftBehind, slotsText, unloggedText } from '../cluster/readiness/data';
import { readinessOf } from '../systems/postgres-readiness';
import { withSession, type ActivityDeps, type ClusterAccess } from './deps';
import { messageOf, withinLimit } from './guard/probe';

/** How long each question may take, in milliseconds. Clients were let go before it is asked. */
const LIMIT_MS = 3000;

/**
 * M6: what a promotion of `target` emptied or left behind, each a sentence for the report: unlogged tables, of which no WAL is written,
 * and logical slots that stay on the old primary. Who gives no answer is told too, except an agent that is too old to know. Never throws.
 * @param source the old primary where it runs as a standby by now and is asked itself; else what the guard saw last is told
 */
export async function tellLeftBehind(
  deps: ActivityDeps,
  access: ClusterAccess,
  { target, source }: { target: string; source?: string },
): Promise<string[]> {
  const told = await Promise.all([
    emptied(access, target),
    source === undefined ? slotsSeenBefore(deps, access) : slotsOf(access, source, target),
  ]);
  return told.filter((each) => each !== undefined);
}

async function emptied(access: ClusterAccess, target: string): Promise<string | undefined> {
  try {
    // Without the start that is tried: it costs a server's worth of work, and nothing of it is told here.
    const asked = withSession(access.agent(target), (agent) => agent.call('readiness', { start: false }, LIMIT_MS));
    const { unlogged = 0 } = await withinLimit(asked, LIMIT_MS);
    if (unlogged === 0) return undefined;
    return `M6: ${unloggedText(unlogged)} ${unlogged === 1 ? 'is' : 'are'} empty on ${target} since its promotion: no WAL is written of them`;
  } catch (error) {
    if (/no command/.test(messageOf(error))) return undefined;
    return `M6: it is not known whether ${target} has unlogged tables, which its promotion emptied: ${messageOf(error)}`;
  }
}

async function slotsOf(access: ClusterAccess, source: string, target: string): Promise<string | undefined> {
  try {
    const [was, is] = await Promise.all(
      [source, target].map((node) => withSession(access.sql(node, LIMIT_MS), readinessOf)),
    );
    // A copy is a slot like any other once its node is the primary.
    const left = slotsLeftBehind(access.topology, was?.slots ?? [], [is?.slots ?? []]);
    return left.length === 0 ? undefined : leftOn(slotsText(left));
  } catch (error) {
    return `M6: it is not known whether logical slots were left behind on ${source}: ${messageOf(error)}`;
  }
}

/** The old primary may be gone. While it was well, the guard asked it all the time. */
async function slotsSeenBefore(deps: ActivityDeps, access: ClusterAccess): Promise<string | undefined> {
  const asked = Promise.resolve(deps.guardState?.(access.name));
  const state = await withinLimit(asked, LIMIT_MS).catch(() => undefined);
  const seen = state?.readiness?.findings.find(({ id, says }) => id === 'M6' && says === NO_SLOT_LEFT);
  return seen === undefined ? undefined : leftOn(seen.measured);
}

const leftOn = (slots: string): string =>
  `M6: logical slots stayed behind on the old primary, and their subscribers have to begin anew: ${slots}`;
