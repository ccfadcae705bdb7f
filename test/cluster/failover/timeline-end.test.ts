import { hasRoom, isUnfinished, segmentName } from '../../../src/cluster/failover/timeline-end';

const SIZE = 1024 ** 2;
/** A segment from 0/5000000 on. */
const segment = (parts: [number, Buffer][] = []) => {
  const bytes = Buffer.alloc(SIZE);
  for (const [at, part] of parts) part.copy(bytes, at);
  return { bytes, size: SIZE };
};
const header = (length: number, previous: bigint) => {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt32LE(length, 0);
  bytes.writeBigUInt64LE(previous, 8);
  return bytes;
};
const unfinished = (end: string, received: string, ...parts: [number, Buffer][]) =>
  isUnfinished({ end, received }, segment(parts));

describe('what a standby had received, and where its promotion left the timeline', () => {
  test('a record could lie between the two', () => {
    expect(hasRoom({ end: '0/5000100', received: '0/5000100' })).toBe(false);
    expect(hasRoom({ end: '0/5000100', received: '0/5000117' })).toBe(false);
    expect(hasRoom({ end: '0/5000100', received: '0/5000118' })).toBe(true);
    // It went on receiving after it was asked.
    expect(hasRoom({ end: '0/5000900', received: '0/5000100' })).toBe(false);
  });

  test('a record that goes on behind what was received is unfinished, and one that ends within it is not', () => {
    expect(unfinished('0/5000100', '0/5000200', [0x100, header(0x101, 0x5000080n)])).toBe(true);
    expect(unfinished('0/5000100', '0/5000200', [0x100, header(0x100, 0x5000080n)])).toBe(false);
  });

  test('the header of a page that it goes over counts', () => {
    const record: [number, Buffer] = [0x1f00, header(0x200, 0x5001000n)];
    expect(unfinished('0/5001F00', '0/5002117', record)).toBe(true);
    expect(unfinished('0/5001F00', '0/5002118', record)).toBe(false);
  });

  test('at the end of a page the next record begins behind the header of the page that follows', () => {
    const record: [number, Buffer] = [0x2018, header(0x100, 0x5001000n)];
    expect(unfinished('0/5002000', '0/500202F')).toBe(true);
    expect(unfinished('0/5002000', '0/5002117', record)).toBe(true);
    expect(unfinished('0/5002000', '0/5002118', record)).toBe(false);
    const first: [number, Buffer] = [40, header(0x100, 0x4fff000n)];
    expect(unfinished('0/5000000', '0/5000127', first)).toBe(true);
    expect(unfinished('0/5000000', '0/5000128', first)).toBe(false);
  });

  test("a record's own header goes over a page", () => {
    const whole = header(0x100, 0x5001000n);
    const parts: [number, Buffer][] = [
      [0x1ff8, whole.subarray(0, 8)],
      [0x2018, whole.subarray(8)],
    ];
    expect(unfinished('0/5001FF8', '0/500210F', ...parts)).toBe(true);
    expect(unfinished('0/5001FF8', '0/5002110', ...parts)).toBe(false);
  });

  test('what is no record is not an unfinished one', () => {
    expect(unfinished('0/5000100', '0/5000200')).toBe(false);
    expect(unfinished('0/5000100', '0/5000200', [0x100, header(0xffff_ffff, 0x5000080n)])).toBe(false);
    expect(unfinished('0/5000100', '0/5000200', [0x100, header(0x1000, 0x5000100n)])).toBe(false);
    expect(unfinished('0/5000100', '0/5000200', [0x100, header(0x1000, 0xffff_ffff_0000n)])).toBe(false);
    // Its header goes on in a segment that is not at hand.
    expect(unfinished('0/50FFFF8', '0/5100200', [0xffff8, header(0x1000, 0x5000080n).subarray(0, 8)])).toBe(false);
  });

  test('segments have the names that PostgreSQL gives them', () => {
    expect(segmentName(8, '1/400', 4 * SIZE)).toBe('000000080000000100000000');
    expect(segmentName(10, '0/3690990', 4 * SIZE)).toBe('0000000A000000000000000D');
    expect(segmentName(3, '0/5001000', SIZE)).toBe('000000030000000000000050');
  });
});
