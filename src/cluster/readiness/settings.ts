import type { AnsweringNode } from '../observed';

/** Settings that a standby must not have lower than the node that it follows (PostgreSQL manual, "Hot Standby"). */
export const notLower = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
] as const;

/** Settings of a standby that are lower than its primary's: with one of them it halts its replay, and a resume would end it. */
export function lowerSettings(standby: AnsweringNode, primary: AnsweringNode | undefined): string[] {
  if (primary === undefined) return [];
  return notLower.filter((name) => Number(standby.sql.settings[name]) < Number(primary.sql.settings[name]));
}
