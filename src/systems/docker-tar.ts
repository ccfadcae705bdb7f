/** One file as a tar archive (POSIX ustar), which is what the engine takes. */
export function tarOf(name: string, content: string, owner: { uid: number; gid: number }): Buffer {
  const body = Buffer.from(content, 'utf8');
  const header = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  header.write(name, 0, 'utf8');
  octal(0o600, 100, 8);
  octal(owner.uid, 108, 8);
  octal(owner.gid, 116, 8);
  octal(body.length, 124, 12);
  octal(Math.floor(Date.now() / 1000), 136, 12);
  header.write('        0', 148, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512), Buffer.alloc(1024)]);
}

/**
 * The content of the first regular file in a tar archive; undefined where there is none. Records about a file (PAX) that stand before it
 * are passed over.
 */
export function fileIn(archive: Buffer): string | undefined {
  return bytesIn(archive)?.toString('utf8');
}

/** The same for a file that is no text. */
export function bytesIn(archive: Buffer): Buffer | undefined {
  return datedIn(archive)?.bytes;
}

/** The same with when it was written last, in milliseconds since the epoch: the full second before that. */
export function datedIn(archive: Buffer): { bytes: Buffer; writtenAt: number } | undefined {
  for (let at = 0; at + 512 <= archive.length;) {
    // Two empty blocks are its end.
    if (archive[at] === 0) return undefined;
    const size = octalAt(archive, at + 124);
    const type = archive.toString('latin1', at + 156, at + 157);
    if (type === '0' || type === '\0')
      return { bytes: archive.subarray(at + 512, at + 512 + size), writtenAt: octalAt(archive, at + 136) * 1000 };
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return undefined;
}

/** A number of a header, twelve characters. */
const octalAt = (archive: Buffer, at: number): number =>
  parseInt(archive.toString('latin1', at, at + 12).replace(/\0.*$/, ''), 8) || 0;
