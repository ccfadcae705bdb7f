import { formatMs } from '../duration';
import { formatSize } from '../size';
import { isGone, type WalAdvance } from './rounds';
import type { Round, Signal } from './signals';

/** The evidence of the newest round, one line per way, for the report. */
export function evidenceOf(round: Round, since: number, advances: readonly WalAdvance[]): Signal[] {
  const { at, sql, container, agent, witnesses = [], others, write, clientPath } = round;
  const signals: Signal[] = [];
  const add = (source: string, speaks: Signal['speaks'], says: string, when = at) =>
    signals.push({ at: when, source, says, speaks });

  if (sql.answered)
    add(
      'sql',
      'against',
      `${sql.name} answered in ${formatMs(sql.ms)}${sql.inRecovery === true ? ', as a standby' : ''}`,
    );
  else
    add(
      'sql',
      'for',
      `${sql.name} has not answered for ${formatMs(at + sql.ms - since)}: ${sql.problem ?? 'no reason given'}`,
      since,
    );
  if (container !== undefined) {
    const speaks = isGone(container) || container === 'paused' || container === 'restarting' ? 'for' : 'neither';
    add('docker', speaks, container === 'unknown' ? 'the engine gave no answer' : `the container is ${container}`);
  }
  if (agent !== undefined) {
    if (!agent.answered) add('agent', 'neither', `no answer: ${agent.problem ?? 'no reason given'}`);
    else {
      const disk = agent.freeDiskBytes === undefined ? '' : `, ${formatSize(agent.freeDiskBytes)} free on its disk`;
      const full = agent.freeDiskBytes !== undefined && agent.freeDiskBytes < FULL_DISK_BYTES;
      const stopped = agent.desired !== undefined && agent.desired !== 'up';
      const speaks = stopped ? 'against' : full || agent.postgres !== 'running' ? 'for' : 'neither';
      add(
        'agent',
        speaks,
        `PostgreSQL is ${agent.postgres ?? 'in an unknown state'}, desired ${agent.desired ?? 'unknown'}${disk}`,
      );
    }
  }
  for (const { node, answered, sees, problem } of witnesses)
    add(
      `witness ${node}`,
      answered ? (sees ? 'against' : 'for') : 'neither',
      answered
        ? sees
          ? `sees ${sql.name}`
          : `can't reach ${sql.name} either${problem === undefined ? '' : `: ${problem}`}`
        : `could not be asked: ${problem ?? 'no reason given'}`,
    );
  if (write !== undefined) {
    const words = write.waitsFor === undefined ? '' : `; the server says that it waits for ${write.waitsFor}`;
    add(
      'write',
      'for',
      `the guard's own has not reached the disk of ${sql.name} for ${formatMs(write.hangsMs)}${words}`,
      at - write.hangsMs,
    );
  }
  if (clientPath !== undefined) {
    const { pooler, cutMs, times, problem, asked, reaches, through } = clientPath;
    const reached =
      reaches.length > 0
        ? `, and reaches ${reaches.join(' and ')}`
        : asked.length > 0
          ? ', and nobody else either'
          : '';
    add(
      `pooler ${pooler}`,
      reaches.length === 0 ? 'neither' : 'for',
      `has not reached ${sql.name} for ${formatMs(cutMs)}, in ${times} ${times === 1 ? 'question' : 'questions'} (${problem ?? 'no reason given'})${reached}`,
      at - cutMs,
    );
    if (through !== 'unknown')
      add(
        'through the pool',
        through === 'answered' ? 'against' : 'for',
        through === 'answered' ? 'a query was answered' : 'a query gets no answer',
      );
  }
  for (const { name, answered, inRecovery, receiver, lsn } of others) {
    if (!answered || inRecovery !== true) continue;
    const advance = advances.find(({ node }) => node === name);
    if (advance !== undefined)
      add(
        `receiver ${name}`,
        'against',
        `received WAL up to ${lsn ?? 'an unknown position'}, ${advance.times} times more since`,
      );
    else if (receiver == null) add(`receiver ${name}`, sql.answered ? 'neither' : 'for', 'receives no WAL');
    else add(`receiver ${name}`, 'neither', `${receiver}, and nothing new arrived`);
  }
  return signals;
}

/** A primary with less free space than this, in bytes, can't write: no new WAL segment fits, and soon no row. */
export const FULL_DISK_BYTES = 16 * 1024 * 1024;
