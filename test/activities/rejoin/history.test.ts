import { parseHistory } from '../../../src/activities/rejoin/look';

test('a timeline history file is read line by line, whatever else stands there', () => {
  const file =
    '1\t0/148BEF0\tno recovery target specified\n\n# a comment\n2\t1/C001B0\tbefore 2025-11-23 07:05:17+00\n';
  expect(parseHistory(file)).toEqual([
    { timeline: 1, endLsn: '0/148BEF0' },
    { timeline: 2, endLsn: '1/C001B0' },
  ]);
  expect(parseHistory('')).toEqual([]);
});
