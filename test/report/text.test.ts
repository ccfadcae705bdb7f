import { cut, hang, table, wrap } from '../../src/report/text';
import { formatBytes, formatSeconds } from '../../src/report/words';
import { plain } from './made-up';

test('bytes in the unit that a person would choose', () => {
  expect([0, 1023, 1024, 65536, 150 * 1024 ** 2, 5 * 1024 ** 3].map(formatBytes)).toEqual([
    '0 B',
    '1023 B',
    '1.0 kB',
    '64.0 kB',
    '150 MB',
    '5.0 GB',
  ]);
});

test('seconds that are counted before somebody’s eyes', () => {
  expect([-5, 499, 7_000, 59_600, 845_000].map(formatSeconds)).toEqual([
    '0 s',
    '0 s',
    '7 s',
    '1 min 00 s',
    '14 min 05 s',
  ]);
});

test('a word is never cut when text is wrapped', () => {
  expect(wrap('switchover/veloz/20251123T032011Z-9f3a has ended', 20)).toEqual([
    'switchover/veloz/20251123T032011Z-9f3a',
    'has ended',
  ]);
  expect(hang('next  ', 'one two three four five six seven eight', plain({ width: 30 }))).toBe(
    'next  one two three four five\n      six seven eight',
  );
});

test('a cut is marked', () => {
  expect(cut('abcdefgh', 5, plain())).toBe('abcd…');
  expect(cut('abcdefgh', 6, plain({ unicode: false }))).toBe('abc...');
  expect(cut('abc', 5, plain())).toBe('abc');
});

test('an id in the last column of a table is never cut, however narrow the terminal', () => {
  const id = 'switchover/veloz/20251123T032011Z-9f3a';
  expect(table(['A', 'ID'], [['x'.repeat(40), id]], plain({ width: 60 }))).toContain(id);
});
