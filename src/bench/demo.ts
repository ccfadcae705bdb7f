import { demoAll } from './demo-all';
import { demoFailover } from './demo-failover';
import { demoKill } from './demo-kill';
import { demoSwitchover } from './demo-switchover';

const demos: Readonly<Record<string, () => Promise<number>>> = { all: demoAll, kill: demoKill, failover: demoFailover };

(demos[process.argv[2] ?? ''] ?? demoSwitchover)().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`Error: ${(error as Error).message}\n`);
    process.exit(1);
  },
);
