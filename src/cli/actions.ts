/* eslint-disable @typescript-eslint/no-require-imports --
   Each command loads its own part, when it is called: Temporal's client alone takes longer to load than `--help` may take,
   and `import()` would need file extensions that the tests' transformer does not know. */
import type { Cli } from './io';

/** What carries out a command: its options and arguments in, its exit code out. */
export type Action = (cli: Cli, options: never, ...args: never[]) => Promise<number>;

/** The commands' actions, each loaded at its first use. */
export const actions = {
  stackUp: () => (require('./actions/stack') as typeof import('./actions/stack')).stackUp,
  stackDown: () => (require('./actions/stack') as typeof import('./actions/stack')).stackDown,
  stackReset: () => (require('./actions/stack') as typeof import('./actions/stack')).stackReset,
  stackLogs: () => (require('./actions/stack') as typeof import('./actions/stack')).stackLogs,
  temporal: () => (require('./actions/temporal') as typeof import('./actions/temporal')).temporalServer,
  temporalStop: () => (require('./actions/temporal') as typeof import('./actions/temporal')).temporalStop,
  temporalStatus: () => (require('./actions/temporal') as typeof import('./actions/temporal')).temporalStatus,
  worker: () => (require('./actions/worker') as typeof import('./actions/worker')).worker,
  workerDetached: () =>
    (require('./actions/worker-detached') as typeof import('./actions/worker-detached')).detachedWorker,
  workerStop: () => (require('./actions/worker-detached') as typeof import('./actions/worker-detached')).workerStop,
  status: () => (require('./actions/status') as typeof import('./actions/status')).status,
  postgresStatus: () => (require('./actions/postgres') as typeof import('./actions/postgres')).postgresStatus,
  switchover: () => (require('./actions/postgres') as typeof import('./actions/postgres')).switchover,
  runs: () => (require('./actions/runs') as typeof import('./actions/runs')).runs,
  show: () => (require('./actions/runs') as typeof import('./actions/runs')).show,
  watch: () => (require('./actions/runs') as typeof import('./actions/runs')).watch,
  approve: () => (require('./actions/runs') as typeof import('./actions/runs')).decide('approve'),
  reject: () => (require('./actions/runs') as typeof import('./actions/runs')).decide('reject'),
  abort: () => (require('./actions/runs') as typeof import('./actions/runs')).decide('abort'),
} satisfies Record<string, () => Action>;
