import { formatMs } from '../cluster/duration';
import type { Signal } from '../cluster/guard/signals';
import type { Style } from './style';
import { hang, padEnd, padStart, table, visibleWidth } from './text';

/** Does a sign speak for a failure? */
export const speaksWord: Readonly<Record<Signal['speaks'], string>> = {
  for: 'for',
  against: 'against',
  neither: 'neither',
};

/** When a sign came, counted from the first one. */
export function afterFirst(signal: Signal, signals: readonly Signal[]): string {
  return `+${formatMs(signal.at - Math.min(...signals.map((one) => one.at)))}`;
}

/**
 * The evidence of a failure as a table: when, which way, whether it speaks for a failure, and what it said. Where the terminal
 * is too narrow, a list.
 */
export function evidenceTable(signals: readonly Signal[], style: Style): string {
  const wide = table(
    ['TIME', 'AFTER', 'WAY', 'FAILURE?', 'IT SAID'],
    signals.map((signal) => [
      style.clock(signal.at),
      afterFirst(signal, signals),
      signal.source,
      speaks(signal.speaks, style),
      signal.says,
    ]),
    style,
    { right: ['AFTER'] },
  );
  if (wide.split('\n').every((line) => visibleWidth(line) <= style.width)) return wide;
  return signals.map((signal) => evidenceLine(signal, signals, style)).join('\n');
}

function evidenceLine(signal: Signal, signals: readonly Signal[], style: Style): string {
  const after = padStart(afterFirst(signal, signals), 8);
  return hang(
    `${style.clock(signal.at)} ${after}  ${padEnd(speaks(signal.speaks, style), 9)}  `,
    `${signal.source}: ${signal.says}`,
    style,
  );
}

function speaks(word: Signal['speaks'], style: Style): string {
  const { colour, glyphs } = style;
  switch (word) {
    case 'for':
      return colour.red(`${glyphs.failed} ${speaksWord.for}`);
    case 'against':
      return colour.green(`${glyphs.done} ${speaksWord.against}`);
    case 'neither':
      return colour.dim(`${glyphs.skipped} ${speaksWord.neither}`);
  }
}
