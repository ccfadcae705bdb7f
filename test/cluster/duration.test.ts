import { durationMs, formatMs, holdMs } from '../../src/cluster/duration';

describe('a duration', () => {
  test.each([
    ['0s', 0],
    ['200ms', 200],
    ['1.5s', 1500],
    [' 5 s ', 5000],
    ['15m', 900_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
    ['0.4ms', 0],
  ])('%j is %d ms', (text, expected) => {
    expect(durationMs(text)).toBe(expected);
  });

  test.each(['', '5', 's', '-5s', '+5s', '5 sec', '1e3ms', '5S', '1s 200ms', 'Infinitys', '8d', '170h'])(
    '%j is refused, with an example of a good one',
    (text) => {
      expect(() => durationMs(text)).toThrow(RangeError);
      expect(() => durationMs(text)).toThrow(`"${text}" is not a duration: expected a number and a unit`);
    },
  );
});

describe('a duration that an agent is asked to keep', () => {
  test.each([
    ['1ms', 1],
    ['10m', 600_000],
  ])('%j is within its limits', (text, expected) => {
    expect(holdMs(text)).toBe(expected);
  });

  test.each(['0s', '10.1m', '1h'])('%j is refused with the limits', (text) => {
    expect(() => holdMs(text)).toThrow(`"${text}" is out of range: expected 1ms to 10m`);
  });

  test('what is no duration at all is refused as such', () => {
    expect(() => holdMs('soon')).toThrow('is not a duration');
  });
});

describe('milliseconds for a person', () => {
  test.each([
    [0, '0 ms'],
    [87.4, '87 ms'],
    [999.4, '999 ms'],
    [999.6, '1.00 s'],
    [2345, '2.35 s'],
    [9994, '9.99 s'],
    [9999, '10.0 s'],
    [59_949, '59.9 s'],
    [59_960, '1 min 00 s'],
    [245_000, '4 min 05 s'],
    [3_600_000, '60 min 00 s'],
  ])('%d is %j', (value, expected) => {
    expect(formatMs(value)).toBe(expected);
  });
});
