import { liveRegion } from '../../src/report/live';
import { progressLine, progressLines } from '../../src/report/progress';
import { stateText } from '../../src/report/state';
import { visibleWidth } from '../../src/report/text';
import { formatAge, fractionOf } from '../../src/report/words';
import { LINK, plain, T0 } from './made-up';
import { copying } from './made-up-failover';

const copy = copying().progress!;
const view = { workflowId: 'x', link: LINK, state: copying() };

test('a long copy has a bar under the step that runs', () => {
  expect(liveRegion(view, T0 + 4_700, 0, plain())).toMatchInlineSnapshot(`
   "03:20:11 ⠋ Copy the data of veloz-postgres-standby           4.4 s  2/3
              pg_basebackup from veloz-postgres-standby to veloz-postgres-primary
              ██████████░░░░░░░░░░░░░░░░░░░░  34 %  430 MB of 1.2 GB, 98.0 MB/s, 8 s left
            · Stream, catch up, confirm                                3/3"
  `);
  expect(stateText(view, T0 + 4_700, plain())).toContain('34 %  430 MB of 1.2 GB, 98.0 MB/s, 8 s left');
});

test.each([60, 72, 80])('at %d columns the numbers stay and the bar gives way', (width) => {
  const lines = progressLines(copy, plain({ width: width - 11 }));
  expect(Math.max(...lines.map(visibleWidth))).toBeLessThanOrEqual(width - 11);
  expect(lines[1]).toMatch(/^█+░+ +34 % {2}430 MB/);
});

test('without a known size there is no bar, and nothing is made up', () => {
  const unknown = { ...copy, totalBytes: null, bytesPerSecond: null, remainingMs: null };
  expect(progressLines(unknown, plain())[1]).toBe('430 MB');
  expect(progressLine(unknown)).toBe('pg_basebackup from veloz-postgres-standby to veloz-postgres-primary: 430 MB');
  expect(progressLine(copy)).toContain(': 34 %, 430 MB of 1.2 GB, 98.0 MB/s, 8 s left');
});

test('a source that grows while it is copied makes no 101 %, and what goes on is never shown as done', () => {
  expect(fractionOf({ doneBytes: 11, totalBytes: 10 })).toBe(1);
  expect(fractionOf({ doneBytes: 0, totalBytes: 0 })).toBeUndefined();
  expect(progressLines({ ...copy, doneBytes: 9_999, totalBytes: 10_000 }, plain())[1]).toMatch(/░ +99 %/);
});

test.each([
  [7_400, '7 s'],
  [845_000, '14 min 05 s'],
  [7_500_000, '2 h 05 min'],
  [3 * 86_400_000 + 4 * 3_600_000, '3 d 4 h'],
])('an age of %d ms is %s', (ms, expected) => {
  expect(formatAge(ms)).toBe(expected);
});
