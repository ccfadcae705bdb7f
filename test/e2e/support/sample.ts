import { randomOf } from '../../../src/bench/chaos/random';

/*
 * The stack's tests take longer than anybody waits after each change. Of crash matrices and of long suites `npm test` tries a sample; which
 * one follows from VELOZ_HA_SEED (a whole number, 1 unless set). VELOZ_HA_TESTS=all tries everything, as `npm run test:all` does.
 */

type Environment = Readonly<Record<string, string | undefined>>;

const isAll = (env: Environment): boolean => env.VELOZ_HA_TESTS === 'all';

function seedOf(env: Environment): number {
  const seed = Number(env.VELOZ_HA_SEED ?? 1);
  if (!Number.isSafeInteger(seed)) throw new Error(`VELOZ_HA_SEED is no whole number: ${String(env.VELOZ_HA_SEED)}`);
  return seed;
}

/** The points of a crash matrix that this run tries: `count` of them, in the order of the matrix. */
export function sampleOf(points: readonly string[], count: number, env: Environment = process.env): string[] {
  if (isAll(env)) return [...points];
  const random = randomOf(seedOf(env), 0);
  const taken = new Set<string>();
  while (taken.size < Math.min(count, points.length)) taken.add(random.pick(points));
  return points.filter((point) => taken.has(point));
}

/** Of the tests of long suites, and of those that take minutes each, this share is tried. */
const SHARE = 0.25;
const RARE = 0.05;

/** Does this run try the test of this name? About one in four, or the share that is given. */
export function isTried(name: string, env: Environment = process.env, share = SHARE): boolean {
  if (isAll(env)) return true;
  const sum = [...name].reduce((sofar, letter) => (Math.imul(sofar, 31) + letter.charCodeAt(0)) | 0, 7);
  return randomOf(seedOf(env), sum).next() < share;
}

type Body<Row> = (...args: Row extends readonly unknown[] ? [...Row] : [Row]) => Promise<unknown>;

/** A test of a long suite: as `test`, and skipped where the sample leaves it out. */
export function sampled(name: string, body: () => Promise<unknown>, timeoutMs?: number): void {
  (isTried(name) ? test : test.skip)(name, body, timeoutMs);
}

/** The same for a test that takes minutes: about one in twenty is tried. */
export function rarely(name: string, body: () => Promise<unknown>, timeoutMs?: number): void {
  (isTried(name, process.env, RARE) ? test : test.skip)(name, body, timeoutMs);
}

/** As `test.each`, each row by itself. */
sampled.each =
  <const Row extends readonly [unknown, ...unknown[]] | string>(table: readonly Row[]) =>
  (name: string, body: Body<Row>, timeoutMs?: number): void => {
    const tried = table.filter((row) => isTried(`${name} ${JSON.stringify(row)}`));
    const rest = table.filter((row) => !tried.includes(row));
    const each = body as (...args: unknown[]) => Promise<void>;
    if (tried.length > 0) test.each(tried as unknown[])(name, each, timeoutMs);
    if (rest.length > 0) test.skip.each(rest as unknown[])(name, each, timeoutMs);
  };
