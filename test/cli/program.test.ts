import { main } from '../../src/cli/main';
import { fakeIo } from './fake-io';

/** Nobody listens on port 1. */
const env = { TEMPORAL_ADDRESS: 'localhost:1', TEMPORAL_DISABLE_CONFIG_FILE: '1' };

async function run(line: string, io = fakeIo({ env })) {
  const code = await main(
    line.split(' ').filter((word) => word !== ''),
    io,
  );
  return { code, out: io.out(), err: io.err() };
}

test.each([
  ['stauts', "Error: unknown command 'stauts'; the nearest is status. Next: veloz-ha status [BadInput]\n"],
  ['xyzzy', "Error: unknown command 'xyzzy'. Next: veloz-ha --help [BadInput]\n"],
  [
    'postgres swichover',
    "Error: unknown command 'swichover'; the nearest is switchover. Next: veloz-ha postgres switchover [BadInput]\n",
  ],
  ['temporal stopp', "Error: unknown command 'stopp'; the nearest is stop. Next: veloz-ha temporal stop [BadInput]\n"],
  ['stack', 'Error: stack needs a subcommand: up, down, reset, logs. Next: veloz-ha stack --help [BadInput]\n'],
  [
    'postgres switchover --tto x',
    "Error: unknown option '--tto'; the nearest is --to. Next: veloz-ha postgres switchover --help [BadInput]\n",
  ],
  ['approve', "Error: missing required argument 'id'. Next: veloz-ha approve --help [BadInput]\n"],
  [
    'stack up --standbys 3',
    "Error: option '--standbys <number>' argument '3' is invalid. Why: expected a whole number from 1 to 2. Next: veloz-ha stack up --help [BadInput]\n",
  ],
  [
    'stack up --only redis',
    "Error: option '--only <part>' argument 'redis' is invalid. Why: allowed choices are postgres. Next: veloz-ha stack up --help [BadInput]\n",
  ],
  [
    'status --watch',
    'Error: status --watch draws on a terminal. Why: stdout is no terminal. Next: veloz-ha status --cluster veloz, or veloz-ha guard watch --cluster veloz -o jsonl [BadInput]\n',
  ],
  [
    'watch x --timeout soon',
    "Error: option '--timeout <duration>' argument 'soon' is invalid. Why: \"soon\" is not a duration: expected a number and a unit (ms, s, m, h, d), such as 500ms or 5s. Next: veloz-ha watch --help [BadInput]\n",
  ],
  [
    'postgres promte',
    "Error: unknown command 'promte'; the nearest is promote. Next: veloz-ha postgres promote [BadInput]\n",
  ],
  [
    'guard',
    'Error: guard needs a subcommand: start, status, watch, mode, maintenance, hand-over, stop. Next: veloz-ha guard --help [BadInput]\n',
  ],
  [
    'guard mode on',
    "Error: command-argument value 'on' is invalid for argument 'mode'. Why: allowed choices are auto, approve, off. Next: veloz-ha guard mode --help [BadInput]\n",
  ],
  [
    'guard maintenance on --for soon',
    "Error: option '--for <duration>' argument 'soon' is invalid. Why: \"soon\" is not a duration: expected a number and a unit (ms, s, m, h, d), such as 500ms or 5s. Next: veloz-ha guard maintenance --help [BadInput]\n",
  ],
  [
    'guard maintenance off --for 5m',
    'Error: --for says how long maintenance lasts, and off ends it. Next: veloz-ha guard maintenance off [BadInput]\n',
  ],
  [
    'guard watch -o markdown',
    'Error: guard watch has no end, so there is no markdown document of it. Next: veloz-ha guard watch -o jsonl, or veloz-ha guard status -o json [BadInput]\n',
  ],
  [
    'postgres promote --yes --allow-data-loss some',
    "Error: option '--allow-data-loss <bytes>' argument 'some' is invalid. Why: expected bytes such as 0, 1048576 or 16MB, or unlimited. Next: veloz-ha postgres promote --help [BadInput]\n",
  ],
  [
    'postgres promote --yes --allow-data-loss 16MB',
    'Error: a loss is accepted only with a reason. Why: --allow-data-loss was given without --reason (E8). Next: veloz-ha postgres promote --allow-data-loss BYTES --reason "why it has to be" [BadInput]\n',
  ],
  [
    // As the commands of checks print it: nobody has said why.
    'postgres promote --yes --allow-data-loss unlimited --reason …',
    'Error: a loss is accepted only with a reason. Why: --reason "…" says nothing (E8; limit: a letter or a digit). Next: veloz-ha postgres promote --allow-data-loss BYTES --reason "why it has to be" [BadInput]\n',
  ],
  [
    'postgres promote --yes --by ann',
    'Error: --by names who accepts a loss, and no loss is accepted here. Next: veloz-ha postgres promote --help [BadInput]\n',
  ],
  [
    'postgres remove-standby --yes',
    "Error: missing required argument 'node'. Next: veloz-ha postgres remove-standby --help [BadInput]\n",
  ],
  [
    'worker --detach --name ../x',
    "Error: option '--name <name>' argument '../x' is invalid. Why: expected small letters, digits and dashes, such as worker-2. Next: veloz-ha worker --help [BadInput]\n",
  ],
])('a mistyped command line is one error with the nearest command, exit 2: %s', async (line, expected) => {
  expect(await run(line)).toEqual({ code: 2, out: '', err: expected });
});

test('with -o json an error is one document on stdout too', async () => {
  const { code, out, err } = await run('stauts -o json');
  expect(code).toBe(2);
  expect(JSON.parse(out)).toEqual({
    version: 1,
    error: { type: 'BadInput', message: "unknown command 'stauts'; the nearest is status", next: 'veloz-ha status' },
  });
  expect(err).toContain('[BadInput]');
});

test.each(['', '--help', 'help postgres', 'postgres switchover --help', '--version'])(
  'help is no error: "%s"',
  async (line) => {
    const { code, out, err } = await run(line);
    expect([code, err]).toEqual([0, '']);
    expect(out).not.toBe('');
  },
);

test('every command has a description and an example', async () => {
  for (const command of [
    'stack up',
    'stack down',
    'stack reset',
    'guard hand-over',
    'stack logs',
    'temporal',
    'temporal stop',
    'temporal status',
    'worker',
    'worker stop',
    'status',
    'postgres status',
    'postgres switchover',
    'postgres promote',
    'postgres rejoin',
    'postgres add-standby',
    'postgres remove-standby',
    'repair',
    'maintenance',
    'maintenance start',
    'maintenance back',
    'maintenance finish',
    'maintenance status',
    'guard',
    'guard start',
    'guard status',
    'guard watch',
    'guard mode',
    'guard maintenance',
    'guard stop',
    'runs',
    'show',
    'watch',
    'approve',
    'reject',
    'abort',
  ]) {
    const { out } = await run(`${command} --help`);
    expect(out).toMatch(new RegExp(`^Usage: veloz-ha ${command}`));
    expect(out).toContain(`Examples:\n  $ veloz-ha ${command}`);
  }
});

test('the exit codes stand in the help', async () => {
  expect((await run('--help')).out).toMatch(/3 refused by a check .* 4 busy .* 5 incomplete/);
});

test.each([
  'runs',
  'show',
  'watch',
  'approve x',
  'postgres switchover --yes',
  'postgres promote --yes',
  'postgres rejoin --plan',
  'postgres add-standby --detach',
  'postgres remove-standby b --yes',
  'repair --yes',
  'guard start',
  'guard status',
  'guard watch',
  'guard mode auto',
  'guard maintenance on --for 30m',
  'guard stop',
])('Temporal out of reach is exit 7 with the next command: %s', async (line) => {
  expect(await run(line)).toEqual({
    code: 7,
    out: '',
    err: 'Error: Temporal is not reachable at localhost:1. Why: connection refused: nobody listens on that port. Next: veloz-ha temporal --detach [Unreachable]\n',
  });
});

test.each([
  ['postgres switchover', 'stdin or stdout is no terminal'],
  ['postgres switchover -o json', '-o json asks no questions'],
  ['postgres promote', 'stdin or stdout is no terminal'],
  ['postgres rejoin', 'stdin or stdout is no terminal'],
  ['postgres remove-standby b', 'stdin or stdout is no terminal'],
  ['repair', 'stdin or stdout is no terminal'],
])('nobody to ask, and no --yes: exit 2, and nothing was started: %s', async (line, why) => {
  const { code, err } = await run(line);
  expect(code).toBe(2);
  expect(err).toBe(
    `Error: nobody can be asked here. Why: ${why}. Next: veloz-ha ${line.replace(' -o json', '')} --yes, or --plan to see what it would do [BadInput]\n`,
  );
});

test('wrong input is refused before Temporal is asked, and every mistake is named', async () => {
  const { code, err } = await run('postgres switchover --yes --soak 5parsec --not-after tomorrow');
  expect(code).toBe(2);
  expect(err).toContain('soak: ');
  expect(err).toContain('notAfter: ');
});

test('reset asks, and where nobody can be asked it deletes nothing', async () => {
  const { code, err } = await run('stack reset');
  expect([code, err]).toEqual([
    2,
    'Error: nobody can be asked here. Why: reset deletes all data of the stack. Next: veloz-ha stack reset --yes [BadInput]\n',
  ]);
});
