export { switchover } from './switchover';
export { clusterLock } from './cluster-lock';
export { handoverProbe } from './handover-probe';
export * from './messages';
