import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { formatMs } from '../../cluster/duration';
import type { Tier } from '../../cluster/maintenance/sides';
import type { Report } from '../../workflows/run-state';
import type { BoundedDisks } from '../bounded-disks';
import type { Guarded } from '../guarded';
import type { OwnClocks } from '../own-clocks';
import type { Stand } from '../stand';
import type { Target } from '../target';
import type { Round } from './account';
import { catalogueOf, type Means } from './catalogue';
import { clockFault } from './clock-faults';
import { containerFaults, cutLink, type TakeBack } from './container-faults';
import { diskFault } from './disk-faults';
import { guardAmiss, type Look, type Looker } from './health';
import { placesOf, type Places } from './places';
import type { Processes } from './processes';
import { isRunbook, startRunbook } from './runbooks';
import { actionsOf, actionsText, onlyThese, type Action } from './schedule';
import type { Watchers } from './watchers';

/** Before anything happens, everybody writes undisturbed for this long. */
const QUIET_MS = 1500;
/** After the last fault is taken back, the cluster has this long to be protected and healthy by itself. */
const PROTECTED_LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 400;
/** Who has had no acknowledgement for this long does not write. */
const SILENT_MS = 1500;

/** All that a campaign works with. */
export interface Campaign {
  target: Target;
  client: Client;
  stand: Stand;
  processes: Processes;
  guarded: Guarded;
  looker: Looker;
  standbys: 1 | 2;
  means: Means;
  disks: BoundedDisks | undefined;
  clocks: OwnClocks | undefined;
  seed: number;
  only: readonly string[];
  /** Tells what is done, when it is. */
  tell: (text: string) => void;
}

/** Faults that are applied now, and how each is taken back. */
export class Applied {
  private readonly open = new Set<TakeBack>();
  private closed = false;

  /** Whether nothing may be applied any more: the campaign ends. */
  get isClosed(): boolean {
    return this.closed;
  }

  /** Takes back what is left, and from then on everything as soon as it is applied. */
  async close(tell: (text: string) => void): Promise<void> {
    this.closed = true;
    await this.takeBackAll(tell);
  }

  /** Keeps how a fault is taken back, until it is. */
  async add(back: TakeBack): Promise<TakeBack> {
    // It was under way when the campaign ended.
    if (this.closed) await back();
    const once: TakeBack = async () => {
      await back();
      this.open.delete(once);
    };
    this.open.add(once);
    return once;
  }

  /** Takes back what is left. What can't be is told, and does not keep the rest. */
  async takeBackAll(tell: (text: string) => void): Promise<void> {
    for (const back of [...this.open].reverse()) {
      await back().catch((error: unknown) => tell(`taking back: ${(error as Error).message}`));
      this.open.delete(back);
    }
  }
}

/** What a round does: drawn from the seed, unless it is given. */
export function drawn(campaign: Campaign, round: number): Action[] {
  const { target, standbys, means, seed, only } = campaign;
  // Which roles there are does not depend on who has them.
  const catalogue = catalogueOf(placesOf(target.cluster, standbys, []), means);
  return actionsOf(seed, round, onlyThese(catalogue, only));
}

async function apply(campaign: Campaign, places: Places, id: string, action: Action): Promise<TakeBack> {
  const { what, where } = action;
  const { target, client, stand, processes, guarded, disks, clocks } = campaign;
  if (isRunbook(what)) {
    // Of three nodes the optional one is taken away and comes back.
    const standby =
      (what === 'remove-standby' ? target.cluster.postgres.nodes.find(({ optional }) => optional)?.name : undefined) ??
      places.standby ??
      '';
    return startRunbook(client, { taskQueue: stand.taskQueue, cluster: target.name, id, standby }, what, where);
  }
  if (where.startsWith('worker') || where === 'temporal') return processes.apply(action, guarded);
  const containerAt = (place: string): string => {
    const container = places[place];
    if (container === undefined) throw new Error(`there is no ${place}`);
    return container;
  };
  if (what === 'link') {
    const [one = '', other = ''] = where.split('-');
    return cutLink(containerAt(one), containerAt(other));
  }
  const container = containerAt(where);
  if (what.startsWith('disk-')) return diskFault(disks, what, container);
  if (what.startsWith('clock-')) return clockFault(clocks, what, container, action.forMs);
  const fault = containerFaults(target.cluster)[what];
  if (fault === undefined) throw new Error(`nothing is called ${what}`);
  return fault(container, action.forMs);
}

/** Does one thing, leaves it for its time, and takes it back. Returns what became of it, in words. */
async function carryOut(
  campaign: Campaign,
  applied: Applied,
  places: Places,
  id: string,
  action: Action,
): Promise<{ told: string; done: boolean }> {
  const { what, where, afterMs, forMs } = action;
  const name = `${what} ${where}${places[where] === undefined ? '' : ` (${places[where]})`}`;
  await sleep(afterMs);
  let back: TakeBack;
  try {
    if (applied.isClosed) throw new Error('the campaign ends');
    back = await applied.add(await apply(campaign, places, id, action));
  } catch (error) {
    const told = `${name}: not possible just then: ${(error as Error).message.slice(0, 200)}`;
    campaign.tell(`  ${told}`);
    return { told, done: false };
  }
  campaign.tell(`  ${name}${forMs === 0 ? '' : ` for ${formatMs(forMs)}`}`);
  await sleep(forMs);
  try {
    await back();
    if (forMs > 0) campaign.tell(`  ${name}: over`);
    return { told: name, done: true };
  } catch (error) {
    const told = `${name}: could not be taken back: ${(error as Error).message.slice(0, 200)}`;
    campaign.tell(`  ${told}`);
    return { told, done: true };
  }
}

/** What is not as it should be now, in words, looking at every system, at the guard and at those who write. */
export async function amissNow(
  { looker, guarded }: Campaign,
  watchers: Watchers,
): Promise<{ look: Look | undefined; amiss: string[] }> {
  const [look, guard] = await Promise.all([
    looker.look().catch((error: unknown) => (error as Error).message),
    // A frozen Temporal does not refuse: it does not answer.
    Promise.race([guardAmiss(guarded), sleep(5000, ['guard: no answer within 5 s'], { ref: false })]),
  ]);
  const silent = watchers.silent(SILENT_MS);
  return typeof look === 'string'
    ? { look: undefined, amiss: [look, ...guard, ...silent] }
    : { look, amiss: [...look.amiss, ...guard, ...silent] };
}

/** Waits until nothing is amiss. Returns the look that proves it, or the last words about what is. */
export async function healthy(
  campaign: Campaign,
  watchers: Watchers,
  limitMs = PROTECTED_LIMIT_MS,
): Promise<{ look: Look } | { amiss: string[] }> {
  for (const until = performance.now() + limitMs; ; await sleep(LOOK_EVERY_MS)) {
    const { look, amiss } = await amissNow(campaign, watchers);
    if (look !== undefined && amiss.length === 0) return { look };
    if (performance.now() > until) return { amiss };
  }
}

const activeIn = (look: Look | undefined, tier: Tier): string | undefined =>
  look?.roles.find((one) => one.tier === tier)?.nodes.find(({ standing }) => standing === 'active')?.name;

/** One round: quiet, the faults, all of them taken back, and then the cluster mends itself or does not. */
export async function playRound(
  campaign: Campaign,
  watchers: Watchers,
  applied: Applied,
  round: number,
  actions: readonly Action[],
  help: (amiss: readonly string[]) => Promise<string>,
): Promise<Round> {
  const { target, standbys, looker, tell } = campaign;
  const did = actionsText(actions);
  tell(`round ${round}: ${did}`);
  const before = await looker.look();
  const places = placesOf(target.cluster, standbys, before.roles);
  watchers.begin();
  await sleep(QUIET_MS);
  const began = Date.now();
  const ended = await Promise.all(
    actions.map((action, index) =>
      carryOut(campaign, applied, places, `chaos/${campaign.seed}/${round}/${began}-${index}`, action),
    ),
  );
  await applied.takeBackAll(tell);
  const backAt = performance.now();
  let proof = await healthy(campaign, watchers);
  const protectedAgainMs = 'look' in proof ? Math.round(performance.now() - backAt) : null;
  let needed: Pick<Round, 'needsHelp' | 'helpedBy'> = {};
  if ('amiss' in proof) {
    const needsHelp = proof.amiss.join('; ');
    tell(`  NEEDS HELP after ${formatMs(PROTECTED_LIMIT_MS)}: ${needsHelp}`);
    needed = { needsHelp, helpedBy: await help(proof.amiss) };
    proof = await healthy(campaign, watchers);
  }
  const master = activeIn('look' in proof ? proof.look : undefined, 'redis') ?? places['redis-master'] ?? '';
  const seen = await watchers.end(began, master).catch((error: unknown) => {
    tell(`  what was acknowledged could not be looked up: ${(error as Error).message}`);
    return watchers.unverified();
  });
  const runs = await runsSince(campaign, began);
  for (const row of seen.dual) tell(`  DUAL WRITE: ${row}`);
  for (const { tier, says } of seen.lost.slice(0, 10)) tell(`  LOST (${tier}): ${says}`);
  tell(
    `  ${seen.acknowledged} rows, ${seen.ordersAcknowledged} orders, ${seen.redisAcknowledged} writes to Redis; lost ${seen.lost.length}, dual ${seen.dualWrites}, longest gap ${formatMs(seen.gapMs)}, protected again after ${protectedAgainMs === null ? 'help' : formatMs(protectedAgainMs)}${seen.readOnlyErrors === 0 ? '' : `, ${seen.readOnlyErrors} times SQLSTATE 25006`}`,
  );
  // Whatever else is done to Redis, or to who moves it, may make a move a forced one, which loses such writes.
  const plannedOnly = actions.every(({ what, where }) =>
    what === 'redis-failover' ? where === 'runs' : !/redis|sentinel|worker|temporal/.test(where),
  );
  const aloneLost = plannedOnly ? seen.aloneLost : [];
  for (const { says } of aloneLost.slice(0, 10)) tell(`  LOST BY A PLANNED MOVE (redis): ${says}`);
  const { acknowledged, lost, dualWrites, ordersAcknowledged, ordersDouble, redisAcknowledged, readOnlyErrors, gapMs } =
    seen;
  return {
    round,
    began,
    did,
    told: ended.map(({ told }) => told),
    faults: ended.filter(({ done }, index) => done && !isRunbook(actions[index]?.what ?? '')).length,
    acknowledged,
    lost,
    aloneLost,
    dualWrites,
    ordersAcknowledged,
    ordersDouble,
    redisAcknowledged,
    readOnlyErrors,
    gapMs,
    protectedAgainMs,
    ...needed,
    runs,
  };
}

/** Runbooks whose runs leave no report, or are not asked for one. */
const WITHOUT_REPORT = /^(?:guard|clusterLock|handoverProbe)$/;

async function runsSince({ client }: Campaign, since: number): Promise<string[]> {
  const runs: string[] = [];
  const query = `StartTime >= "${new Date(since).toISOString()}"`;
  try {
    for await (const { workflowId, type, status } of client.workflow.list({ query }))
      if (!WITHOUT_REPORT.test(type)) runs.push(`${workflowId} (${type}, ${status.name.toLowerCase()})`);
  } catch (error) {
    runs.push(`the runs could not be listed: ${(error as Error).message}`);
  }
  return runs;
}

/** The reports of every run that has ended, whoever started it. */
export async function allReports({ client, guarded }: Campaign, since: number): Promise<Report[]> {
  const reports: Report[] = [];
  const query = `StartTime >= "${new Date(since).toISOString()}" AND ExecutionStatus IN ("Completed", "Failed", "Canceled")`;
  for await (const { workflowId, runId, type } of client.workflow.list({ query })) {
    if (WITHOUT_REPORT.test(type)) continue;
    const report = await guarded.report(workflowId, runId).catch(() => undefined);
    if (report?.version === 1) reports.push(report);
  }
  return reports;
}
