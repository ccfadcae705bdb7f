import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { parseTopology, type Topology } from '../cluster/topology';
import { Problem } from './problem';

/** The folder that holds package.json, both from `src` and from `dist`. */
const packageRoot = resolve(__dirname, '..', '..');

/** The topology file: `VELOZ_HA_TOPOLOGY`, else `topology.yaml` of this package. */
export function topologyPath(environment: NodeJS.ProcessEnv = process.env): string {
  const named = environment.VELOZ_HA_TOPOLOGY;
  return named === undefined || named === '' ? join(packageRoot, 'topology.yaml') : resolve(named);
}

/**
 * Reads and validates the topology file.
 * @throws Problem `BadInput` that names the file, and of each mistake the path of its key and what was expected
 */
export function loadTopology(environment: NodeJS.ProcessEnv = process.env): Topology {
  const path = topologyPath(environment);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Problem('BadInput', `the topology file ${path} can't be read`, {
      why: (error as NodeJS.ErrnoException).code ?? (error as Error).message,
      next: 'set VELOZ_HA_TOPOLOGY to the topology file (docs/topology.md)',
      cause: error,
    });
  }
  const document = parseDocument(text);
  const fault = document.errors[0];
  if (fault !== undefined) {
    throw new Problem('BadInput', `the topology file ${path} is no YAML`, {
      why: fault.message.split('\n')[0]?.replace(/:$/, ''),
      next: `correct ${path} (docs/topology.md)`,
      cause: fault,
    });
  }
  const result = parseTopology(document.toJS());
  if ('topology' in result) return result.topology;
  throw new Problem('BadInput', `the topology file ${path} is wrong`, {
    why: result.mistakes.map((mistake) => `${mistake.path}: ${mistake.message}`).join('; '),
    next: `correct ${path} (docs/topology.md)`,
  });
}
