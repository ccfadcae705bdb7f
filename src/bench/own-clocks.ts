import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../cli/paths';
import { ComposeProject, serviceOf } from './compose-project';
import { run } from './shell';

const SOURCE = join(packageRoot, 'src', 'bench', 'stepped-clock.c');
const LIBRARY = 'stepped-clock.so';
const OFFSET = 'offset';

/**
 * Wall clocks that can be stepped, one for each container and worker, while the machine's own goes on: while they are in place, the
 * containers run with a library (stepped-clock.c) that every program in them is loaded with. Their data stay.
 */
export class OwnClocks {
  private constructor(
    private readonly project: ComposeProject,
    private readonly services: readonly string[],
    private readonly folder: string,
  ) {}
  private readonly files = new Map<string, number>();

  /**
   * Starts these containers anew with clocks of their own. Returns as soon as they start.
   * @throws Error where there is no C compiler
   */
  static async enter(containers: readonly string[]): Promise<OwnClocks> {
    const project = await ComposeProject.of(containers[0] ?? '');
    const folder = mkdtempSync(join(tmpdir(), 'veloz-ha-clocks-'));
    try {
      await run('cc', ['-shared', '-fPIC', '-O2', '-o', join(folder, LIBRARY), SOURCE]);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw new Error(`--clocks needs a C compiler: ${(error as Error).message}. Next: apt-get install gcc libc6-dev`, {
        cause: error,
      });
    }
    const names = await Promise.all(containers.map(serviceOf));
    const clocks = new OwnClocks(project, names, folder);
    // The servers' programs get an environment of their own, which leaves LD_PRELOAD out.
    writeFileSync(join(folder, 'preload'), `/clock/${LIBRARY}\n`);
    const services = Object.fromEntries(
      containers.map((container, index) => [
        names[index] ?? '',
        {
          volumes: [
            `${join(folder, LIBRARY)}:/clock/${LIBRARY}:ro`,
            `${clocks.fileOf(container)}:/clock/${OFFSET}:ro`,
            `${join(folder, 'preload')}:/etc/ld.so.preload:ro`,
          ],
        },
      ]),
    );
    // Whoever the programs run as.
    await run('chmod', ['-R', 'a+rX', folder]);
    const override = join(folder, 'override.yaml');
    // JSON is YAML.
    writeFileSync(override, JSON.stringify({ services }, null, 2));
    try {
      await project.compose([override], 'up', '-d', '--no-deps', ...names);
    } catch (error) {
      await clocks.leave().catch(() => undefined);
      throw error;
    }
    return clocks;
  }

  /** The environment of a process on this machine whose clock this one is. */
  environment(process: string): NodeJS.ProcessEnv {
    return { LD_PRELOAD: join(this.folder, LIBRARY), STEPPED_CLOCK: this.fileOf(process) };
  }

  /** Sets a clock so many seconds ahead of the machine's, or behind it; 0: as the machine's. All its processes see it at once. */
  set(whose: string, seconds: number): void {
    this.fileOf(whose);
    const nanoseconds = Buffer.alloc(8);
    nanoseconds.writeBigInt64LE(BigInt(seconds) * 1_000_000_000n);
    writeSync(this.files.get(whose) ?? -1, nanoseconds, 0, 8, 0);
  }

  /** Starts the containers as they were. */
  async leave(): Promise<void> {
    await this.project.compose([], 'up', '-d', '--no-deps', ...this.services);
    for (const file of this.files.values()) closeSync(file);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The file that holds a clock's offset; it is there, and 0 unless set. */
  private fileOf(whose: string): string {
    const folder = join(this.folder, whose);
    const file = join(folder, OFFSET);
    if (!this.files.has(whose)) {
      mkdirSync(folder, { recursive: true });
      writeFileSync(file, Buffer.alloc(8));
      this.files.set(whose, openSync(file, 'r+'));
    }
    return file;
  }
}
