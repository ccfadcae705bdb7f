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
  redisStatus: () => (require('./actions/redis') as typeof import('./actions/redis')).redisStatus,
  redisFailover: () => (require('./actions/redis') as typeof import('./actions/redis')).redisFailover,
  switchover: () => (require('./actions/switchover') as typeof import('./actions/switchover')).switchover,
  promote: () => (require('./actions/promote') as typeof import('./actions/promote')).promote,
  rejoin: () => (require('./actions/standbys') as typeof import('./actions/standbys')).rejoin,
  addStandby: () => (require('./actions/standbys') as typeof import('./actions/standbys')).addStandby,
  removeStandby: () => (require('./actions/standbys') as typeof import('./actions/standbys')).removeStandby,
  repair: () => (require('./actions/standbys') as typeof import('./actions/standbys')).repair,
  engineStatus: () => (require('./actions/engine') as typeof import('./actions/engine')).engineStatus,
  engineSwitchover: () => (require('./actions/engine') as typeof import('./actions/engine')).engineSwitchover,
  engineDrain: () => (require('./actions/engine') as typeof import('./actions/engine')).engineDrain,
  engineReady: () => (require('./actions/engine') as typeof import('./actions/engine')).engineReady,
  guardStart: () => (require('./actions/guard') as typeof import('./actions/guard')).guardStart,
  guardStatus: () => (require('./actions/guard') as typeof import('./actions/guard')).guardStatus,
  guardMode: () => (require('./actions/guard') as typeof import('./actions/guard')).guardMode,
  guardMaintenance: () => (require('./actions/guard') as typeof import('./actions/guard')).guardMaintenance,
  guardHandOver: () => (require('./actions/guard') as typeof import('./actions/guard')).guardHandOver,
  guardStop: () => (require('./actions/guard') as typeof import('./actions/guard')).guardStop,
  guardWatch: () => (require('./actions/guard-watch') as typeof import('./actions/guard-watch')).guardWatch,
  maintenanceStart: () => (require('./actions/maintenance') as typeof import('./actions/maintenance')).maintenanceStart,
  maintenanceBack: () => (require('./actions/maintenance') as typeof import('./actions/maintenance')).maintenanceBack,
  maintenanceFinish: () =>
    (require('./actions/maintenance') as typeof import('./actions/maintenance')).maintenanceFinish,
  maintenanceStatus: () =>
    (require('./actions/maintenance') as typeof import('./actions/maintenance')).maintenanceStatus,
  runs: () => (require('./actions/runs') as typeof import('./actions/runs')).runs,
  show: () => (require('./actions/runs') as typeof import('./actions/runs')).show,
  watch: () => (require('./actions/runs') as typeof import('./actions/runs')).watch,
  approve: () => (require('./actions/runs') as typeof import('./actions/runs')).decide('approve'),
  reject: () => (require('./actions/runs') as typeof import('./actions/runs')).decide('reject'),
  abort: () => (require('./actions/runs') as typeof import('./actions/runs')).decide('abort'),
} satisfies Record<string, () => Action>;
