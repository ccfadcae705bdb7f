import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../../src/cli/paths';
import { recovered, trading, whole } from './support/stack';

/** Runs the campaign as its command does. Returns its document and its last words. */
function campaign(...args: string[]): Promise<{ code: number | null; document: string; words: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(packageRoot, 'dist', 'bench', 'chaos.js'), ...args, '-o', 'json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let document = '';
    let words = '';
    child.stdout.on('data', (chunk: Buffer) => (document += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (words += chunk.toString()));
    child.once('error', reject);
    child.once('exit', (code) => resolve({ code, document, words }));
  });
}

/** A sample of the campaign: docs/chaos.md tells how the long one is run. */
describe('random faults, one to three at a time', () => {
  beforeAll(async () => {
    await whole();
    await trading();
  });
  afterAll(() => recovered('all'), 240_000);

  test('cost no acknowledged row, order or write, and no report says otherwise', async () => {
    const only = 'kill:primary,kill:standby,kill:engine-active,crash:primary,freeze:standby,switchover:runs';
    const { document, words } = await campaign('--as-is', '--rounds', '3', '--seed', '8', '--only', only);
    const parsed = document === '' ? words : (JSON.parse(document) as { summary: object });
    expect(parsed).toMatchObject({
      summary: {
        chaos: {
          rounds: 3,
          lost: 0,
          dualWrites: 0,
          ordersLost: 0,
          ordersDouble: 0,
          redisLost: 0,
          falselyTold: 0,
        },
      },
    });
  }, 240_000);
});
