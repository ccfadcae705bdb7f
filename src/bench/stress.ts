import { spawn, type ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { docker } from './shell';

const FILE = '/var/lib/postgresql/veloz-bench-noise';

/** Keeps as many cores busy as asked for, by default every one of the machine, with one process each. Returns what ends it. */
export function burnCpu(processes: number = availableParallelism()): () => void {
  const children: ChildProcess[] = Array.from({ length: processes }, () =>
    spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }),
  );
  return () => {
    for (const child of children) child.kill('SIGKILL');
  };
}

/**
 * Keeps the disk of a node busy with large writes, each forced out; one after the other, so that nothing is left running when
 * the bench is killed. Returns what ends it.
 */
export function burnDisk(node: () => Promise<string>): () => Promise<void> {
  let stopping = false;
  const used = new Set<string>();
  const loop = (async () => {
    while (!stopping) {
      try {
        const name = await node();
        used.add(name);
        await docker(
          'exec',
          '--user',
          'postgres',
          name,
          'dd',
          'if=/dev/zero',
          `of=${FILE}`,
          'bs=1M',
          'count=128',
          'conv=fsync',
          'status=none',
        );
      } catch {
        await sleep(500);
      }
    }
  })();
  return async () => {
    stopping = true;
    await loop;
    for (const name of used) await docker('exec', name, 'rm', '-f', FILE).catch(() => undefined);
  };
}
