'use strict';
// download.js <url> <file> <seconds to connect>: for a machine that has neither curl nor wget.
const { createWriteStream } = require('node:fs');
const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');

async function main([url, file, seconds]) {
  const connecting = new AbortController();
  const timer = setTimeout(() => connecting.abort(new Error(`no answer within ${seconds} s`)), Number(seconds) * 1000);
  const response = await fetch(url, { signal: connecting.signal });
  clearTimeout(timer);
  if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
  await pipeline(Readable.fromWeb(response.body), createWriteStream(file));
}

main(process.argv.slice(2)).catch((error) => {
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : '';
  process.stderr.write(`${process.argv[2]}: ${error.message}${cause}\n`);
  process.exit(1);
});
