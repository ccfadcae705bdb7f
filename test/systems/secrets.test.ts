import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSecret } from '../../src/systems/secrets';

const folder = mkdtempSync(join(tmpdir(), 'veloz-ha-secrets-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** What went wrong, in words. */
function errorOf(read: () => string): string {
  try {
    return `no error, but ${read()}`;
  } catch (error) {
    return (error as Error).message;
  }
}

describe('a secret', () => {
  test('is read from its variable', () => {
    expect(readSecret('VELOZ_X', { VELOZ_X: 's3cret ' })).toBe('s3cret ');
  });

  test.each([
    ['s3cret', 's3cret'],
    ['s3cret\n', 's3cret'],
    ['s3cret\r\n', 's3cret'],
    [' s3 cret\n\n', ' s3 cret\n'],
  ])('is read from its file %j without the last line’s end', (content, expected) => {
    expect(readSecret('VELOZ_X', { VELOZ_X_FILE: file('one', content) })).toBe(expected);
  });

  test('is the file’s when both are set', () => {
    expect(readSecret('VELOZ_X', { VELOZ_X: 'env', VELOZ_X_FILE: file('two', 'file') })).toBe('file');
  });

  test('is the variable’s when the file’s name is empty, as compose files leave it', () => {
    expect(readSecret('VELOZ_X', { VELOZ_X: 'env', VELOZ_X_FILE: '' })).toBe('env');
  });

  test('has the demo stack’s default where the guide gives one, and only there', () => {
    expect(readSecret('VELOZ_PG_PASSWORD', {})).toBe('veloz');
    expect(readSecret('VELOZ_PG_PASSWORD', { VELOZ_PG_PASSWORD: 'other' })).toBe('other');
    expect(errorOf(() => readSecret('VELOZ_X', {}))).toBe(
      'the secret VELOZ_X is not set: set VELOZ_X, or VELOZ_X_FILE to a file that holds it',
    );
  });

  test('that is set to nothing is missing, even where there is a default', () => {
    expect(errorOf(() => readSecret('VELOZ_PG_PASSWORD', { VELOZ_PG_PASSWORD: '' }))).toContain('is not set');
  });

  test('in a file that is not there is refused by the names of both, and no default takes its place', () => {
    const path = join(folder, 'nowhere');
    const environment = { VELOZ_PG_PASSWORD: 's3cret', VELOZ_PG_PASSWORD_FILE: path };
    const message = errorOf(() => readSecret('VELOZ_PG_PASSWORD', environment));
    expect(message).toBe(`the secret VELOZ_PG_PASSWORD can't be read: VELOZ_PG_PASSWORD_FILE names ${path}: ENOENT`);
    expect(message).not.toContain('s3cret');
  });

  test.each(['', '\n'])('in a file with nothing but %j in it is refused', (content) => {
    const path = file('three', content);
    expect(errorOf(() => readSecret('VELOZ_X', { VELOZ_X: 's3cret', VELOZ_X_FILE: path }))).toBe(
      `the secret VELOZ_X can't be read: VELOZ_X_FILE names ${path}, which is empty`,
    );
  });

  test('is not in any error, however it is missing', () => {
    const environment = { VELOZ_X: '', VELOZ_Y: 's3cret', VELOZ_X_FILE: undefined };
    expect(errorOf(() => readSecret('VELOZ_X', environment))).not.toContain('s3cret');
    expect(errorOf(() => readSecret('VELOZ_X', { ...environment, VELOZ_X_FILE: folder }))).toMatch(/: EISDIR$/);
  });
});
