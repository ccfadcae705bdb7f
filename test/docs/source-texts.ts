import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';
import { root } from './documents';

/** What stands for a value that nobody knows before the program runs. */
export const UNKNOWN = '…';
/** A template with more choices in it is told with this many of them. */
const MOST_VARIANTS = 64;

/** A text that the program may print, as it stands in a source. */
export interface SourceText {
  /** Relative to the root, with the line: `src/cluster/check.ts:12`. */
  at: string;
  file: string;
  text: string;
  /** What it is given to: the name of a constant, a property, or a function that is called with it; empty where it is none of these. */
  givenTo: string;
}

/**
 * Every text in the sources below a folder: a template in each of its forms, with what its file says of the constants in it. A text that
 * is a part of another one stands for itself too.
 */
export function textsOf(folder: string): SourceText[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .flatMap((entry) => textsIn(join(entry.parentPath, entry.name)));
}

function textsIn(path: string): SourceText[] {
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ES2022, true);
  const file = relative(root, path);
  const constants = constantsOf(source);
  const found: SourceText[] = [];
  const visit = (node: ts.Node): void => {
    const given = ts.isIdentifier(node) && isGiven(node) ? constants.get(node.text) : undefined;
    if (given !== undefined || ts.isStringLiteralLike(node) || ts.isTemplateExpression(node) || isTypedAgain(node)) {
      const at = `${file}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
      for (const text of variants(given ?? node, constants)) found.push({ at, file, text, givenTo: givenTo(node) });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** The texts that constants of a file hold, by name; a name that two of them have is left out. */
function constantsOf(source: ts.SourceFile): ReadonlyMap<string, ts.Expression> {
  const constants = new Map<string, ts.Expression>();
  const twice = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && ts.isIdentifier(node.name) && node.initializer !== undefined) {
      if (constants.has(node.name.text)) twice.add(node.name.text);
      constants.set(node.name.text, node.initializer);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return new Map([...constants].filter(([name, { kind }]) => !twice.has(name) && kind === ts.SyntaxKind.StringLiteral));
}

/** A name that stands for its text: the value of a property, or what a function is called with. */
const isGiven = ({ parent, pos }: ts.Identifier): boolean =>
  (ts.isPropertyAssignment(parent) && parent.initializer.pos === pos) ||
  (ts.isCallExpression(parent) && parent.arguments.some((argument) => argument.pos === pos));

/** What a person typed, to be typed again for the same cluster. */
const isTypedAgain = (node: ts.Node): node is ts.CallExpression =>
  ts.isCallExpression(node) && node.expression.getText() === 'inCluster';

function givenTo({ parent }: ts.Node): string {
  if (ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent)) return parent.name.getText();
  return ts.isCallExpression(parent) ? parent.expression.getText() : '';
}

/** What a text may be, with {@link UNKNOWN} for what is not known before the program runs. */
function variants(node: ts.Node, constants: ReadonlyMap<string, ts.Expression>): string[] {
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isParenthesizedExpression(node)) return variants(node.expression, constants);
  if (ts.isConditionalExpression(node))
    return [...variants(node.whenTrue, constants), ...variants(node.whenFalse, constants)];
  if (ts.isTemplateExpression(node))
    return node.templateSpans.reduce<string[]>(
      (before, { expression, literal }) =>
        before
          .flatMap((text) => variants(expression, constants).map((value) => `${text}${value}${literal.text}`))
          .slice(0, MOST_VARIANTS),
      [node.head.text],
    );
  if (isTypedAgain(node) && node.arguments[0] !== undefined)
    return variants(node.arguments[0], constants).map((command) => `${command} --cluster ${UNKNOWN}`);
  const constant = ts.isIdentifier(node) ? constants.get(node.text) : undefined;
  return constant === undefined ? [UNKNOWN] : variants(constant, constants);
}
