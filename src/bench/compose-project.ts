import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { packageRoot } from '../cli/paths';
import { docker, inspect, run } from './shell';

/** Compose may take this long to start or end the whole stack, in milliseconds. */
const COMPOSE_LIMIT_MS = 180_000;

const labelOf = (container: string, name: string): Promise<string> =>
  inspect(container, `{{index .Config.Labels "com.docker.compose.${name}"}}`);

/** The service of a container. */
export const serviceOf = (container: string): Promise<string> => labelOf(container, 'service');

/** A Compose project as its containers' labels tell it. */
export class ComposeProject {
  private constructor(
    readonly name: string,
    private readonly files: readonly string[],
  ) {}

  /** The project of a container. @throws Error where Compose did not start it, or its files are gone */
  static async of(container: string): Promise<ComposeProject> {
    const [name = '', files = '', folder = ''] = await Promise.all(
      ['project', 'project.config_files', 'project.working_dir'].map((label) => labelOf(container, label)),
    );
    if (name === '' || files === '') throw new Error(`${container} was not started by Docker Compose`);
    // Version 1 keeps a path as it was typed, relative to where that was: the checkout, or the folder of the file.
    const find = (file: string) =>
      [file, join(packageRoot, file), join(folder, file)].find((path) => isAbsolute(path) && existsSync(path));
    const found = files.split(',').map((file) => {
      const path = find(file);
      if (path === undefined) throw new Error(`the Compose file ${file} of ${container} is not to be found`);
      return path;
    });
    return new ComposeProject(name, found);
  }

  /** The services that have a container. */
  async services(): Promise<string[]> {
    const label = '{{.Label "com.docker.compose.service"}}';
    const project = `label=com.docker.compose.project=${this.name}`;
    const names = await docker('ps', '-a', '--filter', project, '--format', label);
    return [...new Set(names.split('\n').filter((name) => name !== ''))];
  }

  /** Runs Compose on the project's files and on further ones that override them. */
  async compose(overrides: readonly string[], ...command: string[]): Promise<void> {
    const files = [...this.files, ...overrides].flatMap((file) => ['-f', file]);
    await run('bash', [join(packageRoot, 'scripts', 'compose.sh'), '-p', this.name, ...files, ...command], {
      limitMs: COMPOSE_LIMIT_MS,
      cwd: packageRoot,
    });
  }
}
