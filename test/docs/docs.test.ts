import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { parse } from 'yaml';
import { parseTopology, topologySchema } from '../../src/cluster/topology';
import { guardPolicySchema } from '../../src/cluster/guard/policy';
import { fastHandoverSettings, shortPollSettings, wholeQueueSettings } from '../../src/cluster/handover';
import { searchAttributeTypes } from '../../src/systems/temporal';
import { switchoverInputSchema } from '../../src/workflows/switchover-input';
import { commandLinesIn, faultOf } from './command-lines';
import { anchorsOf, codeIn, codeOf, documentNames, root, rowsBelow, textOf } from './documents';
import { keysOf } from './schema-keys';

/** Text of all files of a folder that are program text, comments included. */
function sourcesOf(folder: string): string {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.(md|pyc|tgz)$/.test(entry.name))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    .join('\n');
}

/** Pairs of a table: the code span of the first cell, and the one of the second. */
const pairsBelow = (name: string, heading: string): [string, string | undefined][] =>
  rowsBelow(name, heading).flatMap((cells) => {
    const key = codeIn(cells[0]);
    return key === undefined ? [] : [[key, codeIn(cells[1])]];
  });

describe.each(documentNames)('%s', (name) => {
  test('every command line of veloz-ha is one that the program takes', () => {
    const faults = codeOf(name)
      .flatMap(commandLinesIn)
      .flatMap((line) => {
        const fault = faultOf(line);
        return fault === undefined ? [] : [`${line}: ${fault}`];
      });
    expect(faults).toEqual([]);
  });

  test('every relative link leads to a file, and to a heading of it', () => {
    const links = [...textOf(name).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? '');
    const broken = links
      .filter((link) => !/^[a-z]+:/.test(link))
      .filter((link) => {
        const [path = '', anchor] = link.split('#');
        const target = path === '' ? name : normalize(join(dirname(name), path));
        if (!existsSync(join(root, target))) return true;
        return anchor !== undefined && !anchorsOf(target).includes(anchor);
      });
    expect(broken).toEqual([]);
  });

  test('every npm script exists', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = codeOf(name).flatMap((line) => [
      ...[...line.matchAll(/\bnpm run (?:-s )?([\w:-]+)/g)].map((match) => match[1] ?? ''),
      ...(/\bnpm test\b/.test(line) ? ['test'] : []),
    ]);
    expect(named.filter((script) => scripts[script] === undefined)).toEqual([]);
  });

  test('every file of the checkout that it names is there', () => {
    const named = codeOf(name).flatMap((line) =>
      [...line.matchAll(/(?<![\w./~-])(?:bin|docker|docs|scripts|src|test)\/[\w./-]*\w/g)].map((match) => match[0]),
    );
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  test('every variable is one that something reads', () => {
    const read = ['src', 'docker', 'scripts'].map(sourcesOf).join('\n');
    const named = codeOf(name).flatMap((line) => line.match(/\bVELOZ_[A-Z0-9_]*[A-Z0-9]\b/g) ?? []);
    expect(named.filter((variable) => !read.includes(variable.replace(/_FILE$/, '')))).toEqual([]);
  });
});

test('a command line that the program would not take is found out', () => {
  const lines = commandLinesIn(
    '$ bin/veloz-ha stauts && veloz-ha postgres switchover --tto x | veloz-ha runs --open # all',
  );
  expect(lines.map(faultOf)).toEqual(['veloz-ha takes no stauts', 'switchover has no option --tto', undefined]);
});

describe('the topology reference', () => {
  const headings = [
    ['(top)', ''],
    ['`clusters.<name>`', 'clusters.<name>.'],
    ['`clusters.<name>.postgres`', 'clusters.<name>.postgres.'],
    ['`clusters.<name>.pgbouncer`', 'clusters.<name>.pgbouncer.'],
    ['`clusters.<name>.redis`', 'clusters.<name>.redis.'],
    ['`clusters.<name>.engines`', 'clusters.<name>.engines.'],
    ['`clusters.<name>.haproxy`', 'clusters.<name>.haproxy.'],
    ['`clusters.<name>.limits`', 'clusters.<name>.limits.'],
    ['`clusters.<name>.guard`', 'clusters.<name>.guard.'],
  ] as const;
  const told = new Map(
    headings.flatMap(([heading, prefix]) =>
      pairsBelow('docs/topology.md', heading).map(([key, preset]) => [`${prefix}${key}`, preset] as const),
    ),
  );
  const known = keysOf(topologySchema);

  test('names every key of the schema, and no other', () => {
    expect([...told.keys()].sort()).toEqual([...known.keys()].sort());
  });

  test('tells every default', () => {
    const presets = [...known].map(([key, value]) => [key, value === undefined ? undefined : String(value)]);
    expect(Object.fromEntries([...told])).toEqual(Object.fromEntries(presets));
  });

  test('has an example that is valid and shows every key', () => {
    const example = /```yaml\n([\s\S]*?)```/.exec(textOf('docs/topology.md'))?.[1] ?? '';
    const document: unknown = parse(example);
    expect(parseTopology(document)).toHaveProperty('topology');
    const words = new Set(example.match(/\w+(?=:)/g));
    const missing = [...known.keys()].filter((key) => !words.has(key.split('.').at(-1) ?? ''));
    expect(missing).toEqual([]);
  });
});

describe('the switchover reference', () => {
  test('its table of input keys has the keys of the schema and their defaults, in their order', () => {
    const told = pairsBelow('docs/switchover.md', 'Input of the workflow');
    const presets = keysOf(switchoverInputSchema);
    expect(told.map(([key]) => key)).toEqual(Object.keys(switchoverInputSchema.shape));
    for (const [key, preset] of told)
      if (presets.get(key) !== undefined) expect([key, preset]).toEqual([key, presets.get(key)]);
  });

  test('its limits are those of the topology', () => {
    const presets = keysOf(topologySchema);
    const told = rowsBelow('docs/switchover.md', 'Limits').map((cells) => [codeIn(cells[1]) ?? '', codeIn(cells[2])]);
    expect(told.length).toBeGreaterThan(10);
    for (const [key = '', preset] of told)
      expect([key, preset]).toEqual([key, String(presets.get(`clusters.<name>.${key}`))]);
    const limits = [...presets.keys()].flatMap((key) => /^clusters\.<name>\.(limits\.\w+)$/.exec(key)?.[1] ?? []);
    expect(limits.filter((limit) => !told.some(([key]) => key === limit))).toEqual([]);
  });

  test('names every sub-step of the move, and no other', () => {
    const source = ['move.ts', 'move-onward.ts']
      .map((file) => readFileSync(join(root, 'src', 'activities', file), 'utf8'))
      .join('\n');
    const run = new Set([...source.matchAll(/recorder\.run\(\s*'(\w+)'/g)].map((match) => match[1]));
    const told = pairsBelow('docs/switchover.md', '3 `move`: the critical section').map(([id]) => id);
    expect([...told].sort()).toEqual([...run].filter((id) => id !== 'undo').sort());
  });
});

describe('the guard reference', () => {
  test('tells its settings in one place, in the order of the schema', () => {
    expect(pairsBelow('docs/topology.md', '`clusters.<name>.guard`').map(([key]) => key)).toEqual([
      ...keysOf(guardPolicySchema).keys(),
    ]);
    expect(rowsBelow('docs/guard.md', 'Settings')).toEqual([]);
  });

  test('has a rule for every kind of failure, and no other', () => {
    const source = readFileSync(join(root, 'src', 'cluster', 'guard', 'signals.ts'), 'utf8');
    const kinds = /type FailureKind =([\s\S]*?);/.exec(source)?.[1]?.match(/(?<=')\w+(?=')/g);
    expect(pairsBelow('docs/guard.md', 'What counts as a failure').map(([kind]) => kind)).toEqual(kinds);
  });

  test('has a rule for every kind of failure of Redis, and no other', () => {
    const source = readFileSync(join(root, 'src', 'cluster', 'redis', 'watch.ts'), 'utf8');
    const kinds = /type RedisFailureKind =([\s\S]*?);/.exec(source)?.[1]?.match(/(?<=')\w+(?=')/g);
    expect(pairsBelow('docs/guard.md', 'What counts as a failure of Redis').map(([kind]) => kind)).toEqual(kinds);
  });

  test('explains every mode', () => {
    const modes = guardPolicySchema.shape.mode.unwrap().options;
    expect(pairsBelow('docs/guard.md', 'Modes').map(([mode]) => mode)).toEqual([...modes]);
  });
});

describe('the checklist', () => {
  const told = textOf('docs/checklist.md');

  test('has a row for every check that the program makes', () => {
    const made = new Set(sourcesOf('src/cluster').match(/(?<=')[A-L]\d+(?=')/g));
    expect(made.size).toBeGreaterThan(30);
    expect([...made].filter((id) => !new RegExp(`^\\| ${id} \\|`, 'm').test(told))).toEqual([]);
  });

  test('has a row for every id from A1 to K8 that is not of a later runbook', () => {
    const count = { A: 7, B: 8, C: 9, D: 5, E: 8, F: 5, G: 5, H: 8, K: 8 };
    const all = Object.entries(count).flatMap(([letter, last]) =>
      Array.from({ length: last }, (_, index) => `${letter}${index + 1}`),
    );
    // The checklist has no H6.
    expect(all.filter((id) => id !== 'H6' && !new RegExp(`^\\| ${id} \\|`, 'm').test(told))).toEqual([]);
  });
});

describe('what is told of Temporal', () => {
  test('the settings are those with which the server is started', () => {
    expect(pairsBelow('docs/temporal.md', 'Three settings that make it fast')).toEqual(
      Object.entries(fastHandoverSettings),
    );
    expect(pairsBelow('docs/temporal.md', 'Two settings that keep a task queue whole')).toEqual(
      Object.entries(wholeQueueSettings),
    );
    expect(pairsBelow('docs/temporal.md', 'One setting that takes a frozen worker')).toEqual(
      Object.entries(shortPollSettings),
    );
  });

  test('the search attributes are those that runs have', () => {
    const told = rowsBelow('docs/temporal.md', 'Search attributes').map((cells) => [codeIn(cells[0]), cells[1]]);
    expect(told).toEqual(Object.entries(searchAttributeTypes));
  });
});
