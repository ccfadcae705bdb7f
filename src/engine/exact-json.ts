/** A JSON text that was read, with what `JSON.parse` passes over in silence. */
export interface ExactJson {
  value: unknown;
  /** The outermost keys which an object has twice, or whose value holds such an object: `JSON.parse` keeps the last one. */
  repeated: Set<string>;
  /** Numbers that lose digits as a double (9007199254740993): the last text of each outermost key ('' outside of any). */
  inexact: Map<string, string>;
}

/** No double has an exponent beyond this; a longer one is not written out in digits. */
const LARGEST_EXPONENT = 400;

/**
 * A JSON number, or what `String` makes of one, in plain digits without exponent and needless zeros: `1.50e1` is `15`.
 * @returns undefined where its exponent is beyond that of any double
 */
export function plainDigits(text: string): string | undefined {
  const [, sign = '', whole = '', fraction = '', power = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const exponent = Number(power);
  if (whole === '' || Math.abs(exponent) > LARGEST_EXPONENT) return undefined;
  const point = whole.length + exponent;
  const digits = `${'0'.repeat(Math.max(0, -point))}${whole}${fraction}`;
  const at = Math.max(point, 0);
  const before =
    digits
      .slice(0, at)
      .padEnd(at, '0')
      .replace(/^0+(?=\d)/, '') || '0';
  const after = digits.slice(at).replace(/0+$/, '');
  const plain = after === '' ? before : `${before}.${after}`;
  return plain === '0' ? plain : `${sign}${plain}`;
}

/** Whether a number's text means exactly what is left of it as a double, written as shortly as it can be. */
const readsBack = (text: string) => {
  const digits = plainDigits(text);
  return digits !== undefined && digits === plainDigits(String(Number(text)));
};

/**
 * Reads a JSON text and looks where its value is not what was written: keys that are there twice, and numbers that have
 * more digits than a double keeps. (`JSON.parse` shows its revivers no source text in Node 20.)
 * @throws SyntaxError when the text is no JSON
 */
export function readExactJson(text: string): ExactJson {
  // From here on the text is known to be well-formed, so that the walk has to tell its parts apart and no more.
  const read: ExactJson = { value: JSON.parse(text) as unknown, repeated: new Set(), inexact: new Map() };
  const tokens = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[{}[\],]/gs;
  interface Level {
    keys?: Set<string>;
    /** The key that is being read. */
    at?: string;
    /** Whether the next text is a key. */
    expectsKey: boolean;
  }
  const levels: Level[] = [];
  const outermost = () => levels[0]?.at ?? '';
  for (const [token] of text.matchAll(tokens)) {
    const level = levels.at(-1);
    if (token === '{') levels.push({ keys: new Set(), expectsKey: true });
    else if (token === '[') levels.push({ expectsKey: false });
    else if (token === '}' || token === ']') levels.pop();
    else if (token === ',') {
      if (level?.keys !== undefined) level.expectsKey = true;
    } else if (token.startsWith('"')) {
      if (level?.keys === undefined || !level.expectsKey) continue;
      level.at = JSON.parse(token) as string;
      level.expectsKey = false;
      if (level.keys.has(level.at)) read.repeated.add(outermost());
      level.keys.add(level.at);
    } else if (!readsBack(token)) read.inexact.set(outermost(), token);
  }
  return read;
}
