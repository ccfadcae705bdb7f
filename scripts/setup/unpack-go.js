'use strict';
// unpack-go.js <zip> <folder> <module@version> <h1 checksum>: checks a Go module's zip against its checksum as Go's
// checksum database publishes it, and unpacks it. Written out because a fresh machine need not have unzip or Python.
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { inflateRawSync } = require('node:zlib');

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;

/** Yields name and contents of each file of a zip archive. Throws on what is not a plain zip (no ZIP64, no encryption). */
function* entries(zip) {
  let end = zip.length - 22;
  while (end >= 0 && zip.readUInt32LE(end) !== END_OF_DIRECTORY) end -= 1;
  if (end < 0) throw new Error('not a zip archive, or cut off');
  const count = zip.readUInt16LE(end + 10);
  let at = zip.readUInt32LE(end + 16);
  for (let i = 0; i < count; i += 1) {
    if (zip.readUInt32LE(at) !== DIRECTORY_ENTRY) throw new Error(`entry ${i} of ${count} is damaged`);
    const method = zip.readUInt16LE(at + 10);
    const compressed = zip.readUInt32LE(at + 20);
    const nameLength = zip.readUInt16LE(at + 28);
    const header = zip.readUInt32LE(at + 42);
    const name = zip.toString('utf8', at + 46, at + 46 + nameLength);
    const data = header + 30 + zip.readUInt16LE(header + 26) + zip.readUInt16LE(header + 28);
    const raw = zip.subarray(data, data + compressed);
    if (method !== 0 && method !== 8) throw new Error(`${name} is packed by unknown method ${method}`);
    yield { name, contents: method === 8 ? inflateRawSync(raw) : raw };
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
}

/** Programs lose their mode in a module's zip; these are the places where a Go tree keeps them. */
const isProgram = (file) => file.startsWith('bin/') || file.startsWith('pkg/tool/');

function main([archive, folder, module, expected]) {
  const prefix = `${module}/`;
  const sums = [];
  for (const { name, contents } of entries(fs.readFileSync(archive))) {
    if (!name.startsWith(prefix) || name.split('/').includes('..')) throw new Error(`unexpected file ${name}`);
    sums.push([name, createHash('sha256').update(contents).digest('hex')]);
    const file = name.slice(prefix.length);
    const target = path.join(folder, file);
    fs.mkdirSync(path.dirname(target), { recursive: true });
    fs.writeFileSync(target, contents, { mode: isProgram(file) ? 0o755 : 0o644 });
  }
  sums.sort(([a], [b]) => (a < b ? -1 : 1));
  const all = createHash('sha256').update(sums.map(([name, sum]) => `${sum}  ${name}\n`).join(''));
  const found = `h1:${all.digest('base64')}`;
  if (found !== expected) throw new Error(`checksum ${found} of ${module} is not the published ${expected}`);
}

try {
  main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${process.argv[2]}: ${error.message}\n`);
  process.exit(1);
}
