import { lsnBytes, lsnDistance } from '../../src/cluster/lsn';

describe('an LSN', () => {
  test('is a position in bytes: its first half counts in steps of 4 GiB', () => {
    expect(lsnBytes('0/3000148')).toBe(0x3000148n);
    expect(lsnBytes('1/0')).toBe(0x1_0000_0000n);
    expect(lsnBytes('FFFFFFFF/ffffffff')).toBe(0xffff_ffff_ffff_ffffn);
  });

  test('is compared as a number and not as text', () => {
    expect(lsnBytes('0/A000000') < lsnBytes('0/10000000')).toBe(true);
  });

  test('has a distance with a sign, also across the halves', () => {
    expect(lsnDistance('1/10', '0/FFFFFFF0')).toBe(0x20);
    expect(lsnDistance('0/10', '0/20')).toBe(-0x10);
    expect(lsnDistance('0/10', '0/10')).toBe(0);
  });

  test.each(['', '0', '0/', '/0', '0/G', '0/3000148 ', '123456789/0', '0/123456789', '0-3000148'])(
    '%j is none',
    (text) => {
      expect(() => lsnBytes(text)).toThrow(`"${text}" is not an LSN`);
    },
  );
});
