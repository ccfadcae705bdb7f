import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Says whether the stack ran before the tests did: then it is left running. */
export const leftRunning = join(tmpdir(), 'veloz-ha-e2e-stack-was-up');
