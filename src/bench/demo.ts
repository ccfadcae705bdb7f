import { demoFailover } from './demo-failover';
import { demoSwitchover } from './demo-switchover';

(process.argv[2] === 'failover' ? demoFailover() : demoSwitchover()).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`Error: ${(error as Error).message}\n`);
    process.exit(1);
  },
);
