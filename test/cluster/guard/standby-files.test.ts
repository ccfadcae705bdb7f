import { timelineIn, whyNoStandby, type StandbyFiles } from '../../../src/cluster/guard/standby-files';
import { controlFile, standbyFiles } from './support/standby-files';

describe('the files of a node', () => {
  test('prove that it is no primary: it runs as a standby, or was shut down as one, and nobody promotes it', () => {
    expect(whyNoStandby(standbyFiles())).toBeUndefined();
    expect(whyNoStandby({ ...standbyFiles(), control: controlFile(2) })).toBeUndefined();
  });

  test.each<[string, Partial<StandbyFiles>, RegExp]>([
    // A fence lays standby.signal down before it ends the server.
    ['a primary that is being fenced', { control: controlFile(6) }, /pg_control does not say .* \(state 6\)/],
    ['a primary that starts after a crash', { control: controlFile(4) }, /state 4/],
    ['a primary that shuts down', { control: controlFile(3) }, /state 3/],
    ['a promotion that is through', { signal: undefined }, /standby\.signal does not lie/],
    [
      'a promotion that was asked for',
      { record: '{"promotion": {"run": "run 8", "atMs": 1}}' },
      /record names a promotion/,
    ],
    ['no record', { record: undefined }, /record is missing or damaged/],
    ['an empty record', { record: '' }, /record is missing or damaged/],
    ['a record without a word on it', { record: '{"desired": "up"}' }, /says nothing of promotions/],
    ['a record of another kind', { record: 'null' }, /says nothing of promotions/],
    ['no pg_control', { control: undefined }, /pg_control is missing/],
    ['a part of pg_control', { control: controlFile(5).subarray(0, 18) }, /unknown layout/],
    ['another layout', { control: controlFile(5, 0xa4060000) }, /unknown layout/],
  ])('prove nothing with %s', (_what, odd, says) => {
    expect(whyNoStandby({ ...standbyFiles(), ...odd })).toMatch(says);
  });

  test('are read wherever they begin in a buffer', () => {
    const control = Buffer.concat([Buffer.alloc(3), controlFile(5)]).subarray(3);
    expect(whyNoStandby({ ...standbyFiles(), control })).toBeUndefined();
    expect(timelineIn(control)).toBe(3);
  });

  test('name the newer of two timelines; with another layout none is known', () => {
    expect(timelineIn(controlFile(5, 1700, [3, 4]))).toBe(4);
    expect(timelineIn(controlFile(2, 1700, [5, 0]))).toBe(5);
    expect(timelineIn(controlFile(5, 1300))).toBeNull();
    expect(timelineIn(controlFile(5).subarray(0, 147))).toBeNull();
    expect(timelineIn(undefined)).toBeNull();
  });
});
