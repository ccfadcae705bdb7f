import {
  clusterStatus,
  guardCommand,
  repairCommand,
  START_STACK,
  START_TEMPORAL,
  START_WORKER,
  switchoverCommand,
  watchRun,
  wholeStatus,
} from '../../src/cluster/commands';
import { engineCommand, engineStatus } from '../../src/cluster/engine/commands';
import { promoteCommand, rejoinCommand } from '../../src/cluster/failover/commands';
import { maintenanceCommand, maintenanceStart, moveCommand, tierStatus } from '../../src/cluster/maintenance/commands';
import { tiers } from '../../src/cluster/maintenance/sides';
import { redisFailover, redisStatus } from '../../src/cluster/redis/commands';
import { fullName } from '../../src/cli/command';
import { actsOnCluster, commandOf, faultOf } from './command-lines';
import { textsOf, UNKNOWN, type SourceText } from './source-texts';

/*
 * Every command of veloz-ha that a text of the program names: the program takes it as it is printed, and it names its cluster, since
 * without one it acts on the topology's default.
 */

/** Sources whose texts are of no cluster, and why. */
const apart = [
  /^src\/cli\/commands-\w+\.ts$/, // examples of the help
  /^src\/cli\/program\.ts$/, // the same
  /^src\/bench\//, // demonstrations, of their own stack, which is the default one
  /^src\/report\/runbooks\.ts$/, // bare names, of which the help is asked
  /^src\/worker\/log\.ts$/, // the name of a log
];

/** Names that begin with the program's, and are no command line. */
const noCommands = [
  'veloz-ha canary', // an application_name in pg_stat_activity
  'veloz-ha temporal does', // who sets the server's settings, in a sentence
  'veloz-ha from a checkout', // what is to be run, in a sentence
];

/** Command lines that name no cluster although they take one, and why. */
const withoutCluster: Readonly<Record<string, string>> = {
  'src/cli/run-source.ts: veloz-ha status':
    'Temporal gives no answer: whatever the cluster, that is what it shows first',
  'src/cli/actions/runs.ts: veloz-ha postgres switchover': 'there is no run of any cluster yet',
  'src/cli/actions/runs.ts: veloz-ha postgres switchover --plan': 'there is no run of any cluster to show',
};

/**
 * What takes the bare name of a command, and adds the cluster, or `--help`, before anybody sees it: constants and properties that hold
 * the name, and the functions to which they are handed.
 */
const takesBareName = [
  ...['START', 'command', 'commands', 'start'],
  ...['rejoin', 'add', 'remove', 'repair', 'switchover', 'drain', 'ready'],
  ...['requestOf', 'checkedInput'],
];

/** Ends of a command line within a text. */
const ENDS = /[`'()\n]|[.,;:](?=\s|$)|\s+(?:#|&&|\||or|and|then)(?=\s|$)/;

/** The command lines of veloz-ha in a text. */
function linesIn({ text }: SourceText): string[] {
  return (
    [...text.matchAll(/(?<![\w/.-])veloz-ha (?=[a-z…])/g)]
      .map(({ index }) => text.slice(index))
      .filter((rest) => !noCommands.some((name) => rest === name || rest.startsWith(`${name})`) || rest.endsWith(name)))
      .map((rest) => rest.slice(0, ENDS.exec(rest)?.index ?? rest.length))
      // What is glued to a word is an option that is not known before the program runs.
      .map((line) =>
        line
          .replace(/…+/g, UNKNOWN)
          .replace(/(?<=[\w"])…/g, '')
          .trim(),
      )
  );
}

/** Whether a text is nothing but the name of a command, for somebody who adds to it. */
function isBareName({ text, givenTo }: SourceText): boolean {
  return takesBareName.includes(givenTo) && text === fullName(commandOf(text).command);
}

/** Commands that stay in the foreground without an option. */
const inForeground: ReadonlySet<string> = new Set(['worker', 'temporal']);

/** What is wrong with a command line that is printed; undefined where nothing is. */
function wrongWith(line: string, file: string): string | undefined {
  const { command, rest } = commandOf(line);
  // A template that chooses the subcommand is tried in full below.
  const chosen = rest[0] === UNKNOWN && command.commands.length > 0;
  const fault = chosen ? undefined : faultOf(line);
  if (fault !== undefined) return fault;
  if (rest.includes('--help')) return undefined;
  if (rest.length === 0 && inForeground.has(command.name())) return 'ends with the terminal in which it is started';
  if (actsOnCluster(command) && !rest.includes('--cluster') && withoutCluster[`${file}: ${line}`] === undefined)
    return `${fullName(command)} acts on the default cluster`;
  const missing = command.registeredArguments.filter(({ required }) => required).length;
  const words = rest.filter((word, index) => !word.startsWith('-') && !takesValue(command, rest[index - 1]));
  return !chosen && words.length < missing ? `${fullName(command)} needs ${missing} arguments` : undefined;
}

const takesValue = ({ options }: ReturnType<typeof commandOf>['command'], word: string | undefined): boolean =>
  options.some(({ long, short, required }) => required && word !== undefined && (long === word || short === word));

const texts = textsOf('src').filter(({ file }) => !apart.some((pattern) => pattern.test(file)));

test('a command that a text of the program names is one that the program takes, and names its cluster', () => {
  const wrong = texts
    // What is handed to `inCluster` is looked at as that makes it.
    .filter((text) => !isBareName(text) && text.givenTo !== 'inCluster')
    .flatMap((text) =>
      linesIn(text).flatMap((line) => {
        const fault = wrongWith(line, text.file);
        return fault === undefined ? [] : [`${text.at}: ${line}: ${fault}`];
      }),
    );
  expect([...new Set(wrong)]).toEqual([]);
});

test('the texts are found, and each exception is of a text that is there', () => {
  const lines = texts.flatMap((text) => linesIn(text).map((line) => `${text.file}: ${line}`));
  expect(new Set(lines).size).toBeGreaterThan(40);
  expect(Object.keys(withoutCluster).filter((line) => !lines.includes(line))).toEqual([]);
});

test.each([
  ['veloz-ha repair', 'repair acts on the default cluster'],
  ['veloz-ha guard maintenance off', 'maintenance acts on the default cluster'],
  ['veloz-ha runs --cluster …', 'runs has no option --cluster'],
  ['veloz-ha postgres remove-standby --cluster …', 'remove-standby needs 1 arguments'],
  ['veloz-ha postgres remove-standby --cluster … …', undefined],
  ['veloz-ha worker', 'ends with the terminal'],
  ['veloz-ha temporal', 'ends with the terminal'],
  ['veloz-ha worker --detach', undefined],
  ['veloz-ha guard start --help', undefined],
  ['veloz-ha runs --open', undefined],
])('%s: %s', (line, fault) => {
  const found = wrongWith(line, 'src/made-up.ts');
  if (fault === undefined) expect(found).toBeUndefined();
  else expect(found).toContain(fault);
});

test('commands that are put together are such, in all their forms', () => {
  const cluster = 'berlin';
  const ofCluster = [
    ...[clusterStatus(cluster), wholeStatus(cluster), repairCommand(cluster)],
    ...[switchoverCommand(cluster), switchoverCommand(cluster, '--to a-node')],
    ...['status', 'start', 'stop', 'watch', 'hand-over', 'mode auto', 'maintenance off'].map((what) =>
      guardCommand(what, cluster),
    ),
    ...[
      promoteCommand(cluster),
      promoteCommand(cluster, { to: 'a-node', maxLoss: 16 }),
      rejoinCommand(cluster, 'a-node'),
    ],
    ...[redisStatus(cluster), redisFailover(cluster), redisFailover(cluster, '--repair')],
    engineStatus(cluster),
    ...(['switchover', 'drain', 'ready'] as const).map((what) => engineCommand(what, cluster, 'an-engine')),
    ...[maintenanceStart(cluster, { side: 1 }), maintenanceStart(cluster, { nodes: ['a', 'b'] })],
    ...(['back', 'finish', 'status'] as const).map((what) => maintenanceCommand(what, cluster)),
    ...tiers.flatMap((tier) => [tierStatus(tier, cluster), moveCommand(tier, 'a-node', cluster)]),
  ];
  const others = [START_STACK, START_TEMPORAL, START_WORKER, watchRun('repair/berlin/1')];
  expect([...ofCluster, ...others].map((line) => wrongWith(line, '')).filter((fault) => fault !== undefined)).toEqual(
    [],
  );
  expect(ofCluster.filter((line) => !line.includes(` --cluster ${cluster}`))).toEqual([]);
});
