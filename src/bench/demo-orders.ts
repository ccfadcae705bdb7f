import { formatMs } from '../cluster/duration';
import type { Tier } from '../cluster/maintenance/sides';
import type { Style } from '../report/style';
import { section, table } from '../report/text';
import type { MaintenanceMove, Report } from '../workflows/run-state';
import type { LoadResult, OrderLoad, OrdersOf } from './order-load';

const tierWord: Readonly<Record<Tier, string>> = { engine: 'engine', redis: 'Redis', postgres: 'PostgreSQL' };
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

/** The orders that were sent while something went on. */
interface OrdersDuring extends OrdersOf {
  /** Absent: while nothing was moved. */
  move?: MaintenanceMove;
}

/** The orders of each move, in order, and those that were sent while nothing was moved. */
export function ordersOfMoves(report: Report, load: Pick<OrderLoad, 'ordersOf'>): OrdersDuring[] {
  const moves = (report.maintenance?.moves ?? []).flatMap((move) => {
    const id = move.back ? `back-${move.tier}` : move.tier;
    // What had to be moved back a second time has a number behind its name.
    const step = report.steps.find((one) => one.state === 'done' && (one.id === id || one.id.startsWith(`${id}-`)));
    if (step?.startedAt === undefined || step.ms === undefined) return [];
    const [from, to] = [step.startedAt, step.startedAt + step.ms];
    return [{ move, within: (at: number) => at >= from && at < to }];
  });
  return [
    ...moves.map(({ move, within }) => ({ move, ...load.ordersOf(within) })),
    load.ordersOf((at) => !moves.some(({ within }) => within(at))),
  ];
}

/**
 * What the orders lived through: in each move by itself, then all of them.
 * @param ended whether the run did what it was to do
 */
export function ordersReport(
  report: Report,
  load: Pick<OrderLoad, 'ordersOf'>,
  result: LoadResult,
  ended: boolean,
  style: Style,
): { good: boolean; lines: string[] } {
  const { colour, glyphs } = style;
  const rows = ordersOfMoves(report, load).map(({ move, ...seen }) => [
    move === undefined ? 'nothing' : `${tierWord[move.tier]}${move.back ? ', back' : ''}`,
    move?.to ?? '',
    move?.heldMs === undefined ? '' : formatMs(move.heldMs),
    ...[seen.sent, seen.acknowledged, seen.failed, seen.lost, seen.duplicates].map(String),
    formatMs(seen.slowestMs),
  ]);
  const numbers = ['HELD', 'SENT', 'ACKED', 'FAILED', 'LOST', 'DOUBLE', 'SLOWEST'];
  const tableOf = (inner: Style) => table(['MOVED', 'TO', ...numbers], rows, inner, { right: numbers });
  const [answered, kept] = [result.failed === 0, result.lost + result.duplicates === 0];
  const mark = (good: boolean) => (good && ended ? colour.green(glyphs.done) : colour.red(glyphs.failed));
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
