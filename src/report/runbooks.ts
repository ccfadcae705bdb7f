import { formatMs } from '../cluster/duration';
import type { Plan } from '../workflows/run-state';

/*
 * What differs between runbooks in how they are told of. Nothing here may import a Node built-in or a drawing library:
 * workflows bundle it.
 */

/** A runbook by the name that commands and ids have: the workflow `addStandby` is the runbook `add-standby`. */
export function runbookName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

const runbooks = [
  'switchover',
  'failover',
  'rejoin',
  'add-standby',
  'remove-standby',
  'repair',
  'maintenance',
  'engine-switchover',
  'engine-drain',
  'engine-ready',
  'redis-failover',
];

/** The runbook of a run, read off its id: `failover/veloz/20251123T032011Z-9f3a`. Undefined where somebody named it otherwise. */
export function runbookOfId(workflowId: string): string | undefined {
  return runbooks.find((name) => workflowId.startsWith(`${name}/`) || workflowId.startsWith(`${name}-`));
}

/**
 * The cluster of a run, read off its id, or of a guard off `guard/veloz`. Undefined where somebody named it otherwise, and of a run that
 * was started at a desk without a topology: its id has `default` in that place.
 */
export function clusterOfId(workflowId: string): string | undefined {
  const runbook = workflowId.startsWith('guard/') ? 'guard' : runbookOfId(workflowId);
  if (runbook === undefined) return undefined;
  const rest = workflowId.slice(runbook.length + 1);
  const [, cluster] = shapeOf(runbook, workflowId).exec(rest) ?? [];
  return cluster === 'default' && runbook !== 'guard' ? undefined : cluster;
}

/** What stands behind the runbook in an id that a machine gave. One that somebody typed, `switchover/nightly`, names anything there. */
function shapeOf(runbook: string, workflowId: string): RegExp {
  if (runbook === 'guard') return /^([\w.-]+)$/;
  // A guard joins the parts of an id by dashes: `failover-veloz-251123032011-9f3a`.
  return workflowId.startsWith(`${runbook}/`)
    ? /^([\w.-]+)\/\d{8}T\d{6}Z-[0-9a-f]{4}(?:\/|$)/
    : /^([\w.-]+)-\d{12}-[0-9a-f]{4}$/;
}

/** Whether a runbook stops, fences or holds something of PostgreSQL, which a repair puts right where its run was ended in its middle. */
export function movesPostgres(runbook: string | undefined): boolean {
  return runbook !== undefined && runbook !== 'redis-failover' && !runbook.startsWith('engine-');
}

/** The command that starts a runbook, without its cluster: what `--help` is asked of. */
export function commandOf(runbook: string): string {
  switch (runbookName(runbook)) {
    case 'failover':
      return 'veloz-ha postgres promote';
    case 'rejoin':
    case 'add-standby':
    case 'remove-standby':
      return `veloz-ha postgres ${runbookName(runbook)}`;
    case 'repair':
      return 'veloz-ha repair';
    case 'maintenance':
      return 'veloz-ha maintenance start';
    case 'redis-failover':
      return 'veloz-ha redis failover';
    case 'engine-switchover':
    case 'engine-drain':
    case 'engine-ready':
      return `veloz-ha ${runbookName(runbook).replace('-', ' ')}`;
    default:
      return 'veloz-ha postgres switchover';
  }
}

/**
 * What a plan would do, in half a sentence.
 * @param mark sets off the names of nodes
 */
export function planHeadline(runbook: string, plan: Plan, mark: (node: string) => string = (node) => node): string {
  const primary = mark(plan.primary);
  const target = mark(plan.target);
  switch (runbookName(runbook)) {
    case 'failover':
      return plan.readsFirst === true
        ? `fence ${primary}, read its WAL, and promote ${target} where it has all of it; else ${primary} is started again in its place`
        : `fence ${primary} and promote ${target}`;
    case 'rejoin':
      return `make ${target} a standby of ${primary} again`;
    case 'add-standby':
      return `add ${target} as a standby of ${primary}`;
    case 'remove-standby':
      return `remove ${target}, a standby of ${primary}`;
    case 'repair':
      return `bring every system in line with ${primary}, the primary`;
    case 'maintenance':
      return `move everything that is active away from ${primary}, to ${target}`;
    case 'redis-failover':
      return redisHeadline(plan, primary, target);
    case 'engine-switchover':
      return `hand the orders from ${primary} to ${target}`;
    case 'engine-drain':
      return `take ${target} out of service`;
    case 'engine-ready':
      return `put ${target} back into service`;
    default:
      return `move the primary from ${primary} to ${target}, protection ${plan.protection}`;
  }
}

/** The question before a plan is carried out. */
export function planQuestion(runbook: string, plan: Plan | undefined): string {
  if (plan === undefined) return 'Go on?';
  const { primary, target } = plan;
  switch (runbookName(runbook)) {
    case 'failover':
      return plan.readsFirst === true
        ? `Fence ${primary}, read its WAL, and promote ${target} where it has all of it (else ${primary} is started again in its place)?`
        : `Fence ${primary} and promote ${target}?`;
    case 'rejoin':
      return `Make ${target} a standby of ${primary} again?`;
    case 'add-standby':
      return `Add ${target} as a standby of ${primary}?`;
    case 'remove-standby':
      return `Remove ${target}, a standby of ${primary}?`;
    case 'repair':
      return `Bring every system in line with ${primary}, the primary?`;
    case 'maintenance':
      return `Move everything that is active away from ${primary}, to ${target}?`;
    case 'redis-failover':
      return `${capital(redisHeadline(plan, primary, target))}?`;
    case 'engine-switchover':
      return `Hand the orders from ${primary} to ${target}?`;
    case 'engine-drain':
      return `Take ${target} out of service?`;
    case 'engine-ready':
      return `Put ${target} back into service?`;
    default:
      return `Move the primary from ${primary} to ${target}?`;
  }
}

/** A run of Redis moves the master, forces a failover, or mends what an earlier one left. */
function redisHeadline({ kind, steps }: Plan, source: string, target: string): string {
  switch (kind) {
    case 'forced':
      return `have ${target} take over from ${source}, which is gone; writes that it alone had are lost`;
    case 'repair':
      return `mend ${steps.length - 1 === 1 ? 'what is not as it should be' : `${steps.length - 1} things that are not as they should be`}; ${target} stays the master`;
    default:
      return `move the Redis master from ${source} to ${target}`;
  }
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * How long clients are expected to wait while a plan is carried out, and what ends their waiting when everything dies.
 * @param mark sets off the length
 */
export function planHold(plan: Plan, mark: (length: string) => string = (length) => length): string {
  if (plan.expectedHoldMs === 0) return `Clients do not wait (${plan.expectedHoldBasis}).`;
  const expected = `Clients are expected to wait ${mark(formatMs(plan.expectedHoldMs))} (${plan.expectedHoldBasis}).`;
  if (plan.holdEnds !== undefined)
    return `${expected} If everything dies meanwhile, ${plan.holdEnds} at ${formatMs(plan.holdLimitMs)}.`;
  return `${expected} If everything dies meanwhile, they are let go at ${formatMs(plan.holdLimitMs)}, or up to 2 s later when no node is writable then.`;
}

/** What the node is called that clients' writes go to. */
export function leaderWord(runbook: string): string {
  const name = runbookName(runbook);
  return name.startsWith('engine-') ? 'Active engine' : name === 'redis-failover' ? 'Master' : 'Primary';
}

/** What is true of a run that waits for approval. */
export function untouched(runbook: string): string {
  // A guard that asks before it fails over holds clients and has taken the pooler: the failure itself is no plan.
  return runbookName(runbook) === 'failover' ? 'Nothing is fenced or promoted yet.' : 'Nothing is changed yet.';
}
