'use strict';
// image-list.js <compose file> <id of the base image>: the images that a compose file builds, one a line, tab-separated:
// name, context, Dockerfile, hash of all that goes into it, further arguments of `docker build`. A line end within an
// argument is written as \x01.
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const YAML = require('yaml');

/** ${NAME}, ${NAME:-default} and ${NAME-default}, as Compose replaces them. */
const interpolate = (text) =>
  String(text).replace(/\$\{(\w+)(?::?-([^}]*))?\}/g, (_, name, otherwise) => process.env[name] || otherwise || '');

/** The context's files without those that its .dockerignore names (whole names, folders and simple * patterns). */
function files(context) {
  const ignore = path.join(context, '.dockerignore');
  const patterns = (fs.existsSync(ignore) ? fs.readFileSync(ignore, 'utf8') : '')
    .split('\n')
    .map((text) => text.trim().replace(/^\/|\/$/g, ''))
    .filter((text) => text !== '' && !text.startsWith('#') && !text.startsWith('!'))
    .map((text) =>
      text
        .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
        .replace(/\*\*\//g, '(.*/)?')
        .replace(/\*/g, '[^/]*'),
    )
    .map((text) => new RegExp(`^${text}(/|$)`));
  const found = [];
  const walk = (folder) => {
    for (const entry of fs.readdirSync(path.join(context, folder), { withFileTypes: true })) {
      const name = path.posix.join(folder, entry.name);
      if (patterns.some((pattern) => pattern.test(name)) || entry.name === '__pycache__') continue;
      if (entry.isDirectory()) walk(name);
      else if (entry.isFile()) found.push(name);
    }
  };
  walk('');
  return found.sort();
}

/**
 * What a Dockerfile copies from its context, as names in it; undefined where that takes more than a look to say (then
 * the whole context counts).
 */
function copied(dockerfile) {
  const lines = fs
    .readFileSync(dockerfile, 'utf8')
    .replace(/\\\r?\n/g, ' ')
    .split('\n');
  const names = [];
  for (const line of lines) {
    const [, rest] = /^\s*(?:COPY|ADD)\s+(.*)$/i.exec(line) ?? [];
    if (rest === undefined || /--from=/.test(rest)) continue;
    const words = rest.split(/\s+/).filter((word) => word !== '' && !word.startsWith('--'));
    if (words.some((word) => /[[\]*?$"<]/.test(word))) return undefined;
    names.push(...words.slice(0, -1).map((word) => path.posix.normalize(word).replace(/^\/|\/$/g, '')));
  }
  return names.includes('.') ? undefined : names;
}

/** A build's inputs: each file's name, mode and contents, the arguments, and the image that it stands on. */
function inputsHash(context, dockerfile, rest) {
  const hash = createHash('sha256').update(JSON.stringify([path.relative(context, dockerfile), ...rest]));
  const wanted = copied(dockerfile);
  for (const name of files(context)) {
    if (wanted && !wanted.some((source) => name === source || name.startsWith(`${source}/`))) continue;
    const file = path.join(context, name);
    hash.update(`${name}\0${fs.statSync(file).mode & 0o111}\0`).update(fs.readFileSync(file));
  }
  hash.update(fs.readFileSync(dockerfile));
  return hash.digest('hex').slice(0, 32);
}

function main([composeFile, baseImage]) {
  const { services = {} } = YAML.parse(fs.readFileSync(composeFile, 'utf8'), { merge: true });
  const seen = new Map();
  for (const [service, { build, image }] of Object.entries(services)) {
    if (!build) continue;
    if (!image) throw new Error(`service ${service} is built but its image has no name`);
    const options = typeof build === 'string' ? { context: build } : build;
    const context = path.resolve(path.dirname(composeFile), interpolate(options.context ?? '.'));
    const dockerfile = path.resolve(context, interpolate(options.dockerfile ?? 'Dockerfile'));
    const args = Array.isArray(options.args)
      ? options.args.map(interpolate)
      : Object.entries(options.args ?? {}).map(([name, value]) => `${name}=${interpolate(value)}`);
    const rest = [
      ...args.flatMap((arg) => ['--build-arg', arg]),
      ...(options.target ? ['--target', options.target] : []),
    ];
    const name = interpolate(image);
    seen.set(name.includes(':') ? name : `${name}:latest`, [context, dockerfile, rest]);
  }
  for (const [name, [context, dockerfile, rest]] of seen) {
    const fields = [name, context, dockerfile, inputsHash(context, dockerfile, [...rest, baseImage]), ...rest];
    process.stdout.write(`${fields.map((field) => field.replace(/\n/g, '\x01')).join('\t')}\n`);
  }
}

try {
  main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
