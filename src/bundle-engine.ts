import { join } from 'node:path';
import { build } from 'esbuild';

const root = join(__dirname, '..');

/** Where the build leaves the reference engine in one file, which is all that its image needs besides Node. */
export const engineBundlePath = join(root, 'docker', 'engine', 'dist', 'engine.js');

/** Bundles the engine. Run by `npm run build`; the same sources give the same file, and so the same image. */
export async function bundleEngine(): Promise<void> {
  await build({
    entryPoints: [join(root, 'src', 'engine', 'main.ts')],
    absWorkingDir: root,
    outfile: engineBundlePath,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    minify: true,
    keepNames: true,
    legalComments: 'none',
    logLevel: 'warning',
    // Optional parts of libraries, which they do without.
    external: ['pg-native'],
  });
}

if (require.main === module) {
  bundleEngine().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
}
