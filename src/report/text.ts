import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import type { Style } from './style';

/** Columns that a text takes on a terminal, colour codes left out. */
export function visibleWidth(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

/** Pads with blanks on the right up to `width` visible columns. A longer text stays as it is. */
export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - visibleWidth(text)));
}

/** Pads with blanks on the left up to `width` visible columns. A longer text stays as it is. */
export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - visibleWidth(text))) + text;
}

/** Cuts a text without colour codes to `width` columns and marks the cut. */
export function cut(text: string, width: number, style: Style): string {
  const letters = [...text];
  if (letters.length <= width) return text;
  const mark = style.glyphs.ellipsis;
  return letters.slice(0, Math.max(0, width - mark.length)).join('') + mark;
}

/** Breaks a text into lines of at most `width` visible columns, at blanks. A longer word stays whole. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    if (line !== '' && visibleWidth(line) + 1 + visibleWidth(word) > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  if (line !== '') lines.push(line);
  return lines;
}

/** A prefix, and a text beside it that is wrapped at the style's width and hangs under its own beginning. */
export function hang(prefix: string, text: string, style: Style): string {
  const column = visibleWidth(prefix);
  return prefix + wrap(text, Math.max(24, style.width - column)).join(`\n${' '.repeat(column)}`);
}

/** A titled block, indented by two columns. */
export function section(title: string, body: (inner: Style) => string, style: Style): string {
  return `${style.colour.bold(title)}\n${indent(body(narrower(style, 2)), 2)}`;
}

/** Warnings, one below the other. */
export function warningsText(warnings: readonly string[], style: Style): string {
  return warnings.map((warning) => hang(`${style.colour.yellow(style.glyphs.warning)} `, warning, style)).join('\n');
}

/**
 * Cuts a text to a terminal's size, colour codes aside: lines at `columns`, and where there are more than `rows` of them the
 * last one says how many are left out.
 */
export function fit(text: string, columns: number, rows: number, style: Style): string {
  const lines = text.split('\n');
  const kept = lines.length <= rows ? lines : lines.slice(0, Math.max(0, rows - 1));
  const rest = lines.length - kept.length;
  return [
    ...kept.map((line) => fitLine(line, columns)),
    ...(rest === 0 ? [] : [style.colour.dim(`${style.glyphs.skipped} ${rest} more lines`)]),
  ].join('\n');
}

/** The colour codes behind the cut stay: one of them may be the end of a colour. */
function fitLine(line: string, columns: number): string {
  let width = 0;

  return (line.match(/\u001b\[[0-9;]*m|./gu) ?? [])
    .filter((part) => part.startsWith('\u001b') || (width += 1) <= columns)
    .join('');
}

/** The same style for a block that is indented by so many columns. */
function narrower(style: Style, columns: number): Style {
  return { ...style, width: style.width - columns };
}

/** Indents every line. */
export function indent(text: string, columns: number): string {
  const blanks = ' '.repeat(columns);
  return text
    .split('\n')
    .map((line) => (line === '' ? '' : blanks + line))
    .join('\n');
}

/**
 * A table without lines, two blanks between columns, its head dimmed. Columns that are empty everywhere are left out. The
 * last column is wrapped at the style's width; `wrapped` names a further one, which then takes half of it at most.
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  style: Style,
  options: { right?: readonly string[]; wrapped?: string } = {},
): string {
  const used = head
    .map((_, column) => column)
    .filter((column) => column === 0 || rows.some((row) => (row[column] ?? '') !== ''));
  const widths = used.map((column) => {
    const natural = Math.max(visibleWidth(head[column] ?? ''), ...rows.map((row) => visibleWidth(row[column] ?? '')));
    return head[column] === options.wrapped ? Math.min(natural, Math.max(30, Math.floor(style.width / 2))) : natural;
  });
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  // A word is never cut: it may be an id that somebody copies.
  const lastColumn = used[used.length - 1] ?? 0;
  const words = rows.flatMap((row) => stripVTControlCharacters(row[lastColumn] ?? '').split(/\s+/));
  const room = Math.max(24, style.width - before, ...words.map(visibleWidth));
  const none = '';
  const grid = new Table({
    head: used.map((column) => style.colour.dim(head[column] ?? '')),
    chars: {
      top: none,
      'top-mid': none,
      'top-left': none,
      'top-right': none,
      bottom: none,
      'bottom-mid': none,
      'bottom-left': none,
      'bottom-right': none,
      left: none,
      'left-mid': none,
      mid: none,
      'mid-mid': none,
      right: none,
      'right-mid': none,
      middle: '  ',
    },
    colWidths: [...widths.slice(0, -1), Math.min(widths[widths.length - 1] ?? 0, room)],
    colAligns: used.map((column) => (options.right?.includes(head[column] ?? '') === true ? 'right' : 'left')),
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
    wordWrap: true,
  });
  for (const row of rows) grid.push(used.map((column) => row[column] ?? ''));
  return grid
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
