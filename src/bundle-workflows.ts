import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

/** Where the build leaves the workflows' bundle, so that a worker starts without two seconds of webpack. */
export const workflowBundlePath = join(__dirname, 'workflow-bundle.js');

/** Bundles the workflows into `dist`. Run by `npm run build`. */
export async function bundleWorkflows(): Promise<void> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(__dirname, 'workflows', 'index.js'),
    logger: new DefaultLogger('WARN'),
  });
  writeFileSync(workflowBundlePath, code);
}

if (require.main === module) {
  bundleWorkflows().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
}
