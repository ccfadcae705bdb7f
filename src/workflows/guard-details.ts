import type { GuardState } from './guard-messages';

const time = (at: number): string => new Date(at).toISOString().replace('T', ' ').replace(/Z$/, '');
const cell = (text: string): string => text.replace(/\|/g, '\\|').replace(/\s+/g, ' ');

/** What the Web UI shows of a guard: what it sees, waits for and does next, its ledger, and the last events. */
export function renderGuard(state: GuardState): string {
  const { ledger, maintenance, redis } = state;
  const signals = [...state.signals, ...(redis?.signals ?? [])];
  return [
    `### Guard of cluster \`${state.cluster}\`: mode \`${state.mode}\`${maintenance === undefined ? '' : ', **maintenance**'}`,
    '',
    `- **Sees:** ${state.sees}`,
    `- **Waits for:** ${state.waitsFor}`,
    `- **Next:** ${state.next}`,
    '',
    `Ledger: **${ledger.state}**, primary \`${ledger.primary ?? 'unknown'}\`, timeline ${ledger.timeline}, epoch ${ledger.epoch}, since ${time(ledger.since)}: ${ledger.why}`,
    '',
    ...(redis === undefined
      ? []
      : [
          `Redis: master \`${redis.master ?? 'unknown'}\`. **Sees:** ${cell(redis.sees)}. **Next:** ${redis.next ?? ''}`,
          '',
        ]),
    ...(signals.length === 0
      ? []
      : [
          '| time | way | says | speaks |',
          '|---|---|---|---|',
          ...signals.map(
            ({ at, source, says, speaks }) =>
              `| ${time(at)} | ${source} | ${cell(says)} | ${speaks === 'neither' ? '–' : speaks} |`,
          ),
          '',
        ]),
    '| time | event | |',
    '|---|---|---|',
    ...[...state.events].reverse().map(({ at, kind, says }) => `| ${time(at)} | ${kind} | ${cell(says)} |`),
  ].join('\n');
}
