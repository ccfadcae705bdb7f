import type { ClusterDescription, FailoverMove } from '../activities';
import { refusalSentence, type Check } from '../cluster/check';
import { psql, repairCommand, switchoverCommand } from '../cluster/commands';
import { promoteCommand } from '../cluster/failover/commands';
import type { Ledger } from '../cluster/guard/ledger';
import { membersOf } from '../cluster/members';
import { primaries } from '../cluster/observed';
import type { FailoverRequest } from './failover-input';
import { lastPrimary, withoutRefuted } from './failover-source';
import { act, reading } from './runbook/activity-options';
import type { Run } from './runbook/run';
import type { Report } from './run-state';

/**
 * Whose failure it is. The guard says so, and every millisecond counts; a person's word is checked against a look at everything.
 */
export async function findFailed(
  run: Run,
  described: ClusterDescription,
  request: FailoverRequest,
): Promise<{ report: Report } | { move: FailoverMove; ledger: Ledger | null; looked: boolean }> {
  const { state } = run;
  const names = described.topology.postgres.nodes.map(({ name }) => name);
  const moveFrom = (source: string, ledger: Ledger | null): FailoverMove => ({
    cluster: state.cluster,
    run: request.incident?.run ?? `${state.workflowId}/${state.runId}`,
    source,
    candidates: names.filter((name) => name !== source),
    ...(request.target === undefined ? {} : { target: request.target }),
    ledger,
    ...(request.allowDataLoss === undefined ? {} : { allowDataLoss: request.allowDataLoss }),
    ...(request.incident === undefined
      ? { byHand: true }
      : {
          kind: request.incident.kind,
          decidedAt: request.incident.decidedAt,
          since: request.incident.since,
          // Nobody asked the guard for this very node; a person who promotes has its old primary come back.
          leavesStopped: true,
        }),
    ...(request.incident?.watched === undefined ? {} : { watched: request.incident.watched }),
    ...(request.incident?.lastLsn === undefined ? {} : { lastLsn: request.incident.lastLsn }),
    ...(request.incident?.journal === undefined ? {} : { journal: request.incident.journal }),
    holdLimitMs: described.topology.limits.hold,
  });
  const { incident } = request;
  if (incident?.ledger.primary != null)
    return { move: moveFrom(incident.ledger.primary, incident.ledger), ledger: incident.ledger, looked: false };

  const observed = await act(reading, 'Look at every system of the cluster').observe(state.cluster);
  state.members = membersOf(observed);
  const kept = (await act(reading, 'Ask the guard for its ledger').readLedger(state.cluster)) ?? null;
  const ledger = kept === null ? null : withoutRefuted(kept, observed);
  const writable = primaries(observed).map(({ name }) => name);
  const refuted = ledger !== kept;
  const source = request.expectedPrimary ?? (refuted ? undefined : ledger?.primary) ?? lastPrimary(observed);
  const end = (check: Omit<Check, 'result'>) => {
    state.checks = [{ ...check, result: 'refuse' }];
    const next =
      check.next === undefined ? [] : [{ command: check.next, why: `${check.id}: ${check.refusal ?? check.says}` }];
    const refusal = refusalSentence(state.checks, 'Nothing was changed') ?? '';
    return { report: run.end('refused', refusal, { membersBefore: state.members, next }) };
  };
  if (writable.length > 0) {
    const [only] = writable;
    if (writable.length === 1 && request.target !== undefined && only === request.target)
      return {
        report: run.end('completed', `${only} is the primary already. Nothing was changed`, {
          primaryBefore: only,
          primaryAfter: only,
          membersBefore: state.members,
          membersAfter: state.members,
        }),
      };
    const foreign = primaries(observed).find(
      ({ sql }) =>
        ledger?.systemIdentifier !== undefined &&
        sql?.systemIdentifier !== undefined &&
        sql.systemIdentifier !== ledger.systemIdentifier,
    );
    // A switchover would not help, and clients are not to be led there.
    if (foreign !== undefined)
      return end({
        id: 'A4',
        says: 'all nodes belong to one database system',
        refusal: `${foreign.name} takes writes, and belongs to another database system than the ledger`,
        measured: `${foreign.sql?.systemIdentifier} on ${foreign.name}, ${ledger?.systemIdentifier} in the ledger`,
        limit: 'one system identifier',
        next: psql(foreign.name, 'SELECT system_identifier FROM pg_control_system()'),
      });
    return end({
      id: 'I8',
      says: 'no primary can be reached',
      refusal: writable.length === 1 ? `${only} is a primary that takes writes` : 'two nodes are writable',
      measured: writable.join(', '),
      limit: 'none',
      next: writable.length === 1 ? switchoverCommand(state.cluster) : repairCommand(state.cluster),
    });
  }
  if (source === undefined || !names.includes(source))
    return end({
      id: 'A1',
      says: 'the failed primary is known',
      refusal:
        source === undefined ? 'nobody knows which node was the primary' : `${source} is no node of this cluster`,
      measured: ledger === null ? 'no guard keeps a ledger' : `the ledger names ${ledger.primary ?? 'nobody'}`,
      limit: `one of ${names.join(', ')}`,
      next: repairCommand(state.cluster),
    });
  // The ledger is read from a guard that watches: whoever it names was the primary a moment ago. A person may know better.
  if (ledger?.primary != null && ledger.state !== 'unknown' && ledger.primary !== source) {
    const consent = request.allowDataLoss;
    if (consent === undefined)
      return end({
        id: 'A1',
        says: 'the node that failed was the primary',
        refusal: `${source} was not the primary`,
        measured: `the ledger names ${ledger.primary}`,
        limit: `${ledger.primary}; --allow-data-loss with a reason overrules the ledger`,
        next: `${promoteCommand(state.cluster)} --expected-primary ${ledger.primary}`,
      });
    run.warn(
      `A1: the ledger names ${ledger.primary} as primary, and was overruled: ${consent.by} says that ${source} failed, and accepts a loss, because ${consent.reason}`,
    );
  }
  return { move: moveFrom(source, ledger), ledger, looked: true };
}

/**
 * The lock was free while a person thought: another run may have failed over by then, or commits may go on without a standby. The
 * ledger is that of now, and what was approved must still be what is to be done.
 */
export async function lookOnceMore(
  run: Run,
  described: ClusterDescription,
  request: FailoverRequest,
  move: FailoverMove,
): Promise<Report | undefined> {
  const { incident: _asked, ...question } = request;
  const again = await findFailed(run, described, { ...question, expectedPrimary: move.source });
  if ('report' in again) return again.report;
  const [was, is] = [move.ledger?.primary, again.ledger?.primary];
  if (was != null && is != null && was !== is) {
    const next = promoteCommand(run.state.cluster);
    return run.end(
      'refused',
      `A1: ${is} was the primary last, as the ledger has it (limit: ${was}, as when it was approved). Nothing was changed. Next: ${next}`,
      { next: [{ command: next, why: 'plans it anew' }] },
    );
  }
  move.ledger = again.ledger ?? move.ledger;
  return undefined;
}
