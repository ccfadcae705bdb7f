import { problemSentence } from '../cluster/check';
import { guardCommand, repairCommand } from '../cluster/commands';
import type { Ledger } from '../cluster/guard/ledger';
import type { GuardMode } from '../cluster/guard/policy';
import { holdsFailoverUp, type GuardEvent, type GuardState, type RedisGuardState } from '../workflows/guard-messages';
import type { StartedRun } from '../workflows/guard-runs';
import { namesTrouble } from '../workflows/guard-explain';
import { evidenceTable } from './evidence';
import {
  guardTroubles,
  handsOff,
  isBackingOff,
  isSuspicious,
  isUnconfirmed,
  namesAgain,
  notReady,
} from './guard-troubles';
import type { Style } from './style';
import { hang, padEnd, section } from './text';
import { formatAge, formatSeconds } from './words';

/** Events that a card shows; all that the guard keeps with `-v`. */
const EVENTS_SHOWN = 8;

/** What the guard does by itself, by its mode. */
export const modeWords: Readonly<Record<GuardMode, string>> = {
  auto: 'fails over by itself',
  approve: 'plans a failover and asks; nothing fails over without a yes',
  off: 'watches and tells; nothing fails over by itself',
};

/** A guard, or why there is none to show. */
export type GuardLook =
  | { kind: 'guards'; state: GuardState }
  /** No guard runs. */
  | { kind: 'nobody' }
  /** It could not be asked: Temporal or every worker is away. */
  | { kind: 'silent'; says: string; next: string };

/** What a person and a program are told where no guard can be shown. */
export interface NoGuard {
  says: string;
  next: string;
}

/** The guard as a part of a document: as it tells of itself, or null and why. */
export interface GuardPart {
  guard: GuardState | null;
  noGuard?: NoGuard;
}

/** A look at the guard of a cluster as a part of a document. */
export function guardPart(look: GuardLook, cluster: string): GuardPart {
  const none = noGuard(look, cluster);
  return { guard: look.kind === 'guards' ? look.state : null, ...(none === undefined ? {} : { noGuard: none }) };
}

/** Why no guard is shown, what follows from it, and what to run; undefined where one guards. */
export function noGuard(look: GuardLook, cluster: string): NoGuard | undefined {
  switch (look.kind) {
    case 'guards':
      return undefined;
    case 'nobody':
      return {
        says: `nobody guards cluster ${cluster}: nothing fails over by itself`,
        next: guardCommand('start', cluster),
      };
    case 'silent':
      return {
        says: `the guard can't be asked: ${look.says}. While Temporal or every worker is away nothing fails over`,
        next: look.next,
      };
  }
}

/**
 * What `status` tells of the guard beside the other tiers. That nobody fails over by itself is a choice, and a hint; what the guard is not
 * well with is a problem.
 */
export function guardFindings(
  look: GuardLook,
  cluster: string,
  now: number,
): { problems: NoGuard[]; hints: NoGuard[] } {
  if (look.kind !== 'guards') {
    const none = noGuard(look, cluster);
    return { problems: [], hints: none === undefined ? [] : [none] };
  }
  const troubles = guardTroubles(look.state, now);
  const idle = handsOff(look.state, now);
  return {
    problems:
      troubles.length === 0
        ? []
        : [{ says: `the guard: ${troubles.join('; ')}`, next: `veloz-ha guard status --cluster ${cluster}` }],
    hints: idle === undefined ? [] : [idle],
  };
}

/** What the guard sees, waits for and will do, its mode, its ledger, the evidence while something is going on, the last events. */
export function guardText(state: GuardState, now: number, style: Style, link?: string): string {
  const { colour } = style;
  const parts = [guardCard(state, now, style)];
  const events = style.verbose ? state.events : state.events.slice(-EVENTS_SHOWN);
  if (events.length > 0) {
    const dated = now - (events[0]?.at ?? now) > 12 * 3_600_000;
    const title = events.length < state.events.length ? 'Last events (-v: all of them)' : 'Events';
    parts.push(section(title, (inner) => events.map((event) => eventLine(event, inner, dated)).join('\n'), style));
  }
  const tail = [`${colour.dim('Run ')} ${state.workflowId}`];
  if (link !== undefined) tail.push(`${colour.dim('Link')} ${link}`);
  parts.push(tail.join('\n'));
  return parts.join('\n\n');
}

/** The part of the card that changes by itself: everything but the events. */
export function guardCard(state: GuardState, now: number, style: Style): string {
  const { colour } = style;
  const idle = handsOff(state, now);
  const maintenance = state.maintenance === undefined ? '' : `, ${colour.bold(colour.yellow('MAINTENANCE'))}`;
  const parts = [`${verdict(state, now, style)}  guard of ${state.cluster}, mode ${state.mode}${maintenance}`];
  const fact = (name: string, value: string, width = 9) =>
    hang(`  ${colour.dim(padEnd(name, width))}  `, clockTimes(value, now, style), style);
  parts.push(
    [
      fact('Sees', state.sees),
      fact('Waits for', state.waitsFor),
      fact('Next', state.next),
      ...actingLines(state.acting, state.mode === 'approve', now, style),
    ].join('\n'),
  );
  if ((state.mending?.nodes.length ?? 0) > 0) parts.push(mendingPart(state, now, style));
  if (state.redis !== undefined) parts.push(redisPart(state.redis, now, style));

  const facts: [string, string][] = [['Mode', `${state.mode}: ${modeWords[state.mode]}`]];
  if (state.maintenance !== undefined) facts.push(['Maintenance', maintenanceText(state.maintenance, now, style)]);
  if (idle !== undefined) facts.push(['', `next: ${idle.next}`]);
  if (isBackingOff(state, now)) {
    const until = state.backoffUntil ?? now;
    facts.push([
      'Back-off',
      `nothing before ${style.clock(until)} (${formatSeconds(until - now)}): the last attempt did not end well`,
    ]);
  }
  if (state.namesFailed !== undefined)
    facts.push(['Commits', `${namesTrouble(state.namesFailed)}; ${namesAgain(state, (at) => style.clock(at))}`]);
  facts.push(['Ledger', ledgerText(state.ledger, now, style)], ['', ledgerDetail(state.ledger)]);
  facts.push(...readyFacts(state, now, style));
  facts.push(['Guards', `since ${style.dateTime(state.startedAt)} (${formatAge(now - state.startedAt)})`]);
  parts.push(facts.map(([name, value]) => fact(name, value, 11)).join('\n'));

  const signals = [...state.signals, ...(state.redis?.signals ?? [])];
  if (signals.length > 0) parts.push(section('Evidence', (inner) => evidenceTable(signals, inner), style));
  return parts.join('\n\n');
}

/** An event in one line: when, of what kind, what happened, and the run that it is about. */
export function eventLine(event: GuardEvent, style: Style, dated = false): string {
  const { colour } = style;
  const time = dated ? style.dateTime(event.at) : style.clock(event.at);
  const run = event.run === undefined || event.says.includes(event.run) ? '' : ` (${event.run})`;
  const says = clockTimes(`${event.says}${run}`, event.at, style);
  return hang(`${colour.dim(time)}  ${paintKind(event.kind, style)}  `, says, style);
}

/** The guard in a line or two, for `status`, or why there is none. */
export function guardLine({ guard: state, noGuard: none }: GuardPart, now: number, style: Style): string {
  const { colour, glyphs } = style;
  if (state === null) {
    if (none === undefined) return '';
    return `${hang(`${colour.yellow(glyphs.warning)} `, none.says, style)}\n${hang(`    ${colour.dim('next')}  `, none.next, style)}`;
  }
  const well = guardTroubles(state, now).length === 0;
  const quiet = well && state.mode !== 'off' && state.maintenance === undefined;
  const sign = quiet ? colour.green(glyphs.done) : colour.yellow(glyphs.warning);
  const lines = [hang(`${sign} `, `${state.mode}: ${modeWords[state.mode]}`, style)];
  lines.push(hang('  ', `ledger ${ledgerText(state.ledger, now, style)}`, style));
  if (state.maintenance !== undefined)
    lines.push(hang('  ', `maintenance ${maintenanceText(state.maintenance, now, style)}`, style));
  const idle = handsOff(state, now);
  if (idle !== undefined) lines.push(`    ${colour.dim('next')}  ${colour.cyan(idle.next)}`);
  lines.push(...actingLines(state.acting, state.mode === 'approve', now, style));
  lines.push(...actingLines(state.redis?.acting, state.redis?.acting?.asks === true, now, style));
  if (!well && state.acting === undefined && state.redis?.acting === undefined)
    lines.push(`    ${colour.dim('next')}  ${colour.cyan(guardCommand('status', state.cluster))}`);
  return lines.join('\n');
}

function verdict(state: GuardState, now: number, style: Style): string {
  const { colour, glyphs } = style;
  const red = (word: string) => colour.bold(colour.red(`${glyphs.failed} ${word}`));
  const yellow = (word: string) => colour.bold(colour.yellow(`${glyphs.warning} ${word}`));
  if (state.acting !== undefined) return red(`ACTING: ${state.acting.what.toUpperCase()}`);
  if (state.redis?.acting !== undefined) return red(`ACTING: ${state.redis.acting.what.toUpperCase()}`);
  if (isSuspicious(state.signals)) return red('SIGNS OF FAILURE');
  if (isSuspicious(state.redis?.signals ?? [])) return red('REDIS: SIGNS OF FAILURE');
  if (isBackingOff(state, now)) return red('FAILED ATTEMPT: WAITING');
  if (state.namesFailed?.what === 'relax') return red('COMMITS WAIT');
  switch (state.ledger.state) {
    case 'protected':
      return isUnconfirmed(state.ledger, now)
        ? yellow('UNKNOWN')
        : protectedWords(state, now, yellow, colour.bold(colour.green(`${glyphs.done} PROTECTED`)));
    case 'degraded':
      return yellow('DEGRADED');
    case 'unknown':
      return yellow('UNKNOWN');
  }
}

/** Nothing would be lost; whether all is well besides. Green only where `guard status` exits with 0. */
function protectedWords(state: GuardState, now: number, yellow: (word: string) => string, well: string): string {
  if (notReady(state).length > 0) return yellow('PROTECTED, NOT READY');
  if (guardTroubles(state, now).length > 0) return yellow('PROTECTED, NOT WELL');
  return handsOff(state, now) === undefined ? well : yellow('PROTECTED, NO FAILOVER');
}

/** What is left over, one paragraph a node: what is so, what is done about it, how the last attempt ended. */
function mendingPart(state: GuardState, now: number, style: Style): string {
  const { nodes = [], acting } = state.mending ?? {};
  const fact = (name: string, value: string) =>
    hang(`  ${style.colour.dim(padEnd(name, 9))}  `, clockTimes(value, now, style), style);
  const lines = nodes.flatMap((each) => [
    fact('Left over', `${each.node}: ${each.says}`),
    fact('', mendingNext(state, each, style)),
    ...(each.last === undefined || each.lastAt === undefined
      ? []
      : [fact('', `attempt ${each.attempts} at ${style.clock(each.lastAt)}, last: ${each.last}`)]),
  ]);
  return [...lines, ...actingLines(acting, false, now, style)].join('\n');
}

function mendingNext(
  state: GuardState,
  { node, acts, byHand, next, look, started, nextAt, attempts }: NonNullable<GuardState['mending']>['nodes'][number],
  style: Style,
): string {
  // Nobody knows who sent the signal, and it need not have been a person.
  if (byHand?.startsWith('docker start ') === true) return `It was told to stop, and stays so. Next: ${byHand}`;
  if (byHand !== undefined) return `It stays so: a person did that. Next: ${byHand}`;
  if (next !== undefined) return `It stays so until a person ends it. Next: ${next}`;
  if (state.mode !== 'auto' || state.maintenance !== undefined)
    return `Nothing is done about it ${state.maintenance === undefined ? `in ${state.mode}` : 'in maintenance mode'}. Next: ${started === true ? `docker start ${node}` : repairCommand(state.cluster)}`;
  if (started === true) return 'It is started in a moment, and tried again for as long as it takes.';
  if (!acts)
    return `Nothing is tried before that has changed; then it is brought back at once.${look === undefined ? '' : ` Look: ${look}`}`;
  if (state.mending?.acting !== undefined) return `It is being brought back: attempt ${attempts}`;
  return nextAt === undefined
    ? 'It is brought back in a moment.'
    : `It is brought back: attempt ${attempts + 1} at ${style.clock(nextAt)}, or as soon as something changes`;
}

/** Whether a failover would work: each finding with what was measured, its limit and the command. */
function readyFacts({ readiness }: GuardState, now: number, style: Style): [string, string][] {
  // Told by whoever started the guard with a version that asks nobody: nothing is claimed.
  if (readiness === undefined) return [];
  const since = `since ${moment(readiness.at, now, style)}`;
  const { findings, ready } = readiness;
  const facts: [string, string][] = [
    [
      'Ready',
      ready
        ? `yes, ${since}`
        : `${style.colour.red('no')}, ${since}: a failover or a planned move would fail or be long`,
    ],
  ];
  for (const finding of findings) {
    facts.push(['', problemSentence(finding)]);
    if (finding.next !== undefined) facts.push(['', `next: ${finding.next}`]);
  }
  return facts;
}

/** Redis in the card: who is the master, what is seen of it, and what follows. */
function redisPart(redis: RedisGuardState, now: number, style: Style): string {
  const fact = (name: string, value: string) =>
    hang(`  ${style.colour.dim(padEnd(name, 9))}  `, clockTimes(value, now, style), style);
  const until = redis.backoffUntil ?? 0;
  return [
    fact('Redis', `${redis.master === null ? 'no master is known' : `master ${redis.master}`}: ${redis.sees}`),
    ...(redis.next === undefined ? [] : [fact('', redis.next)]),
    ...(until > now
      ? [
          fact(
            '',
            `${holdsFailoverUp(redis) ? 'Nothing' : 'It is not tried again'} before ${style.clock(until)} (${formatSeconds(until - now)}): the last attempt did not end well`,
          ),
        ]
      : []),
    ...actingLines(redis.acting, redis.acting?.asks === true, now, style),
  ].join('\n');
}

/** The run that goes on, and the commands for it. */
function actingLines(acting: StartedRun | undefined, asks: boolean, now: number, style: Style): string[] {
  const { colour, glyphs } = style;
  if (acting === undefined) return [];
  const since = `since ${moment(acting.since, now, style)} (${formatAge(now - acting.since)})`;
  const lines = [
    hang(`  ${colour.red(glyphs.running)} `, `${acting.what}, ${since}`, style),
    `    ${colour.cyan(`veloz-ha watch ${acting.workflowId}`)}`,
  ];
  if (asks) {
    lines.push(`    ${colour.cyan(`veloz-ha approve ${acting.workflowId}`)}`);
    lines.push(`    ${colour.cyan(`veloz-ha reject ${acting.workflowId}`)}`);
  }
  return lines;
}

function ledgerText(ledger: Ledger, now: number, style: Style): string {
  const { colour } = style;
  const word = ledger.state === 'protected' ? colour.green(ledger.state) : colour.yellow(ledger.state);
  const { confirmedAt } = ledger;
  const confirmed = confirmedAt === undefined ? '' : `, confirmed ${formatAge(Math.max(0, now - confirmedAt))} ago`;
  return `${word} since ${style.dateTime(ledger.since)} (${formatAge(now - ledger.since)}${confirmed}): ${ledger.why}`;
}

function ledgerDetail(ledger: Ledger): string {
  if (ledger.primary === null) return 'no primary is known';
  const confirming = ledger.synchronous.length === 0 ? 'none' : ledger.synchronous.join(', ');
  return `primary ${ledger.primary}, timeline ${ledger.timeline}, epoch ${ledger.epoch}, confirming: ${confirming}`;
}

function maintenanceText(maintenance: NonNullable<GuardState['maintenance']>, now: number, style: Style): string {
  const { by, why, since, until } = maintenance;
  const end =
    until === null ? 'until it is switched off' : `until ${moment(until, now, style)} (${formatAge(until - now)} left)`;
  const reason = why === undefined ? '' : `: ${why}`;
  return `on ${end}, by ${by} since ${moment(since, now, style)}${reason}. Nothing fails over, relaxes or fences meanwhile`;
}

/** A time of day, with its date where it is not of these hours. */
function moment(at: number, now: number, style: Style): string {
  return Math.abs(now - at) > 12 * 3_600_000 ? style.dateTime(at) : style.clock(at);
}

const ISO_TIME = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g;

/** The guard knows no time zone but UTC: its times on the clock of whoever reads the card. */
export const clockTimes = (text: string, now: number, style: Style): string =>
  text.replace(ISO_TIME, (iso) => moment(Date.parse(iso), now, style));

/** Columns of the longest kind, so that what happened stands under each other. */
const KIND_WIDTH = 14;

function paintKind(kind: GuardEvent['kind'], style: Style): string {
  const { colour } = style;
  const text = padEnd(kind, KIND_WIDTH);
  switch (kind) {
    case 'primary failed':
    case 'split brain':
    case 'redis failed':
      return colour.red(text);
    case 'failover':
    case 'standby lost':
    case 'relaxed':
    case 'fenced':
    case 'in doubt':
    case 'not ready':
    case 'backoff':
    case 'maintenance':
    case 'mending':
    case 'redis moved':
    case 'redis doubt':
    case 'redis run':
      return colour.yellow(text);
    case 'primary back':
    case 'ready':
    case 'standby back':
    case 'commits go on':
    case 'restored':
    case 'mended':
    case 'redis back':
      return colour.green(text);
    default:
      return text;
  }
}
