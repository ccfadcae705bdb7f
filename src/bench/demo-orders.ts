import { formatMs } from '../cluster/duration';
import type { Tier } from '../cluster/maintenance/sides';
import type { Style } from '../report/style';
import { section, table } from '../report/text';
import type { Report } from '../workflows/run-state';
import type { LoadResult, OrderLoad, OrdersOf } from './order-load';

/** How far back "now" goes, in milliseconds. */
const NOW_MS = 1000;

/**
 * What becomes of the orders right now, in one line.
 * @param now milliseconds since the epoch
 */
export function flowLine(load: Pick<OrderLoad, 'soFar' | 'ordersOf'>, now: number, style: Style): string {
  const { colour } = style;
  const { acknowledged, failed, open } = load.soFar();
  const { sent, slowestMs } = load.ordersOf((at) => at >= now - NOW_MS && at < now);
  const failures = failed === 0 ? colour.green('0 failed') : colour.red(`${failed} failed`);
  return `${colour.dim(style.clock(now))} ${colour.cyan('orders')} ${sent}/s   ${acknowledged} acknowledged   ${open} under way   slowest ${formatMs(slowestMs)}   ${failures}`;
}

/** Something that happened while orders flowed: from a moment until another one, in milliseconds since the epoch. */
export interface Happening {
  tier: Tier;
  /** `PostgreSQL, back`. */
  what: string;
  /** The node that it is about. */
  node: string;
  from: number;
  to: number;
  /** Milliseconds for which clients were held. */
  heldMs?: number;
}

export const tierWord: Readonly<Record<Tier, string>> = { engine: 'engine', redis: 'Redis', postgres: 'PostgreSQL' };

/** The moves of a maintenance, in order. */
export function movesOf(report: Report): Happening[] {
  return (report.maintenance?.moves ?? []).flatMap(({ tier, back, to, heldMs }) => {
    const id = back ? `back-${tier}` : tier;
    // What had to be moved back a second time has a number behind its name.
    const step = report.steps.find((one) => one.state === 'done' && (one.id === id || one.id.startsWith(`${id}-`)));
    if (step?.startedAt === undefined || step.ms === undefined) return [];
    return [
      {
        tier,
        what: `${tierWord[tier]}${back ? ', back' : ''}`,
        node: to,
        from: step.startedAt,
        to: step.startedAt + step.ms,
        ...(heldMs === undefined ? {} : { heldMs }),
      },
    ];
  });
}

/** The orders that were sent during each happening, and, without one, those that were sent during none. */
export function ordersDuring(
  happenings: readonly Happening[],
  load: Pick<OrderLoad, 'ordersOf'>,
): (OrdersOf & { happening?: Happening })[] {
  const within = ({ from, to }: Happening, at: number) => at >= from && at < to;
  return [
    ...happenings.map((happening) => ({ happening, ...load.ordersOf((at) => within(happening, at)) })),
    load.ordersOf((at) => !happenings.some((happening) => within(happening, at))),
  ];
}

/** How {@link ordersReport} is headed. */
export interface OrdersTable {
  /** What was done to nodes: `MOVED`. */
  what: string;
  /** What the node is in it: `TO`. */
  node: string;
  /** Whether that was what was to be done. */
  ended: boolean;
}

/** What the orders lived through: in each happening by itself, then all of them. */
export function ordersReport(
  happenings: readonly Happening[],
  load: Pick<OrderLoad, 'ordersOf'>,
  result: LoadResult,
  head: OrdersTable,
  style: Style,
): { good: boolean; lines: string[] } {
  const { colour, glyphs } = style;
  const rows = ordersDuring(happenings, load).map(({ happening, ...seen }) => [
    happening?.what ?? 'nothing',
    happening?.node ?? '',
    happening?.heldMs === undefined ? '' : formatMs(happening.heldMs),
    ...[seen.sent, seen.acknowledged, seen.failed, seen.lost, seen.duplicates].map(String),
    // Orders that were sent while nothing happened have gaps where something did.
    happening === undefined || happening.heldMs !== undefined ? '' : formatMs(seen.gapMs),
    formatMs(seen.slowestMs),
  ]);
  const numbers = ['HELD', 'SENT', 'ACKED', 'FAILED', 'LOST', 'DOUBLE', 'SILENCE', 'SLOWEST'];
  const tableOf = (inner: Style) => table([head.what, head.node, ...numbers], rows, inner, { right: numbers });
  const [answered, kept] = [result.failed === 0, result.lost + result.duplicates === 0];
  const mark = (good: boolean) => (good && head.ended ? colour.green(glyphs.done) : colour.red(glyphs.failed));
  return {
    good: answered && kept,
    lines: [
      section('What the orders saw', tableOf, style),
      '',
      `  ${mark(answered)} ${result.attempts} orders sent, each once: ${result.acknowledged} acknowledged, ${result.failed} failed`,
      `  ${mark(kept)} ${result.lost} acknowledged orders lost, ${result.duplicates} double (each one was looked up in PostgreSQL)`,
      `  ${mark(true)} half of the orders took up to ${formatMs(result.medianMs)}, the slowest one ${formatMs(result.slowestMs)}; longest silence ${formatMs(result.gapMs)}`,
      ...Object.entries(result.failures).map(([what, count]) => `    ${count} × ${what}`),
    ],
  };
}
