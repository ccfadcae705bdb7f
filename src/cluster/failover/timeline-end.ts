import { lsnBytes, type Lsn } from '../lsn';

/** Of a page of WAL. */
const PAGE = 8192n;
const SHORT_HEADER = 24n;
/** The first page of a segment has a longer header. */
const LONG_HEADER = 40n;
/** Length, transaction, position of the record before, kind and checksum. */
const RECORD_HEADER = 24;
/** PostgreSQL makes no longer record. */
const LONGEST_RECORD = 1020 * 1024 * 1024;

/** What a promoted standby had, and where its promotion left the old timeline. */
export interface TimelineEnd {
  /** The end of the last record that it replayed: the new timeline begins there. */
  end: Lsn;
  /** The end of the WAL that it had on its disk. It need not be the end of a record: WAL is sent as it is flushed, in parts. */
  received: Lsn;
}

/** The segment of the old timeline in which that timeline ended. */
export interface Segment {
  bytes: Buffer;
  size: number;
}

/** Where the next record would begin: behind the header of a page that ends there. */
function nextRecord(end: bigint, size: bigint): bigint {
  if (end % PAGE !== 0n) return end;
  return end + (end % size === 0n ? LONG_HEADER : SHORT_HEADER);
}

/** Could a record lie between the two at all? Its segment has to be read then. */
export function hasRoom({ end, received }: TimelineEnd): boolean {
  return lsnBytes(received) - lsnBytes(end) >= BigInt(RECORD_HEADER);
}

/**
 * Is what was received behind the end only the beginning of a record, whose rest never came? That was acknowledged to nobody. Anything
 * else is WAL that was there and could not be replayed: damaged, or lost on the disk. Pure.
 */
export function isUnfinished({ end, received }: TimelineEnd, segment: Segment): boolean {
  const size = BigInt(segment.size);
  const at = nextRecord(lsnBytes(end), size);
  const limit = lsnBytes(received);
  if (limit - at < BigInt(RECORD_HEADER)) return true;
  const header = headerAt(at, size, segment.bytes);
  // The rest of the header is in a segment that is not at hand.
  if (header === undefined) return false;
  const length = header.readUInt32LE(0);
  if (length < RECORD_HEADER || length > LONGEST_RECORD) return false;
  const previous = header.readBigUInt64LE(8);
  // Each record names the one before; what was written over does not.
  if (previous >= at || at - previous > BigInt(LONGEST_RECORD) * 2n) return false;
  return recordEnd(at, BigInt(length), size) > limit;
}

/** The header of the record that begins there; one that goes on in the next page has that page's header in it. */
function headerAt(at: bigint, size: bigint, bytes: Buffer): Buffer | undefined {
  const offset = Number(at % size);
  const room = Number(PAGE - (at % PAGE));
  const rest = Math.max(0, RECORD_HEADER - room);
  const behind = offset + room + Number(SHORT_HEADER);
  const header = Buffer.concat([
    bytes.subarray(offset, offset + RECORD_HEADER - rest),
    bytes.subarray(behind, behind + rest),
  ]);
  return header.length === RECORD_HEADER ? header : undefined;
}

/** Where a record ends, with the headers of the pages that it goes over. */
function recordEnd(start: bigint, length: bigint, size: bigint): bigint {
  let [at, left] = [start, length];
  for (;;) {
    const room = PAGE - (at % PAGE);
    if (left <= room) return at + left;
    at += room;
    left -= room;
    at += at % size === 0n ? LONG_HEADER : SHORT_HEADER;
  }
}

/** The name of the segment in which a position lies. */
export function segmentName(timeline: number, lsn: Lsn, size: number): string {
  const number = lsnBytes(lsn) / BigInt(size);
  const perId = 0x1_0000_0000n / BigInt(size);
  const hex = (value: bigint) => value.toString(16).toUpperCase().padStart(8, '0');
  return `${hex(BigInt(timeline))}${hex(number / perId)}${hex(number % perId)}`;
}
