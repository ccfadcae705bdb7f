import { parseLockValue } from '../../src/engine/lock';

describe('what stands in the lock', () => {
  test('an engine of this kind says who it is, in which epoch, where, and which process', () => {
    const value = { node: 'engine-1', epoch: 12, url: 'http://engine-1:8080', instance: 'ab12' };
    expect(parseLockValue(JSON.stringify(value))).toEqual(value);
  });

  test.each([
    ['engine-2:5', { node: 'engine-2', epoch: 5 }],
    ['engine-2', { node: 'engine-2', epoch: 0 }],
    ['engine-2:many', { node: 'engine-2', epoch: 0 }],
    ['{}', { node: '?', epoch: 0 }],
    ['', { node: '', epoch: 0 }],
  ])('%s is somebody’s lock, of no known process', (text, who) => {
    expect(parseLockValue(text)).toEqual({ ...who, url: '', instance: '' });
  });
});
