import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

let root: string;

/** A checkout whose build counts itself. */
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'veloz-ha-'));
  for (const folder of ['bin', 'src', 'node_modules']) mkdirSync(join(root, folder));
  copyFileSync(resolve(__dirname, '../../bin/veloz-ha'), join(root, 'bin/veloz-ha'));
  chmodSync(join(root, 'bin/veloz-ha'), 0o755);
  const build = 'mkdir -p dist && echo x >> builds && cp src/client.ts dist/client.js';
  writeFileSync(join(root, 'package.json'), JSON.stringify({ name: 'x', scripts: { build } }));
  writeFileSync(join(root, 'tsconfig.json'), '{}');
  writeFileSync(join(root, 'src/client.ts'), 'console.log("one", ...process.argv.slice(2))');
});
afterEach(() => rmSync(root, { recursive: true }));

const run = (program = join(root, 'bin/veloz-ha')) =>
  execFileSync(program, ['a', 'b c'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const builds = () => readFileSync(join(root, 'builds'), 'utf8').split('\n').length - 1;

test('it builds once, and again only when the source is newer; its stdout is the program’s alone', () => {
  expect(run()).toBe('one a b c\n');
  expect(run()).toBe('one a b c\n');
  expect(builds()).toBe(1);
  writeFileSync(join(root, 'src/client.ts'), 'console.log("two")');
  const soon = new Date(Date.now() + 2_000);
  utimesSync(join(root, 'src/client.ts'), soon, soon);
  expect(run()).toBe('two\n');
  expect(builds()).toBe(2);
});

test('it works through a link', () => {
  symlinkSync(join(root, 'bin/veloz-ha'), join(root, 'link'));
  expect(run(join(root, 'link'))).toBe('one a b c\n');
});

test('a build that fails is said, and tried again the next time', () => {
  writeFileSync(join(root, 'package.json'), JSON.stringify({ name: 'x', scripts: { build: 'exit 3' } }));
  for (let time = 0; time < 2; time += 1) expect(() => run()).toThrow(/could not be built.*\[SetUp\]/);
});

test('a checkout that is not set up says what to run', () => {
  rmSync(join(root, 'node_modules'), { recursive: true });
  expect(() => run()).toThrow(/node_modules is missing\. Next: npm run setup \[SetUp\]/);
});
