import { setTimeout as sleep } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';
import { durationMs, formatMs } from '../cluster/duration';
import type { Endpoint } from '../cluster/topology';
import { end, outputOption, positive, say } from './options';
import { OrderLoad } from './order-load';
import { loadTarget } from './target';

interface Options {
  rate: number;
  /** Milliseconds. */
  duration: number;
  url?: Endpoint;
  maxErrors: number;
  output: 'json' | 'text';
}

/** Sends orders until the time is over or somebody interrupts, and says each second what came of them. */
async function loadTest({ rate, duration, url, maxErrors, output }: Options): Promise<number> {
  const target = loadTarget();
  const door = url ?? target.cluster.haproxy?.address;
  if (door === undefined) throw new Error('the topology has no haproxy section: say where with --url');
  const load = new OrderLoad(door, `load-${process.pid}-${Date.now().toString(36)}`, rate);
  let interrupted = false;
  const interrupt = () => (interrupted = true);
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  say(
    `${rate} orders a second to http://${door.host}:${door.port}/api/orders for ${formatMs(duration)}, or until Ctrl-C`,
  );
  const began = performance.now();
  load.start();
  let before = load.soFar();
  for (let second = 1; !interrupted && performance.now() - began < duration; second++) {
    const left = duration - (performance.now() - began);
    for (const until = performance.now() + Math.min(1000, left); !interrupted && performance.now() < until;)
      await sleep(20);
    const now = load.soFar();
    const failed = now.failed - before.failed;
    say(
      `${String(second).padStart(5)} s  ${String(now.acknowledged - before.acknowledged).padStart(6)} acknowledged  ${String(now.open).padStart(5)} under way  ${failed} failed`,
    );
    before = now;
  }
  await load.stop();
  const result = await load.result(target.door, target.login);
  const errorRate = result.attempts === 0 ? 0 : (100 * result.failed) / result.attempts;
  if (output === 'json')
    process.stdout.write(
      `${JSON.stringify({ version: 1, bench: 'load-test', parameters: { rate, maxErrors }, result: { ...result, errorRate } }, null, 2)}\n`,
    );
  for (const [what, count] of Object.entries(result.failures)) say(`  ${count} × ${what}`);
  say(
    `${result.acknowledged} of ${result.attempts} orders acknowledged (${errorRate.toFixed(2)} % errors, limit ${maxErrors} %); lost ${result.lost}, double ${result.duplicates}; longest gap ${formatMs(result.gapMs)}, slowest ${formatMs(result.slowestMs)}`,
  );
  return errorRate <= maxErrors && result.lost + result.duplicates === 0 ? 0 : 1;
}

/** @throws InvalidArgumentError */
function duration(text: string): number {
  try {
    return durationMs(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

/** @throws InvalidArgumentError */
function endpoint(text: string): Endpoint {
  try {
    const { protocol, hostname, port } = new URL(text);
    if (protocol === 'http:' && hostname !== '') return { host: hostname, port: Number(port === '' ? 80 : port) };
  } catch {
    // Said below.
  }
  throw new InvalidArgumentError('expected an address such as http://localhost:8080');
}

/** @throws InvalidArgumentError */
function percent(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 100)) throw new InvalidArgumentError('expected 0 to 100');
  return value;
}

const program = new Command('load_test')
  .description('Orders through HAProxy at a fixed rate, each looked up in PostgreSQL at the end')
  .option('--rate <n>', 'orders a second', positive, 100)
  .option('--duration <duration>', 'how long at most', duration, 60_000)
  .option('--url <url>', "front door (default: the topology's HAProxy)", endpoint)
  .option('--max-errors <percent>', 'exit code 1 above this', percent, 1)
  .addOption(outputOption())
  .action((options: Options) => end(loadTest(options)));

void program.parseAsync();
