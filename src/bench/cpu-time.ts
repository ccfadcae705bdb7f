import { readFileSync } from 'node:fs';
import { docker } from './shell';

/** The kernel counts the time of processes in these, whatever the machine. */
const TICKS_PER_SECOND = 100;

/** Milliseconds of CPU that a process and its threads have used. @throws Error when it is gone */
export function cpuMsOfProcess(pid: number): number {
  // The name, in parentheses, may hold blanks; utime and stime are the 14th and 15th field of the line.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

/** Milliseconds of CPU that a container has used, with cgroups of either version. */
export async function cpuMsOfContainer(name: string): Promise<number> {
  const script =
    'if [ -r /sys/fs/cgroup/cpuacct/cpuacct.usage ]; then cat /sys/fs/cgroup/cpuacct/cpuacct.usage; else sed -n "s/^usage_usec \\(.*\\)/\\1000/p" /sys/fs/cgroup/cpu.stat; fi';
  return Number((await docker('exec', name, 'sh', '-c', script)).trim()) / 1e6;
}

/** What has used how much of one core between two readings. */
export class CpuMeter {
  private constructor(
    private readonly pids: Readonly<Record<string, number>>,
    private readonly containers: readonly string[],
    private readonly at: number,
    private readonly before: Readonly<Record<string, number>>,
  ) {}

  /** Begins to measure: processes by a name for each, and containers by theirs. */
  static async begin(pids: Readonly<Record<string, number>>, containers: readonly string[]): Promise<CpuMeter> {
    return new CpuMeter(pids, containers, performance.now(), await CpuMeter.read(pids, containers));
  }

  private static async read(
    pids: Readonly<Record<string, number>>,
    containers: readonly string[],
  ): Promise<Record<string, number>> {
    const processes = Object.entries(pids).map(([name, pid]) => [name, cpuMsOfProcess(pid)] as const);
    const others = await Promise.all(containers.map(async (name) => [name, await cpuMsOfContainer(name)] as const));
    return Object.fromEntries([...processes, ...others]);
  }

  /** Share of one core of each since the beginning, in percent. */
  async percent(): Promise<Record<string, number>> {
    const elapsed = performance.now() - this.at;
    const now = await CpuMeter.read(this.pids, this.containers);
    return Object.fromEntries(
      Object.entries(now).map(([name, ms]) => [
        name,
        Math.round(((ms - (this.before[name] ?? 0)) / elapsed) * 10_000) / 100,
      ]),
    );
  }
}
