/** A position in the write-ahead log as PostgreSQL prints it: two hexadecimal halves, `0/3000148`. */
export type Lsn = string;

/**
 * The byte position of an LSN. 64 bits, so a bigint.
 * @throws RangeError when the text is no LSN
 */
export function lsnBytes(lsn: Lsn): bigint {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(lsn);
  if (!match) throw new RangeError(`"${lsn}" is not an LSN`);
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** `a - b` in bytes. */
export function lsnDistance(a: Lsn, b: Lsn): number {
  return Number(lsnBytes(a) - lsnBytes(b));
}
