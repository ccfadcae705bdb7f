import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The folder that holds package.json. */
export const root = resolve(__dirname, '..', '..');

/** The documents that people read, relative to the root. */
export const documentNames: readonly string[] = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
].filter((name) => existsSync(join(root, name)));

/** The text of a document. */
export function textOf(name: string): string {
  return readFileSync(join(root, name), 'utf8');
}

/** What stands in fenced blocks and in code spans, one line each. A bar inside a table is written with a backslash. */
export function codeOf(name: string): string[] {
  const parts = textOf(name).split(/^```.*$/m);
  const fenced = parts.filter((_, index) => index % 2 === 1).flatMap((block) => block.split('\n'));
  const spans = parts
    .filter((_, index) => index % 2 === 0)
    .flatMap((text) => [...text.matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? ''));
  return [...fenced, ...spans].map((line) => line.replaceAll('\\|', '|'));
}

/** Anchors of a document, as GitHub makes them of its headings. */
export function anchorsOf(name: string): string[] {
  const prose = textOf(name).replace(/^```[\s\S]*?^```/gm, '');
  return [...prose.matchAll(/^#+ (.+)$/gm)].map((match) =>
    (match[1] ?? '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  );
}

/** Cells of the tables below a heading, up to the next heading: one list a row, without the head. */
export function rowsBelow(name: string, heading: string): string[][] {
  const lines = textOf(name).split('\n');
  const at = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === heading);
  if (at < 0) throw new Error(`${name} has no heading "${heading}"`);
  const rest = lines.slice(at + 1);
  const end = rest.findIndex((line) => /^#+ /.test(line));
  return (end < 0 ? rest : rest.slice(0, end))
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

/** The code span with which a cell begins, if it does. */
export function codeIn(cell: string | undefined): string | undefined {
  return /^`([^`]+)`/.exec(cell ?? '')?.[1];
}
