import { formatSize } from '../../src/cluster/size';

test.each([
  [0, '0 bytes'],
  [1023, '1023 bytes'],
  [1024, '1 KiB'],
  [10 * 1024 ** 2, '10.0 MiB'],
  [70.5 * 1024 ** 3, '70.5 GiB'],
])('%d bytes are %j', (bytes, expected) => {
  expect(formatSize(bytes)).toBe(expected);
});
