import type { CopyProgress } from '../workflows/run-state';
import type { Style } from './style';
import { cut, padStart, visibleWidth } from './text';
import { fractionOf, progressText } from './words';

const SHORTEST_BAR = 6;
const LONGEST_BAR = 30;

/**
 * A long copy: what is copied, and beneath it a bar with percent, bytes, rate and what is left. Two lines that fit the
 * width; without a known size there is no bar.
 */
export function progressLines(progress: CopyProgress, style: Style): string[] {
  return [cut(progress.says, style.width, style), cut(barText(progress, style), style.width, style)];
}

/** The same as one line, for a log. */
export function progressLine(progress: CopyProgress): string {
  const fraction = fractionOf(progress);
  const percent = fraction === undefined ? '' : `${Math.floor(fraction * 100)} %, `;
  return `${progress.says}: ${percent}${progressText(progress)}`;
}

function barText(progress: CopyProgress, style: Style): string {
  const { glyphs } = style;
  const fraction = fractionOf(progress);
  const text = progressText(progress);
  if (fraction === undefined) return text;
  const percent = `${padStart(String(Math.floor(fraction * 100)), 3)} %`;
  // The numbers matter more than the bar.
  const columns = Math.max(SHORTEST_BAR, Math.min(LONGEST_BAR, style.width - visibleWidth(`${percent}${text}`) - 3));
  // A copy that goes on is never shown as done.
  const full = Math.min(columns - (fraction < 1 ? 1 : 0), Math.round(fraction * columns));
  return `${glyphs.bar.repeat(full)}${glyphs.barToCome.repeat(columns - full)} ${percent}  ${text}`;
}
