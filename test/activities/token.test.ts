import { MockActivityEnvironment } from '@temporalio/testing';
import { tokenOf, watchToken, type Stage } from '../../src/activities/token';
import type { Token } from '../../src/systems/agent';

/** The token that an attempt of an activity shows to an agent. */
const attempt = async (stage: Stage, number: number, turn?: number): Promise<Token> => {
  const environment = new MockActivityEnvironment({ attempt: number });
  return environment.run<unknown[], Token, () => Promise<Token>>(() => Promise.resolve(tokenOf('run 7', stage, turn)));
};

/** The ways through a run, each stage as often as it is tried. */
const ways: Stage[][] = [
  ['prepare', 'prepare', 'move', 'move', 'move', 'settle', 'settle', 'release'],
  ['prepare', 'move', 'roll back', 'roll back', 'unprepare', 'unprepare', 'release'],
  ['prepare', 'unprepare', 'release'],
  ['prepare', 'move', 'roll back', 'settle', 'release'],
  ['fail over', 'undo fail over', 'settle', 'rejoin', 'release'],
  ['watch', 'fail over', 'fail over', 'settle', 'rejoin', 'rejoin', 'release'],
];

test.each(ways.map((way) => [way.join(' → '), way] as const))('tokens grow all the way %s', async (_says, way) => {
  const seen: number[] = [];
  for (const [index, stage] of way.entries()) {
    const tries = way.slice(0, index + 1).filter((other) => other === stage).length;
    const token = await attempt(stage, tries);
    expect(token.run).toBe('run 7');
    expect(token.attempt).toBeGreaterThan(seen.at(-1) ?? 0);
    seen.push(token.attempt);
  }
});

test('of a watch: to act is newer than to hold, the next attempt than both, and the run’s own steps than all', async () => {
  const watches = async (what: 'hold' | 'act', number: number): Promise<Token> =>
    new MockActivityEnvironment({ attempt: number }).run<unknown[], Token, () => Promise<Token>>(() =>
      Promise.resolve(watchToken('run 7', what)),
    );
  const tokens = [
    await watches('hold', 1),
    await watches('act', 1),
    await watches('hold', 2),
    await watches('act', 2),
    await watches('act', 400_000),
    await attempt('fail over', 1),
  ];
  const attempts = tokens.map((token) => token.attempt);
  expect(attempts).toEqual([...new Set(attempts)].sort((a, b) => a - b));
  // What an older version's watch holds clients by.
  expect(tokens[0]).toEqual(await attempt('watch', 1));
});

test('no number of attempts of one stage reaches the next one', async () => {
  expect((await attempt('prepare', 999_999)).attempt).toBeLessThan((await attempt('move', 1)).attempt);
});

test('within a stage of several activities each one’s attempts follow those of the one before', async () => {
  const [late, next] = [await attempt('rejoin', 99, 3), await attempt('rejoin', 1, 4)];
  expect(late.attempt).toBeLessThan(next.attempt);
  expect((await attempt('rejoin', 99, 9_998)).attempt).toBeLessThan((await attempt('release', 1)).attempt);
});

test('a plain program that calls an activity is its first attempt', () => {
  expect(tokenOf('bare', 'watch')).toEqual({ run: 'bare', attempt: 1 });
});
