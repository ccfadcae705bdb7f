import { readFileSync } from 'node:fs';

/** The environment that secrets are read from: `process.env` outside tests. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The guide's defaults, so that the demo stack works without any setting (docs/topology.md lists them). */
const guideDefaults: Readonly<Record<string, string>> = {
  VELOZ_PG_PASSWORD: 'veloz',
  VELOZ_PG_HA_PASSWORD: 'veloz_ha',
  VELOZ_PG_REPL_PASSWORD: 'replicator',
  VELOZ_PGBOUNCER_ADMIN_PASSWORD: 'pgbouncer_admin',
  VELOZ_REDIS_PASSWORD: 'redis',
  VELOZ_ENGINE_ADMIN_TOKEN: 'veloz_admin',
};

/**
 * The secret that `name` refers to: the file named by `<name>_FILE`, else the variable, else the guide's default.
 * @throws Error that names the variable and never the value
 */
export function readSecret(name: string, environment: Environment): string {
  const file = environment[`${name}_FILE`];
  if (file !== undefined && file !== '') {
    let content: string;
    try {
      content = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      throw new Error(
        `the secret ${name} can't be read: ${name}_FILE names ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unreadable'}`,
      );
    }
    if (content === '') throw new Error(`the secret ${name} can't be read: ${name}_FILE names ${file}, which is empty`);
    return content;
  }
  const value = environment[name] ?? guideDefaults[name];
  if (value === undefined || value === '')
    throw new Error(`the secret ${name} is not set: set ${name}, or ${name}_FILE to a file that holds it`);
  return value;
}

/** Is the secret the one that this project ships? One that can't be read is another matter. */
export function isShipped(name: string, environment: Environment): boolean {
  try {
    return guideDefaults[name] !== undefined && readSecret(name, environment) === guideDefaults[name];
  } catch {
    return false;
  }
}
