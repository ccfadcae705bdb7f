import { recordEngines } from './histories/engine';
import { recordGuard } from './histories/guard';
import { recordMaintenance } from './histories/maintenance';
import { Recorder } from './histories/recorder';
import { recordRedis } from './histories/redis';
import { recordRepairs } from './histories/repair';
import { recordSwitchovers } from './histories/switchover';

const groups = {
  switchover: recordSwitchovers,
  repair: recordRepairs,
  guard: recordGuard,
  engine: recordEngines,
  redis: recordRedis,
  maintenance: recordMaintenance,
};
const isGroup = (name: string): name is keyof typeof groups => Object.hasOwn(groups, name);

/**
 * `node dist/bench/record-histories.js [switchover] [repair] [guard] [engine] [redis] [maintenance]`: records one real history of each way that a run can go,
 * for the replay test; without a name, all. Run it when a workflow changed on purpose, and no run of the old code is open any more. Needs the stack,
 * whole, and nobody else using it.
 */
async function record(wanted: string[]): Promise<void> {
  const names = wanted.length === 0 ? Object.keys(groups) : wanted;
  const unknown = names.filter((name) => !isGroup(name));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')} (known: ${Object.keys(groups).join(', ')})`);
  const recorder = await Recorder.start();
  try {
    for (const name of names.filter(isGroup)) await groups[name](recorder);
  } finally {
    await recorder.close();
  }
}

record(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
