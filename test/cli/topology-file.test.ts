import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadTopology } from '../../src/systems/topology-file';

const folder = mkdtempSync(join(tmpdir(), 'veloz-ha-'));
const path = join(folder, 'topology.yaml');
const load = (text: string) => {
  writeFileSync(path, text);
  return () => loadTopology({ VELOZ_HA_TOPOLOGY: path });
};

afterAll(() => rmSync(folder, { recursive: true }));

test('the topology of this package is valid', () => {
  expect(Object.keys(loadTopology({}).clusters)).toContain('veloz');
});

test('a file that is not there is named', () => {
  expect(() => loadTopology({ VELOZ_HA_TOPOLOGY: '/nowhere/t.yaml' })).toThrow(
    "the topology file /nowhere/t.yaml can't be read",
  );
});

test('no YAML: the place is named', () => {
  expect(load('version: 1\nclusters: [')).toThrow(
    expect.objectContaining({ type: 'BadInput', message: `the topology file ${path} is no YAML` }) as Error,
  );
});

test('every mistake is named by its key', () => {
  let why = '';
  try {
    load('version: 2\nclusters: {}\ncolour: red\n')();
  } catch (error) {
    why = (error as { detail: { why: string } }).detail.why;
  }
  expect(why).toContain('version: ');
  expect(why).toContain('colour');
});
